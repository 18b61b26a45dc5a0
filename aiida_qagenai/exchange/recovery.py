"""What a training of the validator does about labels that are noisy, wrong, missing, or of another basis."""

from __future__ import annotations

import typing as t

import pydantic

from aiida_qagenai.common.model import StrictModel

__all__ = ('Doubt', 'RecoveryOptions')

Doubt = t.Literal['keep', 'down_weight', 'leave_out']


class RecoveryOptions(StrictModel):
    """Recoveries from bad labels (paper Table 17); all that they change is in the record of the training.

    :param loss: ``huber`` lets errors beyond 1.345 standard deviations of the residuals count linearly; ``square``
        does not.
    :param unconverged: labels that the training set marks as doubtful: iterations that did not converge, or a T1
        diagnostic beyond its limit. ``down_weight`` lets them count a tenth.
    :param outliers: labels with a large Cook's distance. ``report`` only names them, ``keep`` does not look for them,
        ``down_weight`` lets a label with k times the distance of an inconspicuous one count 1/k.
    :param outlier_residual: least residual, in robust standard deviations, of such a label.
    :param one_basis: whether labels of other levels on a rung are carried over to the level that speaks for it, by what
        structures with both say, where that has none; otherwise they train a level of their own.
    :param impute: whether labels that a structure lacks on a level are filled in from its nearest level.
    """

    loss: t.Literal['huber', 'square'] = 'huber'
    unconverged: Doubt = 'leave_out'
    outliers: t.Literal['keep', 'report', 'down_weight', 'leave_out'] = 'report'
    outlier_residual: float = pydantic.Field(3.5, ge=0)
    one_basis: bool = False
    impute: bool = False

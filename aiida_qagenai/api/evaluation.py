"""How good a set of generated structures is."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

if t.TYPE_CHECKING:
    import pandas as pd

    from aiida_qagenai.exchange.crystals import AnyCrystals

__all__ = ('evaluate',)


def evaluate(
    structures: AnyCrystals,
    *,
    known: AnyCrystals = (),
    references: AnyCrystals = (),
    e_above_hull: Sequence[float | None] | None = None,
    hull: str = 'not stated',
    seed: int = 0,
) -> pd.DataFrame:
    """Return the figures of generated structures, as ``aiida-qagenai evaluate`` prints them.

    Validity and uniqueness; with ``known`` novelty by class, and with distances S.U.N. and MSUN as well; with
    ``references`` coverage and Wasserstein distances. Match rates need to know which sample was drawn for which
    reference: see :func:`~aiida_qagenai.evaluation.matching.match_rates`.

    :param structures: samples of any kind, see :func:`~aiida_qagenai.exchange.crystals.as_structures`.
    :param known: crystals that are not new.
    :param references: crystals that the samples should be distributed as.
    :param e_above_hull: of each sample, eV/atom, ``None`` for unknown ones, which count as unstable.
    :param hull: which hull and which relaxation the distances are from.
    :param seed: of the bootstrap.
    :return: one row for each figure: ``name``, ``value``, ``interval`` (95 %), ``numerator``, ``denominator``,
        ``definition`` and ``unit``.
    :raises InvalidInputError: if a structure cannot be used, there is none, or distances come without ``known``.
    """
    import pandas as pd

    from aiida_qagenai.common.errors import InvalidInputError
    from aiida_qagenai.evaluation.report import Evaluation
    from aiida_qagenai.exchange.crystals import as_structures

    samples = as_structures(structures)
    evaluation = Evaluation(samples, seed=seed)
    others = as_structures(references)
    if others:
        evaluation.add_distributions(others)
    same = as_structures(known)
    if same:
        evaluation.add_novelty(same)
    if e_above_hull is not None:
        if len(e_above_hull) != len(samples):
            raise InvalidInputError(f'{len(e_above_hull)} distances for {len(samples)} structures')
        evaluation.add_stability(e_above_hull, hull)
    return pd.DataFrame([figure.to_dict() for figure in evaluation.figures])

"""Physical constraints on many structures."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

if t.TYPE_CHECKING:
    from aiida_qagenai.chemistry.constraints import Constraint, Screening, Stage
    from aiida_qagenai.exchange.crystals import AnyCrystals

__all__ = ('screen',)


def screen(
    structures: AnyCrystals, constraints: Sequence[Constraint] | None = None, stage: Stage = 'final'
) -> list[Screening]:
    """Return the verdicts of the physical constraints on each structure, as ``aiida-qagenai screen`` prints them.

    ``screen(…)[0].passed`` says whether the first one passes, ``failed`` which constraints it fails.

    :param structures: any kind, see :func:`~aiida_qagenai.exchange.crystals.as_structures`; one with partial
        occupancies is reported as not well formed.
    :param constraints: those of :func:`~aiida_qagenai.chemistry.constraints.default_constraints` by default.
    :param stage: ``generation``, ``validation`` or ``final``: when which constraints apply.
    :raises InvalidInputError: if an item is not a structure, or the stage is unknown.
    """
    from aiida_qagenai.chemistry.constraints import screen as apply_constraints
    from aiida_qagenai.exchange.crystals import as_structures

    return [apply_constraints(each, constraints, stage) for each in as_structures(structures, ordered=False)]

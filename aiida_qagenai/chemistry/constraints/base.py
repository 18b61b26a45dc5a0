"""What a constraint is, and the record of applying several of them (paper Table 1)."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Sequence

from aiida_qagenai.chemistry.crystal import Bonding, Crystal
from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('STAGES', 'BondingConstraint', 'Constraint', 'Screening', 'Stage', 'Verdict', 'VerdictName', 'apply')

Stage = t.Literal['sampling', 'generation', 'validation', 'final']
VerdictName = t.Literal['pass', 'fail', 'not_applicable']

STAGES: tuple[Stage, ...] = ('sampling', 'generation', 'validation', 'final')
"""Where a constraint acts: on compositions, on structures while generated, on finished ones, on the chosen few."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What one constraint says about one structure.

    :param name: the constraint.
    :param value: what was measured; ``None`` where the constraint does not apply.
    :param threshold: what the value is compared with.
    :param verdict: ``pass``, ``fail`` or ``not_applicable``.
    :param stage: the stage at which the constraint acted.
    :param reason: why it does not apply, or what failed where.
    """

    name: str
    value: float | int | None
    threshold: float | None
    verdict: VerdictName
    stage: Stage
    reason: str = ''


@t.runtime_checkable
class Constraint(t.Protocol):
    """A rule with a name, applied to one structure at one stage."""

    name: str
    """Identifier, the prefix of the keys in records."""

    stages: tuple[Stage, ...]
    """Stages at which the constraint acts (paper Table 1, column 2)."""

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on a crystal."""


class BondingConstraint:
    """A constraint on the bonds between ions; it does not apply where the compound is not heteropolar.

    :param threshold: largest accepted value.
    """

    name: str
    stages: tuple[Stage, ...] = ('validation', 'final')

    def __init__(self, threshold: float) -> None:
        if not threshold > 0:
            message = f'the threshold of the {self.name.replace("_", " ")} must be positive, not {threshold}'
            raise InvalidInputError(message)
        self.threshold = threshold

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on a crystal."""
        bonding = crystal.bonding
        reason = bonding if isinstance(bonding, str) else self.not_applicable(bonding)
        if isinstance(bonding, str) or reason:
            return Verdict(self.name, None, self.threshold, 'not_applicable', stage, reason)
        value, passed, reason = self.measure(crystal, bonding)
        return Verdict(self.name, value, self.threshold, 'pass' if passed else 'fail', stage, reason)

    def not_applicable(self, bonding: Bonding) -> str:
        """Return why the constraint means nothing for these bonds; empty if it does."""
        return ''

    def measure(self, crystal: Crystal, bonding: Bonding) -> tuple[float | int, bool, str]:
        """Return the value, whether it is accepted, and a remark."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Screening:
    """All verdicts on one structure.

    :param verdicts: one per constraint, in the order applied.
    :param stage: the stage at which they were applied.
    """

    verdicts: tuple[Verdict, ...]
    stage: Stage

    @property
    def passed(self) -> bool:
        """Return whether no constraint failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the names of the constraints that failed."""
        return tuple(verdict.name for verdict in self.verdicts if verdict.verdict == 'fail')

    def to_dict(self) -> dict[str, bool | int | float | str | None]:
        """Return a flat record: ``passed``, ``stage``, ``<name>_value``, ``_threshold``, ``_verdict``, ``_reason``."""
        record: dict[str, bool | int | float | str | None] = {'passed': self.passed, 'stage': self.stage}
        for verdict in self.verdicts:
            for field in ('value', 'threshold', 'verdict', 'reason'):
                record[f'{verdict.name}_{field}'] = getattr(verdict, field)
        return record


def apply(structure: Structure, constraints: Sequence[Constraint], stage: Stage = 'validation') -> Screening:
    """Return the verdicts of those ``constraints`` that act at ``stage``.

    A structure that is not a proper crystal (disordered, flat, not finite) fails ``well_formed`` and is not examined
    further, so that a batch survives its worst structure.

    :raises InvalidInputError: on an unknown stage.
    """
    if stage not in STAGES:
        raise InvalidInputError(f'unknown stage `{stage}`: choose from {", ".join(STAGES)}')
    problem = structure_problem(structure)
    well_formed = Verdict('well_formed', int(problem is None), 1, 'fail' if problem else 'pass', stage, problem or '')
    if problem is not None:
        return Screening((well_formed,), stage)
    crystal = Crystal(structure)
    checked = [constraint.check(crystal, stage) for constraint in constraints if stage in constraint.stages]
    return Screening((well_formed, *checked), stage)

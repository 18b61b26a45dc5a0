"""What energies cost, from those that were computed: to start only what fits into a budget of core hours.

The cost of an energy grows with the cube of the number of basis functions of its cell. The factor is measured, level by
level, apart for compounds that may be magnetic: theirs are computed for several orderings, in larger cells.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Mapping, Sequence

from aiida_qagenai.chemistry.open_shells import is_magnetic
from aiida_qagenai.common.fidelity import Fidelity

__all__ = ('CostRecord', 'Costs', 'Table', 'affordable', 'energy_hours')

POWER = 3
"""Exponent of the number of basis functions, that of the diagonalisation and of the fitted exchange."""

Table = dict[str, dict[str, float]]
"""Name of a level → the sums of the energies at it."""


class CostRecord(t.NamedTuple):
    """An energy that was computed.

    :param composition: atoms of its cell by element.
    """

    fidelity: Fidelity
    composition: Mapping[str, int]
    core_hours: float


@dataclasses.dataclass(frozen=True)
class Costs:
    """Sums over computed energies by level: ``energies``, their ``core_hours``, and ``size``, the sum of the cubes.

    :param functions: basis functions of an atom by element; one for an element that is not named.
    """

    functions: Mapping[str, int]
    table: Table = dataclasses.field(default_factory=dict)

    def size(self, composition: Mapping[str, int]) -> float:
        """Return the cube of the number of basis functions of a cell."""
        return float(sum(self.functions.get(symbol, 1) * count for symbol, count in composition.items()) ** POWER)

    def measured(self, records: Iterable[CostRecord]) -> Costs:
        """Return the sums with those of ``records`` added."""
        table = {key: dict(values) for key, values in self.table.items()}
        for record in records:
            row = table.setdefault(_key(record.fidelity, record.composition), {})
            new = {'energies': 1, 'core_hours': record.core_hours, 'size': self.size(record.composition)}
            for name, value in new.items():
                row[name] = row.get(name, 0) + value
        return dataclasses.replace(self, table=table)

    def added(self, other: Table) -> Costs:
        """Return the sums with those of another table added."""
        table = {key: dict(values) for key, values in self.table.items()}
        for key, values in other.items():
            row = table.setdefault(key, {})
            for name, value in values.items():
                row[name] = row.get(name, 0) + value
        return dataclasses.replace(self, table=table)

    def estimate(self, composition: Mapping[str, int], levels: Sequence[Fidelity]) -> float | None:
        """Return the core hours of a cell at some levels, those of a level not computed so far left out.

        :returns: None if no level was computed so far.
        """
        found = [self._level(composition, level) for level in levels]
        known = [hours for hours in found if hours is not None]
        return sum(known) if known else None

    def _level(self, composition: Mapping[str, int], level: Fidelity) -> float | None:
        own = _key(level, composition)
        # What is like it says more than all there is.
        for keys in ([own], [key for key in self.table if key.split()[0] == level.value]):
            rows = [self.table[key] for key in keys if key in self.table]
            size = sum(row['size'] for row in rows)
            if size > 0:
                return sum(row['core_hours'] for row in rows) / size * self.size(composition)
        return None


def affordable(
    candidates: Sequence[tuple[str, Mapping[str, int]]],
    costs: Costs,
    levels: Sequence[Fidelity],
    core_hours: float,
) -> tuple[list[str], dict[str, float]]:
    """Return the candidates that fit into what is left of a budget, small cells first, and the hours of the others.

    A candidate is started with all levels or not at all. One whose cost nobody knows is started if anything is left.

    :param candidates: label and composition of the cell, the best first: so those of one size are taken.
    """
    left, chosen, others = core_hours, [], {}
    for label, composition in sorted(candidates, key=lambda item: sum(item[1].values())):
        hours = costs.estimate(composition, levels) or 0.0
        if left > 0 and hours <= left:
            chosen.append(label)
            left -= hours
        else:
            others[label] = hours
    return chosen, others


def energy_hours(ledger: Mapping[str, t.Any]) -> float:
    """Return the core hours of all energies of the cycles of a ledger, failed ones included, without its initial set.

    That is what a budget of core hours counts: neither models nor the initial set.
    """
    parts = [cycle.get('core_hours', {}) for cycle in ledger.get('cycles', ())]
    return float(sum(hours for part in parts for name, hours in part.items() if name != 'ml'))


def _key(fidelity: Fidelity, composition: Mapping[str, int]) -> str:
    return f'{fidelity.value} magnetic' if is_magnetic(composition) else fidelity.value

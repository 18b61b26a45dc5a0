"""A calculation of the graph, run again: whether others get the same energy."""

from __future__ import annotations

import typing as t

from aiida.engine import run_get_node
from aiida.orm import CalcJobNode, Data, Dict, User

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData

if t.TYPE_CHECKING:
    from aiida.orm import AbstractCode, Node

__all__ = ('Repetition', 'calculation_of', 'repeat_calculation')


class Repetition(t.NamedTuple):
    """Energies (Ha) of a calculation and of the one that repeated it."""

    before: float
    again: float
    node: CalcJobNode

    @property
    def change(self) -> float:
        """By how much the energy changed, Ha."""
        return self.again - self.before


def calculation_of(node: Node) -> CalcJobNode:
    """Return the calculation of PySCF that a node is, or that an energy was made of.

    :raises InvalidInputError: if it is none that ended with an energy, or several.
    """
    jobs = [node]
    if isinstance(node, EnergyData) and node.creator is not None:
        results = node.creator.base.links.get_incoming(node_class=Dict).all_nodes()
        jobs = [one.creator for one in t.cast('list[Data]', results) if one.creator is not None]
    found = {
        one.pk: one
        for one in jobs
        if isinstance(one, CalcJobNode) and one.process_class is PyscfCellCalculation and _energy(one) is not None
    }
    if len(found) > 1:
        pks = ', '.join(str(pk) for pk in sorted(found))
        raise InvalidInputError(f'node {node.pk} was made of several calculations, give one of them: {pks}')
    if not found:
        raise InvalidInputError(
            f'node {node.pk} is no calculation of PySCF with an energy, nor made of one: see `process cost PK --jobs`'
        )
    return next(iter(found.values()))


def repeat_calculation(calculation: CalcJobNode, code: AbstractCode | None = None) -> Repetition:
    """Run a calculation again with the same inputs, never from the cache nor from a checkpoint.

    :param code: that runs it, by default the one of before.
    :raises InvalidInputError: if the computer of the code is not set up, or the calculation fails now.
    """
    builder = calculation.get_builder_restart()
    builder.code = code or builder.code
    for name in ('checkpoint', 'restart_folder'):
        builder.pop(name, None)
    computer = builder.code.computer
    if not computer.is_user_configured(User.collection.get_default()):
        message = f'computer `{computer.label}` is not set up here: choose a code of this machine with `--code`'
        raise InvalidInputError(message)
    builder.metadata.disable_cache = True
    builder.metadata.label = f'{calculation.label} again'.strip()
    _, node = run_get_node(builder)
    energy = _energy(node)
    if energy is None:
        raise InvalidInputError(f'calculation {node.pk} failed: {node.exit_message}')
    return Repetition(t.cast('float', _energy(calculation)), energy, node)


def _energy(node: CalcJobNode) -> float | None:
    """Return the energy of a calculation, Ha; None if it has none."""
    results = node.outputs.results.get_dict() if 'results' in node.outputs else {}
    return results.get('total_energy_hartree') if node.is_finished_ok or node.exit_status >= 700 else None

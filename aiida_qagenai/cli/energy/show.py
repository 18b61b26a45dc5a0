"""`aiida-qagenai energy show`: the energies of a run, or of one node."""

from __future__ import annotations

import typing as t

import click

from aiida_qagenai.cli.loaders import load_node
from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.params import FORMAT, PROCESS
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from aiida.orm import Node, ProcessNode

    from aiida_qagenai.data.energy import EnergyData

__all__ = ('print_energies', 'show')

COLUMNS = {
    'structure': 'structure',
    'name': 'name',
    'fidelity': 'level',
    'total_energy': 'total eV',
    'energy_per_atom': 'eV/atom',
    'formation_energy_per_atom': 'formation eV/atom',
    'band_gap': 'gap eV',
    't1_diagnostic': 'T1',
    'core_hours': 'core h',
    'remarks': 'remarks',
    'pk': 'pk',
    'uuid': 'uuid',
}
NARROW = ('uuid',)
"""Columns that a table leaves out."""


@click.command()
@PROCESS
@FORMAT
def show(process: str, *, fmt: str) -> None:
    """Show the energies of a run, or one energy.

    Remarks are warnings of the calculation, such as a T1 diagnostic above 0.02, or why there is no energy.
    """
    print_energies(load_node(process), fmt)


def print_energies(node: Node, fmt: str) -> None:
    """Print the energies of a process, or an energy.

    :raises InvalidInputError: if the node has none.
    """
    import pandas as pd

    from aiida_qagenai.data.energy import EnergyData

    if isinstance(node, EnergyData):
        rows, ending = [energy_row('', '', node)], ''
    elif getattr(node, 'process_label', None) == 'LadderWorkChain':
        rows = ladder_rows(t.cast('ProcessNode', node))
        message = f': {node.exit_message}' if node.exit_message else ''
        state = f'exit status {node.exit_status}{message}' if node.is_terminated else 'still running'
        ending = f'{state}; '
    elif 'fidelity' in getattr(node, 'inputs', {}) and 'energy' in getattr(node, 'outputs', {}):
        rows, ending = [energy_row('', node.inputs.structure.label, node.outputs.energy)], ''
    else:
        message = f'node {node.pk} has no energies: expected an energy, or a process that computes some'
        raise InvalidInputError(message)
    table = pd.DataFrame(rows)
    for name in set(COLUMNS) - set(table.columns):
        table[name] = None
    table = table.astype({'pk': 'Int64'})
    hours = pd.to_numeric(table['core_hours']).sum()
    columns = {name: heading for name, heading in COLUMNS.items() if name not in NARROW}
    print_frame(table, fmt, columns, footer=f'{ending}{table["pk"].notna().sum()} energies, {hours:.3f} core hours')


def energy_row(structure: str, name: str, energy: EnergyData) -> dict[str, t.Any]:
    """Return one energy as a row."""
    content = energy.content.model_dump(mode='json', exclude={'source'})
    return {
        'structure': structure or content['formula'],
        'name': name,
        **content,
        'remarks': '; '.join(content['warnings']),
        'pk': energy.pk,
        'uuid': energy.uuid,
    }


def ladder_rows(node: ProcessNode) -> list[dict[str, t.Any]]:
    """Return a row for each energy that was asked for, those without a result included."""
    from aiida_qagenai.calculations.functions.dataset import energy_label
    from aiida_qagenai.cli.progress import called
    from aiida_qagenai.common.fidelity import Fidelity
    from aiida_qagenai.engine.resumable import ending, nested_outputs

    energies = nested_outputs(node).get('energies', {})
    children = dict(called(node))
    rows = []
    for structure, names in node.inputs.plan.get_dict().items():
        name = node.inputs.structures[structure].label
        for level in map(Fidelity.parse, names):
            label = energy_label(structure, level)
            child = children.get(label)
            energy = energies.get(label)
            if energy is None and child is not None and child.is_finished_ok:
                energy = child.outputs.energy
            if energy is not None:
                rows.append(energy_row(structure, name, energy))
                continue
            if child is None:
                remark = refusal(node, label) or ('waiting' if not node.is_terminated else 'not computed')
            else:
                remark = f'{child.process_label} {child.pk}: {ending(child)}' if child.is_terminated else 'running'
            rows.append({'structure': structure, 'name': name, 'fidelity': level.value, 'remarks': remark})
    return rows


def refusal(node: ProcessNode, label: str) -> str:
    """Return why a ladder refused an energy, from its report; empty if it did not."""
    from aiida.orm import Log

    start = f'{label} was refused: '
    messages = (log.message for log in Log.collection.get_logs_for(node))
    return next((message.split(start, 1)[1] for message in messages if start in message), '')

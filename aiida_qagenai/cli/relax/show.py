"""`aiida-qagenai relax show`: relaxations that were computed."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.loaders import load_process
from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.params import FORMAT, OUTPUT, PROCESS
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('show',)

COLUMNS = {
    'formula': 'formula',
    'program': 'program',
    'total_energy': 'energy eV',
    'max_force': 'force eV/Å',
    'pressure': 'pressure GPa',
    'volume_change': 'volume change',
    'min_frequency_gamma': 'lowest THz at Γ',
    'warnings': 'warnings',
    'pk': 'relaxed pk',
}


@click.command('show')
@PROCESS
@click.option('--write', type=OUTPUT, help='Write the relaxed crystal: CIF, POSCAR or extxyz.')
@FORMAT
def show(process: str, *, write: Path | None, fmt: str) -> None:
    """Show the results of a run.

    With `--write` the relaxed crystal is written to a file.
    """
    import pandas as pd

    from aiida_qagenai.engine.resumable import nested_outputs

    node = load_process(process, 'PbeRelaxWorkChain')
    outputs = nested_outputs(node)
    rows = []
    if 'results' in outputs:
        relaxed = outputs.get('relaxed')
        values = {**outputs['results'].get_dict(), **(outputs['phonons'].get_dict() if 'phonons' in outputs else {})}
        values['warnings'] = '; '.join(text for name in ('results', 'phonons') for text in _warnings(outputs, name))
        values['formula'] = node.inputs.structure.get_formula()
        rows = [{**{name: values.get(name) for name in COLUMNS}, 'pk': None if relaxed is None else relaxed.pk}]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    print_frame(table, fmt, COLUMNS, footer=f'exit status {node.exit_status} {node.exit_message or ""}'.strip())
    if write is not None:
        _write(outputs.get('relaxed'), write)


def _warnings(outputs: dict[str, t.Any], name: str) -> list[str]:
    """Return the warnings of an output, if it is there."""
    warnings: list[str] = outputs[name]['warnings'] if name in outputs else []
    return warnings


def _write(relaxed: t.Any, path: Path) -> None:
    """Write the relaxed crystal.

    :raises InvalidInputError: if there is none, or the ending is unknown.
    """
    if relaxed is None:
        message = 'there is no relaxed crystal to write'
        raise InvalidInputError(message)
    from ase.io.formats import UnknownFileTypeError

    try:
        relaxed.get_ase().write(path)
    except (UnknownFileTypeError, OSError) as exception:
        message = f'`{path}` cannot be written: {exception}'
        raise InvalidInputError(message) from exception
    click.echo(f'wrote {path}')

"""`aiida-qagenai relax run|continue|show|protocols`: relaxations at PBE."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.campaign.run import load_code, parse_settings, read_options
from aiida_qagenai.cli.loaders import FILE, find_process, launch, load_structure, read_one, resume
from aiida_qagenai.cli.output import FORMAT, print_frame
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('continue_', 'protocols', 'run', 'show')

CODES = {'pyscf': 'pyscf@localhost', 'espresso': 'pw@localhost'}
"""The code of each engine, unless told otherwise."""

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


@click.command('run')
@click.argument('structure', metavar='FILE|PK|UUID')
@click.option('--engine', type=click.Choice(list(CODES)), default='pyscf', show_default=True, help='What relaxes.')
@click.option('--protocol', default='fast', show_default=True, help='See `aiida-qagenai relax protocols`.')
@click.option('--code', help=f'Code of the engine; by default {" or ".join(CODES.values())}.')
@click.option('--phonons', is_flag=True, help='Also compute the phonons at Γ of the relaxed crystal.')
@click.option('--options', type=FILE, help='YAML file whose part `relax` says what the scheduler is asked for.')
@click.option('--follow/--no-follow', 'watch', default=True, show_default=True, help='Show progress to the end.')
@click.option('--set', 'settings', multiple=True, metavar='NAME=VALUE', help='Change a setting; may be repeated.')
def run(
    structure: str,
    *,
    engine: t.Literal['pyscf', 'espresso'],
    protocol: str,
    code: str | None,
    phonons: bool,
    options: Path | None,
    watch: bool,
    settings: tuple[str, ...],
) -> None:
    """Relax a crystal, of a file or of the graph, at PBE: `aiida-qagenai relax run si.cif --engine espresso`."""
    from aiida_qagenai.workchains.relaxation.pbe_relax import PbeRelaxWorkChain

    path = Path(structure)
    builder = PbeRelaxWorkChain.get_builder_from_protocol(
        load_code(code or CODES[engine]),
        read_one(path) if path.is_file() else load_structure(structure),
        protocol,
        engine=engine,
        overrides=parse_settings(settings),
        options=_options(options),
        check_phonons=phonons,
    )
    node = launch(builder, watch=watch)
    click.echo(f'next: aiida-qagenai relax show {node.pk}')


@click.command('continue')
@click.argument('process')
def continue_(process: str) -> None:
    """Bring the run PROCESS (pk or uuid) back after a crash or reboot, and show its progress; nothing runs twice."""
    resume(process, 'PbeRelaxWorkChain')


@click.command('show')
@click.argument('process')
@click.option('--write', type=click.Path(path_type=Path), help='Write the relaxed crystal: CIF, POSCAR or extxyz.')
@FORMAT
def show(process: str, *, write: Path | None, fmt: str) -> None:
    """What the run PROCESS (pk or uuid) found, and the relaxed crystal as a file."""
    import pandas as pd

    from aiida_qagenai.engine.resumable import nested_outputs

    node = find_process(process, 'PbeRelaxWorkChain')
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


@click.command('protocols')
def protocols() -> None:
    """List the protocols of relaxations."""
    from aiida_qagenai.workchains.protocols.relaxation import available_protocols

    for name, description in available_protocols().items():
        click.echo(f'{name:12} {description}')


def _options(path: Path | None) -> dict[str, t.Any] | None:
    """Return the scheduler options of relaxations in a YAML file.

    :raises InvalidInputError: if there is a file and it has none.
    """
    options = read_options(path)['relax_options']
    if path is not None and not options:
        message = f'{path} has no part `relax` with options of the scheduler'
        raise InvalidInputError(message)
    return options


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

"""`aiida-qagenai relax`: relaxations at PBE, run and shown, and of files on a potential."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.groups import Noun, add_continue, add_protocols, launch
from aiida_qagenai.cli.loaders import load_code, load_process, load_structure
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import (
    ENGINE_CODES,
    FOLLOW,
    FORMAT,
    LABEL,
    NODE,
    OPTIONS,
    OUTPUT,
    PROCESS,
    SET,
    STRUCTURE,
    option,
    parse_settings,
    protocol_option,
    read_options,
)
from aiida_qagenai.cli.relax_files import relax_files
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('relax',)

relax = Noun('relax', help='Relax crystals at PBE with PySCF or pw.x, or files on a potential.')
relax.add_command(relax_files)
add_continue(relax, 'PbeRelaxWorkChain')
add_protocols(relax, 'aiida_qagenai.workchains.protocols.relaxation:available_protocols', 'relaxations')

COLUMNS = columns(
    'formula, program, total_energy: energy eV, max_force: force eV/Å, pressure: pressure GPa, '
    'volume_change: volume change, min_frequency_gamma: lowest THz at Γ, warnings, pk: relaxed pk'
)


@relax.command('run')
@click.argument('structure', metavar=STRUCTURE)
@option('--engine', type=click.Choice(list(ENGINE_CODES)), default='pyscf', help='Program.')
@protocol_option('relax')
@option('--code', metavar=NODE, help=f'Code of the engine; by default {" or ".join(ENGINE_CODES.values())}.')
@option('--phonons', is_flag=True, help='Also compute the phonons at Γ of the relaxed crystal.')
@OPTIONS
@SET
@LABEL
@FOLLOW
def run(
    structure: str,
    *,
    engine: t.Literal['pyscf', 'espresso'],
    protocol: str,
    code: str | None,
    phonons: bool,
    options: Path | None,
    label: str,
    watch: bool,
    settings: tuple[str, ...],
) -> None:
    """Relax a crystal at PBE.

    For example: `aiida-qagenai relax run si.cif --engine espresso`.
    """
    from aiida_qagenai.workchains.relaxation.pbe_relax import PbeRelaxWorkChain

    builder = PbeRelaxWorkChain.get_builder_from_protocol(
        load_code(code or ENGINE_CODES[engine]),
        load_structure(structure),
        protocol,
        engine=engine,
        overrides=parse_settings(settings),
        options=read_options(options, 'relax')['relax_options'],
        check_phonons=phonons,
    )
    node = launch(builder, 'relax', label=label, watch=watch)
    click.echo(f'next: aiida-qagenai relax show {node.pk}')


@relax.command('show')
@PROCESS
@option('--write', type=OUTPUT, help='Write the relaxed crystal: CIF, POSCAR or extxyz.')
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
        found = [outputs[name].get_dict() for name in ('results', 'phonons') if name in outputs]
        values = {name: value for content in found for name, value in content.items()}
        values['warnings'] = '; '.join(text for content in found for text in content['warnings'])
        values['formula'] = node.inputs.structure.get_formula()
        values['pk'] = None if relaxed is None else relaxed.pk
        rows = [{name: values.get(name) for name in COLUMNS}]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    print_frame(table, fmt, COLUMNS, footer=f'exit status {node.exit_status} {node.exit_message or ""}'.strip())
    if write is not None:
        _write(outputs.get('relaxed'), write)


def _write(relaxed: t.Any, path: Path) -> None:
    """Write the relaxed crystal.

    :raises InvalidInputError: if there is none, or the ending is unknown.
    """
    if relaxed is None:
        raise InvalidInputError('there is no relaxed crystal to write')
    from ase.io.formats import UnknownFileTypeError

    try:
        relaxed.get_ase().write(path)
    except (UnknownFileTypeError, OSError) as exception:
        raise InvalidInputError(f'`{path}` cannot be written: {exception}') from exception
    click.echo(f'wrote {path}')

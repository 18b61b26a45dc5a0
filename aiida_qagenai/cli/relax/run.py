"""`aiida-qagenai relax run|continue|protocols`: relaxations at PBE."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.launch import continue_command, launch, protocols_command
from aiida_qagenai.cli.loaders import load_code, load_structure
from aiida_qagenai.cli.params import (
    FOLLOW,
    LABEL,
    NODE,
    OPTIONS,
    SET,
    STRUCTURE,
    parse_settings,
    protocol_option,
    read_options,
)

__all__ = ('continue_', 'protocols', 'run')

CODES = {'pyscf': 'pyscf@localhost', 'espresso': 'pw@localhost'}
"""The code of each engine, unless told otherwise."""


@click.command('run')
@click.argument('structure', metavar=STRUCTURE)
@click.option('--engine', type=click.Choice(list(CODES)), default='pyscf', show_default=True, help='Program.')
@protocol_option('relax')
@click.option('--code', metavar=NODE, help=f'Code of the engine; by default {" or ".join(CODES.values())}.')
@click.option('--phonons', is_flag=True, help='Also compute the phonons at Γ of the relaxed crystal.')
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
        load_code(code or CODES[engine]),
        load_structure(structure),
        protocol,
        engine=engine,
        overrides=parse_settings(settings),
        options=read_options(options, 'relax')['relax_options'],
        check_phonons=phonons,
    )
    node = launch(builder, 'relax', label=label, watch=watch)
    click.echo(f'next: aiida-qagenai relax show {node.pk}')


continue_ = continue_command('relax', 'PbeRelaxWorkChain')
protocols = protocols_command('aiida_qagenai.workchains.protocols.relaxation:available_protocols', 'relaxations')

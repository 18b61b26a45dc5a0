"""`aiida-qagenai energy run|continue|protocols`: energies of crystals at several levels of theory."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.launch import launch, protocols_command, resume
from aiida_qagenai.cli.loaders import load_code, load_structures
from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.params import (
    FOLLOW,
    FORMAT,
    LABEL,
    LEVEL,
    NODE,
    OPTIONS,
    PROCESS,
    PYSCF_CODE,
    SET,
    STRUCTURE,
    parse_settings,
    protocol_option,
    read_options,
)
from aiida_qagenai.cli.progress import count_ladder
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity

if t.TYPE_CHECKING:
    from aiida_qagenai.cli.energy.plan import EnergyPlan

__all__ = ('continue_', 'protocols', 'run')

PLANNED = {
    'structure': 'structure',
    'atoms': 'atoms',
    'level': 'level',
    'basis': 'basis',
    'kmesh': 'k-mesh',
    'calculations': 'calculations',
    'memory_mb': 'at least MB',
    'refused': 'refused because',
}


@click.command('run')
@click.argument('structures', nargs=-1, required=True, metavar=f'{STRUCTURE}...')
@click.option('--level', 'names', multiple=True, type=LEVEL, help='Level of theory. Repeatable.')
@click.option('--all-levels', is_flag=True, help='Compute PBE, SCAN, HSE06 and CCSD(T).')
@protocol_option('energy')
@click.option('--code', metavar=NODE, default=PYSCF_CODE, show_default=True, help='Code that runs PySCF.')
@click.option(
    '--references/--no-references',
    default=True,
    show_default=True,
    help='Compute the isolated atoms as well, to which formation energies refer.',
)
@click.option('--max-concurrent', type=click.IntRange(1), default=4, show_default=True, help='Energies at a time.')
@click.option(
    '--primitive/--as-given',
    default=True,
    show_default=True,
    help='Reduce the crystals of files to their primitive cells.',
)
@OPTIONS
@SET
@LABEL
@click.option('--dry-run', is_flag=True, help='Show what would be computed, and compute nothing.')
@FOLLOW
@FORMAT
def run(
    structures: tuple[str, ...],
    *,
    names: tuple[str, ...],
    all_levels: bool,
    protocol: str,
    code: str,
    references: bool,
    max_concurrent: int,
    primitive: bool,
    options: Path | None,
    settings: tuple[str, ...],
    label: str,
    dry_run: bool,
    watch: bool,
    fmt: str,
) -> None:
    """Compute energies of crystals at levels of theory.

    For example: `aiida-qagenai energy run lih.cif --level 'CCSD(T)' --protocol fast`.

    Structures are files, which may hold many, or nodes; each is computed at its own geometry, so relax it first where
    that matters. Formation energies are in eV/atom and refer to isolated atoms at the same level, anchored by
    experimental atomisation energies. What was computed before comes from the cache.
    """
    from aiida_qagenai.cli.energy.plan import make_plan
    from aiida_qagenai.workchains.energy.ladder import LadderWorkChain

    levels = list(LADDER) if all_levels else sorted({Fidelity(name) for name in names}, key=lambda each: each.rank)
    if not levels:
        message = "choose the level of theory: --level PBE, SCAN, HSE06 or 'CCSD(T)' (repeatable), or --all-levels"
        raise InvalidInputError(message)
    overrides = parse_settings(settings)
    if not references:
        overrides = {**overrides, 'counterpoise': None}
    runner, nodes = load_code(code), load_structures(structures, primitive=primitive)
    scheduler = read_options(options, 'pyscf')['pyscf_options']
    plan = make_plan(runner, nodes, levels, protocol, overrides, references=references)
    if dry_run:
        show_plan(plan, references, fmt)
        return
    for refusal in plan.refusals:
        click.echo(f'left out: {refusal}', err=True)
    builder = LadderWorkChain.get_builder_from_protocol(
        runner,
        {name: nodes[name] for name in plan.levels},
        plan.levels,
        protocol,
        overrides=overrides,
        reference_elements=plan.elements,
        options=scheduler,
        max_concurrent=max_concurrent,
    )
    node = launch(builder, 'energy', label=label, watch=watch, describe=count_ladder)
    finish(node, fmt)


@click.command('continue')
@PROCESS
@FORMAT
def continue_(process: str, *, fmt: str) -> None:
    """Continue a run after an interruption.

    A run that a crash or a reboot interrupted goes on where it stopped; nothing is computed twice.
    """
    finish(resume(process, 'energy', 'LadderWorkChain', count_ladder), fmt)


protocols = protocols_command('aiida_qagenai.workchains.protocols.energy:available_protocols', 'energies')


def finish(node: t.Any, fmt: str) -> None:
    """Print the energies of a run that has ended, or how to come back to one that goes on."""
    from aiida_qagenai.cli.energy.show import print_energies

    if node.is_terminated:
        print_energies(node, fmt)
    click.echo(f'next: aiida-qagenai energy show {node.pk}', err=fmt != 'table')
    if node.is_terminated and not node.is_finished_ok:
        click.get_current_context().exit(1)


def show_plan(plan: EnergyPlan, references: bool, fmt: str) -> None:
    """Print what would be computed, and what the protocol says of its cost and its error."""
    import pandas as pd

    lines = [f'cost: {plan.settings.cost}', f'expected error: {plan.settings.expected_error}']
    if plan.elements:
        lines.insert(0, f'and the isolated atoms of {", ".join(plan.elements)} at each level')
    elif references:
        lines.insert(0, 'and the isolated atoms of each crystal, with the counterpoise correction')
    lines += [f'note: {note}' for note in dict.fromkeys(row.get('notes') for row in plan.rows) if note]
    if not plan.settings.scientific:
        lines.append('The energies of this protocol are not scientific.')
    table = pd.DataFrame(plan.rows, columns=[*PLANNED, 'level_tag', 'notes'])
    print_frame(table.astype({'calculations': 'Int64'}), fmt, PLANNED, footer='\n'.join(lines))

"""`aiida-qagenai energy`: energies of crystals at several levels of theory, computed, shown and searched."""

from __future__ import annotations

import functools
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.energy.arguments import energy_overrides, parse_moments
from aiida_qagenai.cli.groups import Noun, add_protocols, launch, resume
from aiida_qagenai.cli.loaders import load_code, load_node, load_structures
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import (
    CAMPAIGN,
    CHEMICAL_SYSTEM,
    ENGINE_CODES,
    FOLLOW,
    FORMAT,
    FORMULA,
    LABEL,
    LEVEL,
    NODE,
    OPTIONS,
    PROCESS,
    SET,
    STRUCTURE,
    option,
    parse_settings,
    protocol_option,
    read_options,
)
from aiida_qagenai.cli.progress import called
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity

if t.TYPE_CHECKING:
    from aiida.orm import Node, ProcessNode

    from aiida_qagenai.cli.energy.plan import EnergyPlan
    from aiida_qagenai.data.energy import EnergyData

__all__ = ('energy',)

energy = Noun('energy', help='Compute energies of crystals, and search them.')
add_protocols(energy, 'aiida_qagenai.workchains.protocols.energy:available_protocols', 'energies')

PLANNED = columns(
    'structure, atoms, level, basis, kmesh: k-mesh, calculations, memory_mb: at least MB, refused: refused because'
)
COLUMNS = columns(
    'structure, name, fidelity: level, total_energy: total eV, energy_per_atom: eV/atom, '
    'formation_energy_per_atom: formation eV/atom, band_gap: gap eV, ordering, moments: moments μB, t1_diagnostic: T1, '
    'core_hours: core h, remarks, pk'
)
ELEMENTS = columns('element, basis, functions, electrons, levels, atomization: atomisation eV, uncertainty: ±')
REFERENCE = columns('reference, enthalpy: experiment eV, enthalpy_uncertainty: ±')
SIDE_BY_SIDE = columns(
    'name, formula, protocol, formation_pbe: PBE, formation_scan: SCAN, formation_hse06: HSE06, '
    'formation_ccsdt: CCSD(T), top_fidelity: top, divergence_computed: D, note'
)
DIVERGENCES = columns(
    'name, formula, protocol, formation_pbe: PBE, divergence_scan: PBE−SCAN, divergence_hse06: PBE−HSE06, '
    'divergence_ccsdt: PBE−CCSD(T), predicted, predicted_sigma: σ, predicted_top: top, note'
)
EACH = columns(
    'name, formula, fidelity, level_tag: level, total_energy: total, formation_energy_per_atom: formation, '
    'band_gap: gap, magnetic_ordering: ordering, t1_diagnostic: T1, multireference, core_hours: core h, converged, '
    'note, pk'
)


@energy.command('run')
@click.argument('structures', nargs=-1, required=True, metavar=f'{STRUCTURE}...')
@option('--level', 'names', multiple=True, type=LEVEL, help='Level of theory. Repeatable.')
@option('--all-levels', is_flag=True, help='Compute PBE, SCAN, HSE06 and CCSD(T), where they are valid.')
@protocol_option('energy')
@option('--engine', type=click.Choice(list(ENGINE_CODES)), default='pyscf', help='Program; espresso is pw.x.')
@option('--pseudos', metavar='LABEL', help='Family of pseudopotentials of pw.x, in place of that of the protocol.')
@option(
    '--hubbard',
    multiple=True,
    metavar='ELEMENT=U',
    help='U of pw.x on the open shell of an element, eV, with its source: "Mn=3.9 Wang 2006". Repeatable.',
)
@option('--code', metavar=NODE, help=f'Code of the engine; by default {" or ".join(ENGINE_CODES.values())}.')
@option(
    '--references/--no-references',
    default=True,
    help='Compute as well what formation energies refer to: the isolated atoms or, of pw.x, the elements.',
)
@option('--max-concurrent', type=click.IntRange(1), default=4, help='Energies at a time.')
@option('--primitive/--as-given', default=True, help='Reduce the crystals of files to their primitive cells.')
@option(
    '--magnetism',
    type=click.Choice(['auto', 'none']),
    help='Compute crystals with local moments with spin polarisation, or none; as the protocol says by default.',
)
@option(
    '--moments',
    default='',
    metavar='Mn=5,…',
    help='Initial moments (μB) by element, or one number per atom separated by commas.',
)
@option('--orderings', type=click.IntRange(1), help='Most magnetic orderings of a crystal that are computed.')
@OPTIONS
@SET
@LABEL
@option('--dry-run', is_flag=True, help='Show what would be computed, and compute nothing.')
@FOLLOW
@FORMAT
def run(
    structures: tuple[str, ...],
    *,
    names: tuple[str, ...],
    all_levels: bool,
    protocol: str,
    engine: t.Literal['pyscf', 'espresso'],
    pseudos: str | None,
    code: str | None,
    references: bool,
    max_concurrent: int,
    primitive: bool,
    moments: str,
    options: Path | None,
    label: str,
    dry_run: bool,
    watch: bool,
    fmt: str,
    **changes: t.Any,
) -> None:
    """Compute energies of crystals at levels of theory.

    For example: `aiida-qagenai energy run lih.cif --level 'CCSD(T)' --protocol fast`.

    Structures are files, which may hold many, or nodes; each is computed at its own geometry, so relax it first where
    that matters. Formation energies are in eV/atom and refer to isolated atoms at the same level, anchored by
    experimental atomisation energies; those of pw.x refer to the elements. What was computed before comes from the
    cache.
    """
    from aiida_qagenai.cli.energy.plan import make_plan
    from aiida_qagenai.workchains.energy.ladder import LadderWorkChain
    from aiida_qagenai.workchains.protocols.engines import resolve_protocol

    levels = list(LADDER) if all_levels else sorted({Fidelity(name) for name in names}, key=lambda each: each.rank)
    if not levels:
        message = "choose the level of theory: --level PBE, SCAN, HSE06 or 'CCSD(T)' (repeatable), or --all-levels"
        raise InvalidInputError(message)
    overrides = energy_overrides(**changes, counterpoise=references or engine != 'pyscf')
    resolve = functools.partial(resolve_protocol, protocol, overrides, engine=engine, pseudos=pseudos)
    runner, nodes = load_code(code or ENGINE_CODES[engine]), load_structures(structures, primitive=primitive)
    scheduler = read_options(options, 'pyscf')['pyscf_options']
    starts = parse_moments(moments, nodes)
    plan = make_plan(runner, nodes, levels, resolve, references=references, moments=starts)
    if dry_run:
        show_plan(plan, references, fmt)
        return
    for refusal in plan.refusals:
        click.echo(f'left out: {refusal}', err=True)
    builder = LadderWorkChain.get_builder_from_protocol(
        runner,
        {name: nodes[name] for name in plan.levels},
        plan.levels,
        plan.protocol,
        reference_elements=plan.elements,
        options=scheduler,
        max_concurrent=max_concurrent,
        moments={name: starts[name] for name in plan.levels if name in starts},
    )
    node = launch(builder, 'energy', label=label, watch=watch, describe=None)
    finish(node, fmt)


@energy.command('continue')
@PROCESS
@FORMAT
def continue_(process: str, *, fmt: str) -> None:
    """Continue a run after an interruption.

    A run that a crash or a reboot interrupted goes on where it stopped; nothing is computed twice.
    """
    finish(resume(process, 'energy', 'LadderWorkChain', None), fmt)


def finish(node: t.Any, fmt: str) -> None:
    """Print the energies of a run that has ended, or how to come back to one that goes on."""
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
        what = 'the isolated atoms of' if plan.protocol.has_atoms else 'the elements'
        if plan.compounds:
            what = f'what the energies of the elements are derived from, {", ".join(plan.compounds)}, for'
        lines.insert(0, f'and {what} {", ".join(plan.elements)} at each level')
    elif references:
        lines.insert(0, 'and the isolated atoms of each crystal, with the counterpoise correction')
    lines += [f'note: {note}' for note in dict.fromkeys(row.get('notes') for row in plan.rows) if note]
    if not plan.settings.scientific:
        lines.append('The energies of this protocol are not scientific.')
    table = pd.DataFrame(plan.rows, columns=[*PLANNED, 'level_tag', 'notes'])
    print_frame(table.astype({'calculations': 'Int64'}), fmt, PLANNED, footer='\n'.join(lines))


@energy.command()
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
        rows, ending = [energy_row('', node.inputs.structure.label, node.outputs.energy), *ordering_rows(node)], ''
    else:
        raise InvalidInputError(f'node {node.pk} has no energies: expected an energy, or a process that computes some')
    table = pd.DataFrame(rows)
    for name in {*COLUMNS, 'uuid'} - set(table.columns):
        table[name] = None
    table = table.astype({'pk': 'Int64'})
    hours = pd.to_numeric(table['core_hours']).sum()
    print_frame(table, fmt, COLUMNS, footer=f'{ending}{table["pk"].notna().sum()} energies, {hours:.3f} core hours')


def energy_row(structure: str, name: str, energy: EnergyData) -> dict[str, t.Any]:
    """Return one energy as a row."""
    content = energy.content.model_dump(mode='json', exclude={'source'})
    return {
        'structure': structure or content['formula'],
        'name': name,
        **content,
        'ordering': content['ordering'] or content.get('magnetic_ordering'),
        'moments': ' '.join(f'{moment:+.2f}' for moment in content.get('site_moments') or []),
        'remarks': '; '.join(content['warnings']),
        'pk': energy.pk,
        'uuid': energy.uuid,
    }


def ordering_rows(node: Node) -> list[dict[str, t.Any]]:
    """Return a row for each magnetic ordering of an OrderingsWorkChain, lowest first."""
    from aiida_qagenai.engine.resumable import nested_outputs

    energies = nested_outputs(t.cast('ProcessNode', node)).get('orderings', {})
    rows = [energy_row('', name, energy) for name, energy in energies.items()]
    return sorted(rows, key=lambda row: float(row['energy_per_atom']))


def ladder_rows(node: ProcessNode) -> list[dict[str, t.Any]]:
    """Return a row for each energy that was asked for, those without a result included."""
    from aiida_qagenai.calculations.functions.dataset import energy_label
    from aiida_qagenai.engine.endings import ending
    from aiida_qagenai.engine.resumable import nested_outputs

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


@energy.command()
@click.argument('symbols', nargs=-1, metavar='[ELEMENT]...')
@protocol_option('energy')
@SET
@FORMAT
def elements(symbols: tuple[str, ...], *, protocol: str, settings: tuple[str, ...], fmt: str) -> None:
    """List the elements that a protocol has.

    With elements of a chemical system, such as `Li Mn O`, what their energies refer to is listed as well: the elements
    of a system decide the basis and the references together. Energies are in eV, per atom or per formula unit.
    """
    import pandas as pd

    from aiida_qagenai.cli.energy.elements import element_rows
    from aiida_qagenai.workchains.campaign.validation import elements_problem

    if symbols and (problem := elements_problem(list(symbols))) is not None:
        raise InvalidInputError(problem)
    table = pd.DataFrame(element_rows(protocol, parse_settings(settings), symbols))
    shown = {**ELEMENTS, **(REFERENCE if symbols else {}), 'remarks': 'remarks'}
    for name in {*ELEMENTS, *REFERENCE} - set(table.columns):
        table[name] = None
    counts = table.astype({'functions': 'Int64', 'electrons': 'Int64'})
    covered = f'{table["basis"].notna().sum()} of {len(table)} elements have a basis'
    print_frame(counts, fmt, shown, footer=covered)


@energy.command('list')
@CAMPAIGN
@option('--level', '--fidelity', 'fidelity', type=LEVEL, help='Only this level of theory.')
@CHEMICAL_SYSTEM
@FORMULA
@option('--each', is_flag=True, help='One row per energy instead of one per structure.')
@option(
    '--exclude-flag',
    'exclude_flags',
    multiple=True,
    type=click.Choice(['t1', 'd1', 'spin_contamination', 'near_degenerate']),
    help='Leave out energies with this sign of multireference character. Repeatable.',
)
@FORMAT
def list_(*, each: bool, fmt: str, **filters: t.Any) -> None:
    """List computed energies.

    Formation energies stand side by side by level of theory; with `--each` every energy has a row.
    """
    from aiida_qagenai.queries import searches

    find = searches.energies if each else searches.energies_side_by_side
    frame = find(filters.pop('campaign'), **filters)
    if fmt == 'table' and not each:
        empty = frame[[name for name in SIDE_BY_SIDE if name.startswith('formation_')]].isna().all(axis='columns')
        frame = frame[~empty]
        more = f'; {empty.sum()} more without a formation energy: --each lists all' if empty.any() else ''
        footer = f'{len(frame)} structures; eV/atom{more}'
    else:
        footer = f'{len(frame)} energies; total energies in eV, formation energies in eV/atom'
    print_frame(frame, fmt, EACH if each else SIDE_BY_SIDE, footer=footer)


@energy.command()
@CAMPAIGN
@CHEMICAL_SYSTEM
@FORMULA
@option('--min-divergence', type=float, help='Smallest computed difference at any level, eV/atom.')
@FORMAT
def divergence(campaign: str | None, *, fmt: str, **filters: t.Any) -> None:
    """List divergences of higher levels from PBE.

    Computed divergences stand beside predicted ones, in eV/atom.
    """
    from aiida_qagenai.queries import searches

    frame = searches.divergences(campaign, **filters)
    footer = f'{len(frame)} structures; formation energies in eV/atom; predicted is PBE−top'
    print_frame(frame, fmt, DIVERGENCES, footer=footer)

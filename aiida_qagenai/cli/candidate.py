"""`aiida-qagenai candidate`: search for candidates, and let a program of others propose some."""

from __future__ import annotations

import shlex
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.groups import Noun, add_continue, launch
from aiida_qagenai.cli.loaders import load_code, load_process, make_file_nodes
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import (
    CAMPAIGN,
    CHEMICAL_SYSTEM,
    FOLLOW,
    FORMAT,
    FORMULA,
    LABEL,
    NODE,
    OPTIONS,
    OUTPUT,
    PROCESS,
    file_option,
    option,
    parse_settings,
    read_options,
)
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.targets import GapTarget, PropertyTarget, parse_target, parts_of

__all__ = ('candidate',)

PROCESS_LABEL = 'ExternalGenerateCalculation'
MAX_PROBLEMS = 10
"""Problems shown; the process holds more."""

candidate = Noun('candidate', help='Search for candidates, and let other programs propose some.')
add_continue(candidate, PROCESS_LABEL, None)
COLUMNS = columns(
    'campaign, name, formula, space_group_number: group, divergence: D pred, e_above_hull: E hull, stability, '
    'selected: chosen, formation_pbe: PBE, formation_scan: SCAN, formation_hse06: HSE06, formation_ccsdt: CCSD(T), '
    'top_fidelity: top, divergence_computed: D comp, multireference, note, pk'
)
RELAXED = columns('relaxation_converged: relaxed, relaxation_volume_change: ΔV/V, unrelaxed_pk: unrelaxed pk')
"""Added where candidates were relaxed."""

GAPS = columns('band_gap: gap pred, band_gap_computed: gap comp')
"""Added where a band gap is asked for, eV."""

PROPOSED = columns('name, formula, num_sites: atoms, space_group_number: group, place, pk')


@candidate.command('list')
@CAMPAIGN
@option('--cycle', type=click.IntRange(min=0), help='Only this cycle; 0 is the initial set.')
@option('--min-divergence', type=float, help='Smallest predicted difference of PBE from the top rung, eV/atom.')
@option('--max-e-above-hull', type=float, help='Largest distance to the predicted hull, eV/atom.')
@CHEMICAL_SYSTEM
@FORMULA
@option('--stability', help='Stability class: stable, metastable, marginal or unstable.')
@option('--selected/--not-selected', default=None, help='Whether it was chosen for calculations.')
@option('--computed/--not-computed', default=None, help='Whether any energy of it was computed.')
@option(
    '--exclude',
    multiple=True,
    type=click.Choice(['out_of_distribution', 'magnetic', 'f_electrons', 'multireference']),
    help='Leave out what its prediction, or for multireference its energies, mark so. Repeatable.',
)
@option('--target', help='What is predicted at PBE: band_gap=1.5 (eV), metallic, elf_high=0.1; commas between several.')
@option('--max-target-error', type=click.FloatRange(min=0), help='Largest distance from it: eV, or its own unit.')
@option(
    '--sort',
    'sort_by',
    type=click.Choice(['divergence', 'e_above_hull', 'score', 'name', 'target_error']),
    default='divergence',
    help='Order of the rows, best first.',
)
@option('--limit', type=click.IntRange(min=1), help='Largest number of rows.')
@FORMAT
def list_(fmt: str, **filters: t.Any) -> None:
    """Find candidates by what was predicted, decided and computed.

    Formation energies are in eV/atom, side by side per level of theory; D is the divergence
    of PBE from the top rung of the chemical system.
    """
    from aiida_qagenai.queries import searches

    frame = searches.candidates(filters.pop('campaign'), **filters)
    footer = f'{len(frame)} candidates; formation energies, D and E hull in eV/atom'
    shown = COLUMNS | RELAXED if frame['relaxed_from'].notna().any() else COLUMNS
    shown = shown | _asked_for(filters['target'])
    print_frame(frame, fmt, shown, footer=footer)


def _asked_for(text: str | None) -> dict[str, str]:
    """Return the columns of what is asked for, and of the distance from it."""
    if text is None:
        return {}
    parts = parts_of(parse_target(text))
    shown = GAPS if any(isinstance(part, GapTarget) for part in parts) else {}
    names = [part.name for part in parts if isinstance(part, PropertyTarget)]
    return {**shown, **{name: name for name in names}, 'target_error': 'error'}


@candidate.command('generate')
@click.argument('arguments', nargs=-1, type=click.UNPROCESSED)
@option('--code', metavar=NODE, required=True, help='Code of the program, or of the interpreter that runs it.')
@option(
    '--output',
    'outputs',
    multiple=True,
    required=True,
    metavar='PATTERN',
    help='File with crystals that the program writes. Repeatable.',
)
@file_option('--file')
@option('--seed', type=click.IntRange(0, 2**31 - 1), default=0, help='Seed, written in place of {seed}.')
@option('--cycle', type=click.IntRange(min=1), default=1, help='Number of the cycle in the names of the candidates.')
@option('--program', help='Name of the program; by default the label of its code.')
@option('--program-version', 'version', help='Version of the program.')
@option('--version-arguments', help='Arguments with which the program prints its version, such as --version.')
@option(
    '--parameter',
    'settings',
    multiple=True,
    metavar='KEY=VALUE',
    help='Another parameter of the calculation, such as max_atoms=20. Repeatable.',
)
@OPTIONS
@LABEL
@FOLLOW
def generate(
    arguments: tuple[str, ...],
    *,
    code: str,
    files: tuple[Path, ...],
    seed: int,
    cycle: int,
    options: Path | None,
    label: str,
    watch: bool,
    **parameters: t.Any,
) -> None:
    """Let any program that writes crystals propose candidates.

    ARGUMENTS, behind a `--`, are those of the program; {seed} in them stands for the seed. PATTERN is a path in the
    folder of the job such as `out/*.cif`, whose ending tells the format: CIF, POSCAR, extxyz, JSON, CSV, or an archive
    of such files. The scheduler options are those of the section `models`.
    """
    from aiida.orm import Dict, Int

    from aiida_qagenai.calculations.models.external import ExternalGenerateCalculation
    from aiida_qagenai.workchains.options import set_options

    builder = ExternalGenerateCalculation.get_builder()
    builder.code = load_code(code)
    parameters['program'] = parameters['program'] or builder.code.label
    values = _parameters(arguments=list(arguments), **parameters)
    ExternalGenerateCalculation.check_parameters(values)
    builder.parameters = Dict(values)
    builder.seed, builder.cycle = Int(seed), Int(cycle)
    builder.files = make_file_nodes(files)
    set_options(builder, read_options(options)['ml_options'])
    node = launch(builder, 'candidate', label=label, watch=watch, describe=None)
    click.echo(f'next: aiida-qagenai candidate show {node.pk}')


@candidate.command('show')
@PROCESS
@option('--write', type=OUTPUT, help='Write the candidates to one file: CIF or extxyz.')
@FORMAT
def show(process: str, *, write: Path | None, fmt: str) -> None:
    """Show the candidates that another program proposed.

    What could not be used is listed below the table, with the reasons.
    """
    import pandas as pd

    from aiida_qagenai.engine.resumable import nested_outputs

    node = load_process(process, PROCESS_LABEL)
    outputs = nested_outputs(node)
    candidates = [found for _, found in sorted(outputs.get('candidates', {}).items())]
    names = ('formula', 'num_sites', 'space_group_number', 'origin')
    rows = [
        {
            **{name: found.base.attributes.get(name) for name in names},
            'name': found.name,
            'place': found.label,
            'pk': found.pk,
        }
        for found in candidates
    ]
    footer = f'exit status {node.exit_status} {node.exit_message or ""}'.strip()
    if 'results' in outputs:
        results = outputs['results'].get_dict()
        texts = [*results['unreadable_files'], *results['problems']]
        footer = '\n'.join([*texts[:MAX_PROBLEMS], _summary(results), footer])
    print_frame(pd.DataFrame(rows, columns=['origin', *PROPOSED]), fmt, PROPOSED, footer=footer)
    if write is not None:
        _write([found.get_ase() for found in candidates], write)


def _summary(results: dict[str, t.Any]) -> str:
    """Return the counts in one line."""
    program = ' '.join(filter(None, (results['program'], results['version'])))
    counts = {
        'candidates': results['num_structures'],
        'crystals that cannot be used': results['num_problems'],
        'files that cannot be read': results['num_unreadable_files'],
    }
    return f'{program}: ' + ', '.join(f'{count} {what}' for what, count in counts.items())


def _parameters(
    *, version_arguments: str | None, version: str | None, settings: tuple[str, ...], **values: t.Any
) -> dict[str, t.Any]:
    """Return the parameters of the calculation.

    :raises InvalidInputError: if the arguments for the version have an open quotation.
    """
    if version is not None:
        values['version'] = version
    if version_arguments is not None:
        try:
            values['version_arguments'] = shlex.split(version_arguments)
        except ValueError as exception:
            raise InvalidInputError(f'`--version-arguments {version_arguments}` cannot be read: {exception}') from None
    return {**values, 'outputs': list(values['outputs']), **parse_settings(settings)}


def _write(crystals: list[t.Any], path: Path) -> None:
    """Write the candidates.

    :raises InvalidInputError: if there are none, or the ending is unknown.
    """
    if not crystals:
        raise InvalidInputError('there are no candidates to write')
    if path.suffix not in {'.cif', '.extxyz', '.xyz'}:
        raise InvalidInputError(f'`{path}` cannot be written: its name must end with .cif or .extxyz')
    from ase.io import write

    try:
        write(path, crystals, format='cif' if path.suffix == '.cif' else 'extxyz')
    except OSError as exception:
        raise InvalidInputError(f'`{path}` cannot be written: {exception}') from exception
    click.echo(f'wrote {path}')

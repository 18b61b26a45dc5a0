"""`aiida-qagenai validation`: ordered crystals relaxed, placed on the hull and compared."""

from __future__ import annotations

import json
import statistics
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.constraining import ORDER
from aiida_qagenai.cli.groups import Noun, add_continue, launch
from aiida_qagenai.cli.loaders import load_checkpoint, load_code, load_process, read_with_warnings
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import (
    FILE,
    FOLLOW,
    FORMAT,
    LABEL,
    ML_CODE,
    NODE,
    OPTIONS,
    PICTURE,
    PROCESS,
    SET,
    option,
    parse_settings,
    read_options,
)
from aiida_qagenai.cli.recomputing import DFT, energies_by_label, recomputation_of
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('validation',)

PROCESS_LABEL = 'ValidationWorkChain'

validation = Noun('validation', help='Validate ordered crystals: constraints against stability.')
add_continue(validation, PROCESS_LABEL)

COLUMNS = columns(
    'name, formula, space_group: group, satisfied_before: ordered, satisfied: relaxed, loss, distance: E above hull, '
    'dft: DFT, stability, hull, on_front: front, reason'
)


@validation.command('run')
@click.argument('files', nargs=-1, required=True, type=FILE)
@ORDER
@option('--potential', default='chgnet', help='Potential with a place on the hull of the package: chgnet, validator.')
@option('--checkpoint', metavar=NODE, help='The validator, if that is the potential; that of the package by default.')
@option('--code', metavar=NODE, default=ML_CODE, help='Python with torch and the potential.')
@DFT
@OPTIONS
@SET
@LABEL
@FOLLOW
def run(
    files: tuple[Path, ...],
    *,
    constrain: tuple[str, ...],
    mask: str | None,
    potential: str,
    checkpoint: str | None,
    code: str,
    options: Path | None,
    settings: tuple[str, ...],
    label: str,
    watch: bool,
    dft: t.Literal['pyscf', 'espresso'] | None,
    **how: t.Any,
) -> None:
    """Validate crystals in files that were ordered.

    Each is moved onto its symmetry, checked for atoms that are too close, relaxed on a potential, compared with the
    others and placed on the hull of the package; the constraints are applied before and after. With --mask each begins
    with the held atoms, keeps its cell, and is judged by how far they move. With --dft the energies of those on the
    front, at most `dft.max_crystals`, are computed at the end. For example:
    `aiida-qagenai validation run ordered/structures.extxyz --constrain 'coordination(Si,O)=6'`.
    """
    from aiida_qagenai.api.masking import read_mask
    from aiida_qagenai.workchains.validation import ValidationWorkChain

    builder = ValidationWorkChain.get_builder_from_protocol(
        load_code(code),
        [item for file in files for item in read_with_warnings(file)],
        constrain,
        mask=None if mask is None else read_mask(mask),
        potential=potential,
        checkpoint=load_checkpoint(checkpoint),
        overrides=parse_settings(settings),
        options=read_options(options)['ml_options'],
        dft=recomputation_of(dft, options=options, **how),
    )
    node = launch(builder, 'validation', label=label, watch=watch)
    click.echo(f'next: aiida-qagenai validation show {node.pk}')


@validation.command('show')
@PROCESS
@option('--plot', type=PICTURE, help='Draw the distances to the hull over the losses: PNG, SVG or PDF.')
@FORMAT
def show(process: str, *, plot: Path | None, fmt: str) -> None:
    """Show the verdicts on ordered crystals, and draw their front."""
    import pandas as pd

    node = load_process(process, PROCESS_LABEL)
    if 'verdicts' not in node.outputs:
        message = f'process {node.pk} has no verdicts: {node.exit_message or node.process_state}'
        raise InvalidInputError(message)
    content = node.outputs.verdicts.get_dict()
    if fmt == 'json':
        click.echo(json.dumps(content, indent=2))
    else:
        computed = energies_by_label(node)
        rows = [_row(each) | {'dft': computed.get(f'c{row:05d}')} for row, each in enumerate(content['verdicts'])]
        shown = {name: heading for name, heading in COLUMNS.items() if name != 'dft' or computed}
        print_frame(pd.DataFrame(rows), fmt, shown, footer='\n'.join(_lines(content, node)) if fmt == 'table' else '')
    if plot is not None:
        from aiida_qagenai.report.front import plot_front

        note = f'{content["potential"]}: {content["potential_error"] or "error not measured"}'
        written = plot_front(content['verdicts'], plot, limit=content['limit'], note=note)
        click.echo(f'wrote {written}', err=fmt != 'table')


def _row(verdict: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return a verdict as a row of the table, with the error beside the distance."""
    above, error = verdict['e_above_hull'], verdict['e_above_hull_error']
    distance = '' if above is None else f'{above:.3f}' + ('' if error is None else f' ± {error:.3f}')
    if verdict['complete'] is None:
        hull = ''
    elif verdict['complete']:
        hull = f'complete, {verdict["num_references"]} phases'
    else:
        hull = f'lacks {", ".join(verdict["missing"])}'
    return {**verdict, 'distance': distance, 'hull': hull}


def _lines(content: dict[str, t.Any], node: t.Any) -> t.Iterator[str]:
    """Yield what stands below the table."""
    yield ', '.join(f'{number} {name}' for name, number in content['summary'].items())
    yield f'constraints: {"; ".join(content["constraints"])}'
    error = content['potential_error'] or 'its error was not measured'
    computed = energies_by_label(node)
    yield f'{content["potential"]}: {error}' + ('' if computed else '; nothing here was computed by DFT')
    if computed:
        yield f'DFT: {differences_of(content["verdicts"], computed)}'
    yield f'near and far: more than the error from {content["limit"]:g} eV/atom; open: within it'
    pks = _front_pks(content['verdicts'], node)
    if pks and not computed:
        yield f'to compute the front by DFT: aiida-qagenai energy run {" ".join(map(str, pks))} --level PBE'


def differences_of(verdicts: list[dict[str, t.Any]], computed: dict[str, float | None]) -> str:
    """Return how far the formation energies of the potential are from those by DFT."""
    known = {label: energy for label, energy in computed.items() if energy is not None}
    differences = [verdicts[int(label[1:])]['formation_energy_per_atom'] - energy for label, energy in known.items()]
    if not differences:
        return f'{len(computed)} total energies'
    mean = statistics.fmean(differences)
    return f'formation energies of {len(known)}, eV/atom; those of the potential differ by {mean:+.3f} on average'


def _front_pks(verdicts: list[dict[str, t.Any]], node: t.Any) -> list[int]:
    """Return the relaxed crystals on the front, by pk."""
    from aiida_qagenai.engine.batch import members_of

    members = members_of(node.outputs.relaxed)
    return [members[f'c{row:05d}'].pk for row, each in enumerate(verdicts) if each['on_front']]

"""`aiida-qagenai design`: inverse design of a property in rounds, as a run and shown, and in a folder."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.design_files import JUDGE, ROUNDS, TARGET, design_files, parse_systems
from aiida_qagenai.cli.groups import Noun, add_continue, add_protocols, launch
from aiida_qagenai.cli.loaders import load_checkpoint, load_code, load_process
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import (
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
    protocol_option,
    read_options,
)
from aiida_qagenai.cli.recomputing import DFT, energies_by_label, recomputation_of

if t.TYPE_CHECKING:
    from aiida_qagenai.queries.designs import Round
    from aiida_qagenai.selection.targets import PropertyTarget

__all__ = ('design',)

PROCESS_LABEL = 'InverseDesignWorkChain'
OF_FILES = ('--output', '--target')
"""Options that no group has: systems stand before them where the command is left out."""

SHOWN = columns(
    'round, label, formula, num_atoms: atoms, predicted, computed, judged, within, mechanically_stable: stable, '
    'e_above_hull: E above hull, hull, hit, dft: DFT, reason, pk'
)
OPTIONAL = ('judged', 'e_above_hull', 'hull', 'hit', 'dft')
"""Columns that are left out where no crystal has one."""


class Design(Noun):
    """The group, whose command ``files`` may be left out: it was the only one once."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take systems and a folder for the command ``files``."""
        named = bool(args) and args[0] in self.commands
        if not named and any(text.split('=')[0] in OF_FILES for text in args):
            args = [str(design_files.name), *args]
        return super().parse_args(ctx, args)


design = Design('design', help='Look for crystals with a property, in rounds.')
design.add_command(design_files)
add_continue(design, PROCESS_LABEL)
add_protocols(design, 'aiida_qagenai.workchains.protocols.atomistic:atomistic_protocols', 'elastic tensors')


@design.command('targets')
@FORMAT
def targets(*, fmt: str) -> None:
    """List what can be asked for, with the window around a single value."""
    import pandas as pd

    from aiida_qagenai.common.properties import QUANTITIES

    rows = [
        {
            'name': name,
            'unit': each.unit,
            'window': f'± {100 * each.tolerance:g} %' if each.relative else f'± {each.tolerance:g}',
            'about': each.about,
        }
        for name, each in QUANTITIES.items()
    ]
    print_frame(pd.DataFrame(rows), fmt, columns('name, unit, window, about'))


@design.command('run')
@click.argument('systems', nargs=-1, required=True, metavar='A-B...')
@TARGET
@ROUNDS
@option('--potential', default='chgnet', help='Potential that relaxes and strains: chgnet, sevennet, emt.')
@JUDGE
@option('--generator', metavar=NODE, help='Diffusion model; that of the package by default, stored if need be.')
@option('--checkpoint', metavar=NODE, help='Property heads of the first round; those of the package by default.')
@protocol_option('design', 'moderate')
@option('--code', metavar=NODE, default=ML_CODE, help='Python with torch, this package and the potential.')
@DFT
@OPTIONS
@SET
@LABEL
@FOLLOW
def run(
    systems: tuple[str, ...],
    *,
    target: str,
    potential: str,
    judge_name: str | None,
    generator: str | None,
    checkpoint: str | None,
    protocol: str,
    code: str,
    options: Path | None,
    settings: tuple[str, ...],
    label: str,
    watch: bool,
    dft: t.Literal['pyscf', 'espresso'] | None,
    **numbers: t.Any,
) -> None:
    """Look for crystals with a property, every step a node.

    The rounds are those of `design files`. With --dft the energies of the crystals that have what is wanted, at most
    `dft.max_crystals`, are computed at the end, hits and then the nearest first. For example:
    `aiida-qagenai design run Re-W Os-Re --target bulk_modulus=350 --label hard`.
    """
    from aiida_qagenai.data.checkpoint import import_foundation
    from aiida_qagenai.workchains.inverse_design import InverseDesignWorkChain

    model = load_checkpoint(generator)
    how = {name: numbers.pop(name) for name in ('dft_code', 'dft_protocol', 'dft_settings')}
    builder = InverseDesignWorkChain.get_builder_from_protocol(
        load_code(code),
        target,
        parse_systems(systems),
        import_foundation()[0] if model is None else model,
        potential=potential,
        protocol=protocol,
        overrides={**numbers, **parse_settings(settings)},
        checkpoint=load_checkpoint(checkpoint),
        judge=judge_name,
        options=read_options(options)['ml_options'],
        dft=recomputation_of(dft, options=options, **how),
    )
    node = launch(builder, 'design', label=label, watch=watch)
    click.echo(f'next: aiida-qagenai design show {node.pk}')


@design.command('show')
@PROCESS
@option('--plot', type=PICTURE, help='Draw the proposals of all rounds, alike ones near each other: PNG, SVG or PDF.')
@FORMAT
def show(process: str, *, plot: Path | None, fmt: str) -> None:
    """Show the crystals of all rounds and their errors.

    Rounds that have ended are shown while others run. The format json holds the crystals and the errors of each round.
    """
    import pandas as pd

    from aiida_qagenai.queries.designs import rounds_of

    node = load_process(process, PROCESS_LABEL)
    if plot is not None:
        click.echo(f'wrote {_drawn(node, plot)}', err=True)
    rounds = rounds_of(node)
    if fmt == 'json':
        click.echo(json.dumps([each._asdict() for each in rounds], indent=2))
        return
    computed = energies_by_label(node)
    crystals = [crystal | {'dft': computed.get(crystal['label'])} for each in rounds for crystal in each.crystals]
    empty = {name for name in OPTIONAL if all(crystal[name] is None for crystal in crystals)}
    shown = {name: heading for name, heading in SHOWN.items() if name not in empty}
    table = pd.DataFrame(crystals, columns=None if crystals else list(shown))
    print_frame(table, fmt, shown, footer='\n'.join(_lines(node, rounds, computed)))


def _lines(node: t.Any, rounds: list[Round], computed: dict[str, t.Any]) -> t.Iterator[str]:
    """Yield what stands below the table."""
    from aiida_qagenai.selection.design import design_target

    parameters = node.inputs.parameters.get_dict()
    target, judge = design_target(parameters['target']), parameters.get('judge')
    by = f', judged by {judge["name"]}' if judge else ''
    yield f'{target.text} {target.quantity.unit}, {parameters["elastic"]["potential"]["name"]}{by}'.replace(' ,', ',')
    for each in rounds:
        yield f'round {each.number}: ' + ', '.join(_counts(each, target))
    if not rounds:
        yield f'no round has ended; `verdi process report {node.pk}` says what was done'
    if computed:
        yield 'DFT: formation energies, eV/atom, of hits and then of the crystals nearest to the target'
        yield from _per_call(rounds, computed)
    best = _best(node, rounds)
    if best is not None:
        yield f'to strain the best hit by DFT: aiida-qagenai elastic dft {best}'
    if 'checkpoint' in node.outputs:
        yield f'retrained heads: {node.outputs.checkpoint.pk}'
    if not node.is_finished_ok:
        yield f'process {node.pk}: {node.exit_message or node.process_state.value}'


def _best(node: t.Any, rounds: list[Round]) -> int | None:
    """Return the relaxed crystal of the hit nearest to the target, by pk; the judge has a say in what is a hit."""
    from aiida_qagenai.engine.resumable import nested_outputs
    from aiida_qagenai.selection.design import design_target

    target, relaxed = design_target(node.inputs.parameters['target']), nested_outputs(node).get('relaxed', {})
    errors = {}
    for each in rounds:
        # a hit by the judge may be unstable by the potential, which then has no value
        hit, value = ('hit', 'computed') if each.judged_hits is None else ('judged_hit', 'judged')
        found = [crystal for crystal in each.crystals if crystal[hit] and crystal['label'] in relaxed]
        errors.update({crystal['label']: target.error(crystal[value]) for crystal in found})
    return int(relaxed[min(errors, key=errors.__getitem__)].pk) if errors else None


def _counts(each: Round, target: PropertyTarget) -> t.Iterator[str]:
    """Yield what is said about a round."""
    yield f'{each.within} of {len(each.crystals)} within the window'
    yield f'{each.stable} stable'
    if each.hits is not None:
        yield f'{each.hits} hit{"" if each.hits == 1 else "s"}'
    if each.judged_hits is not None:
        yield f'{each.judged_hits} by the judge'
    yield f'mean error {_error(each.error_target, target)}'
    if each.judged_error is not None:
        yield f'by the judge {_error(each.judged_error, target)}'
    yield f'of the prediction {_error(each.error_predicted, target)}'


def _per_call(rounds: list[Round], computed: dict[str, t.Any]) -> t.Iterator[str]:
    """Yield how many of the crystals that were computed by DFT are hits, by round and in total."""
    total = calls = 0
    parts = []
    for each in rounds:
        labels = [crystal['label'] for crystal in each.crystals if crystal['label'] in computed]
        hits = each.hits_of(labels)
        if hits is None or not labels:
            continue
        total, calls = total + hits, calls + len(labels)
        parts.append(f'round {each.number} {hits} of {len(labels)}')
    if calls:
        yield f'hits per DFT call: {total / calls:.2f} ({", ".join(parts)})'


def _drawn(node: t.Any, plot: Path) -> Path:
    """Draw the map of the proposals."""
    from aiida_qagenai.queries.designs import proposals_of
    from aiida_qagenai.report.design_map import plot_map
    from aiida_qagenai.selection.design import design_target

    target = design_target(node.inputs.parameters['target'])
    unit = f' ({target.quantity.unit})' if target.quantity.unit else ''
    return plot_map(proposals_of(node), plot, label=f'predicted {target.name.replace("_", " ")}{unit}')


def _error(error: float | None, target: PropertyTarget) -> str:
    """Return an error with its unit: a share, or that of the quantity."""
    if error is None:
        return 'unknown'
    return f'{100 * error:.0f} %' if target.quantity.relative else f'{error:.3f} {target.quantity.unit}'.rstrip()

"""`aiida-qagenai design`: inverse design of a modulus in rounds, as a run and shown, and in a folder."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.design_files import ROUNDS, TARGET, design_files, parse_systems
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

__all__ = ('design',)

PROCESS_LABEL = 'InverseDesignWorkChain'
OF_FILES = ('--output', '--target')
"""Options that no group has: systems stand before them where the command is left out."""

SHOWN = columns(
    'round, label, formula, num_atoms: atoms, predicted: predicted GPa, computed: computed GPa, within: within, '
    'mechanically_stable: stable, dft: DFT, reason, pk'
)


class Design(Noun):
    """The group, whose command ``files`` may be left out: it was the only one once."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take systems and a folder for the command ``files``."""
        named = bool(args) and args[0] in self.commands
        if not named and any(text.split('=')[0] in OF_FILES for text in args):
            args = [str(design_files.name), *args]
        return super().parse_args(ctx, args)


design = Design('design', help='Look for crystals with a bulk or shear modulus, in rounds.')
design.add_command(design_files)
add_continue(design, PROCESS_LABEL)
add_protocols(design, 'aiida_qagenai.workchains.protocols.atomistic:atomistic_protocols', 'elastic tensors')


@design.command('run')
@click.argument('systems', nargs=-1, required=True, metavar='A-B...')
@TARGET
@ROUNDS
@option('--potential', default='chgnet', help='Potential that relaxes and strains: chgnet, sevennet, emt.')
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
    """Look for crystals with a modulus, every step a node.

    The rounds are those of `design files`, without a hull and a judge. With --dft the energies of the crystals that
    have the modulus, at most `dft.max_crystals`, are computed at the end, nearest first. For example:
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
    computed = energies_by_label(node)
    shown = {name: heading for name, heading in SHOWN.items() if name != 'dft' or computed}
    crystals = [crystal | {'dft': computed.get(crystal['label'])} for each in rounds for crystal in each.crystals]
    if fmt == 'json':
        click.echo(json.dumps([each._asdict() for each in rounds], indent=2))
        return
    table = pd.DataFrame(crystals, columns=None if crystals else list(shown))
    lines = [
        f'round {each.number}: {each.within} of {len(each.crystals)} within the window, {each.stable} stable, '
        f'mean |K / target - 1| {_percent(each.mape_target)}, of the prediction {_percent(each.mape_predicted)}'
        for each in rounds
    ]
    lines.insert(0, f'{node.inputs.parameters["target"]} GPa, {node.inputs.parameters["elastic"]["potential"]["name"]}')
    if not rounds:
        lines.append(f'no round has ended; `verdi process report {node.pk}` says what was done')
    if computed:
        lines.append('DFT: formation energies, eV/atom, of the crystals nearest to the target')
    if 'checkpoint' in node.outputs:
        lines.append(f'retrained heads: {node.outputs.checkpoint.pk}')
    if not node.is_finished_ok:
        lines.append(f'process {node.pk}: {node.exit_message or node.process_state.value}')
    print_frame(table, fmt, shown, footer='\n'.join(lines))


def _drawn(node: t.Any, plot: Path) -> Path:
    """Draw the map of the proposals."""
    from aiida_qagenai.common.properties import PROPERTIES
    from aiida_qagenai.queries.designs import proposals_of
    from aiida_qagenai.report.design_map import plot_map
    from aiida_qagenai.selection.targets import PropertyTarget

    name = PropertyTarget.parse(node.inputs.parameters['target']).name
    return plot_map(proposals_of(node), plot, label=f'predicted {name.replace("_", " ")} ({PROPERTIES[name]})')


def _percent(error: float | None) -> str:
    return 'unknown' if error is None else f'{100 * error:.0f} %'

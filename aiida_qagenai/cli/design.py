"""`aiida-qagenai design`: inverse design of a modulus in rounds, without a profile."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FORMAT, option
from aiida_qagenai.cli.result_files import extxyz, write_text
from aiida_qagenai.common.properties import COMPUTED_WEIGHT

if t.TYPE_CHECKING:
    from aiida_qagenai.api.inverse_design import Designed

__all__ = ('design',)

TABLE = 'designed.csv'
STRUCTURES = 'designed.extxyz'
JUDGEMENT = 'judge'

COLUMNS = columns(
    'round, formula, num_atoms: atoms, predicted: predicted GPa, computed: computed GPa, judged: judged GPa, '
    'e_above_hull: E above hull, mechanically_stable: stable, hit, reason'
)


@click.command('design')
@click.argument('systems', nargs=-1, required=True, metavar='A-B...')
@option('--target', required=True, help='Modulus: bulk_modulus=350 (GPa, ± 10 %) or shear_modulus=80..120.')
@option('--output', type=click.Path(file_okay=False, path_type=Path), required=True, help='Folder for all rounds.')
@option('--rounds', type=click.IntRange(1, 20), default=3, help='Rounds; the heads are retrained after each.')
@option('--per-round', type=click.IntRange(1), default=8, help='Crystals whose tensors are computed in a round.')
@option('--per-system', type=click.IntRange(1), default=10, help='Samples of each chemical system in a round.')
@option('--max-atoms', type=click.IntRange(1, 40), default=6, help='Most atoms in the cell.')
@option('--novelty', type=click.FloatRange(0, 1), default=0.2, help='Noise added to known crystals, 0 to 1.')
@option('--potential', default='chgnet', help='Potential that relaxes and strains, on the scale of the hull.')
@option('--judge', 'judge_name', help='Potential that no round uses, such as sevennet: it strains all crystals.')
@option(
    '--weight',
    type=click.FloatRange(0, min_open=True),
    default=COMPUTED_WEIGHT,
    help='Of a computed crystal in training.',
)
@option('--seed', type=int, default=0, help='Seed of the random numbers.')
@FORMAT
def design(
    *,
    systems: tuple[str, ...],
    target: str,
    output: Path,
    judge_name: str | None,
    fmt: str,
    **numbers: t.Any,
) -> None:
    """Look for crystals with a modulus, in rounds.

    Each round proposes crystals of the chemical systems with the diffusion model, keeps those whose predicted modulus
    is nearest to the target, relaxes them and computes their elastic tensors on a potential, and retrains the property
    heads with the results. A hit is mechanically stable, has the modulus, and is within 0.1 eV/atom of the hull of the
    package. A command that was cut goes on where it was when it is given again. No profile is needed.

    For example: `aiida-qagenai design Re-W Os-Re W-C --target bulk_modulus=350 --output hard`.
    """
    import pandas as pd

    from aiida_qagenai.api import inverse_design as api
    from aiida_qagenai.chemistry.elements import require_elements
    from aiida_qagenai.cli.ml_tasks import run_ml_task
    from aiida_qagenai.selection.design import PropertyTarget

    parts = [tuple(require_elements(tuple(text.split('-')))) for text in systems]
    plan = api.DesignPlan(PropertyTarget.parse(target), parts, **numbers)
    found = api.design(plan, output, run_ml_task)
    judged: list[float | None] = [None] * len(found)
    if judge_name and found:
        structures = [each.structure for each in found]
        judged = api.judge(structures, judge_name, plan.target.name, output / JUDGEMENT, run_ml_task)
    records = [_record(each, value) for each, value in zip(found, judged, strict=True)]
    frame = pd.DataFrame(records, columns=None if records else list(COLUMNS))
    # They grow with every round.
    write_text(output / TABLE, frame.to_csv(index=False), overwrite=True)
    text = extxyz(records, [each.structure for each in found], potential=numbers['potential'])
    write_text(output / STRUCTURES, text, overwrite=True)
    hits = sum(each.hit for each in found)
    footer = f'{hits} of {len(found)} crystals are hits: {plan.target}; E above hull in eV/atom\nfiles in {output}'
    print_frame(frame, fmt, COLUMNS, footer=footer)


def _record(each: Designed, judged: float | None) -> dict[str, t.Any]:
    """Return the row of a crystal."""
    hidden = ('generated', 'structure')
    row = {key: value for key, value in each._asdict().items() if key not in hidden}
    structure = each.structure
    about = {'formula': structure.composition.reduced_formula, 'num_atoms': len(structure)}
    return {'round': each.round, **about, **row, 'judged': judged}

"""`aiida-qagenai design files`: rounds of inverse design in a folder, without a profile."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence
from pathlib import Path

import click

from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FORMAT, option, several
from aiida_qagenai.cli.result_files import extxyz, write_text
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import DEFAULT_ROUNDS

if t.TYPE_CHECKING:
    from aiida_qagenai.api.inverse_design import Designed
    from aiida_qagenai.selection.targets import PropertyTarget

__all__ = ('JUDGE', 'ROUNDS', 'TARGET', 'design_files', 'parse_systems')

TABLE = 'designed.csv'
STRUCTURES = 'designed.extxyz'
JUDGEMENT = 'judge'

COLUMNS = columns(
    'round, formula, num_atoms: atoms, predicted, computed, judged, e_above_hull: E above hull, hull, '
    'mechanically_stable: stable, hit, reason'
)


ERRORS = {'computed': 'by the potential', 'judged': 'by the judge'}
"""Column → who says so."""

TARGET = option('--target', required=True, help='What is wanted: bulk_modulus=350, density=2..3; see `design targets`.')
JUDGE = option('--judge', 'judge_name', help='Potential that no round uses, such as sevennet: it strains all crystals.')

ROUNDS = several(
    option(
        '--rounds',
        type=click.IntRange(1, 20),
        default=DEFAULT_ROUNDS.number,
        help='Rounds; the heads are retrained after each.',
    ),
    option(
        '--per-round',
        type=click.IntRange(1),
        default=DEFAULT_ROUNDS.per_round,
        help='Crystals whose tensors are computed in a round.',
    ),
    option(
        '--per-system',
        type=click.IntRange(1),
        default=DEFAULT_ROUNDS.per_system,
        help='Samples of each chemical system in a round.',
    ),
    option('--max-atoms', type=click.IntRange(1, 40), default=DEFAULT_ROUNDS.max_atoms, help='Most atoms in the cell.'),
    option(
        '--novelty',
        type=click.FloatRange(0, 1),
        default=DEFAULT_ROUNDS.novelty,
        help='Noise added to known crystals, 0 to 1.',
    ),
    option(
        '--weight',
        type=click.FloatRange(0, min_open=True),
        default=DEFAULT_ROUNDS.weight,
        help='Of a computed crystal in training.',
    ),
    option('--seed', type=click.IntRange(0), default=0, help='Seed of the random numbers.'),
)
"""What decides rounds."""


@click.command('files')
@click.argument('systems', nargs=-1, required=True, metavar='A-B...')
@TARGET
@option('--output', type=click.Path(file_okay=False, path_type=Path), required=True, help='Folder for all rounds.')
@ROUNDS
@option('--potential', default='chgnet', help='Potential that relaxes and strains, on the scale of the hull.')
@JUDGE
@FORMAT
def design_files(
    *,
    systems: tuple[str, ...],
    target: str,
    output: Path,
    judge_name: str | None,
    fmt: str,
    **numbers: t.Any,
) -> None:
    """Look for crystals with a property, without a profile.

    Each round proposes crystals of the chemical systems with the diffusion model, keeps those whose predicted property
    is nearest to the target, relaxes them and computes their elastic tensors on a potential, and retrains the property
    heads with the results. A hit is mechanically stable, has what is wanted, and is within 0.1 eV/atom of the hull of
    the package. A command that was cut goes on where it was when it is given again.

    For example: `aiida-qagenai design files Re-W Os-Re W-C --target bulk_modulus=350 --output hard`.
    """
    import pandas as pd

    from aiida_qagenai.api import inverse_design as api
    from aiida_qagenai.api.potentials import potential_config, require_installed
    from aiida_qagenai.cli.ml_tasks import run_ml_task
    from aiida_qagenai.selection.design import design_target

    plan = api.DesignPlan(design_target(target), parse_systems(systems), **numbers)
    if judge_name:
        # a judge that is missing must not cost all rounds
        require_installed(potential_config(judge_name)['potential']['name'], 'the judge')
        api.check_judge(plan, judge_name)
    found = api.design(plan, output, run_ml_task)
    judged: list[float | None] = [None] * len(found)
    if judge_name and found:
        structures = [each.structure for each in found]
        judged = api.judge(structures, judge_name, plan.target, output / JUDGEMENT, run_ml_task)
    records = [_record(each, value) for each, value in zip(found, judged, strict=True)]
    frame = pd.DataFrame(records, columns=None if records else list(COLUMNS))
    # They grow with every round.
    write_text(output / TABLE, frame.to_csv(index=False), overwrite=True)
    text = extxyz(records, [each.structure for each in found], potential=numbers['potential'])
    write_text(output / STRUCTURES, text, overwrite=True)
    footer = '\n'.join([*_lines(plan.target, records), f'files in {output}'])
    print_frame(frame, fmt, COLUMNS, footer=footer)


def _lines(target: PropertyTarget, records: Sequence[dict[str, t.Any]]) -> t.Iterator[str]:
    """Yield how many crystals are hits, and the mean errors of every round."""
    from aiida_qagenai.evaluation.designed import mean_error

    hits = sum(each['hit'] for each in records)
    yield f'{hits} of {len(records)} crystals are hits: {target}; E above hull in eV/atom'
    for number in dict.fromkeys(each['round'] for each in records):
        stable = [each for each in records if each['round'] == number and each['mechanically_stable']]
        errors = {key: mean_error(target, [(each[key], target.wanted) for each in stable]) for key in ERRORS}
        said = [f'{label} {error:.3f}' for label, error in zip(ERRORS.values(), errors.values(), strict=True) if error]
        yield f'round {number}: {len(stable)} stable, mean error {", ".join(said) or "unknown"}'


def parse_systems(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the elements of chemical systems such as ``Re-W``.

    :raises InvalidInputError: on an unknown element, or one that stands twice.
    """
    from aiida_qagenai.chemistry.elements import require_elements

    systems = []
    for text in texts:
        symbols = tuple(part.strip() for part in text.split('-'))
        known = require_elements(symbols)
        if len(known) < len(symbols):
            raise InvalidInputError(f'an element stands twice in the chemical system {text}')
        systems.append(tuple(known))
    return systems


def _record(each: Designed, judged: float | None) -> dict[str, t.Any]:
    """Return the row of a crystal."""
    hidden = ('generated', 'structure')
    row = {key: value for key, value in each._asdict().items() if key not in hidden}
    structure = each.structure
    about = {'formula': structure.composition.reduced_formula, 'num_atoms': len(structure)}
    return {'round': each.round, **about, **row, 'judged': judged}

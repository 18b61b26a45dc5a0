"""Rounds of inverse design of a bulk modulus, judged by a potential that no round used.

Rounds for each target: the diffusion model changes known crystals of chemical systems of hard, medium or soft elements,
the heads choose those nearest to the target, CHGNet relaxes and strains them, and the heads are retrained. SevenNet-0
relaxes and strains all of them once more. `kvrh-mape-R-T` is the mean of |K / target − 1| over the crystals of round R
that are mechanically stable by the judge, with an interval of 95 % by bootstrap; `kvrh-mape-R-T-chgnet` is the same by
the potential of the rounds. `kvrh-hits-T` is the number of distinct crystals that are mechanically stable and within
10 % of the target by the judge, and at most 0.1 eV/atom above the hull by CHGNet. `kvrh-hits-per-call-R-T` is their
share of the crystals of round R whose tensors were computed, each of which would be a call of DFT in its place.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import numpy as np
from figures import figure
from pymatgen.core import Lattice, Structure

from aiida_qagenai.api.inverse_design import Designed, DesignPlan, design, judge
from aiida_qagenai.chemistry.duplicates import find_duplicates
from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.selection.targets import parse_target

RECORD = Path(__file__).with_name('campaign.json')
JUDGE = 'sevennet'
SYSTEMS = {
    350: 'Re-W Os-Re Ir-Re Os-W Ru-W Ir-W Re-Ru Os-Ru Re-Ta W-C Re-N Os-Ir-W Re-Ru-W Ir-Os-Re',
    200: 'Fe-Co Cr-Mo Nb-Ru Ti-C V-N Co-W Ni-Pt Mo-V Al-Ru Fe-V Mn-Cr Zr-C Co-Al-V Ni-W-C',
    100: 'Ti-Al Ag-Ti Zr-Al Cu-Zr Mg-O Y-Co Zr-Zn Cu-Au Ti-Ag Al-Cu Sc-Ag Li-O Zr-Al-Cu Ti-Zn-Al',
}
"""Target, GPa → chemical systems."""

PER_ROUND, PER_SYSTEM, MAX_ATOMS = 8, 6, 4
WEIGHT = 10.0
"""Of a computed crystal beside a published one: too large, as the errors of the later rounds show."""

ROUNDS = 3
WITHIN, MAX_E_ABOVE_HULL = 0.1, 0.1
PAPER, LAST_OF_PAPER = 0.14, 2
"""MAPE that Li et al. report after two rounds."""

Row = dict[str, t.Any]


def measure(work: Path, target: int, *, quick: bool) -> list[Row]:
    """Return a row for every crystal of a campaign."""
    systems = [tuple(text.split('-')) for text in SYSTEMS[target].split()]
    plan = DesignPlan(
        parse_target(f'bulk_modulus={target}'),
        systems[:4] if quick else systems,
        per_system=PER_SYSTEM,
        per_round=4 if quick else PER_ROUND,
        max_atoms=MAX_ATOMS,
        weight=WEIGHT,
        rounds=2 if quick else ROUNDS,
    )
    place = work / f'target{target}'
    found = design(plan, place, run_ml_task)
    judged = judge([each.structure for each in found], JUDGE, plan.target, place / 'judge', run_ml_task)
    return [_row(target, each, value) for each, value in zip(found, judged, strict=True)]


def _row(target: int, each: Designed, judged: float | None) -> Row:
    return {
        'target': target,
        'round': each.round,
        'formula': each.structure.composition.reduced_formula,
        'cell': each.structure.lattice.matrix.round(5).tolist(),
        'numbers': list(each.structure.atomic_numbers),
        'fractional': each.structure.frac_coords.round(5).tolist(),
        'predicted': round(each.predicted, 2),
        'computed': None if each.computed is None else round(each.computed, 2),
        'judged': None if judged is None else round(judged, 2),
        'stable': each.mechanically_stable,
        'e_above_hull': None if each.e_above_hull is None else round(each.e_above_hull, 4),
        'reason': each.reason,
    }


def write(rows: list[Row]) -> None:
    """Store the rows, one on a line."""
    RECORD.write_text('[\n' + ',\n'.join(json.dumps(row) for row in rows) + '\n]\n')


def show(rows: list[Row]) -> None:
    """Print what the rows say."""
    for target in dict.fromkeys(row['target'] for row in rows):
        mine = [row for row in rows if row['target'] == target]
        for number in sorted({row['round'] for row in mine}):
            part = [row for row in mine if row['round'] == number]
            for key, label in (('judged', ''), ('computed', '-chgnet')):
                errors = np.array([abs(row[key] / target - 1) for row in part if row[key] is not None])
                if not len(errors):
                    continue
                reference = ('Li et al.', PAPER) if number == LAST_OF_PAPER else ()
                figure(f'kvrh-mape-{number}-{target}{label}', float(errors.mean()), '', *reference)
                low, high = interval(errors)
                print(f'  {len(errors)} of {len(part)} are stable, 95 % interval {low:.3f} to {high:.3f}')
        found = hits(mine)
        figure(f'kvrh-hits-{target}', len(found), 'crystals', 'of', len(mine))
        for number in sorted({row['round'] for row in mine}):
            calls = sum(row['round'] == number for row in mine)
            share = sum(row['round'] == number for row in found) / calls
            figure(f'kvrh-hits-per-call-{number}-{target}', share, 'share', 'calls', calls)
        print('  hits:', ', '.join(f'{row["formula"]} {row["judged"]:.0f}' for row in found))


def hits(rows: list[Row]) -> list[Row]:
    """Return the crystals that were looked for, each once."""
    found = [row for row in rows if is_hit(row)]
    structures = [Structure(Lattice(row['cell']), row['numbers'], row['fractional']) for row in found]
    return [found[index] for index in find_duplicates(structures, distortions=False).representatives]


def is_hit(row: Row) -> bool:
    """Return whether a crystal is one that was looked for."""
    if row['judged'] is None or row['e_above_hull'] is None:
        return False
    return abs(row['judged'] / row['target'] - 1) <= WITHIN and row['e_above_hull'] <= MAX_E_ABOVE_HULL


def interval(errors: np.ndarray) -> tuple[float, float]:
    """Return the interval of 95 % of a mean by bootstrap."""
    draws = np.random.default_rng(0).choice(errors, (2000, len(errors))).mean(axis=1)
    low, high = np.quantile(draws, (0.025, 0.975)).tolist()
    return low, high


def run(folder: Path | None, work: Path, *, quick: bool, store: bool) -> None:
    """Measure, or show what is stored where no data are given; ``folder`` itself is not needed."""
    if folder is None:
        show(json.loads(RECORD.read_text()))
        return
    rows = []
    for target in SYSTEMS:
        rows += measure(work, target, quick=quick)
        if store:
            write(rows)
    show(rows)

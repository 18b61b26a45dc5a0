"""Elastic tensors by foundation potentials beside published ones: ten crystals, and held-out ones.

The published moduli are those of the Materials Project (PBE, Voigt–Reuss–Hill; de Jong et al., Sci. Data 2, 150009
(2015)). For cubic crystals, measured C11, C12 and C44 stand beside the computed ones; they are recalled, not looked up.
The held-out crystals are those whose formulas no model of the package was fitted to; the potentials of others may have
seen them.
"""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

import numpy as np
from figures import figure

from aiida_qagenai.api.elasticity import elastic_structures
from aiida_qagenai.api.potentials import potential_config
from aiida_qagenai.cli.ml_tasks import run_ml_task

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

from elasticity_data import labelled_crystals

RECORD = Path(__file__).with_name('elastic.json')
POTENTIALS = ('chgnet', 'sevennet')
CRYSTALS = {
    'mp-149': ('Si', (166, 64, 80)),
    'mp-134': ('Al', (107, 61, 28)),
    'mp-30': ('Cu', (168, 121, 75)),
    'mp-91': ('W', (523, 203, 160)),
    'mp-153': ('Mg', None),
    'mp-2534': ('GaAs', (119, 54, 60)),
    'mp-22862': ('NaCl', (49, 13, 13)),
    'mp-631': ('TiC', (500, 113, 175)),
    'mp-8062': ('SiC', (390, 142, 256)),
    'mp-661': ('AlN', None),
}
"""Identifier → formula, and measured C11, C12 and C44, GPa."""

LITERATURE = {'MACE-MP-0a': 29.1, 'MACE-MatPES-PBE-0': 19.0}
"""MAE of K on about 12,000 crystals of the Materials Project, GPa, as joehart2001/benchmark_app reports it."""

QUICK = 4
WITHIN = 0.1
BATCH_ATOMS = 24
"""In one evaluation: few, so that a measurement that is killed loses few crystals."""

Row = dict[str, t.Any]


def measure(folder: Path, work: Path, count: int | None) -> t.Iterator[list[Row]]:
    """Yield for each potential a row for every crystal.

    :param folder: with `mp/`, `mpts/` and `mp_extra/`.
    :param work: in which the tasks go on where they were cut.
    :param count: number of held-out crystals, those with few atoms first.
    """
    crystals = labelled_crystals(folder, work / 'crystals.npz')
    names = crystals.structures.identifiers.tolist()
    sizes = crystals.structures.num_atoms
    held_out = sorted(np.flatnonzero(crystals.held_out).tolist(), key=lambda row: int(sizes[row]))[:count]
    chosen = [names.index(name) for name in CRYSTALS] + [row for row in held_out if names[row] not in CRYSTALS]
    for potential in POTENTIALS:
        rows = []
        place = work / potential.replace(':', '-')
        structures = [crystals.structures.structure(row) for row in chosen]
        config = {**potential_config(potential), 'batch_atoms': BATCH_ATOMS}
        found = elastic_structures(structures, config, place, run_ml_task)
        for row, (structure, outcome) in zip(chosen, found, strict=True):
            tensor = outcome['tensor_ieee']
            cubic = None if tensor is None else [round(float(tensor[place]), 2) for place in ((0, 0), (0, 1), (3, 3))]
            rows.append(
                {
                    'potential': outcome['potential'],
                    'name': names[row],
                    'formula': structure.composition.reduced_formula,
                    'published': [round(float(value), 2) for value in crystals.moduli[row]],
                    'computed': [_rounded(outcome[f'{kind}_modulus_vrh']) for kind in ('bulk', 'shear')],
                    'constants': cubic,
                    'reason': outcome['reason'],
                }
            )
        yield rows


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def show(rows: list[Row]) -> None:
    """Print what the rows say."""
    for potential in dict.fromkeys(row['potential'] for row in rows):
        mine = [row for row in rows if row['potential'] == potential]
        ten = [row for row in mine if row['name'] in CRYSTALS]
        print(f'{potential}: K and G beside the Materials Project, C11, C12, C44 beside measured ones, GPa')
        for row in ten:
            print(' ', row['formula'], row['computed'], row['published'], row['constants'], CRYSTALS[row['name']][1])
        for place, kind in enumerate(('K', 'G')):
            near = sum(_near(row, place) for row in ten)
            figure(f'elastic-ten-{kind}-{potential}', near, 'crystals', f'within {WITHIN:.0%}', len(ten))
        for place, kind in enumerate(('K', 'G')):
            known = [row for row in mine if row['name'] not in CRYSTALS and row['computed'][place] is not None]
            errors = np.array([row['computed'][place] - row['published'][place] for row in known])
            published = np.array([row['published'][place] for row in known])
            if not known:
                continue
            best = min(LITERATURE.items(), key=lambda item: item[1]) if kind == 'K' else (None, None)
            figure(f'elastic-held-out-mae-{kind}-{potential}', float(np.abs(errors).mean()), 'GPa', *best)
            figure(f'elastic-held-out-bias-{kind}-{potential}', float(errors.mean()), 'GPa')
            figure(f'elastic-held-out-mape-{kind}-{potential}', float(np.abs(errors / published).mean()), '')
        missing = sum(row['computed'][0] is None for row in mine)
        figure(f'elastic-without-modulus-{potential}', missing, 'crystals', 'of', len(mine))


def _near(row: Row, place: int) -> bool:
    """Return whether a modulus is near the published one."""
    computed, published = row['computed'][place], row['published'][place]
    return computed is not None and abs(computed / published - 1) <= WITHIN


def run(folder: Path | None, work: Path, *, quick: bool, store: bool) -> None:
    """Measure, or show what is stored where no data are given."""
    if folder is None:
        show(json.loads(RECORD.read_text()))
        return
    rows = []
    for found in measure(folder, work, QUICK if quick else None):
        rows += found
        if store:
            _write(rows)
    show(rows)


def _write(rows: list[Row]) -> None:
    """Store the rows, in the place of those of the same potentials."""
    new = {row['potential'] for row in rows}
    kept = [row for row in json.loads(RECORD.read_text()) if row['potential'] not in new]
    RECORD.write_text('[\n' + ',\n'.join(json.dumps(row) for row in rows + kept) + '\n]\n')

"""Phonons of the hits of the stored campaign, by the potential that judged them.

A hit is relaxed by SevenNet-0, and its phonons by finite displacements in a supercell of at least 8 Å are sampled on a
mesh. `kvrh-stable-hits-T` is the number of hits without an imaginary mode (below −0.2 THz), beside the bar of ten.
`kvrh-stable-elements` is the same of elements that are stable: what is missing is the error of the potential.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from figures import figure

from aiida_qagenai.ml.potentials import PotentialCalculator, calculator
from aiida_qagenai.thermodynamics.vibrations.phonons import find_phonons
from aiida_qagenai.thermodynamics.vibrations.relaxation import relax
from aiida_qagenai.thermodynamics.vibrations.settings import PhononSettings, RelaxSettings

from . import campaign

SETTINGS = PhononSettings(min_length=8.0, displacement=0.02, mesh_length=30.0, imaginary_tolerance=0.2)
RELAXATION = RelaxSettings(max_force=0.005, max_stress=2e-4, max_steps=200)
BAR = 10
CONTROL = Path(__file__).with_name('phonons.json')
ELEMENTS = ('Re', 'Os', 'W', 'Ir')


def element(symbol: str) -> campaign.Row:
    """Return the crystal of an element as a row."""
    atoms = bulk(symbol)
    positions = atoms.get_scaled_positions()
    return {'numbers': atoms.numbers, 'cell': atoms.cell.array, 'fractional': positions}


def lowest_frequency(row: campaign.Row, potential: PotentialCalculator) -> float:
    """Return the lowest frequency of a crystal on the mesh, THz; imaginary ones are negative."""
    atoms = Atoms(row['numbers'], cell=row['cell'], scaled_positions=row['fractional'], pbc=True)
    relaxed = relax(atoms, potential, RELAXATION).atoms
    return float(find_phonons(relaxed, potential, np.array([300.0]), SETTINGS).lowest)


def show(rows: list[campaign.Row], control: dict[str, float]) -> None:
    """Print what the rows and the lowest frequencies of elements say."""
    stable = [symbol for symbol, lowest in control.items() if lowest >= -SETTINGS.imaginary_tolerance]
    figure('kvrh-stable-elements', len(stable), 'elements', 'of', len(control))
    for target in dict.fromkeys(row['target'] for row in rows):
        hits = campaign.hits([row for row in rows if row['target'] == target])
        known = [row for row in hits if row.get('lowest_frequency') is not None]
        stable = [row for row in known if row['lowest_frequency'] >= -SETTINGS.imaginary_tolerance]
        figure(f'kvrh-stable-hits-{target}', len(stable), 'crystals', 'bar', BAR)
        print(f'  of {len(known)} hits with phonons: {", ".join(row["formula"] for row in stable)}')


def run(folder: Path | None, work: Path, *, quick: bool, store: bool) -> None:
    """Compute the phonons of the stored hits that have none, or show what is stored; ``work`` is not needed."""
    rows, control = json.loads(campaign.RECORD.read_text()), {}
    if CONTROL.exists():
        control = json.loads(CONTROL.read_text())
    if folder is not None:
        potential = calculator(campaign.JUDGE)
        for symbol in [symbol for symbol in ELEMENTS if symbol not in control]:
            control[symbol] = round(lowest_frequency(element(symbol), potential), 3)
            if store:
                CONTROL.write_text(json.dumps(control) + '\n')
        targets = dict.fromkeys(row['target'] for row in rows)
        found = [
            row for target in targets for row in campaign.hits([each for each in rows if each['target'] == target])
        ]
        left = [row for row in found if row.get('lowest_frequency') is None]
        for row in left[:2] if quick else left:
            row['lowest_frequency'] = round(lowest_frequency(row, potential), 3)
            if store:
                campaign.write(rows)
    show(rows, control)

"""Simple metallic packings, whatever the elements."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.spacegroup import crystal

from aiida_qagenai.chemistry.close_packing import simple_packing

CASES = {
    'fcc': (bulk('Cu', 'fcc', a=3.6), 'fcc'),
    'fcc, conventional, four times': (bulk('Cu', 'fcc', a=3.6, cubic=True).repeat((2, 2, 1)), 'fcc'),
    'bcc': (bulk('Fe', 'bcc', a=2.87), 'bcc'),
    'hcp': (bulk('Mg', 'hcp', a=3.21, c=5.21), 'hcp'),
    'CsCl, as its positions are': (bulk('CsCl', 'cesiumchloride', a=4.12), 'bcc'),
    'Cu3Au': (crystal(['Au', 'Cu'], [(0, 0, 0), (0.5, 0.5, 0)], spacegroup=221, cellpar=[3.75] * 3 + [90] * 3), 'fcc'),
    'rock salt is simple cubic': (bulk('NaCl', 'rocksalt', a=5.64), None),
    'diamond': (bulk('Si', 'diamond', a=5.43), None),
    'hexagonal layers far apart': (bulk('Mg', 'hcp', a=3.21, c=8.0), None),
    'zinc blende': (bulk('ZnS', 'zincblende', a=5.42), None),
}


@pytest.mark.parametrize('case', CASES)
def test_packing(case):
    atoms, packing = CASES[case]
    assert simple_packing(np.array(atoms.cell), atoms.get_scaled_positions()) == packing


def test_noise_within_the_tolerance():
    """Displacements of 0.02 Å leave the packing."""
    atoms = bulk('Cu', 'fcc', a=3.6, cubic=True)
    atoms.rattle(0.02, seed=1)
    assert simple_packing(np.array(atoms.cell), atoms.get_scaled_positions()) == 'fcc'

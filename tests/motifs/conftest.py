"""A small library of textbook crystals."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.motifs.library import KnownCrystal, MotifLibrary


def textbook() -> dict[str, Structure]:
    """Return name → crystal, conventional cells with experimental constants."""
    cubic = Lattice.cubic
    return {
        'NaCl': Structure.from_spacegroup('Fm-3m', cubic(5.64), ['Na', 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        'KBr': Structure.from_spacegroup('Fm-3m', cubic(6.60), ['K', 'Br'], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        'CsCl': Structure.from_spacegroup('Pm-3m', cubic(4.12), ['Cs', 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        'ZnS': Structure.from_spacegroup('F-43m', cubic(5.41), ['Zn', 'S'], [[0, 0, 0], [0.25, 0.25, 0.25]]),
        'ZnO': Structure.from_spacegroup(
            'P6_3mc', Lattice.hexagonal(3.25, 5.21), ['Zn', 'O'], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]
        ),
        'TiO2': Structure.from_spacegroup(
            'P4_2/mnm', Lattice.tetragonal(4.59, 2.96), ['Ti', 'O'], [[0, 0, 0], [0.305, 0.305, 0]]
        ),
        'CaTiO3': Structure.from_spacegroup(
            'Pm-3m', cubic(3.90), ['Ca', 'Ti', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
        ),
        'LiTiO2': Structure.from_spacegroup(
            'R-3m', Lattice.hexagonal(2.95, 14.4), ['Li', 'Ti', 'O'], [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.24]]
        ),
    }


@pytest.fixture(scope='session')
def library() -> MotifLibrary:
    return MotifLibrary.from_crystals([KnownCrystal(name, crystal) for name, crystal in textbook().items()])

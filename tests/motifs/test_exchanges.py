"""Which elements take each other's place in known crystals."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS as Z
from aiida_qagenai.common.errors import CorruptFileError
from aiida_qagenai.motifs.exchanges import SAME, ExchangeTable
from aiida_qagenai.motifs.library import KnownCrystal, MotifLibrary


def rock_salt(cation, anion):
    structure = Structure.from_spacegroup('Fm-3m', Lattice.cubic(5), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return KnownCrystal(f'{cation}{anion}', structure, 0.0)


def caesium_chloride(cation, anion):
    structure = Structure.from_spacegroup('Pm-3m', Lattice.cubic(4), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return KnownCrystal(f'{cation}{anion} 221', structure, 0.0)


@pytest.fixture
def table():
    crystals = [rock_salt(*pair) for pair in (('Na', 'Cl'), ('K', 'Cl'), ('Na', 'Br'), ('K', 'Br'), ('Mg', 'O'))]
    return ExchangeTable.fit(MotifLibrary.from_crystals([*crystals, caesium_chloride('Cs', 'I')]))


def test_elements_of_one_site_are_alike_and_others_are_not(table):
    odds = table.log_odds
    assert odds[Z['Na'], Z['K']] > 0 > odds[Z['Na'], Z['Cl']]
    assert odds[Z['Na'], Z['K']] > odds[Z['Na'], Z['Cs']]
    assert odds[Z['Na'], Z['Na']] == SAME
    np.testing.assert_array_equal(odds, odds.T)


def test_a_table_survives_its_file(table, tmp_path):
    table.save(tmp_path / 'table.npz')
    np.testing.assert_allclose(ExchangeTable.load(tmp_path / 'table.npz').log_odds, table.log_odds, atol=1e-6)


def test_another_file_is_refused(tmp_path):
    MotifLibrary.from_crystals([rock_salt('Na', 'Cl')]).save(tmp_path / 'library.npz')
    with pytest.raises(CorruptFileError, match='not a table of exchanges'):
        ExchangeTable.load(tmp_path / 'library.npz')


def test_the_shipped_table_knows_the_chemistry():
    odds = ExchangeTable.default().log_odds
    assert odds[Z['Sr'], Z['Ba']] > odds[Z['Sr'], Z['Ti']]
    assert odds[Z['Cl'], Z['Br']] > odds[Z['Cl'], Z['Na']]

"""The validator of any chemistry that comes with the package."""

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION, read_checkpoint
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

PUBLISHED = {'MgO': -3.04, 'NaCl': -2.11, 'SrTiO3': -3.55, 'Cu': 0.0}
"""Energies of formation of the Materials Project, eV/atom."""


def crystals():
    """Return known crystals by their formulas."""
    rock_salt = [[0, 0, 0], [0.5, 0.5, 0.5]]
    perovskite = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    return {
        'MgO': Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.24), ['Mg', 'O'], rock_salt),
        'NaCl': Structure.from_spacegroup('Fm-3m', Lattice.cubic(5.69), ['Na', 'Cl'], rock_salt),
        'SrTiO3': Structure.from_spacegroup('Pm-3m', Lattice.cubic(3.95), ['Sr', 'Ti', 'O'], perovskite),
        'Cu': Structure.from_spacegroup('Fm-3m', Lattice.cubic(3.62), ['Cu'], [[0, 0, 0]]),
    }


@pytest.fixture(scope='module')
def predictions(tmp_path_factory, command):
    """Return what it predicts."""
    folder = tmp_path_factory.mktemp('foundation')
    known = crystals()
    StructureBatch.from_structures(list(known.values()), list(known)).save(folder / 'structures.npz')
    status, results = command(folder, 'predict', {'structures': 'structures.npz'})
    assert status == 0, results
    return load_arrays(folder / 'predictions.npz')


def test_energies_of_known_crystals(predictions):
    energies = dict(zip(predictions['identifiers'].tolist(), predictions['energies'][:, 0].tolist(), strict=True))
    assert energies == pytest.approx(PUBLISHED, abs=0.25)


def test_the_rung_of_scan_is_near_that_of_pbe_and_the_others_are_untrained(predictions):
    energies = predictions['energies']
    assert np.abs(energies[:, 1] - energies[:, 0]).max() < 0.5
    assert np.isnan(energies[:, 2:]).all() and np.isnan(predictions['sigma'][:, 2:]).all()
    assert np.isnan(predictions['divergence_signed']).all()


def test_error_bars(predictions):
    sigmas = predictions['sigma'][:, :2]
    assert ((sigmas > 0.005) & (sigmas < 0.6)).all()
    assert (predictions['interval_90'][:, :2] > sigmas).all()


def test_what_the_card_says():
    info = read_checkpoint(VALIDATOR_FOUNDATION, 'validator')[1]
    card = json.loads((VALIDATOR_FOUNDATION / 'card.json').read_text())
    assert card['checkpoint_sha256'] == info.sha256
    tags = [level['tag'] for level in info.configuration['levels']]
    assert tags == ['SevenNet-MF-0 PBE', 'MP2020 PBE', 'SevenNet-MF-0 r2SCAN']
    assert info.fidelities == ('PBE', 'SCAN')
    assert len(info.elements) > 80 and info.configuration['num_members'] == 5

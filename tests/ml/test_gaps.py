"""The model of band gaps that comes with the package."""

import json

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.descriptors import GAP_LEVELS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.checkpoint import GAP_FOUNDATION, VALIDATOR_FOUNDATION, read_checkpoint
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.gaps.model import load_gap_model
from aiida_qagenai.ml.gaps.network import GapNetwork
from aiida_qagenai.ml.runtime import setup

ROCK_SALT = [[0, 0, 0], [0.5, 0.5, 0.5]]


def crystals():
    """Return an oxide, a metal, and a crystal of an element without any label."""
    return {
        'MgO': Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.24), ['Mg', 'O'], ROCK_SALT),
        'Cu': Structure.from_spacegroup('Fm-3m', Lattice.cubic(3.62), ['Cu'], [[0, 0, 0]]),
        'PoO': Structure.from_spacegroup('Fm-3m', Lattice.cubic(5.6), ['Po', 'O'], ROCK_SALT),
    }


@pytest.fixture(scope='module')
def model():
    """Return the model."""
    return load_gap_model(setup(RuntimeConfig()))


@pytest.fixture(scope='module')
def found(model):
    """Return the gaps of the crystals."""
    return model.of_structures(StructureBatch.from_structures(list(crystals().values())))


def test_gaps_of_an_oxide_and_a_metal(found):
    assert found.gaps[0, 0] == pytest.approx(4.45, abs=1.0) and (found.gaps[1] == 0).all()
    assert found.metal_probability[0, 0] < 0.1 and found.metal_probability[1, 0] > 0.9
    assert (found.sigma > 0).all() and found.sigma[:2, 0].max() < 1.5


def test_hybrids_open_gaps(found):
    pbe, hybrid = (found.gaps[0, list(GAP_LEVELS).index(name)] for name in ('pbe', 'hse06'))
    assert 0.5 < hybrid - pbe < 3


def test_an_element_without_labels_is_unfamiliar(found):
    assert found.out_of_distribution.tolist() == [False, False, True]


def test_the_cell_does_not_matter(model, found):
    doubled = crystals()['MgO'].make_supercell((2, 1, 1), in_place=False)
    again = model.of_structures(StructureBatch.from_structures([doubled]))
    np.testing.assert_allclose(again.gaps[0], found.gaps[0], atol=1e-3)


def test_no_structures_have_no_gaps(model):
    assert model.of_structures(StructureBatch.empty()).gaps.shape == (0, len(GAP_LEVELS))


def test_compositions_are_predicted_by_a_task(tmp_path, command):
    compositions = [{'Mg': 1, 'O': 1}, {'Mg': 4, 'O': 4}, {'Cu': 1, 'Zn': 1}, {'Po': 1, 'O': 1}]
    status, results = command(tmp_path, 'gaps', {'compositions': compositions})
    assert status == 0, results
    arrays = load_arrays(tmp_path / 'gaps.npz')
    assert arrays['gaps'][0, 0] > 2 and arrays['gaps'][2, 0] == 0
    np.testing.assert_allclose(arrays['gaps'][0], arrays['gaps'][1], atol=1e-5)
    assert arrays['gap_out_of_distribution'].tolist() == [False, False, False, True]


def test_crystals_are_predicted_by_the_task_as_well(tmp_path, command, found):
    StructureBatch.from_structures(list(crystals().values())).save(tmp_path / 'structures.npz')
    assert command(tmp_path, 'gaps', {'structures': 'structures.npz'})[0] == 0
    np.testing.assert_allclose(load_arrays(tmp_path / 'gaps.npz')['gaps'], found.gaps, atol=1e-4)
    status, results = command(tmp_path, 'gaps', {})
    assert status == 1 and 'either `structures` or `compositions`' in results['error']['message']


def test_what_is_not_an_element_is_named(tmp_path, command):
    status, results = command(tmp_path, 'gaps', {'compositions': [{'Mx': 1}]})
    assert status == 1 and 'Mx' in results['error']['message']


def test_it_belongs_to_the_shipped_validator(tmp_path):
    info = read_checkpoint(GAP_FOUNDATION, 'descriptor')[1]
    assert info.configuration['validator_sha256'] == read_checkpoint(VALIDATOR_FOUNDATION, 'validator')[1].sha256
    assert json.loads((GAP_FOUNDATION / 'card.json').read_text())['checkpoint_sha256'] == info.sha256
    folder = tmp_path / 'other'
    folder.mkdir()
    (folder / 'model.safetensors').write_bytes((GAP_FOUNDATION / 'model.safetensors').read_bytes())
    config = json.loads((GAP_FOUNDATION / 'config.json').read_text())
    config['configuration']['validator_sha256'] = '0' * 64
    (folder / 'config.json').write_text(json.dumps(config))
    with pytest.raises(InvalidInputError, match='another validator'):
        load_gap_model(setup(RuntimeConfig()), folder)


def test_a_level_with_few_labels_follows_the_first():
    network = GapNetwork(3, width=8, few=[True, False]).eval()
    torch.nn.init.normal_(network.shift.weight)
    with torch.no_grad():
        gaps, _ = network(torch.randn(5, 3))
    assert torch.equal(gaps[:, 1], gaps[:, 0]) and not torch.allclose(gaps[:, 2], gaps[:, 0])

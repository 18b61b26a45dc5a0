"""The model of band gaps that comes with the package."""

import json

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.descriptors import FIELDS, GAP_LEVELS, NUM_DESCRIPTORS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.checkpoint import GAP_FOUNDATION, VALIDATOR_FOUNDATION, read_checkpoint
from aiida_qagenai.exchange.dataset import LabelledBatch
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


SALTS = [('Mg', 'O', 4.24), ('Ca', 'O', 4.8), ('Sr', 'O', 5.2), ('Ba', 'O', 5.6), ('Li', 'F', 4.1), ('Na', 'Cl', 5.7)]


def rock_salts(salts):
    """Return crystals of pairs of elements with an edge, Å."""
    structures = [Structure.from_spacegroup('Fm-3m', Lattice.cubic(a), [x, y], ROCK_SALT) for x, y, a in salts]
    return StructureBatch.from_structures([each.get_primitive_structure() for each in structures])


@pytest.fixture
def learning(model):
    """Return the model, crystals to learn from and one like them; nothing is left of it afterwards."""
    yield model, rock_salts(SALTS), rock_salts([('K', 'F', 5.4)])
    model.learned = None


def test_gaps_of_another_level_are_learned(learning):
    model, known, other = learning
    before, after = {}, {}
    before['known'], before['other'] = model.of_structures(known), model.of_structures(other)
    assert model.learn(known, before['known'].gaps[:, 0] - 1.0) == len(SALTS)
    after['known'], after['other'] = model.of_structures(known), model.of_structures(other)
    change = {name: after[name].gaps - before[name].gaps for name in after}
    np.testing.assert_allclose(change['known'][:, 0], -1.0, atol=0.15)
    assert -1.3 < change['other'][0, 0] < -0.5 and (change['other'][0, 1:] == 0).all()
    assert (after['known'].sigma[:, 0] < before['known'].sigma[:, 0]).all()


def test_computed_metals_are_learned(learning):
    model, known, other = learning
    model.learn(known, np.zeros(len(SALTS)))
    found = model.of_structures(other)
    assert found.gaps[0, 0] == 0 and found.metal_probability[0, 0] > 0.5


@pytest.mark.parametrize('labels', [[], [np.nan] * 6, [1.0, 1.0, np.nan, np.nan, np.nan, np.nan]])
def test_of_too_few_gaps_nothing_is_learned(learning, labels):
    model, known, other = learning
    before = model.of_structures(other)
    chosen = known.select(list(range(len(labels))))
    assert model.learn(chosen, np.array(labels)) == np.isfinite(labels).sum()
    np.testing.assert_allclose(model.of_structures(other).gaps, before.gaps)


def test_gaps_of_a_training_set_are_learned(tmp_path, command, model):
    known = rock_salts(SALTS)
    descriptors = np.full((len(known), NUM_DESCRIPTORS), np.nan)
    descriptors[:, FIELDS.index('band_gap')] = model.of_structures(known).gaps[:, 0] - 1.0
    formulas = np.array([f'{x}{y}' for x, y, _ in SALTS])
    split = np.zeros(len(known), dtype=np.int8)
    LabelledBatch(known, np.full((len(known), 4), np.nan), descriptors, formulas, split).save(tmp_path / 'labels.npz')
    rock_salts([('K', 'F', 5.4)]).save(tmp_path / 'structures.npz')
    config = {'structures': 'structures.npz', 'gaps': True}
    gaps = []
    for more in ({}, {'labels': 'labels.npz'}):
        assert command(tmp_path, 'predict', {**config, **more})[0] == 0
        gaps.append(float(load_arrays(tmp_path / 'predictions.npz')['gaps'][0, 0]))
    assert gaps[1] < gaps[0] - 0.5


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

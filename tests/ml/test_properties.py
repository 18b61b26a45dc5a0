"""The heads of bulk and shear moduli that come with the package, and their retraining."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.exchange.checkpoint import PROPERTY_FOUNDATION, VALIDATOR_FOUNDATION, read_checkpoint
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays, save_arrays
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.properties.model import load_property_model
from aiida_qagenai.ml.properties.network import RIDGE, PropertyNetwork
from aiida_qagenai.ml.runtime import setup

ROCK_SALT = [[0, 0, 0], [0.5, 0.5, 0.5]]


def crystals():
    """Return a hard and a soft crystal of rock salt, a metal, and one with an element without labels."""
    pairs = {'TiC': 4.33, 'NaCl': 5.64, 'PoO': 5.6}
    found = {
        name: Structure.from_spacegroup('Fm-3m', Lattice.cubic(edge), [name[:2], name[2:]], ROCK_SALT)
        for name, edge in pairs.items()
    }
    return {**found, 'W': Structure.from_spacegroup('Im-3m', Lattice.cubic(3.17), ['W'], [[0, 0, 0]])}


@pytest.fixture(scope='module')
def structures():
    return StructureBatch.from_structures(list(crystals().values()))


@pytest.fixture(scope='module')
def found(structures):
    return load_property_model(setup(RuntimeConfig()))[0].of_structures(structures)


def test_moduli_are_those_of_the_materials_project(found):
    """TiC, NaCl and W: 252, 24 and 304 GPa there."""
    carbide, salt, _, tungsten = found.values[:, 0]
    assert carbide == pytest.approx(252, rel=0.2) and salt == pytest.approx(24, rel=0.3)
    assert tungsten == pytest.approx(304, rel=0.15)
    assert (found.sigma > 0).all() and (found.sigma[[0, 3], 0] < 80).all()
    assert found.out_of_distribution.tolist() == [False, False, True, False]


def test_the_checkpoint_says_what_it_stands_on():
    info = read_checkpoint(PROPERTY_FOUNDATION, 'property')[1]
    assert info.configuration['validator_sha256'] == read_checkpoint(VALIDATOR_FOUNDATION, 'validator')[1].sha256
    assert info.configuration['properties'] == list(PROPERTIES)
    assert info.metrics['validation_mape_bulk_modulus'] < 0.25


def test_further_labels_count_as_if_they_had_been_there():
    """The last layer after learning is the ridge regression on all labels, the first ones with weight 1."""
    torch.manual_seed(0)
    network = PropertyNetwork(6, width=8, properties=2).double().eval()
    old, new = torch.randn(40, 6, dtype=torch.float64), torch.randn(10, 6, dtype=torch.float64)
    targets = torch.randn(50, 2, dtype=torch.float64)
    phi = network.basis(torch.cat([old, new])).detach()
    ridge = RIDGE * torch.eye(9, dtype=torch.float64)
    first = torch.linalg.solve(ridge + phi[:40].T @ phi[:40], phi[:40].T @ targets[:40])
    network.coefficients.data = first
    network.remember(old)
    network.learn(new, targets[40:], weight=3.0)
    weights = torch.cat([torch.ones(40), torch.full((10,), 3.0)]).double()[:, None]
    both = torch.linalg.solve(ridge + phi.T @ (weights * phi), phi.T @ (weights * targets))
    torch.testing.assert_close(network.coefficients.data, both)


def test_a_head_is_retrained_and_keeps_what_it_knew(command, tmp_path, structures, found):
    """TiC is said to be softer: it becomes so, and NaCl stays."""
    structures.save(tmp_path / 'structures.npz')
    labels = np.array([150.0, np.nan, 40.0, np.nan])
    arrays = {'bulk_modulus': labels, 'shear_modulus': np.full(4, np.nan), 'format_version': np.array(1)}
    save_arrays(tmp_path / 'labels.npz', arrays)
    config = {'structures': 'structures.npz', 'labels': 'labels.npz', 'weight': 100.0}
    status, results = command(tmp_path, 'tune_properties', config)
    assert status == 0 and results['num_labels'] == 1, results['error']
    assert results['metrics']['mape_after_bulk_modulus'] < results['metrics']['mape_before_bulk_modulus']
    status, _ = command(tmp_path, 'properties', {'structures': 'structures.npz', 'checkpoint': 'checkpoint'})
    after = load_arrays(tmp_path / 'properties.npz')['properties']
    assert status == 0 and after[0, 0] < 0.5 * (found.values[0, 0] + 150) + 10
    assert after[1, 0] == pytest.approx(found.values[1, 0], rel=0.15)
    np.testing.assert_allclose(after[:, 1], found.values[:, 1], rtol=1e-3)
    assert read_checkpoint(tmp_path / 'checkpoint', 'property')[1].configuration['parent_sha256']


def test_what_cannot_be_learned_from_is_refused(command, tmp_path, structures):
    structures.save(tmp_path / 'structures.npz')
    arrays = dict.fromkeys(PROPERTIES, np.full(4, np.nan))
    save_arrays(tmp_path / 'labels.npz', {**arrays, 'format_version': np.array(1)})
    status, results = command(tmp_path, 'tune_properties', {'structures': 'structures.npz', 'labels': 'labels.npz'})
    assert status == 1 and results['error']['message'] == 'there is no label: a property is a positive number'
    with pytest.raises(InvalidInputError, match='role'):
        load_property_model(setup(RuntimeConfig()), VALIDATOR_FOUNDATION)

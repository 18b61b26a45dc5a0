"""The heads of quantum descriptors that come with the package."""

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.descriptors import BLOCKS, FIELDS, HEAD_FIELDS
from aiida_qagenai.common.properties import DESCRIBED
from aiida_qagenai.exchange.checkpoint import DESCRIPTOR_FOUNDATION, VALIDATOR_FOUNDATION, read_checkpoint
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.properties.described import describe, describe_compositions, load_descriptor_heads, normalised
from aiida_qagenai.ml.runtime import setup

ROCK_SALT = [[0, 0, 0], [0.5, 0.5, 0.5]]


@pytest.fixture(scope='module')
def structures():
    """Return an insulator, a metal, and a crystal with an element without labels."""
    pairs = {'MgO': ('Mg', 'O', 4.25), 'PuO': ('Pu', 'O', 4.96)}
    found = [Structure.from_spacegroup('Fm-3m', Lattice.cubic(a), [x, y], ROCK_SALT) for x, y, a in pairs.values()]
    found.append(Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.05), ['Al'], [[0, 0, 0]]))
    return StructureBatch.from_structures([each.get_primitive_structure() for each in found])


@pytest.fixture(scope='module')
def found(structures):
    return describe(load_descriptor_heads(setup(RuntimeConfig())), structures)


def column(found, name):
    """Return the values of one descriptor."""
    return found.values[:, list(DESCRIBED).index(name)]


def test_descriptors_are_what_they_have_to_be(found):
    """Histograms are distributions, shares and widths positive, and unknown elements are said."""
    histogram = np.array([column(found, name) for name in BLOCKS['elf']])
    np.testing.assert_allclose(histogram.sum(axis=0), 1)
    assert (histogram >= 0).all() and (found.sigma > 0).all()
    np.testing.assert_allclose(column(found, 'elf_high'), histogram[7:].sum(axis=0))
    for name in ('dos_std', *BLOCKS['laplacian'], *BLOCKS['response']):
        assert (column(found, name) > 0).all(), name
    assert found.out_of_distribution[1]


def test_an_oxide_is_told_from_a_metal(found):
    """The occupied states of MgO are those of oxygen, more p and more localised than those of aluminium."""
    share, response = column(found, 'dos_p_fraction'), column(found, 'chi0_q_min')
    assert share[0] > share[2] and response[2] > response[0]


def test_the_checkpoint_says_what_it_stands_on():
    info = read_checkpoint(DESCRIPTOR_FOUNDATION, 'property')[1]
    assert info.configuration['validator_sha256'] == read_checkpoint(VALIDATOR_FOUNDATION, 'validator')[1].sha256
    assert info.configuration['properties'] == list(HEAD_FIELDS)
    card = json.loads((DESCRIPTOR_FOUNDATION / 'card.json').read_text())
    assert card['checkpoint_sha256'] == info.sha256 and card['license'] == 'CC BY 4.0'


def test_histograms_are_made_into_distributions():
    np.testing.assert_allclose(normalised(np.array([[0.5, -0.1, 0.75]])), [[0.4, 0.0, 0.6]], atol=1e-8)


def test_a_composition_alone_has_descriptors(found):
    """They are those of the crystal within a few σ, less sure, and unknown elements are said."""
    model = load_descriptor_heads(setup(RuntimeConfig()))
    alone = describe_compositions(model, [{'Mg': 1, 'O': 1}, {'Pu': 1, 'O': 1}])
    assert alone.values.shape == (2, len(DESCRIBED)) and alone.out_of_distribution.tolist() == [False, True]
    away = np.abs(alone.values[0] - found.values[0]) / np.hypot(alone.sigma[0], found.sigma[0])
    assert np.median(away) < 2


def test_computed_descriptors_are_learned_from(structures, found, tmp_path):
    """What was computed moves what is predicted towards it, and nothing else."""
    computed = np.full((3, len(FIELDS)), np.nan)
    wanted = column(found, 'dos_mean') - 4.0
    computed[:, FIELDS.index('dos_mean')] = wanted
    groups, split = np.array(['MgO', 'PuO', 'Al']), np.zeros(3, dtype=np.int8)
    LabelledBatch(structures, np.full((3, 4), np.nan), computed, groups, split).save(tmp_path / 'labels.npz')
    learned = describe(load_descriptor_heads(setup(RuntimeConfig()), tmp_path / 'labels.npz'), structures)
    changes = column(learned, 'dos_mean') - column(found, 'dos_mean')
    assert -4 < changes[0] < -0.2 and -4 < changes[2] < -0.2
    np.testing.assert_allclose(column(learned, 'dos_p_fraction'), column(found, 'dos_p_fraction'))


def test_the_command_writes_descriptors(command, tmp_path, structures, found):
    structures.save(tmp_path / 'structures.npz')
    status, results = command(tmp_path, 'properties', {'structures': 'structures.npz', 'descriptors': True})
    arrays = load_arrays(tmp_path / 'properties.npz')
    assert status == 0 and results['num_structures'] == 3
    np.testing.assert_allclose(arrays['descriptors'], found.values, rtol=1e-4)
    status, results = command(
        tmp_path, 'properties', {'structures': 'structures.npz', 'descriptors': True, 'energies': True}
    )
    assert status == 1 and 'neither' in results['error']['message']

"""A candidate keeps its structure and knows what searches ask for."""

from __future__ import annotations

import numpy as np
import pytest
from aiida.common.exceptions import ValidationError
from pymatgen.core import DummySpecies, Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.candidate import CandidateData, candidate_name, parse_candidate_name


@pytest.fixture(scope='module', autouse=True)
def profile(aiida_profile):
    """Empty the profile once for all tests of this module."""
    aiida_profile.reset_storage()


def test_attributes(rock_salt):
    node = CandidateData(rock_salt, cycle=3, index=17, origin='rocksalt').store()
    expected = {'formula': 'LiH', 'chemical_system': 'H-Li', 'num_sites': 2, 'space_group_number': 225, 'cycle': 3}
    assert {name: node.base.attributes.get(name) for name in expected} == expected
    assert (node.name, node.index, node.formula) == ('003-00017', 17, 'LiH')
    assert parse_candidate_name(node.name) == (3, 17)
    assert candidate_name(3, 17) == node.name


def test_structure_survives(rock_salt):
    stored = CandidateData(rock_salt).store().get_pymatgen()
    np.testing.assert_allclose(stored.lattice.matrix, rock_salt.lattice.matrix, atol=1e-12)
    np.testing.assert_allclose(stored.frac_coords, rock_salt.frac_coords, atol=1e-12)
    assert stored.species == rock_salt.species


@pytest.mark.parametrize(
    ('structure', 'text'),
    [
        (Structure(Lattice.cubic(3), [{'Li': 0.5, 'H': 0.5}], [[0, 0, 0]]), 'partial occupancies'),
        (Structure([[1, 0, 0], [0, 1, 0], [1, 1, 0]], ['Li'], [[0, 0, 0]]), 'zero volume'),
        (Structure(Lattice.cubic(3), ['Li'], [[np.nan, 0, 0]]), 'not finite'),
        (Structure(Lattice.cubic(3), [DummySpecies('X')], [[0, 0, 0]]), 'unknown element'),
    ],
)
def test_wrong_structure_is_refused(structure, text):
    with pytest.raises(InvalidInputError, match=text):
        CandidateData(structure)


@pytest.mark.parametrize('numbers', [{'cycle': -1}, {'index': -1}])
def test_negative_number_is_refused(rock_salt, numbers):
    with pytest.raises(InvalidInputError, match='start at 0'):
        CandidateData(rock_salt, **numbers)


def test_candidate_without_structure_cannot_be_stored(rock_salt):
    node = CandidateData(cell=np.eye(3) * 3)
    node.append_atom(position=(0, 0, 0), symbols='Li')
    with pytest.raises(ValidationError, match='missing: formula'):
        node.store()


@pytest.mark.parametrize(
    'structure',
    [
        Structure(Lattice.cubic(3), ['Li', 'H'], [[0, 0, 0], [0, 0, 1e-9]]),
        Structure([[3, 0, 0], [290, 3, 0], [170, 80, 3]], ['Li', 'H'], [[0, 0, 0], [0.3, 0.1, 0.7]]),
        Structure(Lattice.cubic(0.1), ['Li'], [[0, 0, 0]]),
        Structure(Lattice.cubic(90), ['Li'], [[0, 0, 0]]),
    ],
    ids=['coincident', 'skewed', 'tiny', 'huge'],
)
def test_odd_cell_is_kept(structure):
    """Generators make odd cells: each must become a node, to be screened out later and counted."""
    node = CandidateData(structure, cycle=1).store()
    assert 0 <= node.base.attributes.get('space_group_number') <= 230
    assert node.base.attributes.get('fingerprint')

"""The records of finite temperature: what they refuse, and that they come back as they were stored."""

from __future__ import annotations

import pytest
from aiida.orm import load_node
from aiida.orm.implementation.utils import clean_value
from aiida.plugins import DataFactory

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.finite_temperature import CURVES

KELVIN = [0.0, 100.0, 200.0]
CONTENT = {
    'free_energy': {
        'formula': 'Cu',
        'chemical_system': 'Cu',
        'num_atoms': 1,
        'potential': 'emt',
        'level_tag': 'emt:0',
        'static_energy_per_atom': 0.1 + 0.2,
        'dynamically_stable': True,
        'lowest_frequency': -1e-9,
        'imaginary_fraction': 0.0,
        'max_force': 1e-4,
        'max_stress': 1e-5,
        'temperatures': KELVIN,
        **{name: [1 / 3, 0.2, 0.1] for name in CURVES},
    },
    'barrier': {
        'formula': 'Al31',
        'chemical_system': 'Al',
        'num_atoms': 31,
        'potential': 'emt',
        'barrier_forward': 0.4,
        'barrier_reverse': 0.3,
        'reaction_energy': 0.1,
        'path_length': 3.0,
        'saddle': 1,
        'max_force': 0.01,
        'steps': 20,
        'single_barrier': True,
        'energies': [0.0, 0.4, 0.1],
        'distances': [0.0, 1.5, 3.0],
    },
    'gibbs_hull': {
        'formula': 'Cu3Au',
        'chemical_system': 'Au-Cu',
        'level_tag': 'emt:0',
        'temperatures': KELVIN,
        'e_above_hull': [0.02, 0.0, None],
        'decomposition_energy': [0.02, -0.01, None],
        'decomposition': [{'Cu': 0.75, 'Au': 0.25}, {'Cu': 0.75, 'Au': 0.25}, {}],
        'stability': ['metastable', 'stable', 'unknown'],
        'complete': True,
    },
}

each = pytest.mark.parametrize('kind', list(CONTENT))


@pytest.fixture(scope='module', autouse=True)
def profile(aiida_profile):
    """Empty the profile once."""
    aiida_profile.reset_storage()


@each
def test_reloads_as_it_was_stored(kind):
    node = DataFactory(f'qagenai.{kind}')(**CONTENT[kind])
    expected = clean_value(node.base.attributes.all)
    loaded = load_node(node.store().pk)
    assert loaded.base.attributes.all == expected
    assert loaded.base.caching.compute_hash() == node.base.caching.get_hash()


@each
def test_same_content_same_hash(kind):
    nodes = [DataFactory(f'qagenai.{kind}')(**CONTENT[kind]).store() for _ in range(2)]
    assert nodes[0].base.caching.get_hash() == nodes[1].base.caching.get_hash()


@pytest.mark.parametrize(
    ('kind', 'changes', 'message'),
    [
        ('free_energy', {'gibbs': [1.0]}, 'gibbs has 1 values for 3 temperatures'),
        ('free_energy', {'imaginary_fraction': 1.5}, 'imaginary_fraction'),
        ('free_energy', {'gibbs_300k': float('nan')}, 'gibbs_300k'),
        ('free_energy', {'temperature': 3}, 'temperature'),
        ('barrier', {'distances': [0.0, 1.0]}, '3 energies for 2 images'),
        ('barrier', {'barrier_forward': -0.1}, 'barrier_forward'),
        ('gibbs_hull', {'stability': ['stable']}, 'stability has 1 values'),
        ('gibbs_hull', {'temperatures': []}, 'temperatures'),
    ],
)
def test_what_does_not_fit_is_refused(kind, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        DataFactory(f'qagenai.{kind}')(**{**CONTENT[kind], **changes})

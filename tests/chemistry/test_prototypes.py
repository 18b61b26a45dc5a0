"""Tests for :mod:`aiida_qagenai.chemistry.prototypes`."""

import numpy as np
import pytest

from aiida_qagenai.chemistry.constraints import MinimumDistance, screen
from aiida_qagenai.chemistry.prototypes import decorated_prototypes, seed_structures
from aiida_qagenai.chemistry.symmetry import fingerprint, space_group
from aiida_qagenai.common.errors import InvalidInputError


@pytest.fixture(scope='module')
def lithium_hydride():
    return seed_structures(['Li', 'H'])


def test_the_common_structure_types_are_there(lithium_hydride):
    ideal = {seed.prototype.split(' ')[0] for seed in decorated_prototypes(['Li', 'H']) if seed.neutral}
    assert {'AB_cF8_225_a_b', 'AB_cP2_221_b_a', 'AB_cF8_216_c_a', 'AB_hP4_186_b_b', 'AB_hP4_194_c_a'} <= ideal
    assert len(lithium_hydride) == 36
    assert {seed.variant for seed in lithium_hydride} == {'ideal', 'strained', 'perturbed'}


@pytest.mark.parametrize(
    ('elements', 'constant'),
    [(('Li', 'H'), 4.08), (('Na', 'Cl'), 5.64), (('Mg', 'O'), 4.21), (('Li', 'F'), 4.03), (('K', 'Br'), 6.60)],
)
def test_rock_salt_has_nearly_its_measured_lattice_constant(elements, constant):
    (rock_salt,) = [s for s in decorated_prototypes(elements, max_atoms=2) if '225' in s.prototype]
    assert (rock_salt.structure.volume * 4) ** (1 / 3) == pytest.approx(constant, rel=0.06)


def test_neutral_structures_come_first_and_make_their_share(lithium_hydride):
    flags = [seed.neutral for seed in lithium_hydride]
    assert flags == sorted(flags, reverse=True)
    assert sum(flags) >= 0.75 * len(flags)
    for seed in lithium_hydride:
        ratio = seed.structure.composition.get_atomic_fraction('Li')
        assert seed.neutral == (abs(ratio - 0.5) < 1e-9)


def test_same_seed_same_structures_and_another_seed_others(lithium_hydride):
    again = seed_structures(['Li', 'H'])
    other = seed_structures(['Li', 'H'], seed=1)
    for first, second in zip(lithium_hydride, again, strict=True):
        assert np.array_equal(first.structure.lattice.matrix, second.structure.lattice.matrix)
        assert np.array_equal(first.structure.frac_coords, second.structure.frac_coords)
    assert any(
        not np.array_equal(first.structure.lattice.matrix, second.structure.lattice.matrix)
        for first, second in zip(lithium_hydride, other, strict=True)
    )


def test_no_duplicate_and_no_short_contact(lithium_hydride):
    prints = [fingerprint(seed.structure) for seed in lithium_hydride]
    assert len(set(prints)) == len(prints)
    for seed in lithium_hydride:
        assert screen(seed.structure, [MinimumDistance(0.8)]).passed


def test_ideal_structures_keep_their_space_group():
    for seed in decorated_prototypes(['Mg', 'O'], max_atoms=2):
        # decorating both sites alike may only raise the symmetry
        assert space_group(seed.structure).number >= int(seed.prototype.split('_')[2])


def test_three_elements_all_occur():
    seeds = seed_structures(['Li', 'Mg', 'O'], max_atoms=4, num_structures=10)
    assert all(len(seed.structure.composition) == 3 for seed in seeds)


@pytest.mark.parametrize(
    'options', [{'max_atoms': 0}, {'num_structures': 0}, {'strain': 0.9}, {'neutral_fraction': 2.0}]
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        seed_structures(['Li', 'H'], **options)


def test_unknown_element_is_refused():
    with pytest.raises(InvalidInputError, match='Xx'):
        seed_structures(['Li', 'Xx'])

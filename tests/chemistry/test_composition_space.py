"""Tests for :mod:`aiida_qagenai.chemistry.composition_space`."""

import collections
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_qagenai.chemistry.composition import count_assignments, neutral_assignments, neutral_compositions
from aiida_qagenai.chemistry.composition_space import (
    ALLOWED_ELEMENTS,
    EXCLUDED_ELEMENTS,
    CompositionSpace,
    unconstrained_count,
)
from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.common.errors import InvalidInputError


def by_enumeration(elements, max_atoms, high, ordered):
    """Return element → amount for every composition, with its number of assignments."""
    found = {}
    for number in range(2, high + 1):
        for chosen in itertools.combinations(elements, number):
            for composition in neutral_compositions(chosen, max_atoms=max_atoms, electronegativity_order=ordered):
                key = tuple(sorted(composition.items()))
                found[key] = len(neutral_assignments(composition, electronegativity_order=ordered))
    return found


def test_63_elements_are_allowed_and_every_other_has_a_reason():
    assert len(ALLOWED_ELEMENTS) == 63
    assert set(ALLOWED_ELEMENTS) | set(EXCLUDED_ELEMENTS) == set(SYMBOLS)
    assert not set(ALLOWED_ELEMENTS) & set(EXCLUDED_ELEMENTS)
    assert all(EXCLUDED_ELEMENTS.values())


@settings(max_examples=30, deadline=None)
@given(
    # N and Cl, C and S … and Te and As have nearly or exactly equal electronegativities
    elements=st.lists(
        st.sampled_from(['Li', 'Fe', 'O', 'N', 'Cl', 'C', 'S', 'P', 'H', 'Te', 'Sb', 'Rh']),
        min_size=2,
        max_size=4,
        unique=True,
    ),
    max_atoms=st.integers(2, 7),
    ordered=st.booleans(),
)
def test_counts_equal_enumeration(elements, max_atoms, ordered):
    high = min(3, max_atoms, len(elements))
    space = CompositionSpace(elements, max_atoms=max_atoms, max_elements=high, electronegativity_order=ordered)
    expected = by_enumeration(elements, max_atoms, high, ordered)
    assert space.count() == sum(expected.values())
    for atoms in range(2, max_atoms + 1):
        wanted = sum(n for key, n in expected.items() if sum(amount for _, amount in key) == atoms)
        assert space.count(atoms) == wanted


@pytest.mark.parametrize('ordered', [True, False])
def test_draws_are_uniform_over_compositions(ordered):
    elements = ['Li', 'Fe', 'Cl', 'N', 'O']
    space = CompositionSpace(elements, max_atoms=5, max_elements=3, electronegativity_order=ordered)
    expected = by_enumeration(elements, 5, 3, ordered)
    number = 60 * len(expected)
    counts = collections.Counter(tuple(sorted(draw.items())) for draw in space.sample(number, seed=1))
    assert set(counts) == set(expected)
    chi2 = sum((counts[key] - 60) ** 2 / 60 for key in expected)
    freedom = len(expected) - 1
    assert abs(chi2 - freedom) < 5 * math.sqrt(2 * freedom)


@settings(max_examples=15, deadline=None)
@given(
    elements=st.lists(st.sampled_from(['Li', 'Fe', 'Mn', 'Sn', 'O', 'Cl', 'Sb']), min_size=2, max_size=3, unique=True),
    ordered=st.booleans(),
)
def test_mixed_valence_counts_every_neutral_composition(elements, ordered):
    options = {'electronegativity_order': ordered, 'mixed_valence': True}
    expected = [
        composition
        for number in range(2, len(elements) + 1)
        for chosen in itertools.combinations(elements, number)
        for composition in neutral_compositions(chosen, max_atoms=6, **options)
    ]
    space = CompositionSpace(elements, max_atoms=6, max_elements=len(elements), **options)
    assert space.count() == sum(count_assignments(composition, **options) for composition in expected)
    if expected:
        drawn = {tuple(sorted(draw.items())) for draw in space.sample(20 * len(expected), seed=2)}
        assert drawn <= {tuple(sorted(composition.items())) for composition in expected}


def test_a_mixed_valent_element_has_a_mean_state():
    space = CompositionSpace(['Fe', 'O'], max_atoms=7, max_elements=2, mixed_valence=True, source='pymatgen_icsd')
    means = {draw['Fe'] for draw in space.sample_species(200, num_atoms=7) if draw['Fe'][0] == 3}
    assert (3, 8 / 3) in means


def test_species_draws_are_neutral_and_reproducible():
    space = CompositionSpace(max_atoms=12, max_elements=4)
    draws = space.sample_species(300, seed=3)
    assert draws == space.sample_species(300, seed=3)
    assert draws != space.sample_species(300, seed=4)
    for draw in draws:
        assert sum(amount * state for amount, state in draw.values()) == 0
        assert 2 <= len(draw) <= 4
        assert sum(amount for amount, _ in draw.values()) <= 12
    assert all(sum(n for n, _ in d.values()) == 9 for d in space.sample_species(20, num_atoms=9))


def test_the_estimated_number_of_compositions_is_right():
    elements = ['Li', 'Fe', 'Mn', 'S', 'O', 'N']
    space = CompositionSpace(elements, max_atoms=8, max_elements=3)
    expected = len(by_enumeration(elements, 8, 3, True))
    estimate = space.estimate_compositions(1500)
    assert abs(estimate.value - expected) < 4 * estimate.standard_error


def test_unconstrained_counts():
    # two elements and four atoms: 2 pure × 4 sizes, and 11 12 13 21 22 31 for the pair
    assert unconstrained_count(2, 4, 2) == 2 * 4 + 6
    assert unconstrained_count(2, 4, 2, primitive=True) == 2 * 1 + 5
    brute = sum(
        1 for amounts in itertools.product(range(1, 9), repeat=3) if sum(amounts) <= 8 and math.gcd(*amounts) == 1
    )
    assert unconstrained_count(3, 8, 3, primitive=True) - unconstrained_count(3, 8, 2, primitive=True) == brute


@pytest.mark.parametrize(
    'options',
    [{'max_elements': 30}, {'min_elements': 1}, {'max_elements': 1}, {'elements': ['Zz', 'O']}, {'max_elements': 12}],
)
def test_bad_spaces_are_refused(options):
    with pytest.raises(InvalidInputError):
        CompositionSpace(**options)


def test_an_empty_space_cannot_be_sampled():
    space = CompositionSpace(['Li', 'Na'], max_atoms=4, max_elements=2)
    assert space.count() == 0
    with pytest.raises(InvalidInputError, match='there are 0'):
        space.sample(1)
    assert np.isfinite(space.count(3))

"""Tests for :mod:`aiida_qagenai.motifs.retrieval` and :mod:`aiida_qagenai.motifs.elements`."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS as Z
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.motifs.elements import element_distances
from aiida_qagenai.motifs.retrieval import FEATURES, find_candidates


def formulas(library, candidates):
    return library.formulas[candidates.motifs].tolist()


def test_elements_of_one_group_are_closer_than_others():
    distances = element_distances()
    assert np.allclose(distances, distances.T) and (np.diag(distances) == 0).all()
    assert distances[Z['Na'], Z['K']] < distances[Z['Na'], Z['Mg']] < distances[Z['Na'], Z['Cl']]
    assert distances[Z['Zr'], Z['Hf']] < distances[Z['Zr'], Z['Nb']]


def test_similar_elements_come_first(library):
    candidates = find_candidates(library, {Z['K']: 1, Z['Cl']: 1})
    assert sorted(formulas(library, candidates)) == ['CsCl', 'KBr', 'NaCl', 'ZnO', 'ZnS']
    assert set(formulas(library, candidates)[:3]) == {'CsCl', 'KBr', 'NaCl'}
    bromide = formulas(library, candidates).index('KBr')
    assert candidates.exchange(bromide) == {Z['K']: Z['K'], Z['Br']: Z['Cl']}
    assert (np.diff(candidates.features[:, FEATURES.index('distance')]) >= 0).all()
    assert candidates.features.shape == (len(candidates), len(FEATURES))
    assert np.isfinite(candidates.features).all()


def test_only_the_ratio_of_the_amounts_counts(library):
    one, two = (find_candidates(library, {Z['Mg']: n, Z['F']: 2 * n}) for n in (1, 3))
    assert np.array_equal(one.motifs, two.motifs) and formulas(library, one) == ['TiO2']


def test_formula_units_and_formulas_can_be_chosen(library):
    assert formulas(library, find_candidates(library, {Z['Zn']: 1, Z['Se']: 1}, formula_units=2)) == ['ZnO']
    assert 'ZnS' not in formulas(library, find_candidates(library, {Z['Zn']: 1, Z['Se']: 1}, excluded=['ZnS']))


def test_elements_of_equal_amount_are_exchanged_both_ways_where_that_differs(library):
    """A on the corner and B in the centre of a perovskite differ, the two sites of rock salt do not."""
    perovskite = find_candidates(library, {Z['Sr']: 1, Z['Zr']: 1, Z['O']: 3})
    assert [perovskite.exchange(i)[Z['Ca']] for i in range(len(perovskite))] == [Z['Sr'], Z['Zr']]
    rock_salt = find_candidates(library, {Z['Li']: 1, Z['F']: 1})
    assert formulas(library, rock_salt).count('NaCl') == 1


def test_what_has_no_motif_gives_no_candidates(library):
    assert len(find_candidates(library, {Z['Ca']: 7, Z['O']: 11})) == 0


def test_elements_without_properties_are_refused(library):
    with pytest.raises(InvalidInputError, match='Og'):
        find_candidates(library, {Z['Og']: 1, Z['O']: 1})

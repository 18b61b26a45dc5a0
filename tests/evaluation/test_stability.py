"""Tests for :mod:`aiida_qagenai.evaluation.stability`: ten samples, counted by hand."""

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.stability import stable_unique_novel

SAMPLES = [  # E_hull, cluster, novel
    (0.0, 0, True),  # stable
    (0.02, 0, True),  # the same crystal, less relaxed
    (0.0, 1, False),  # stable and known
    (0.08, 2, True),  # metastable
    (0.05, 2, True),  # the same crystal, lower: still one
    (0.1, 3, True),  # on the limit
    (0.11, 4, True),  # above it
    (None, 5, True),  # without an energy
    (0.0, None, True),  # not valid
    (-0.03, 6, True),  # below a hull without it
]


def counts(samples, **limits):
    energies, clusters, novel = zip(*samples, strict=True)
    figures = stable_unique_novel(energies, clusters, novel, 'hull: Table; relaxer: none', **limits)
    return {figure.name: (figure.numerator, figure.denominator) for figure in figures}


def test_crystals_count_once_and_in_one_class():
    assert counts(SAMPLES) == {'sun': (2, 10), 'msun': (2, 10), 'sun-0.1': (4, 10)}


def test_limits_can_be_changed():
    assert counts(SAMPLES, stable=0.06, metastable=0.2) == {'sun': (3, 10), 'msun': (2, 10), 'sun-0.2': (5, 10)}


def test_the_lowest_of_equal_crystals_decides_in_any_order():
    assert counts(SAMPLES[::-1]) == counts(SAMPLES)


def test_the_definition_names_hull_relaxer_and_limits():
    energies, clusters, novel = zip(*SAMPLES, strict=True)
    figure = stable_unique_novel(energies, clusters, novel, 'hull: Table; relaxer: none')[1]
    assert 'hull: Table; relaxer: none' in figure.definition and 'E_hull ≤ 0.1 eV/atom' in figure.definition
    assert figure.value == 0.2


@pytest.mark.parametrize('limits', [{'stable': 0.1, 'metastable': 0.1}, {'stable': -0.1}])
def test_limits_in_the_wrong_order_are_refused(limits):
    with pytest.raises(InvalidInputError, match='stable < metastable'):
        counts(SAMPLES, **limits)


def test_lists_of_different_length_are_refused():
    with pytest.raises(InvalidInputError, match='1 distances, 2 clusters and 1 verdicts'):
        stable_unique_novel([0.0], [0, 1], [True], '')

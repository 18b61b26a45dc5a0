"""Tests for :mod:`aiida_qagenai.evaluation.report`."""

import pytest
from pymatgen.core import DummySpecies, Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.report import Evaluation


def pair(*symbols, edge=4.0, shift=0.5):
    return Structure(Lattice.cubic(edge), symbols, [[0, 0, 0], [shift, shift, shift]])


SAMPLES = [
    pair('Cs', 'Cl'),
    pair('Cs', 'Cl', edge=4.2),  # the same crystal
    pair('Na', 'Cl'),  # known with other elements
    pair('Mg', 'O', shift=0.45),  # the same framework, displaced
    pair('Na', 'Ne'),  # no charges
    pair('Na', 'Cl', shift=0.05),  # atoms 0.35 Å apart
    None,  # not readable
]


@pytest.fixture
def evaluation():
    return Evaluation(SAMPLES)


def value(evaluation, name):
    (figure,) = [figure for figure in evaluation.figures if figure.name == name]
    return figure.numerator, figure.denominator


def test_validity_and_uniqueness_are_there_from_the_start(evaluation):
    assert value(evaluation, 'structure-validity') == (5, 7)
    assert value(evaluation, 'composition-validity-smact14') == (5, 7)
    assert value(evaluation, 'validity') == (4, 7)
    assert value(evaluation, 'uniqueness') == (4, 5)
    assert [record['cluster'] for record in evaluation.records] == [0, 0, 1, 2, 3, None, None]


def test_novelty_by_class(evaluation):
    evaluation.add_novelty([pair('Cs', 'Cl')])
    assert value(evaluation, 'replay') == (2, 5)
    assert value(evaluation, 'substitution') == (3, 5)
    assert value(evaluation, 'novel-framework') == (0, 5)
    assert value(evaluation, 'novelty') == (3, 5)
    assert evaluation.records[2]['relation'] == 'substitution' and evaluation.records[5]['relation'] is None


def test_stability_counts_all_samples(evaluation):
    """A replay on the hull does not count, a substitution does; an invalid one does not."""
    evaluation.add_novelty([pair('Cs', 'Cl')])
    evaluation.add_stability([0.0, 0.0, 0.0, 0.05, None, 0.0, None], 'hull: H')
    assert value(evaluation, 'sun') == (1, 7)
    assert value(evaluation, 'msun') == (1, 7)
    assert 'hull: H' in evaluation.figures[-1].definition and '5 have an energy' in evaluation.figures[-1].definition


def test_stability_needs_novelty(evaluation):
    with pytest.raises(InvalidInputError, match='needs the novelty'):
        evaluation.add_stability([None] * 7, '')


def test_matches_leave_the_nearest_reference_in_the_records(evaluation):
    """A sample of two references keeps the one that it matches; one that cannot be read keeps its place."""
    references = {'other': pair('Na', 'Cl', shift=0.25), 'same': pair('Na', 'Cl')}
    evaluation.add_matches({'other': [6, 2], 'same': [2]}, references, (1, 2))
    assert value(evaluation, 'match-rate-1') == (1, 2)
    assert value(evaluation, 'match-rate-2')[1] == 2
    record = evaluation.records[2]
    assert (record['reference'], record['rank'], record['distance']) == ('same', 0, pytest.approx(0, abs=1e-9))
    assert evaluation.records[6]['distance'] is None
    names = [figure.name for figure in evaluation.figures]
    assert {'metre-1', 'crmse-1', 'rmse-2', 'metre-rmse-2'} <= {*names}


def test_metre_can_be_left_out(evaluation):
    evaluation.add_matches({'same': [2]}, {'same': pair('Na', 'Cl')}, (1,), everyone=False)
    assert not any(figure.name.startswith('metre') for figure in evaluation.figures)


def test_distributions_count_unreadable_samples(evaluation):
    evaluation.add_distributions([pair('Cs', 'Cl'), pair('Na', 'Cl')])
    assert value(evaluation, 'shell-coverage-recall') == (2, 2)
    assert value(evaluation, 'shell-coverage-precision')[1] == 7
    (elements,) = [figure for figure in evaluation.figures if figure.name == 'elements-wasserstein']
    assert elements.value == 0 and elements.denominator == 4


def test_no_samples_are_an_error():
    with pytest.raises(InvalidInputError, match='no generated crystals'):
        Evaluation([])


def test_odd_structures_are_results():
    """Dummy atoms, coordinates that are not finite, and disorder are invalid; the other figures do without them."""
    odd = [
        Structure(Lattice.cubic(4.0), [DummySpecies('X'), 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        pair('Na', 'Cl', shift=float('nan')),
        Structure(Lattice.cubic(4.0), [{'Na': 0.5, 'K': 0.5}, 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    ]
    found = Evaluation([*odd, pair('Na', 'Cl')])
    references = {'good': pair('Na', 'Cl'), **{str(index): structure for index, structure in enumerate(odd)}}
    found.add_matches({'good': [0, 1, 2, 3], '0': [0], '1': [1], '2': [2]}, references, (4,))
    found.add_distributions(list(references.values()))
    found.add_novelty(list(references.values()))
    assert value(found, 'validity') == (1, 4)
    assert value(found, 'composition-validity-smact14') == (2, 4)
    assert value(found, 'match-rate-4') == (1, 4)
    assert value(found, 'shell-coverage-precision') == (1, 4)
    assert value(found, 'replay') == (1, 1)

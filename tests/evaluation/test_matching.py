"""Tests for :mod:`aiida_qagenai.evaluation.matching`: the figures are worked out by hand in each test."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.matching import TOLERANCES, compare, match_rate, match_rates


def two_atoms(shift=0.0, edge=4.0, symbols=('Na', 'Cl')):
    """Return the structure of CsCl, with the second atom moved along x by ``shift`` Å."""
    return Structure(Lattice.cubic(edge), symbols, [[0, 0, 0], [0.5 + shift / edge, 0.5, 0.5]])


def rock_salt(symbols=('Na', 'Cl')):
    return Structure.from_spacegroup(225, Lattice.cubic(5.6), symbols, [[0, 0, 0], [0.5, 0.5, 0.5]])


def displacement(shift, edge=4.0):
    """Return the distance of two_atoms(shift) to two_atoms(): both atoms move half of it apart, of (V/N)^⅓."""
    return (shift / 2) / (edge**3 / 2) ** (1 / 3)


def values(rate):
    return rate.rate.value, rate.rmse.value, rate.corrected_rmse.value


def test_the_best_of_the_first_samples_counts():
    """Shifts of 0.4 and 0.2 Å: distances 0.2 / 3.1748 = 0.0630 and 0.1 / 3.1748 = 0.0315."""
    samples = {'a': [two_atoms(0.4), two_atoms(0.2), two_atoms()]}
    first, second, third = match_rates(samples, {'a': two_atoms()}, (1, 2, 20))
    assert values(first) == pytest.approx((1, 0.062996, 0.062996), abs=1e-6)
    assert values(second) == pytest.approx((1, displacement(0.2), displacement(0.2)), abs=1e-6)
    assert values(third) == pytest.approx((1, 0, 0), abs=1e-6)
    assert [rate.count for rate in (first, second, third)] == [1, 2, 20]


def test_all_references_are_in_the_denominator():
    """Of four references one has no sample, one another structure, one another formula: a quarter is matched."""
    references = {'a': two_atoms(), 'b': rock_salt(), 'c': two_atoms(symbols=('K', 'Cl')), 'd': rock_salt()}
    samples = {'a': [two_atoms(0.4)], 'b': [two_atoms()], 'c': [two_atoms()]}
    (rate,) = match_rates(samples, references, (1,))
    assert values(rate) == pytest.approx((0.25, displacement(0.4), (displacement(0.4) + 3 * 0.5) / 4), abs=1e-6)
    assert (rate.rate.numerator, rate.rate.denominator, rate.rmse.denominator) == (1, 4, 1)


def test_the_volume_and_the_cell_do_not_count():
    larger = two_atoms(0.4 * 1.1, edge=4.0 * 1.1).make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]], in_place=False)
    (rate,) = match_rates({'a': [larger]}, {'a': two_atoms()}, (1,))
    assert rate.rmse.value == pytest.approx(displacement(0.4), abs=1e-6)


def test_samples_must_be_valid():
    """Atoms 0.4 Å apart, or a composition without charges that balance, match only where validity is not asked for."""
    close = Structure(Lattice.cubic(4.0), ['Na', 'Cl'], [[0, 0, 0], [0.1, 0, 0]])
    strange = two_atoms(symbols=('Na', 'Ne'))
    references = {'close': close, 'strange': strange, 'good': two_atoms()}
    samples = {name: [structure] for name, structure in references.items()}
    assert match_rates(samples, references, (1,))[0].rate.value == pytest.approx(1 / 3)
    assert match_rates(samples, references, (1,), check=False)[0].rate.value == 1


def test_with_one_sample_the_reference_must_be_valid_too():
    """The closest atoms of the reference are 0.49 Å apart, those of the sample 0.51 Å: it counts with two samples."""

    def pair(distance):
        return Structure(Lattice.cubic(4.0), ['Na', 'Cl'], [[0, 0, 0], [distance / 4.0, 0, 0]])

    one, two = match_rates({'a': [pair(0.51)]}, {'a': pair(0.49)}, (1, 2))
    assert (one.rate.value, one.rmse.value) == (0, None)
    assert values(two) == pytest.approx((1, displacement(0.02), displacement(0.02)), abs=1e-6)


def test_any_sample_of_the_formula_may_find_a_polymorph():
    """Samples that found each other's reference: match rate 0, METRe 1; without the second sample, half of it."""
    references = {'cubic': two_atoms(), 'salt': rock_salt(), 'other': two_atoms(symbols=('K', 'Cl'))}
    samples = {'cubic': [rock_salt()], 'salt': [two_atoms(0.4)], 'other': [two_atoms(symbols=('K', 'Cl'))]}
    found = compare(samples, references, everyone=True).values()
    assert match_rate(found, 1).rate.value == pytest.approx(1 / 3)
    everyone = match_rate(found, 1, everyone=True)
    assert values(everyone) == pytest.approx((1, displacement(0.4) / 3, displacement(0.4) / 3), abs=1e-6)
    fewer = compare({**samples, 'salt': []}, references, everyone=True).values()
    assert values(match_rate(fewer, 1, everyone=True)) == pytest.approx((2 / 3, 0, 0.5 / 3), abs=1e-6)


def test_samples_of_others_count_by_their_rank_and_once():
    """The second sample of `salt` finds `cubic` with two samples each, not with one."""
    shared = two_atoms(0.2)
    references = {'cubic': two_atoms(), 'salt': rock_salt()}
    found = compare({'cubic': [], 'salt': [rock_salt(), shared]}, references, everyone=True)
    assert match_rate(found.values(), 1, everyone=True).rate.value == 0.5
    assert match_rate(found.values(), 2, everyone=True).rate.value == 1
    found = compare({'cubic': [shared], 'salt': [rock_salt(), shared]}, references, everyone=True)
    assert [(sample.rank, sample.own) for sample in found['cubic'].samples] == [(0, True), (0, False)]


def test_distances_are_those_of_the_matcher():
    """As the loop of DiffCSP has them, for displaced copies of one crystal."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(**TOLERANCES)
    reference = rock_salt()
    samples = []
    for seed, noise in enumerate((0.01, 0.1, 0.3, 1.5)):
        rng = np.random.default_rng(seed)
        moved = reference.frac_coords + noise * rng.standard_normal((8, 3)) / 5.6
        samples.append(Structure(reference.lattice, reference.species, moved))
    expected = [matcher.get_rms_dist(sample, reference) for sample in samples]
    found = compare({'a': samples}, {'a': reference})['a'].samples
    assert expected[0] is not None and expected[-1] is None
    assert [item.distance for item in found] == [None if pair is None else pair[0] for pair in expected]


def test_processes_give_the_same_answers():
    references = {str(index): two_atoms(0.1 * index) for index in range(6)}
    samples = {name: [two_atoms(0.3), rock_salt()] for name in references}
    assert compare(samples, references, workers=2) == compare(samples, references)


@pytest.mark.parametrize(
    ('samples', 'references', 'counts', 'text'),
    [
        ({}, {}, (1,), 'no reference structures'),
        ({'b': [two_atoms()]}, {'a': two_atoms()}, (1,), 'samples of `b`'),
        ({}, {'a': two_atoms()}, (0,), 'must be positive, not 0'),
    ],
)
def test_errors_name_what_is_wrong(samples, references, counts, text):
    with pytest.raises(InvalidInputError, match=text):
        match_rates(samples, references, counts)

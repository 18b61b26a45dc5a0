"""Tests for :mod:`aiida_qagenai.evaluation.distributions`."""

import numpy as np
import pytest
from pymatgen.core import Element, Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.distributions import (
    composition_vector,
    coverage,
    shell_vector,
    wasserstein_distances,
)


def cubic(symbol, edge=3.0):
    return Structure(Lattice.cubic(edge), [symbol], [[0, 0, 0]])


def body_centred(*symbols, edge=4.0):
    return Structure(Lattice.cubic(edge), symbols, [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_shells_of_the_simple_cubic_lattice():
    """Of 24 neighbours 6 are at 1, 12 at √2 and 6 of 8 at √3: shells of 4, 8 and 12."""
    root2, root3 = np.sqrt(2), np.sqrt(3)
    expected = [1, (2 + 6 * root2) / 8, (6 * root2 + 6 * root3) / 12]
    assert shell_vector(cubic('Po', edge=3.3)) == pytest.approx(expected)


def test_shells_do_not_tell_elements_apart():
    assert shell_vector(body_centred('Cs', 'Cl')) == pytest.approx(shell_vector(body_centred('W', 'W', edge=3.2)))


def test_the_distance_of_compositions_is_the_way_of_the_atoms():
    """Half of the atoms of NaCl go from Cl to Br: half the difference of their Mendeleev numbers."""
    first, second = composition_vector(body_centred('Na', 'Cl')), composition_vector(body_centred('Na', 'Br'))
    places = abs(Element('Cl').mendeleev_no - Element('Br').mendeleev_no)
    assert places > 0
    assert np.abs(first - second).sum() == pytest.approx(places / 2)


def test_every_element_has_a_place():
    """Lawrencium is the last actinide of the scale; oganesson has no number of its own and is at the end."""
    assert composition_vector(cubic('Og')).tolist() == [0.0] * 117 + [1.0]
    assert composition_vector(cubic('H')).sum() == 118 - Element('H').mendeleev_no + 1


def test_coverage_by_hand():
    """Each condition has its own nearest one, as CDVAE counts it; polonium has no composition near.

    CsBr is half a place from CsCl; oxygen in bcc has its composition in cubic oxygen and its structure in CsCl. The
    fourth sample has no fingerprint.
    """
    references = [body_centred('Cs', 'Cl'), cubic('Po'), cubic('O')]
    samples = [body_centred('Cs', 'Br'), cubic('Ca'), body_centred('O', 'O')]
    assert Element('Br').mendeleev_no - Element('Cl').mendeleev_no == -1
    recall, precision = coverage(samples, references, 4, structure_cutoff=0.01, composition_cutoff=0.6)
    assert (recall.numerator, recall.denominator) == (2, 3)
    assert (precision.numerator, precision.denominator) == (2, 4)
    recall, precision = coverage(samples, references, 4, structure_cutoff=0.01, composition_cutoff=0.4)
    assert (recall.numerator, precision.numerator) == (1, 1)


def test_no_sample_covers_nothing():
    recall, precision = coverage([], [cubic('Po')], 2)
    assert (recall.value, precision.value) == (0, 0)
    with pytest.raises(InvalidInputError, match='no reference structures'):
        coverage([cubic('Po')], [])


def test_wasserstein_distances_by_hand():
    """Numbers of elements 1, 2 against 2, 2: half an element. Equal cells: the densities differ as the masses do."""
    samples = [body_centred('Na', 'Na'), body_centred('Na', 'Cl')]
    references = [body_centred('Na', 'Cl'), body_centred('K', 'Cl')]
    density, elements = wasserstein_distances(samples, references)
    assert elements.value == 0.5
    masses = [sum(site.specie.atomic_mass for site in item) for item in (*samples, *references)]
    per_cell = 1.66053906660 / 64  # g/cm³ of one atomic mass unit in 64 Å3
    expected = (abs(masses[0] - masses[2]) + abs(masses[1] - masses[3])) / 2 * per_cell
    assert density.value == pytest.approx(expected, rel=1e-4)
    assert density.unit == 'g/cm³' and density.interval is not None


def test_no_valid_sample_has_no_distance():
    assert [figure.value for figure in wasserstein_distances([], [cubic('Po')])] == [None, None]

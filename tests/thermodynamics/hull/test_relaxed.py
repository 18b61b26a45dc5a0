"""Tests for :mod:`aiida_qagenai.thermodynamics.hull.relaxed`."""

import pytest

from aiida_qagenai.thermodynamics.hull.convex_hull import Phase
from aiida_qagenai.thermodynamics.hull.reference import SCALE, ReferenceHull
from aiida_qagenai.thermodynamics.hull.relaxed import place_relaxed
from aiida_qagenai.thermodynamics.references.mp_elements import element_energies

HULL = ReferenceHull.from_phases([Phase('MgO', -3.0, 'mp-1', SCALE), Phase('Li2O', -2.0, 'mp-2', SCALE)])


def energy(formation, elements):
    """Return the energy per atom of a crystal with equal amounts of elements."""
    return formation + sum(element_energies()[element] for element in elements) / len(elements)


def test_distances_are_to_known_phases_and_the_other_crystals():
    oxide, peroxide, better = {'Mg': 1, 'O': 1}, {'Li': 2, 'O': 2}, {'Li': 1, 'O': 1}
    energies = [energy(-2.9, ['Mg', 'O']), energy(-1.6, ['Li', 'O']), energy(-1.7, ['Li', 'O'])]
    first, second, third = place_relaxed([oxide, peroxide, better], energies, hull=HULL)
    assert first.formation_energy_per_atom == pytest.approx(-2.9) and first.e_above_hull == pytest.approx(0.1)
    assert second.e_above_hull == pytest.approx(0.1)  # above the other one
    assert third.e_above_hull == 0.0 and third.reason == ''


def test_abstentions_and_missing_energies():
    compositions = [{'Mg': 1, 'Li': 1}, {'Mg': 1, 'O': 1}, {'Og': 1, 'O': 1}]
    alloy, lost, heavy = place_relaxed(compositions, [energy(-0.1, ['Mg', 'Li']), None, -3.0], hull=HULL)
    assert alloy.e_above_hull is None and alloy.reason == 'no hull: nothing is known in Li-Mg'
    assert alloy.formation_energy_per_atom == pytest.approx(-0.1)
    assert (lost.formation_energy_per_atom, lost.e_above_hull, lost.reason) == (None, None, '')
    assert heavy.e_above_hull is None and heavy.reason == 'an element has no reference energy'
    (settled,) = place_relaxed(compositions[:1], [energy(-0.1, ['Mg', 'Li'])], hull=HULL, min_references=0)
    assert settled.e_above_hull == 0.0

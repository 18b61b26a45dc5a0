"""Tests for :mod:`aiida_qagenai.thermodynamics.references.mp_elements`."""

import pytest

from aiida_qagenai.thermodynamics.references.mp_elements import element_energies, formation_energy_per_atom


def test_formation_energies_are_against_the_elements():
    """Oxygen is the molecule of the Materials Project, −4.948 eV/atom, which MP2020 leaves as it is."""
    energies = element_energies()
    assert energies['O'] == pytest.approx(-4.948, abs=1e-3) and len(energies) == 88
    mean = (2 * energies['Li'] + energies['O']) / 3
    assert formation_energy_per_atom(mean - 2.0, {'Li': 4, 'O': 2}) == pytest.approx(-2.0)
    assert formation_energy_per_atom(energies['Fe'], {'Fe': 3}) == pytest.approx(0.0)


def test_an_element_without_a_reference_has_no_formation_energy():
    assert formation_energy_per_atom(-3.0, {'Og': 1, 'O': 1}) is None

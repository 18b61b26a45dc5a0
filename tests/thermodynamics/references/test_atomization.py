"""Formation energies anchored in experimental atomisation energies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Element

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.units import KJ_PER_MOL_TO_EV
from aiida_qagenai.thermodynamics.references.atomization import (
    _ELEMENTS,
    GROUND_STATE_SPIN,
    anchored_formation_energy,
    anchored_uncertainty,
    atomization_energy,
    atomization_uncertainty,
    corrected_atoms,
    spin_polarization_error,
)


@pytest.mark.parametrize(
    ('element', 'energy', 'tolerance'),
    # Vibrationless: D_e/2 of the molecules (Huber & Herzberg), cohesive energies of Schimka, Harl and Kresse (2011).
    [
        *[('H', 4.748 / 2, 2e-3), ('N', 9.905 / 2, 6e-3), ('O', 5.213 / 2, 5e-3), ('Li', 1.67, 0.01)],
        *[('C', 7.55, 5e-3), ('Si', 4.68, 0.01), ('Na', 1.12, 0.02), ('Al', 3.43, 0.02), ('Mg', 1.54, 0.02)],
    ],
)
def test_atomization_energies(element, energy, tolerance):
    """The table agrees with vibrationless values of other sources."""
    assert atomization_energy(element) == pytest.approx(energy, abs=tolerance)


def test_enthalpies_agree_with_another_compilation():
    """That of Curtiss et al. (1997) as ASE has it, within both errors; B was revised by Karton and Martin (2007)."""
    from ase.data.g2 import data

    for element in ('H', 'B', 'C', 'N', 'O', 'F', 'P', 'S'):
        other = 4.184 * data[element]['enthalpy'] - (2.38 if element == 'C' else 0)
        ours = (atomization_energy(element) - _ELEMENTS[element]['zero_point_ev']) / KJ_PER_MOL_TO_EV
        assert ours == pytest.approx(other, abs=5.0 if element == 'B' else 0.3)


def test_errors_of_the_experiment():
    """All of H to Ar, errors in quadrature, weighted by composition."""
    assert list(_ELEMENTS)[:18] == list(GROUND_STATE_SPIN)[:18]
    assert atomization_uncertainty('Si') == pytest.approx(0.083, abs=1e-3)
    assert anchored_uncertainty({'Si': 2}) == pytest.approx(atomization_uncertainty('Si'))
    expected = (atomization_uncertainty('Li') ** 2 + atomization_uncertainty('F') ** 2) ** 0.5 / 2
    assert anchored_uncertainty({'Li': 3, 'F': 3}) == pytest.approx(expected)
    assert 0 == atomization_energy('Ar') == atomization_uncertainty('Ar')


def test_formation_energy_of_the_experiment():
    """With the experimental atomisation energy of LiH the experimental formation energy comes out.

    D0 of the crystal 4.78 eV per formula unit from ΔfH(0 K) = −85.6 kJ/mol: −0.44 eV/atom.
    """
    total = -(atomization_energy('Li') + atomization_energy('H')) - 0.887
    assert anchored_formation_energy(total, {'Li': 1, 'H': 1}, {'Li': 0.0, 'H': 0.0}) == pytest.approx(-0.4435)


@given(
    scale=st.integers(1, 5),
    total=st.floats(-500, 0),
    shift=st.floats(-100, 100),
    counts=st.tuples(*[st.integers(1, 4)] * 2),
)
def test_invariances(scale, total, shift, counts):
    """Neither a multiple of the cell nor a constant per atom in the energies of one level changes it."""
    composition, atoms = {'Li': counts[0], 'H': counts[1]}, {'Li': -7.0, 'H': -0.5}
    expected = anchored_formation_energy(total, composition, atoms)
    multiple = {element: scale * count for element, count in composition.items()}
    assert anchored_formation_energy(scale * total, multiple, atoms) == pytest.approx(expected, abs=1e-9)
    shifted = anchored_formation_energy(total + shift * counts[0], composition, {'Li': -7.0 + shift, 'H': -0.5})
    assert shifted == pytest.approx(expected, abs=1e-9)


def test_missing_values_are_named():
    """An element without experimental value, and an atom that was not computed."""
    with pytest.raises(InvalidInputError, match='atomisation energy of Po'):
        atomization_energy('Po')
    with pytest.raises(InvalidInputError, match='isolated atom of H'):
        anchored_formation_energy(-1.0, {'Li': 1, 'H': 1}, {'Li': -7.0})


FUNCTIONALS = [Fidelity.PBE, Fidelity.SCAN, Fidelity.HSE06]


@pytest.mark.parametrize('fidelity', FUNCTIONALS)
@pytest.mark.parametrize('element', [element for element in GROUND_STATE_SPIN if Element(element).Z <= 18])
def test_every_element_of_the_references_is_known(element, fidelity):
    """Atoms without unpaired electrons have no error, and none is bound too weakly beyond the numerical noise."""
    error = spin_polarization_error('gth-pbe', fidelity, element)
    if GROUND_STATE_SPIN[element] == 0:
        assert error == 0
    assert -0.02 < error < 0.6


def test_the_error_grows_with_the_unpaired_electrons():
    """As the spin density of the valence that overlaps the core does."""
    boron, carbon, nitrogen = (spin_polarization_error('gth-pbe', Fidelity.PBE, element) for element in 'BCN')
    assert 0 < boron < carbon < nitrogen


@pytest.mark.parametrize(
    ('pseudo', 'fidelity'), [(None, Fidelity.PBE), ('gth-hf-rev', Fidelity.CCSD_T), ('gth-pbe', Fidelity.CCSD_T)]
)
def test_levels_without_the_error(pseudo, fidelity):
    """All electrons have their core, and the exchange of Hartree-Fock is linear in it."""
    assert corrected_atoms({'N': -265.9}, pseudo, fidelity) == {'N': -265.9}


def test_atoms_bind_less_when_corrected():
    corrected = corrected_atoms({'N': -265.9, 'Mg': -10.0}, 'gth-pbe', Fidelity.PBE)
    assert corrected == {
        'N': pytest.approx(-265.9 + spin_polarization_error('gth-pbe', Fidelity.PBE, 'N')),
        'Mg': -10.0,
    }


def test_unknown_elements_are_named():
    with pytest.raises(InvalidInputError, match='spin polarisation of Fe is not known: H, He'):
        spin_polarization_error('gth-pbe', Fidelity.PBE, 'Fe')


@pytest.mark.parametrize('element', GROUND_STATE_SPIN)
def test_ground_states_are_those_of_the_terms(element):
    """Unpaired electrons are the multiplicity of the ground term less one (pymatgen has the terms of NIST)."""
    level = Element(element).data['Ground level']
    # Lead is in jj coupling there; its term is 3P.
    assert GROUND_STATE_SPIN[element] == (2 if element == 'Pb' else int(level[0]) - 1)


def test_heavier_elements_are_known():
    """Those with a pseudopotential and a basis, but for three without an enthalpy that is sure."""
    from aiida_qagenai.workchains.protocols.beyond_argon import MOLOPT_BASES

    unknown = []
    for element in MOLOPT_BASES['gth-dzvp-molopt-sr']:
        try:
            assert 0 <= atomization_energy(element) < 9.5 and atomization_uncertainty(element) < 0.1
        except InvalidInputError:
            unknown.append(element)
    assert unknown == ['Tc', 'Po', 'At', 'Rn']
    with pytest.raises(InvalidInputError, match=r'atomisation energy of Tc \(no Debye temperature'):
        atomization_energy('Tc')


def test_cohesive_energies_of_heavier_elements():
    """Iron 4.28, copper 3.49, tungsten 8.9 eV/atom of Kittel, and the zero-point energy that theory does not have."""
    for element, cohesive in (('Fe', 4.28), ('Cu', 3.49), ('W', 8.90)):
        assert atomization_energy(element) == pytest.approx(cohesive, abs=0.12)

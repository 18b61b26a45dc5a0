"""The error of pseudopotentials in the spin polarisation of free atoms."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.thermodynamics.references.atomization import GROUND_STATE_SPIN
from aiida_qagenai.thermodynamics.references.spin_polarization import corrected_atoms, spin_polarization_error

FUNCTIONALS = [Fidelity.PBE, Fidelity.SCAN, Fidelity.HSE06]


@pytest.mark.parametrize('fidelity', FUNCTIONALS)
@pytest.mark.parametrize('element', GROUND_STATE_SPIN)
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

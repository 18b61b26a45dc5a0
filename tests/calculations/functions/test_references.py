"""The energy of an element from a reference compound, as nodes."""

from __future__ import annotations

import dataclasses

import pytest
from aiida.orm import Dict

from aiida_qagenai.calculations.functions.energy import formation_fields
from aiida_qagenai.calculations.functions.references import derive_element
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.thermodynamics.references.compounds import plan_derivations

TAG = 'fast:gth-dzvp-molopt-sr:gth-pbe:k0.6:0'


def energy_of(formula, system, num_atoms, total):
    """Return a computed energy with the fields that matter here."""
    return EnergyData(
        fidelity='PBE',
        total_energy=total,
        num_atoms=num_atoms,
        formula=formula,
        chemical_system=system,
        converged=True,
        protocol='fast',
        level_tag=TAG,
        scientific=True,
        structure_uuid='0',
    )


@pytest.fixture
def elements(aiida_profile_clean):
    """Return the elements of Mn-O, derived from computed energies of round numbers; MnO in its magnetic cell."""
    computed = {
        'H': energy_of('H2', 'H', 2, -31.0),
        'H2O': energy_of('H2O', 'H-O', 3, -470.0),
        'MnO': energy_of('MnO', 'Mn-O', 4, -6400.0),
    }
    found = {}
    for plan in plan_derivations(['Mn', 'O']):
        partners = {symbol: found[symbol] for symbol in plan.partners}
        found[plan.element] = derive_element(computed[plan.label], Dict(dataclasses.asdict(plan)), **partners)
    return found


def test_a_cell_of_several_formula_units_is_one_compound(elements):
    """Energies are per formula unit: that of MnO is half of that of its four atoms."""
    oxygen, manganese = elements['O'].total_energy, elements['Mn'].total_energy
    assert oxygen == pytest.approx(-470.0 + 31.0 + 2.7323, abs=1e-3)
    assert manganese == pytest.approx(-3200.0 + 3.98921 - oxygen, abs=1e-4)
    assert elements['Mn'].content.reference_reactions == {
        'H': 'H = H (reference state)',
        'O': 'O = H2O - 2 H',
        'Mn': 'Mn = MnO - O',
    }


def test_formation_energies_say_what_they_refer_to(elements):
    """Of MnO the experimental one; of MnO2 with the error of the oxide by its share, and that of water."""
    references = {f'element{symbol}': node for symbol, node in elements.items()}
    fields = formation_fields(-6400.0, {'Mn': 2, 'O': 2}, Fidelity.PBE, TAG, references)
    assert fields['formation_scheme'] == 'reference_compounds' and 'self_consistent' not in fields
    assert fields['formation_energy_per_atom'] == pytest.approx(-3.98921 / 2, abs=1e-4)
    assert fields['reference_uncertainty'] == pytest.approx(0.0211, abs=1e-3)
    dioxide = formation_fields(-3640.0, {'Mn': 1, 'O': 2}, Fidelity.PBE, TAG, references)
    assert dioxide['reference_errors']['MnO'] == pytest.approx(fields['reference_errors']['MnO'] * 2 / 3)
    assert dioxide['reference_errors']['H2O'] == pytest.approx(0.0003 / 3, abs=1e-5)


def test_wrong_energies_are_named(elements):
    """Another compound, and a partner that is not there."""
    plan = plan_derivations(['Mn', 'O'])[-1]
    other = energy_of('MnS', 'Mn-S', 2, -3000.0)
    with pytest.raises(InvalidInputError, match='the energy is of MnS, not of MnO'):
        derive_element(other, Dict(dataclasses.asdict(plan)), O=elements['O'])
    with pytest.raises(InvalidInputError, match='no energy of O, which Mn = MnO - O needs'):
        derive_element(other, Dict(dataclasses.asdict(plan)))

"""Reference compounds: the table against what it must be, the rule that chooses, and the arithmetic of reactions."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from pymatgen.core import Composition, Element, Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.references import compounds
from aiida_qagenai.thermodynamics.references.compounds import (
    VIBRATIONS,
    derive_energy,
    derive_errors,
    is_hydride,
    needs_compounds,
    plan_derivations,
    reference_compound,
    structure_of,
)

TABLE = [(element, anion) for element, entries in compounds._TABLE['compounds'].items() for anion in entries]


def reactions(*symbols):
    return [plan.reaction for plan in plan_derivations(symbols)]


@pytest.mark.parametrize(('element', 'anion'), TABLE)
def test_structures_belong_to_their_formulas(element, anion):
    """The cell holds whole formula units of the two elements, at distances of bonds."""
    compound = reference_compound(element, anion)
    counts = Counter(symbol for symbol, _ in compound.sites)
    assert Composition(counts).reduced_formula == Composition(compound.formula).reduced_formula
    assert set(counts) == {element, anion} and Element(element).Z <= 83
    structure = Structure(
        Lattice(compound.cell),
        [symbol for symbol, _ in compound.sites],
        [place for _, place in compound.sites],
        coords_are_cartesian=True,
    )
    assert 1.4 < min(structure.get_neighbor_list(4.5)[3]) < 4.2
    assert compound.uncertainty > 0 and -20 < compound.enthalpy < 0.05


def test_known_enthalpies():
    """Numbers that everybody knows: MnO -385.2, NaCl -411.2, ZnO -350.5 kJ/mol, MgO of the element table."""
    for element, anion, kilojoule in (('Mn', 'O', -385.2), ('Na', 'Cl', -411.2), ('Zn', 'O', -350.5)):
        assert reference_compound(element, anion).enthalpy == pytest.approx(kilojoule / 96.485, abs=0.01)


def test_hydrides_are_molecules_of_known_geometry():
    """Water: bond and angle, and -2.73 eV without vibrations, of which -2.48 are the enthalpy at 0 K."""
    water = reference_compound('O')
    oxygen, first, second = (np.array(place) for _, place in water.sites)
    bonds = first - oxygen, second - oxygen
    assert [np.linalg.norm(bond) for bond in bonds] == pytest.approx([0.9572, 0.9572], abs=1e-4)
    angle = math.degrees(math.acos(bonds[0] @ bonds[1] / 0.9572**2))
    assert angle == pytest.approx(104.52, abs=0.05)
    assert water.enthalpy == pytest.approx(-238.92 / 96.485 - 4638.3 / 8065.5 + 0.2702 + 0.0488, abs=0.002)
    assert is_hydride({'H': 2, 'O': 1}) and not is_hydride({'H': 1, 'O': 1}) and not is_hydride({'O': 2})


def test_only_systems_beyond_argon_need_them():
    assert needs_compounds(['Li', 'Mn', 'O']) and not needs_compounds(['Li', 'Cl'])


def test_oxides_are_derived_from_oxides():
    """Anions come first, from hydrides; then the other elements, whose compounds need them."""
    assert reactions('Li', 'Mn', 'O') == [
        'H = H (reference state)',
        'O = H2O - 2 H',
        'Mn = MnO - O',
        'Li = (Li2O - O) / 2',
    ]
    assert reactions('Ni', 'O')[-1] == 'Ni = NiO - O'
    assert reactions('K', 'Cl')[-1] == 'K = KCl - Cl'


def test_elements_without_a_compound_are_derived_from_themselves():
    """Intermetallics refer to the metals; phosphorus, whose crystal is too large, to its atom."""
    assert reactions('Fe', 'Ti') == ['Fe = Fe (reference state)', 'Ti = Ti (reference state)']
    assert 'P = P (atom)' in reactions('Li', 'Fe', 'P', 'O')
    assert reactions('Ga', 'As') == ['As = As (reference state)', 'Ga = GaAs - As']


def test_compounds_that_are_too_large_are_passed_over():
    """Cr2O3 has ten atoms; where fewer are admitted, chromium refers to its metal."""
    assert plan_derivations(['Cr', 'O'])[-1].reaction == 'Cr = (Cr2O3 - 3 O) / 2'
    assert plan_derivations(['Cr', 'O'], max_atoms=6)[-1].reaction == 'Cr = Cr (reference state)'


def test_a_compound_of_another_system_stands_in():
    """Manganese, whose crystal is too large, refers to its oxide where no compound of the system is known."""
    assert reactions('Mn', 'Al')[-2:] == ['O = H2O - 2 H', 'Mn = MnO - O']


def test_what_nothing_covers_is_refused_by_name():
    with pytest.raises(InvalidInputError, match='nothing to refer the energy of Po to: no compound with O'):
        plan_derivations(['Po', 'O'])


def test_a_reaction_reproduces_experiment():
    """With the derived elements, the compound itself has its experimental formation enthalpy, whatever was computed."""
    energies = {'H': -30.0, 'H2O': -470.0, 'MnO': -3200.0}
    elements = {}
    for plan in plan_derivations(['Mn', 'O']):
        elements[plan.element] = derive_energy(plan, energies[plan.label], elements)
    for formula, compound in (('MnO', reference_compound('Mn', 'O')), ('H2O', reference_compound('O'))):
        separated = sum(count * elements[symbol] for symbol, count in compound.composition.items())
        assert energies[formula] - separated == pytest.approx(compound.enthalpy)


def test_errors_of_one_experiment_add_up_before_they_are_squared():
    """Those of water cancel in MnO itself and do not in Mn."""
    errors = {}
    plans = plan_derivations(['Mn', 'O'])
    for plan in plans:
        errors[plan.element] = derive_errors(plan, errors)
    water, oxide = reference_compound('O'), reference_compound('Mn', 'O')
    assert errors['H'] == {} and errors['O'] == {'H2O': pytest.approx(-water.uncertainty)}
    assert errors['Mn'] == {
        'H2O': pytest.approx(water.uncertainty),
        'MnO': pytest.approx(-math.hypot(oxide.uncertainty, 2 * VIBRATIONS)),
    }
    assert errors['Mn']['H2O'] + errors['O']['H2O'] == pytest.approx(0)


@pytest.mark.parametrize('plan', plan_derivations(['Li', 'Fe', 'P', 'O', 'Ti', 'Se']), ids=lambda plan: plan.label)
def test_structures_of_derivations(plan):
    """What is computed holds the atoms that the reaction counts."""
    cell, is_crystal, sites = structure_of(plan)
    counts = Counter(symbol for symbol, _ in sites)
    assert set(counts) == set(plan.composition)
    assert is_crystal == ((plan.kind == 'compound' and 'H' not in counts) or plan.label in {'Ti', 'Se'})
    assert np.linalg.det(cell) > 10

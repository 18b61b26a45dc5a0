"""Tests for :mod:`aiida_qagenai.thermodynamics.hull.convex_hull`: every number against pymatgen's phase diagram."""

import dataclasses
import itertools
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.convex_hull import CompetingPhases, Phase, distance_to_hull, distances_to_hull
from aiida_qagenai.thermodynamics.hull.phases import System

ELEMENTS = ('Li', 'O', 'Fe', 'P', 'Mn', 'S')

LITHIUM_OXIDES = [
    Phase('Li', 0.0, 'Li'),
    Phase('O2', 0.0, 'O2'),
    Phase('Li2O', -2.0, 'Li2O'),
    Phase('Li2O2', -1.6, 'Li2O2'),
]


def pymatgen_energy(phases, candidate):
    """Return the energy per atom of the hull of ``phases`` at the composition of ``candidate``, by pymatgen."""
    entries = [PDEntry(Composition(p.amounts), p.energy_per_atom * sum(p.amounts.values())) for p in phases]
    elements = {element for phase in phases for element in phase.amounts}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        diagram = PhaseDiagram([e for e in entries if {x.symbol for x in e.composition.elements} <= elements])
        return diagram.get_hull_energy_per_atom(Composition(candidate.amounts))


@st.composite
def systems(draw):
    """Draw phases of one chemical system with every element, and a candidate with all of them."""
    number = draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    elements = ELEMENTS[:number]
    phases = [Phase(element, float(rng.choice([0.0, rng.normal()])), element) for element in elements]
    for index in range(draw(st.integers(0, 30))):
        chosen = rng.choice(elements, size=rng.integers(1, number + 1), replace=False)
        amounts = {str(element): int(rng.integers(1, 5)) for element in chosen}
        # a grid of energies makes ties and coplanar phases common
        energy = float(rng.choice([rng.normal(-0.5, 1.0), round(rng.normal(-0.5, 1.0), 1)]))
        phases.append(Phase(amounts, energy, str(index)))
    kind = draw(st.sampled_from(['free', 'free', 'duplicate', 'on-hull', 'degenerate']))
    full = [phase for phase in phases if len(phase.amounts) == number]
    amounts = {element: int(rng.integers(1, 5)) for element in elements}
    if kind in ('duplicate', 'degenerate') and full:
        amounts = full[int(rng.integers(len(full)))].amounts
    energy = float(rng.normal(-0.5, 1.0))
    if kind == 'duplicate' and full:
        energy = next(phase.energy_per_atom for phase in full if phase.amounts == amounts)
    candidate = Phase(amounts, energy, 'candidate')
    if kind == 'on-hull':
        candidate = Phase(amounts, pymatgen_energy(phases, candidate), 'candidate')
    return phases, candidate


def compare_with_pymatgen(phases, candidate):
    """Compare distance and decomposition of a candidate with those of pymatgen."""
    result = distances_to_hull([candidate], phases)[0]
    reference = candidate.energy_per_atom - pymatgen_energy(phases, candidate)
    assert result.decomposition_energy == pytest.approx(reference, abs=1e-8)
    assert result.e_above_hull == pytest.approx(max(0.0, reference), abs=1e-8)
    # the decomposition is a mixture of the right composition whose energy is the hull's
    total = sum(candidate.amounts.values())
    mixture = dict.fromkeys(candidate.amounts, 0.0)
    energy = 0.0
    lowest = {}
    for phase in phases:
        lowest[phase.reduced_formula] = min(lowest.get(phase.reduced_formula, np.inf), phase.energy_per_atom)
    for formula, fraction in result.decomposition.items():
        composition = Composition(formula)
        for element, amount in composition.items():
            mixture[element.symbol] += fraction * amount / composition.num_atoms
        energy += fraction * lowest[formula]
    assert mixture == pytest.approx({e: n / total for e, n in candidate.amounts.items()}, abs=1e-8)
    assert candidate.energy_per_atom - energy == pytest.approx(reference, abs=1e-8)
    assert all(fraction > 0 for fraction in result.decomposition.values())


@given(drawn=systems())
def test_equals_pymatgen_on_random_systems(drawn):
    compare_with_pymatgen(*drawn)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(drawn=systems())
def test_equals_pymatgen_on_many_random_systems(drawn):
    compare_with_pymatgen(*drawn)


def test_a_stable_candidate_is_in_the_hull():
    result = distances_to_hull([Phase('LiO2', -1.5)], LITHIUM_OXIDES)[0]
    # between Li2O2 (-1.6 at 1/2) and O2: the candidate at 1/3 would decompose into 2/3 and 1/3
    assert result.e_above_hull == 0.0
    assert result.decomposition_energy == pytest.approx(-1.5 + 1.6 * 2 / 3)
    assert result.decomposition == pytest.approx({'Li2O2': 2 / 3, 'O2': 1 / 3})
    assert result.stability == 'stable'
    assert result.complete


def test_a_candidate_does_not_compete_with_itself_but_with_its_polymorphs():
    phases = [*LITHIUM_OXIDES, Phase('Li2O', -1.9, 'other Li2O')]
    itself = distances_to_hull([Phase('Li2O', -2.0, 'Li2O')], phases)[0]
    assert itself.decomposition_energy == pytest.approx(-0.1)
    polymorph = distances_to_hull([Phase('Li4O2', -1.96, 'mine')], phases)[0]
    assert polymorph.decomposition == pytest.approx({'Li2O': 1.0})
    assert polymorph.e_above_hull == pytest.approx(0.04)
    assert polymorph.stability == 'metastable'


def test_elements_at_zero_only_on_request():
    oxide = [Phase('Li2O', -2.0)]
    candidate = Phase('LiO', -1.0)
    implied = distances_to_hull([candidate], oxide, elements_at_zero=True)[0]
    assert implied.decomposition == pytest.approx({'Li2O': 0.75, 'O2': 0.25})
    refused = distances_to_hull([candidate], oxide)[0]
    assert refused.e_above_hull is None
    assert refused.stability == 'unknown'
    assert refused.missing == ('Li', 'O')


def test_an_incomplete_hull_says_what_is_missing():
    phases = [Phase(e, 0.0) for e in ('Li', 'Mn', 'P')] + [Phase('Li3P', -0.8), Phase('LiMn', 0.1)]
    result = distances_to_hull([Phase('LiMnP', -0.7, 'x')], phases)[0]
    assert not result.complete
    assert result.missing == ('Mn-P', 'Li-Mn-P')
    assert result.e_above_hull is not None


def test_the_candidate_alone_does_not_complete_its_own_hull():
    phases = [Phase('Li', 0.0, 'a'), Phase('H2', 0.0, 'b'), Phase('LiH', -0.4, 'c')]
    assert distances_to_hull([Phase('LiH', -0.4, 'c')], phases)[0].missing == ('H-Li',)
    assert distances_to_hull([Phase('LiH', -0.4, 'd')], phases)[0].complete


SODIUM_OXIDES = [Phase('Na2O', -1.4, '0'), Phase('NaO', -1.3, '1')]


def test_row_numbers_do_not_make_a_phase_of_another_composition_the_candidate():
    numbered = [Phase('NaO2', -0.9, '0'), Phase('Na3O', -0.8, '1')]
    plain = [dataclasses.replace(phase, identifier=None) for phase in numbered]
    for together in (False, True):
        distances, expected = (
            [
                result.e_above_hull
                for result in distances_to_hull(
                    phases, SODIUM_OXIDES, elements_at_zero=True, candidates_compete=together
                )
            ]
            for phases in (numbered, plain)
        )
        assert distances == pytest.approx(expected)
    assert distances[1] > 0.1


@pytest.mark.parametrize('identifier', ['0', '#0', 'Na2O', 'shared'])
def test_an_ambiguous_identifier_does_not_hide_a_polymorph(identifier):
    known = [Phase('Na2O', -1.4, identifier), Phase('NaO', -1.3, 'shared')]
    if identifier == 'shared':
        known.append(Phase('Na2O', -1.2, 'shared'))
    result = distances_to_hull([Phase('Na2O', -1.3, identifier)], known, elements_at_zero=True)[0]
    assert result.e_above_hull == pytest.approx(0.1)


def test_a_known_phase_does_not_compete_with_itself():
    for identifier, energy in (('0', -1.4), ('mp-2352', -1.4), ('mp-2352', -1.35)):
        known = [Phase('Na2O', -1.4, identifier), Phase('NaO', -1.3, '1')]
        result = distances_to_hull([Phase('Na4O2', energy, identifier)], known, elements_at_zero=True)[0]
        assert result.decomposition_energy == pytest.approx(energy + 1.3 * 2 / 3)


def test_feasible_without_one_element():
    phases = [Phase('Li2O', -2.0), Phase('Li', 0.0)]
    result = distances_to_hull([Phase('Li3O', -1.0)], phases)[0]
    assert result.decomposition == pytest.approx({'Li2O': 0.75, 'Li': 0.25})
    assert result.e_above_hull == pytest.approx(0.5)
    assert result.missing == ('O',)


def test_mixed_levels_of_theory_are_refused():
    with pytest.raises(InvalidInputError, match='one level'):
        distances_to_hull([Phase('LiH', -0.4, level='PBE')], [Phase('Li', 0.0, level='SCAN')])
    with pytest.raises(InvalidInputError, match='one level'):
        CompetingPhases([Phase('Li', 0.0, level='PBE'), Phase('H2', 0.0)])


def test_candidates_compete_on_request():
    candidates = [Phase('Li2O', -2.2, level=None), Phase('Li2O', -2.1)]
    apart = distances_to_hull(candidates, LITHIUM_OXIDES)
    together = distances_to_hull(candidates, LITHIUM_OXIDES, candidates_compete=True)
    assert [result.e_above_hull for result in apart] == [0.0, 0.0]
    assert [result.e_above_hull for result in together] == pytest.approx([0.0, 0.1])
    assert together[0].identifier is None


def test_adding_a_phase_updates_the_cached_systems():
    competing = CompetingPhases(LITHIUM_OXIDES)
    candidate = Phase('LiO2', -1.0)
    before = distance_to_hull(candidate, competing)
    assert competing.system(['O', 'Li']) is competing.system(['Li', 'O'])
    competing.add(Phase('LiO2', -1.5, 'new'))
    after = distance_to_hull(candidate, competing)
    rebuilt = distance_to_hull(candidate, CompetingPhases([*LITHIUM_OXIDES, Phase('LiO2', -1.5, 'new')]))
    assert before.e_above_hull == pytest.approx(1.6 * 2 / 3 - 1.0)
    assert after == rebuilt
    assert after.e_above_hull == pytest.approx(0.5)


def test_adding_a_phase_leaves_other_systems_alone():
    competing = CompetingPhases(LITHIUM_OXIDES)
    lithium: System = competing.system(['Li'])
    competing.add(Phase('O3', 0.4))
    assert competing.system(['Li']) is lithium


def test_large_total_energies_keep_their_digits():
    shift = {'Li': -203.1, 'O': -2041.7}
    total = [
        Phase(p.formula, p.energy_per_atom + sum(shift[e] * n for e, n in p.amounts.items()) / sum(p.amounts.values()))
        for p in LITHIUM_OXIDES
    ]
    candidate = Phase('LiO2', -1.0 + (shift['Li'] + 2 * shift['O']) / 3)
    expected = distances_to_hull([Phase('LiO2', -1.0)], LITHIUM_OXIDES)[0]
    assert distances_to_hull([candidate], total)[0].e_above_hull == pytest.approx(expected.e_above_hull, abs=1e-10)


def test_processes_give_the_same_answers_in_order():
    candidates = [Phase(f, -1.0, str(i)) for i, f in enumerate(['LiO', 'Li', 'Li2O', 'O2', 'LiO2', 'Li3O'])]
    one = distances_to_hull(candidates, LITHIUM_OXIDES)
    two = distances_to_hull(candidates, LITHIUM_OXIDES, workers=2)
    assert one == two


def test_results_are_plain_json():
    record = distances_to_hull([Phase('LiO2', -1.0, 'x')], LITHIUM_OXIDES)[0].to_dict()
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize(
    'arguments', [('Xx', 0.0), ('Li2O', float('nan')), ('', 0.0), ({'Li': -1}, 0.0), ('Li2O', 0.0, None, None, -1.0)]
)
def test_bad_phases_are_refused(arguments):
    with pytest.raises(InvalidInputError):
        Phase(*arguments)


def test_order_of_candidates_is_kept():
    formulas = ['LiO', 'Li2O', 'LiO2', 'Li3O']
    results = distances_to_hull([Phase(f, -1.0, f) for f in formulas], LITHIUM_OXIDES)
    assert [result.identifier for result in results] == formulas
    assert list(itertools.chain(*(r.missing for r in results))) == []


def oxides(number):
    """Return Mg, Al and O with compounds of two of them, ``number`` phases in all."""
    formulas = ['Mg', 'Al', 'O', 'MgO', *(f'Al{n}O{n + 1}' for n in range(1, number - 3))]
    return [Phase(formula, -0.1 * (len(formula) > 2), f'known {formula}') for formula in formulas]


@pytest.mark.parametrize(('number', 'abstains'), [(11, True), (12, False), (13, False)])
def test_a_system_of_three_elements_needs_a_dozen_references(number, abstains):
    (result,) = distances_to_hull([Phase('MgAl2O4', -0.5)], oxides(number), min_references=12)
    assert result.num_references == number
    assert (result.e_above_hull is None) is abstains and (result.stability == 'unknown') is abstains
    assert (result.reason == f'no hull: {number} references in Al-Mg-O, fewer than 12') is abstains
    assert (result.decomposition == {}) is abstains


def test_polymorphs_are_one_reference():
    polymorphs = [Phase('MgO', -0.2, f'polymorph {number}') for number in range(5)]
    (result,) = distances_to_hull([Phase('MgAl2O4', -0.5)], oxides(11) + polymorphs, min_references=12)
    assert result.num_references == 11 and result.reason


def test_candidates_are_no_references():
    candidates = [Phase(formula, -0.5) for formula in ('MgAl2O4', 'MgAlO2', 'MgAl4O7')]
    results = distances_to_hull(candidates, oxides(11), candidates_compete=True, min_references=12)
    assert {result.num_references for result in results} == {11} and all(result.reason for result in results)


def test_a_binary_system_needs_both_elements_and_a_compound():
    known = [Phase('Na', 0.0), Phase('Cl2', 0.0), Phase('NaCl', -2.0, 'salt'), Phase('Mg', 0.0)]
    binary, immiscible, own, element = distances_to_hull(
        [Phase('NaCl3', -0.9), Phase('NaMg', 0.1), Phase('NaCl', -2.0, 'salt'), Phase('Na', 0.1)],
        known,
        min_references=12,
    )
    assert binary.reason == '' and binary.num_references == 3
    assert immiscible.reason == 'no hull: nothing is known in Mg-Na'
    assert own.reason == 'no hull: nothing is known in Cl-Na'  # the candidate is the compound
    assert element.e_above_hull == pytest.approx(0.1)


def test_implied_elements_are_references_once():
    known = CompetingPhases([Phase('Li', 0.0, 'a'), Phase('Li2O', -2.0, 'b')], elements_at_zero=True)
    assert known.system(['Li', 'O']).num_references == 3
    assert distance_to_hull(Phase('LiO', -1.0), CompetingPhases()).reason.startswith('the competing phases cannot')

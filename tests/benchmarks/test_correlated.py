"""The oxides of the benchmark and what it makes of their energies."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from fake_campaign import make_energy

from aiida_qagenai.common.fidelity import Fidelity

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import correlated


@pytest.mark.parametrize(
    ('name', 'metal', 'distance'),
    [('MnO', 'Mn', 2.22), ('NiO', 'Ni', 2.09), ('LiCoO2', 'Co', 1.92), ('LiNiO2', 'Ni', 1.97), ('Li2O', 'Li', 2.00)],
)
def test_metals_have_the_distance_to_oxygen_of_experiment(name, metal, distance):
    """Lattice constants and the height of oxygen in the layered oxides are not mixed up."""
    structure = correlated.COMPOUNDS[name].structure
    sites = [site for site in structure if site.specie.symbol == metal]
    nearest = min(each.nn_distance for each in structure.get_neighbors(sites[0], 3.0) if each.specie.symbol == 'O')
    assert nearest == pytest.approx(distance, abs=0.01)


def test_reactions_conserve_the_atoms():
    """What is used up has the atoms of what is made."""
    for equation, reaction in correlated.REACTIONS.items():
        total: dict[str, float] = {}
        for name, amount in reaction.amounts.items():
            for element, number in correlated.COMPOUNDS[name].structure.composition.reduced_composition.items():
                total[element.symbol] = total.get(element.symbol, 0.0) + amount * number
        assert total == pytest.approx(dict.fromkeys(total, 0.0), abs=1e-12), equation


def test_a_reaction_takes_the_lowest_ordering_per_formula_unit(capsys):
    """NiO + Li2O/2 + O2/4 → LiNiO2 from energies per atom; D is the difference of the levels."""
    energies = {'LiNiO2': -10.0, 'NiO': -8.0, 'Li2O': -6.0, 'O2': -4.0}
    found = {
        name: {
            'PBE': [{'ordering': None, 'energy_per_atom': 99.0}, {'ordering': 'x', 'energy_per_atom': energy}],
            'HSE06': [{'ordering': None, 'energy_per_atom': energy - 0.1}],
        }
        for name, energy in energies.items()
    }
    correlated.report_reactions(found)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    figures = {line['name']: line['value'] for line in printed}
    expected = 4 * -10.0 + 2 * 8.0 + 0.5 * 3 * 6.0 + 0.25 * 2 * 4.0
    assert figures['reaction-2-pbe'] == pytest.approx(expected)
    # Four atoms of product against 2 + 1.5 + 0.5 of what is used up.
    assert figures['reaction-2-divergence'] == pytest.approx(0.0, abs=1e-9)
    assert not any(name.startswith('reaction-1') for name in figures)


def test_other_antiferromagnetic_orderings_are_reported(capsys):
    """Beside the lowest one, and how far they lie above it per formula unit."""
    orderings = [('antiferromagnetic', -9.9, 0.5), ('ferromagnetic', -9.5, 0.0), ('antiferromagnetic', -10.0, 1.0)]
    rows = [
        {
            'ordering': None,
            'magnetic_ordering': order,
            'energy_per_atom': energy,
            'band_gap': gap,
            'site_moments': [1.5, -1.5],
            'core_hours': 0.1,
        }
        for order, energy, gap in orderings
    ]
    correlated.report('NiO', 'PBE', [*rows, {**rows[-1], 'ordering': 'antiferromagnetic_2'}])
    figures = {line['name']: line['value'] for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert figures['nio-pbe-other-above'] == pytest.approx(200.0)
    assert (figures['nio-pbe-other-gap'], figures['nio-pbe-gap']) == (0.5, 1.0)


def test_only_energies_of_the_last_level_are_read(aiida_profile_clean):
    """Those on another mesh are lower or higher by more than orderings differ."""
    for protocol in ('fast', 'fast', 'moderate'):
        make_energy('0', Fidelity.PBE, protocol).store()
    assert [row['level_tag'] for row in correlated.read('LiH', 'PBE')] == ['moderate:gth-szv']
    assert correlated.read('LiH', 'SCAN') == []


def test_an_energy_that_was_derived_again_is_read_once(aiida_profile_clean):
    """As the last derivation has it: a release may find a gap that the one before did not."""
    for gap in (0.0, 0.9):
        energy = make_energy('0', Fidelity.PBE, 'fast')
        energy.base.attributes.set('band_gap', gap)
        energy.store()
    assert [row['band_gap'] for row in correlated.read('LiH', 'PBE')] == [0.9]

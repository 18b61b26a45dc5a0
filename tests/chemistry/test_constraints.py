"""Tests for :mod:`aiida_qagenai.chemistry.constraints`."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from aiida_qagenai.chemistry.constraints import (
    AnionSaturation,
    BondValence,
    ChargeAlternation,
    ChargeNeutrality,
    Coordination,
    Density,
    Dimensionality,
    ElectrostaticValence,
    MinimumDistance,
    PolyhedronLinking,
    Symmetry,
    VolumePerAtom,
    default_constraints,
    screen,
)
from aiida_qagenai.chemistry.constraints.geometry import SEARCH_RATIO
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.common.errors import InvalidInputError


def rock_salt(constant=4.08, elements=('Li', 'H')):
    return Structure.from_spacegroup('Fm-3m', Lattice.cubic(constant), elements, [[0, 0, 0], [0.5, 0.5, 0.5]])


def verdict_of(structure, constraint, stage='validation'):
    return screen(structure, [constraint], stage).verdicts[-1]


def test_a_known_crystal_passes_everything_and_its_record_is_flat():
    screening = screen(rock_salt())
    record = screening.to_dict()
    assert screening.passed
    assert 'bond_valence_value' not in record
    assert json.loads(json.dumps(record)) == record
    assert record['minimum_distance_verdict'] == 'pass'
    assert record['minimum_distance_value'] == pytest.approx(4.08 / 2**0.5 / 2.66)  # the lithium atoms
    assert record['symmetry_value'] == 225
    for constraint in default_constraints():
        assert (f'{constraint.name}_threshold' in record) == ('validation' in constraint.stages)


def test_the_distance_threshold_is_looser_while_generating():
    squeezed = rock_salt(0.75 * 2.66 * 2**0.5)
    assert verdict_of(squeezed, MinimumDistance(), 'generation').verdict == 'pass'
    failed = verdict_of(squeezed, MinimumDistance(), 'validation')
    assert (failed.verdict, failed.threshold) == ('fail', 0.8)
    assert 'Li' in failed.reason


def test_self_images_count():
    chain = Structure(Lattice.orthorhombic(1.9, 8, 8), ['Li'], [[0, 0, 0]])
    assert verdict_of(chain, MinimumDistance()).value == pytest.approx(1.9 / 2.66)
    assert verdict_of(chain, MinimumDistance()).verdict == 'fail'


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_minimum_distance_equals_a_sum_over_images(seed):
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*rng.uniform(2.5, 5, 3), *rng.uniform(60, 120, 3))
    if lattice.volume < 20:
        return
    structure = Structure(lattice, ['Li', 'O', 'Cs'], rng.random((3, 3)))
    images = np.array(list(itertools.product(range(-4, 5), repeat=3))) @ lattice.matrix
    expected = SEARCH_RATIO
    for i, j in itertools.product(range(3), repeat=2):
        distance = np.linalg.norm(structure[j].coords - structure[i].coords + images, axis=1)
        distance = distance[distance > 1e-8].min() if i == j else distance.min()
        radii = COVALENT_RADII[structure[i].specie.Z] + COVALENT_RADII[structure[j].specie.Z]
        expected = min(expected, distance / radii)
    assert verdict_of(structure, MinimumDistance()).value == pytest.approx(expected, abs=1e-9)


def test_neutrality_applies_to_compounds_only():
    assert verdict_of(rock_salt(elements=('Mg', 'O')), ChargeNeutrality()).verdict == 'pass'
    assert verdict_of(rock_salt(elements=('Li', 'O')), ChargeNeutrality(source='pymatgen_icsd')).verdict == 'fail'
    alloy = Structure(Lattice.cubic(3.0), ['Ni', 'Al'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert verdict_of(alloy, ChargeNeutrality()).verdict == 'not_applicable'
    element = Structure(Lattice.cubic(3.0), ['Si'], [[0, 0, 0]])
    assert verdict_of(element, ChargeNeutrality()).verdict == 'not_applicable'


def test_volume_window():
    assert verdict_of(rock_salt(), VolumePerAtom()).verdict == 'pass'
    assert verdict_of(rock_salt(20.0), VolumePerAtom()).reason == 'too empty'
    assert verdict_of(rock_salt(1.9), VolumePerAtom()).reason == 'too dense'


def test_symmetry_can_be_demanded():
    structure = rock_salt()
    structure.translate_sites([0, 5], [0.09, 0.07, 0.05])
    structure.translate_sites([3], [0.02, 0.08, -0.06])
    assert verdict_of(structure, Symmetry()).verdict == 'pass'
    assert verdict_of(structure, Symmetry(minimum_number=2)).verdict == 'fail'


def test_constraints_act_only_at_their_stages():
    assert [v.name for v in screen(rock_salt(), stage='sampling').verdicts] == ['well_formed', 'charge_neutrality']
    assert 'symmetry' not in [v.name for v in screen(rock_salt(), stage='generation').verdicts]


def test_an_odd_structure_fails_and_does_not_raise():
    screening = screen(Structure(Lattice.cubic(4), ['Li'], [[0, 0, np.nan]]))
    assert screening.failed == ('well_formed',)
    assert 'not finite' in screening.to_dict()['well_formed_reason']


def test_unknown_stage_and_bad_parameters_are_refused():
    with pytest.raises(InvalidInputError, match='stage'):
        screen(rock_salt(), stage='later')
    with pytest.raises(InvalidInputError, match='alpha'):
        MinimumDistance(alpha=-1)
    with pytest.raises(InvalidInputError, match='window'):
        VolumePerAtom(minimum=3, maximum=1)
    with pytest.raises(InvalidInputError, match='mine'):
        ChargeNeutrality(source='mine')


PEROVSKITE = Structure.from_spacegroup(
    'Pm-3m', Lattice.cubic(3.945), ['Sr', 'Ti', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
)
"""SrTiO3 with the PBE lattice constant."""

PEROXIDE = Structure.from_spacegroup('I4/mmm', Lattice.tetragonal(3.81, 6.84), ['Ba', 'O'], [[0, 0, 0], [0, 0, 0.391]])
"""BaO2, with O–O bonds of 1.49 Å."""


def exchanged(structure, first, second):
    return Structure(
        structure.lattice,
        [{first: second, second: first}.get(site.specie.symbol, site.specie.symbol) for site in structure],
        structure.frac_coords,
    )


@pytest.mark.parametrize(
    'structure', [PEROVSKITE, PEROXIDE, rock_salt(), rock_salt(4.26, ('Mg', 'O'))], ids=['SrTiO3', 'BaO2', 'LiH', 'MgO']
)
def test_known_crystals_pass_the_final_stage(structure):
    screening = screen(structure, stage='final')
    assert screening.passed, screening.failed
    assert screening.to_dict()['bond_valence_verdict'] == 'pass'


def test_ideal_perovskite_obeys_the_electrostatic_valence_rule_exactly():
    # 2 (4/6) + 4 (2/12) = 2
    assert verdict_of(PEROVSKITE, ElectrostaticValence()).value < 0.03
    # strontium and titanium exchanged: 2 (2/6) + 4 (4/12) = 2 as well, but oxygen squeezed between strontium atoms
    assert verdict_of(exchanged(PEROVSKITE, 'Sr', 'Ti'), BondValence(), 'final').verdict == 'fail'


def test_anions_in_place_of_cations_break_the_alternation():
    wrong = exchanged(PEROVSKITE, 'Ti', 'O')
    verdict = verdict_of(Structure(wrong.lattice, ['Sr', 'O', 'Ti', 'O', 'O'], wrong.frac_coords), ChargeAlternation())
    assert verdict.verdict == 'fail'
    assert verdict.value > 0


def test_bonds_between_anions_count_for_their_valence():
    # without the O–O bond every oxygen lacks one valence unit
    assert verdict_of(PEROXIDE, BondValence(), 'final').value < 0.3
    assert verdict_of(PEROXIDE, ElectrostaticValence()).verdict == 'not_applicable'
    apart = Structure.from_spacegroup('I4/mmm', PEROXIDE.lattice, ['Ba', 'O'], [[0, 0, 0], [0, 0, 0.36]])
    assert verdict_of(apart, BondValence(), 'final').verdict == 'fail'


def test_coordination_counts_neighbours():
    verdict = verdict_of(PEROVSKITE, Coordination())
    assert (verdict.value, verdict.verdict) == (0, 'pass')
    linear = Structure(
        Lattice.orthorhombic(3.5, 9, 9), ['Mg', 'O'], [[0, 0, 0], [0.5, 0, 0]]
    )  # a chain: magnesium with two neighbours, four at least expected
    assert verdict_of(linear, Coordination(tolerance=1)).verdict == 'fail'
    assert verdict_of(linear, Coordination(tolerance=2)).verdict == 'pass'


def test_tetrahedra_of_silicon_share_corners_and_not_edges():
    cristobalite = Structure.from_spacegroup(
        'Fd-3m', Lattice.cubic(7.4), ['Si', 'O'], [[0, 0, 0], [0.125, 0.125, 0.125]]
    )
    assert verdict_of(cristobalite, PolyhedronLinking()).verdict == 'pass'
    # as in fibrous silica, a chain of tetrahedra that share edges
    edges = Structure(
        Lattice.orthorhombic(8.0, 8.0, 2.7),
        ['Si', 'O', 'O'],
        [[0, 0, 0], [0.5 * 2.35 / 8, 0, 0.5], [-0.5 * 2.35 / 8, 0, 0.5]],
    )
    assert verdict_of(edges, PolyhedronLinking()).verdict == 'fail'
    assert 'share an edge' in verdict_of(edges, PolyhedronLinking()).reason


@pytest.mark.parametrize('constraint', [ChargeAlternation(), Coordination(), ElectrostaticValence(), BondValence()])
def test_ionic_rules_leave_metals_and_elements_alone(constraint):
    for species in (['Ni', 'Al'], ['Si', 'Si'], ['Ga', 'As']):
        structure = Structure(Lattice.cubic(3.1), species, [[0, 0, 0], [0.5, 0.5, 0.5]])
        verdict = verdict_of(structure, constraint, 'final')
        assert verdict.verdict == 'not_applicable'
        assert verdict.reason


@pytest.mark.parametrize(
    'make',
    [lambda: Coordination(-1), lambda: BondValence(0), lambda: ElectrostaticValence(-0.1), lambda: AnionSaturation(0)],
)
def test_thresholds_out_of_range_are_refused(make):
    with pytest.raises(InvalidInputError):
        make()


def test_density_window():
    assert verdict_of(rock_salt(), Density()).value == pytest.approx(0.777, abs=0.01)
    assert verdict_of(rock_salt(), Density(minimum=2)).reason == 'too light'
    assert verdict_of(rock_salt(), Density(maximum=0.5)).reason == 'too heavy'
    with pytest.raises(InvalidInputError, match='window'):
        Density(2, 1)


@pytest.mark.parametrize(
    ('structure', 'dimension'),
    [
        (PEROVSKITE, 3),
        (Structure(Lattice.hexagonal(2.46, 6.7), ['C', 'C'], [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0]]), 2),
        (Structure(Lattice.orthorhombic(2.6, 8, 8), ['Se'], [[0, 0, 0]]), 1),
        (Structure(Lattice.cubic(6), ['H', 'H'], [[0, 0, 0.96], [0, 0, 0.08]]), 0),
    ],
    ids=['framework', 'layer', 'chain', 'molecule'],
)
def test_dimensionality(structure, dimension):
    verdict = verdict_of(structure, Dimensionality([dimension]))
    assert (verdict.value, verdict.verdict) == (dimension, 'pass')
    assert verdict_of(structure, Dimensionality([(dimension + 1) % 4])).verdict == 'fail'


def test_unknown_dimensionality_is_refused():
    with pytest.raises(InvalidInputError, match='0, 1, 2 and 3'):
        Dimensionality([4])


def telluride(species):
    """Return the CdI2 type with the lattice constants of NiTe2."""
    return Structure(Lattice.hexagonal(3.86, 5.30), species, [[0, 0, 0], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])


def test_an_anion_in_the_place_of_a_metal_has_more_bonds_than_its_shell_holds():
    assert verdict_of(telluride(['Ni', 'Te', 'Te']), AnionSaturation()).value == 0
    verdict = verdict_of(telluride(['Te', 'Ni', 'Te']), AnionSaturation())
    assert verdict.verdict == 'fail'
    assert verdict.value > 1.5
    assert 'Te' in verdict.reason
    # the two bonds of pyrite and peroxide are half of what the shell takes
    assert verdict_of(PEROXIDE, AnionSaturation()).value == pytest.approx(0.35, abs=0.15)
    assert verdict_of(telluride(['Ni', 'Al', 'Al']), AnionSaturation()).verdict == 'not_applicable'


def chain_of_metals(distance, metals=('Nb', 'Ni'), anion='Te'):
    """Return chains of two metals in turn, surrounded by anions at 2.8 Å."""
    return Structure(
        Lattice.orthorhombic(2 * distance, 8, 8),
        [*metals, anion, anion],
        [[0, 0, 0], [0.5, 0, 0], [0.25, 0.3, 0], [0.75, -0.3, 0]],
    )


def test_metals_with_d_electrons_may_be_bonded_to_each_other():
    bonded = chain_of_metals(2.5)
    assert Crystal(bonded).bonding.metal_bonded.tolist() == [True, True, False, False]
    assert verdict_of(bonded, ChargeAlternation()).verdict == 'pass'
    # too far apart, closed d shells, or ions of an oxide
    for other in (chain_of_metals(2.9), chain_of_metals(2.5, ('Zn', 'Cd')), chain_of_metals(2.5, anion='O')):
        assert not Crystal(other).bonding.metal_bonded.any()
    assert verdict_of(chain_of_metals(2.5, anion='O'), ChargeAlternation()).verdict == 'fail'


def test_pairs_among_the_anions_lower_the_charge_of_the_cations():
    # one of two selenium atoms per bismuth is part of a pair: (Bi3+)2 (Se2−)2 (Se2)2−
    structure = Structure(
        Lattice.orthorhombic(6, 6, 14),
        ['Bi', 'Bi', 'Se', 'Se', 'Se', 'Se'],
        [[0, 0, 0], [0.5, 0.5, 0.2], [0.5, 0, 0.1], [0, 0.5, 0.1], [0.2, 0.5, 0.6], [0.6, 0.5, 0.6]],
    )
    assert Crystal(structure).bonding.model.assignment.states == {'Bi': 3.0, 'Se': -1.5}

"""Tests for :mod:`aiida_qagenai.chemistry.orderings`, its superlattices and its ranking."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from magnetic_crystals import body_centred, corundum, layered, perovskite, rock_salt_cell, rutile, spinel
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from aiida_qagenai.chemistry.moments import initial_moments
from aiida_qagenai.chemistry.orderings import MagneticCrystal, find_orderings
from aiida_qagenai.chemistry.superlattices import hermite_form, hermite_forms
from aiida_qagenai.chemistry.symmetry import fingerprint
from aiida_qagenai.common.errors import InvalidInputError

DECORATIONS = {
    1: {'Mn': 'Mn', 'Fe': 'Fe', 'Cr': 'Cr', 'Ni': 'Ni'},
    -1: {'Mn': 'Tc', 'Fe': 'Ru', 'Cr': 'Mo', 'Ni': 'Pd'},
}
"""Element that stands for one with its moment up or down."""


def orderings(structure, **limits):
    limits = {'max_atoms': 4 * len(structure), 'max_orderings': 100, **limits}
    return find_orderings(structure, initial_moments(structure).values, **limits)


def decorated(ordering, sign=1):
    """Return the cell of an ordering with elements for the directions of the moments, and nothing without one."""
    sites = [index for index, moment in enumerate(ordering.moments) if moment]
    species = [
        DECORATIONS[int(np.sign(sign * ordering.moments[index]))][ordering.cell[index].specie.symbol] for index in sites
    ]
    return Structure(ordering.cell.lattice, species, ordering.cell.frac_coords[sites])


def label(ordering):
    """Return what does not depend on cell, orientation, order of the atoms and the global flip."""
    return len(ordering.cell), ordering.kind, min(fingerprint(decorated(ordering, sign)) for sign in (1, -1))


def antiparallel(ordering, distance, tolerance=0.05):
    """Return which share of the neighbours of the magnetic sites at a distance is antiparallel."""
    cell = decorated(ordering)
    pairs = [
        cell[index].specie != neighbour.specie
        for index in range(len(cell))
        for neighbour in cell.get_neighbors(cell[index], distance + tolerance)
        if neighbour.nn_distance > distance - tolerance
    ]
    return np.mean(pairs)


def test_numbers_of_superlattices():
    """As many as in table I of Hart and Forcade, each in its normal form."""
    assert [len(set(hermite_forms(index))) for index in range(1, 9)] == [1, 7, 13, 35, 31, 91, 57, 155]
    assert all(hermite_form(np.array(form)) == form for form in hermite_forms(6))


@given(index=st.integers(1, 8), seed=st.integers(0, 10_000))
def test_the_normal_form_does_not_depend_on_the_vectors(index, seed):
    """Integer combinations of the rows, and vectors that add nothing, leave it as it is."""
    rng = np.random.default_rng(seed)
    forms = hermite_forms(index)
    form = forms[rng.integers(len(forms))]
    rows = np.array(form)
    for _ in range(6):
        i, j = rng.choice(3, 2, replace=False)
        rows[i] += rng.integers(-2, 3) * rows[j]
    assert hermite_form(rows) == form
    assert hermite_form(np.concatenate([rows, rng.integers(-3, 3, (2, 3)) @ np.array(form)])) == form


def test_vectors_that_span_no_lattice_are_refused():
    """Two of the three are parallel."""
    with pytest.raises(InvalidInputError, match='linearly dependent'):
        hermite_form(np.array([[1, 0, 0], [2, 0, 0], [0, 0, 1]]))


def test_rock_salt_has_both_antiferromagnetic_orders_in_four_atoms():
    """AFM-II, with all second neighbours antiparallel, comes first; AFM-I is the other one."""
    found = orderings(rock_salt_cell(), max_atoms=4).orderings
    assert [each.name for each in found] == ['ferromagnetic', 'antiferromagnetic_1', 'antiferromagnetic_2']
    assert [antiparallel(each, 4.44) for each in found] == [0.0, 1.0, 0.0]
    assert [antiparallel(each, 4.44 / 2**0.5) for each in found] == pytest.approx([0.0, 1 / 2, 2 / 3])
    assert sorted(found[1].moments) == [-5.0, 0.0, 0.0, 5.0]


@pytest.mark.parametrize(
    ('structure', 'max_atoms', 'distance'),
    [(perovskite(), 10, 3.73), (rutile(), 6, 3.423), (body_centred(), 2, 2.4855)],
    ids=['G-type', 'rutile', 'B2'],
)
def test_the_first_antiferromagnetic_order_is_that_of_the_neighbours(structure, max_atoms, distance):
    """All neighbours antiparallel where no frustration forbids it: the ground states of CaMnO3 and chromium."""
    found = orderings(structure, max_atoms=max_atoms).orderings
    first = next(each for each in found if each.kind == 'antiferromagnetic')
    assert antiparallel(first, distance) == 1.0


def test_corundum_has_the_orders_of_hematite_and_of_chromia():
    """Hematite's comes first, by its bridges; in Cr2O3 neighbours along and across the layers are antiparallel."""
    found = {each.name: each for each in orderings(corundum(), max_atoms=10).orderings}
    shares = {name: [antiparallel(each, d) for d in (2.65, 2.88)] for name, each in found.items()}
    assert shares['antiferromagnetic_1'] == [1.0, 0.0]
    assert [1.0, 1.0] in shares.values()


@pytest.mark.parametrize(
    ('structure', 'max_atoms', 'counts'),
    [
        (rock_salt_cell(), 8, {(2, 'ferromagnetic'): 1, (4, 'antiferromagnetic'): 2, (8, 'antiferromagnetic'): 5}),
        (perovskite(), 10, {(5, 'ferromagnetic'): 1, (10, 'antiferromagnetic'): 3}),
        (rutile(), 6, {(6, 'ferromagnetic'): 1, (6, 'antiferromagnetic'): 1}),
        (corundum(), 10, {(10, 'ferromagnetic'): 1, (10, 'antiferromagnetic'): 3}),
        (layered(), 8, {(4, 'ferromagnetic'): 1, (8, 'antiferromagnetic'): 3}),
    ],
    ids=['rock-salt', 'perovskite', 'rutile', 'corundum', 'layered'],
)
def test_numbers_of_orderings(structure, max_atoms, counts):
    """A, C and G in perovskites, the three of Cr2O3, and what brute force finds in fcc (below)."""
    found = orderings(structure, max_atoms=max_atoms).orderings
    keys = [(len(each.cell), each.kind) for each in found]
    assert {key: keys.count(key) for key in keys} == counts


@pytest.mark.parametrize('structure', [rock_salt_cell(), body_centred()], ids=['fcc', 'bcc'])
def test_as_many_as_by_brute_force(structure):
    """All signs in all cells of two and four magnetic sites, grouped by pymatgen's matcher."""
    metal = structure.copy()
    metal.remove_species(['O'])
    symbol = metal[0].specie.symbol
    up, down = DECORATIONS[1][symbol], DECORATIONS[-1][symbol]
    matcher = StructureMatcher(
        primitive_cell=True, scale=False, attempt_supercell=False, ltol=0.01, stol=0.01, angle_tol=0.1
    )
    for index in (2, 4):
        cells = []
        for form in hermite_forms(index):
            cell = metal.make_supercell(np.array(form), in_place=False)
            for chosen in itertools.combinations(range(1, index), index // 2 - 1):
                species = [up if site in (0, *chosen) else down for site in range(index)]
                decorated_cell = Structure(cell.lattice, species, cell.frac_coords)
                if len(decorated_cell.get_primitive_structure()) == index:
                    cells.append(decorated_cell)
        groups = []
        for cell in cells:
            flipped = Structure(cell.lattice, [down if s.symbol == up else up for s in cell.species], cell.frac_coords)
            if not any(matcher.fit(other, each) for other in groups for each in (cell, flipped)):
                groups.append(cell)
        found = orderings(structure, max_atoms=index * len(structure)).orderings
        size = index * len(structure)
        assert sum(len(each.cell) == size for each in found) == len(groups)


@pytest.mark.parametrize(
    'structure', [rock_salt_cell(), rutile(), spinel(), layered()], ids=['rock-salt', 'rutile', 'spinel', 'layered']
)
def test_no_two_are_the_same(structure):
    """Decorated with elements, pymatgen's matcher finds none of them in another, nor flipped."""
    found = orderings(structure, max_atoms=max(8, len(structure))).orderings
    matcher = StructureMatcher(primitive_cell=True, scale=False)
    for first, second in itertools.combinations(found, 2):
        assert not any(matcher.fit(decorated(first), decorated(second, sign)) for sign in (1, -1))
    assert len({each.name for each in found}) == len(found)


def other_description(structure, seed):
    """Return the crystal in another primitive cell, turned, moved, and with its atoms in another order."""
    rng = np.random.default_rng(seed)
    basis = np.eye(3, dtype=int)
    for _ in range(4):
        i, j = rng.choice(3, 2, replace=False)
        basis[i] += rng.integers(-1, 2) * basis[j]
    order = rng.permutation(len(structure))
    rotation = Rotation.random(rng=rng).as_matrix()
    lattice = Lattice(basis @ structure.lattice.matrix @ rotation.T)
    places = structure.cart_coords @ rotation.T + rng.normal(size=3)
    species = [structure[int(index)].specie for index in order]
    return Structure(lattice, species, places[order], coords_are_cartesian=True)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), which=st.sampled_from([(rock_salt_cell, 8), (rutile, 6), (body_centred, 3)]))
def test_orderings_do_not_depend_on_the_description(seed, which):
    """Neither on the primitive cell, the orientation, the origin, nor the order of the atoms; names included."""
    structure, max_atoms = which[0](), which[1]
    first = orderings(structure, max_atoms=max_atoms)
    second = orderings(other_description(structure, seed), max_atoms=max_atoms)
    assert [each.name for each in first.orderings] == [each.name for each in second.orderings]
    assert sorted(map(label, first.orderings)) == sorted(map(label, second.orderings))


@settings(deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_canonical_form_knows_equal_orderings(seed):
    """Of the same signs moved by a symmetry, by a translation or flipped, in a random cell of four manganese atoms."""
    rng = np.random.default_rng(seed)
    crystal = MagneticCrystal(rock_salt_cell(), [5.0, 0.0])
    forms = hermite_forms(4)
    form = forms[rng.integers(len(forms))]
    signs = rng.permutation([1, 1, -1, -1])
    operation = int(rng.integers(len(crystal.symmetry.rotations)))
    target = crystal.symmetry.forms(form)[operation]
    moved = np.zeros(4, dtype=int)
    moved[crystal.symmetry.place(form, [operation], target)[0]] = signs
    shifted = moved[crystal.symmetry.translations(target)[rng.integers(4)]]
    assert crystal.canonical(target, -shifted) == crystal.canonical(form, signs)


def test_names_do_not_depend_on_the_limits():
    """A smaller cell or budget only cuts the list, and says what was left out."""
    everything = orderings(rock_salt_cell(), max_atoms=8)
    few = orderings(rock_salt_cell(), max_atoms=8, max_orderings=4)
    small = orderings(rock_salt_cell(), max_atoms=4)
    names = [each.name for each in everything.orderings]
    assert [each.name for each in few.orderings] == names[:4]
    assert [each.name for each in small.orderings] == names[:3]
    assert everything.left_out == ()
    assert few.left_out == ('4 orderings beyond the 4 that are asked for',)
    two = orderings(rock_salt_cell(), max_atoms=8, max_orderings=3)
    assert two.left_out == ('cells with more than 4 atoms: 3 smaller ones suffice',)


def test_a_conventional_cell_gives_the_same_orderings():
    """Orderings start from the primitive cell; each site of the crystal knows its place in the cell."""
    conventional = rock_salt_cell().make_supercell([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    found = orderings(conventional, max_atoms=4).orderings
    assert [label(each) for each in found] == [
        label(each) for each in orderings(rock_salt_cell(), max_atoms=4).orderings
    ]
    for each in found:
        assert len(each.sites) == 8
        for site, index in zip(conventional, each.sites, strict=True):
            assert site.specie == each.cell[index].specie
            offset = each.cell.lattice.get_fractional_coords(site.coords) - each.cell.frac_coords[index]
            assert np.allclose(offset, np.rint(offset), atol=1e-6)


def test_moments_with_signs_come_first():
    """AFM-I in the conventional cell is known as one of the enumerated orderings, and moves to the front."""
    cell = rock_salt_cell().make_supercell([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    up = np.isclose((cell.cart_coords - cell.cart_coords[0])[:, 2] % 4.44, 0, atol=0.1)
    moments = [5.0 * (1 if is_up else -1) * (site.specie.symbol == 'Mn') for is_up, site in zip(up, cell, strict=True)]
    found = find_orderings(cell, moments, max_atoms=4, max_orderings=2)
    assert [each.name for each in found.orderings] == ['antiferromagnetic_2', 'ferromagnetic']
    assert len(found.orderings[0].cell) == 4
    assert found.left_out == ('1 orderings beyond the 2 that are asked for',)


@pytest.mark.parametrize('sign', [1, -1])
def test_the_global_flip_changes_nothing(sign):
    """Of given moments with one sign, and with both."""
    cell = rock_salt_cell().make_supercell([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    one = [5.0 * (site.specie.symbol == 'Mn') for site in cell]
    both = [(-1) ** index * moment for index, moment in enumerate(one)]
    for moments in (one, both):
        found = find_orderings(cell, [sign * moment for moment in moments], max_atoms=4, max_orderings=3).orderings
        expected = find_orderings(cell, moments, max_atoms=4, max_orderings=3).orderings
        assert [each.name for each in found] == [each.name for each in expected]
        assert [label(each) for each in found] == [label(each) for each in expected]


def test_signs_that_are_not_enumerated_are_kept():
    """Three up and one down of equal sites: no ordering of the list, but given."""
    cell = rock_salt_cell().make_supercell([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    manganese = [index for index, site in enumerate(cell) if site.specie.symbol == 'Mn']
    moments = [0.0] * 8
    for index, moment in zip(manganese, (5, 5, 5, -5), strict=True):
        moments[index] = moment
    found = find_orderings(cell, moments, max_atoms=4, max_orderings=3).orderings
    assert [each.name for each in found] == ['given', 'ferromagnetic', 'antiferromagnetic_1']
    assert (found[0].kind, len(found[0].cell)) == ('ferrimagnetic', 8)
    assert sorted(found[0].moments) == [-5, 0, 0, 0, 0, 5, 5, 5]


def test_sublattices_may_be_antiparallel_as_a_whole():
    """The two sites of a spinel: ferrimagnetic, as in magnetite, and among the first."""
    kinds = [each.kind for each in orderings(spinel(), max_atoms=14).orderings]
    assert kinds[:2] == ['ferromagnetic', 'ferrimagnetic']


def test_sizes_of_moments_tell_sites_apart():
    """Two sites of different moments are ferrimagnetic in a cell in which equal ones are antiferromagnetic."""
    cell = Structure(Lattice.cubic(3), ['Mn', 'Mn'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    equal = find_orderings(cell, [3.0, 3.0], max_atoms=2, max_orderings=10).orderings
    different = find_orderings(cell, [3.0, 2.0], max_atoms=2, max_orderings=10).orderings
    assert [len(each.cell) for each in equal] == [1, 2, 2]
    assert [each.name for each in different] == ['ferromagnetic', 'ferrimagnetic_1']
    assert different[1].moments == (3.0, -2.0)


def test_the_crystal_without_moments_comes_last():
    """If it is asked for and has an even number of electrons."""
    found = orderings(rock_salt_cell('Ni'), max_atoms=2, nonmagnetic=True)
    assert [each.name for each in found.orderings] == ['ferromagnetic', 'nonmagnetic']
    assert found.orderings[1].moments == (0.0, 0.0)
    odd = orderings(rock_salt_cell('Mn'), max_atoms=2, nonmagnetic=True)
    assert [each.name for each in odd.orderings] == ['ferromagnetic']
    assert odd.left_out == ('the non-magnetic solution: an odd number of electrons per cell',)


def test_a_cell_with_too_many_patterns_has_two_orderings():
    """A chain of 16 sites without symmetry: parallel, and alternating as its couplings want."""
    rng = np.random.default_rng(1)
    heights = (np.arange(16) + rng.uniform(-0.02, 0.02, 16)) / 16
    places = np.column_stack([0.02 * rng.random((16, 2)), heights])
    chain = Structure(Lattice.tetragonal(9.0, 40.0), ['Fe'] * 16, places)
    found = orderings(chain, max_atoms=16)
    assert [each.kind for each in found.orderings] == ['ferromagnetic', 'antiferromagnetic']
    assert found.orderings[1].moments == (3.0, -3.0) * 8
    assert found.left_out == ('1 cells with 16 atoms: more than 20000 patterns of signs',)


@pytest.mark.parametrize(
    ('moments', 'max_atoms', 'text'),
    [
        ([0.0, 0.0], 8, 'no site with a moment'),
        ([5.0], 8, '1 moments for 2 atoms'),
        ([5.0, 0.0], 1, 'has 2 atoms, orderings may have 1'),
    ],
)
def test_what_has_no_orderings_is_refused(moments, max_atoms, text):
    """With a text that says why."""
    with pytest.raises(InvalidInputError, match=text):
        find_orderings(rock_salt_cell(), moments, max_atoms=max_atoms, max_orderings=5)


def test_without_symmetry_the_identity_is_left(monkeypatch):
    """Where spglib fails, no two orderings are taken for equal but by translations and the global flip."""

    def fail(*_, **__):
        raise RuntimeError('no symmetry')

    monkeypatch.setattr('spglib.get_symmetry_dataset', fail)
    found = orderings(rock_salt_cell(), max_atoms=4).orderings
    assert [each.kind for each in found] == ['ferromagnetic', *['antiferromagnetic'] * 7]

"""Tests for :mod:`aiida_qagenai.exchange.readers.cif`: what is read, and what is refused rather than read wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.cif import CifWriter

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.readers.cif import read_cif
from tests.fixtures.cif_texts import cif_text

CUBIC = (5.43, 5.43, 5.43, 90.0, 90.0, 90.0)
LABELS = 'label fract_x fract_y fract_z'


def one(text):
    """Return formula and structure of the only block, or the problem."""
    [item] = read_cif(text)
    return item.problem or item.structure.composition.formula.replace(' ', '')


def structure_of(text):
    [item] = read_cif(text)
    assert not item.problem, item.problem
    return item.structure


@pytest.mark.parametrize(
    ('symbol', 'x', 'expected'),
    [
        ('F d -3 m S', 0, 'Ge8'),
        ('F d -3 m Z', 0.125, 'Ge8'),
        ('F d -3 m :1', 0, 'Ge8'),
        ('Fd-3m:2', 0.125, 'Ge8'),
        ('F d -3 m (origin choice 2)', 0.125, 'Ge8'),
        ('F d 3 m S', 0, 'Ge8'),
        ('F D -3 M Z', 0.125, 'Ge8'),
        ('F d -3 m Z', 0, 'Ge16'),
        ('F d -3 m', 0, 'does not name its setting: it may be `F d -3 m:1` with Ge8'),
        ('F q -3 m', 0, 'is not known: add the operations'),
    ],
)
def test_two_origins(symbol, x, expected):
    assert expected in one(cif_text(f'Ge1 Ge {x} {x} {x}', CUBIC, symbol=symbol))


@pytest.mark.parametrize(
    'claim', [{'z': 8, 'formula': 'Ge'}, {'density': 5.33}, {'formula': 'Ge8'}, {'hall': 'F 4d 2 3 -1d'}]
)
def test_the_origin_is_told_by_what_else_the_file_says(claim):
    claim = {'formula': 'Ge'} | claim
    if claim['formula'] == 'Ge8':
        claim['z'] = 1
    cell = (5.66, 5.66, 5.66, 90, 90, 90)
    for named in ({'symbol': 'F d -3 m'}, {'number': 227}):
        assert one(cif_text('Ge1 Ge 0 0 0', cell, **named, **claim)) == 'Ge8'


def test_every_group_with_two_origins_is_read_as_it_says():
    import gemmi

    for group in gemmi.spacegroup_table():
        if group.ext not in '12' or group.ext == '\0':
            continue
        edges = (16, 16, 16) if group.number >= 195 else (16, 16, 17) if group.number >= 75 else (15, 16, 17)
        site = 'Mn1 Mn 0.11 0.23 0.37'
        for suffix in (f':{group.ext}', ' S' if group.ext == '1' else ' Z', f' :{group.ext}'):
            text = cif_text(site, (*edges, 90, 90, 90), symbol=f'{group.hm}{suffix}', number=group.number)
            expected = Structure.from_sites(structure_of(text))
            assert len(expected) == len(group.operations())
            listed = tuple(operation.triplet() for operation in group.operations())
            direct = structure_of(cif_text(site, (*edges, 90, 90, 90), operations=listed))
            assert np.allclose(
                np.sort(expected.frac_coords.round(6), axis=0), np.sort(direct.frac_coords.round(6), axis=0)
            )


RHOMBOHEDRAL = (5.75, 5.75, 5.75, 47.2, 47.2, 47.2)
HEXAGONAL = (4.605, 4.605, 15.44, 90, 90, 120)  # not the same crystal


@pytest.mark.parametrize('suffix', ['RS', 'R', ':R', ':r', '', 'r'])
def test_rhombohedral_axes(suffix):
    sites = 'Mg1 Mg 0 0 0\nC1 C 0.25 0.25 0.25\nO1 O 0.528 -0.028 0.25'
    text = cif_text(sites, RHOMBOHEDRAL, symbol=f'R -3 c {suffix}', formula='Mg C O3', z=2)
    assert one(text) == 'Mg2C2O6'


@pytest.mark.parametrize('suffix', ['H', ':H', ':h', 'HR', '', 'h'])
def test_hexagonal_axes(suffix):
    sites = 'Mg1 Mg 0 0 0\nC1 C 0 0 0.25\nO1 O 0.278 0 0.25'
    text = cif_text(sites, HEXAGONAL, symbol=f'R -3 c {suffix}', formula='Mg C O3', z=6)
    assert one(text) == 'Mg6C6O18'


def test_a_cell_that_does_not_suit_the_symbol_is_refused():
    text = cif_text('Mg1 Mg 0 0 0', HEXAGONAL, symbol='R -3 c :R')
    assert 'does not have the symmetry of `R -3 c:R`' in one(text)


@pytest.mark.parametrize(
    ('symbol', 'cell', 'operations'),
    [
        ('P 21/n', (4, 5, 6, 90, 101, 90), ('x,y,z', '1/2-x,1/2+y,1/2-z', '-x,-y,-z', '1/2+x,1/2-y,1/2+z')),
        ('P 1 1 21/b', (4, 5, 6, 90, 90, 101), ('x,y,z', '-x,1/2-y,1/2+z', '-x,-y,-z', 'x,1/2+y,1/2-z')),
        ('P 21/b', (4, 5, 6, 90, 90, 101), ('x,y,z', '-x,1/2-y,1/2+z', '-x,-y,-z', 'x,1/2+y,1/2-z')),
        ('P2_1/c', (4, 5, 6, 90, 101, 90), ('x,y,z', '-x,1/2+y,1/2-z', '-x,-y,-z', 'x,1/2-y,1/2+z')),
        ('P n a 21', (4, 5, 6, 90, 90, 90), ('x,y,z', '-x,-y,z+1/2', 'x+1/2,-y+1/2,z', '-x+1/2,y+1/2,z+1/2')),
        ('I 1 a 1', (4, 5, 6, 90, 101, 90), ('x,y,z', 'x+1/2,-y,z', 'x+1/2,y+1/2,z+1/2', 'x,1/2-y,z+1/2')),
    ],
)
def test_unusual_axes(symbol, cell, operations):
    site = 'Te1 Te 0.12 0.23 0.34'
    by_symbol, by_operations = (
        structure_of(cif_text(site, cell, **how)) for how in ({'symbol': symbol}, {'operations': operations})
    )
    order = [np.lexsort(found.frac_coords.round(5).T) for found in (by_symbol, by_operations)]
    assert np.allclose(by_symbol.frac_coords[order[0]] % 1, by_operations.frac_coords[order[1]] % 1)


def test_operations_that_contradict_the_symbol_need_other_evidence():
    rock_salt = 'Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5'
    values = {'symbol': 'F m -3 m', 'operations': ('x,y,z',)}
    assert 'its operations are those of space group 1' in one(cif_text(rock_salt, CUBIC, **values))
    [item] = read_cif(cif_text(rock_salt, CUBIC, formula='Cl Na', z=4, **values))
    assert item.structure.composition.formula == 'Na4 Cl4'
    assert any('space group 1' in text for text in item.warnings)
    assert 'Z = 3' in one(cif_text(rock_salt, CUBIC, formula='Cl Na', z=3, **values))


def test_operations_with_one_missing():
    values = {'operations': ('x,y,z', '-x,-y,z', '-x,y,-z')}
    assert 'not a group' in one(cif_text('Na1 Na 0.1 0.2 0.3', CUBIC, **values))
    assert one(cif_text('Na1 Na 0.1 0.2 0.3', CUBIC, symbol='P 2 2 2', **values)) == 'Na4'


def test_only_a_number():
    perovskite = 'Gd1 Gd 0.06 0.25 0.983\nFe1 Fe 0 0 0.5\nO1 O 0.467 0.25 0.1\nO2 O 0.3 0.05 0.7'
    cell = (5.61, 7.67, 5.35, 90, 90, 90)
    assert one(cif_text(perovskite, cell, number=62, formula='Fe Gd O3', z=4)) == 'Gd4Fe4O12'
    # the axes of P b n m: only that setting agrees with the formula
    other = 'Gd1 Gd 0.983 0.06 0.25\nFe1 Fe 0.5 0 0\nO1 O 0.1 0.467 0.25\nO2 O 0.7 0.3 0.05'
    text = cif_text(other, (5.35, 5.61, 7.67, 90, 90, 90), number=62, formula='Fe Gd O3', z=4)
    assert 'it may be' in one(text) or one(text) == 'Gd4Fe4O12'
    assert 'expected 1 to 230' in one(cif_text('Na1 Na 0 0 0', CUBIC, number=231))
    assert 'names number 225' in one(cif_text('Na1 Na 0 0 0', CUBIC, number=225, symbol='P m -3 m'))


WURTZITE = (3.82, 3.82, 6.26, 90, 90, 120)


@pytest.mark.parametrize(
    ('x', 'y'),
    [
        ('0.333', '0.667'),
        ('0.3333', '0.6667'),
        ('.333(1)', '.667(1)'),
        ('0.33', '0.67'),
        ('1/3', '2/3'),
        ('0.33333', '0.66667'),
    ],
)
@pytest.mark.parametrize('how', [{'symbol': 'P 63 m c'}, {'number': 186}, {'hall': 'P 6c -2c'}])
def test_rounded_thirds(x, y, how):
    text = cif_text(f'Cd1 Cd {x} {y} 0\nS1 S {x} {y} 0.377', WURTZITE, formula='Cd S', z=2, **how)
    found = structure_of(text)
    assert found.composition.formula == 'Cd2 S2'
    exact = structure_of(cif_text('Cd1 Cd 1/3 2/3 0\nS1 S 1/3 2/3 0.377', WURTZITE, symbol='P 63 m c'))
    assert StructureMatcher().fit(found, exact)
    assert np.allclose(sorted(found.distance_matrix[0]), sorted(exact.distance_matrix[0]), atol=1e-3)


def test_rounded_sixths():
    sites = 'Mg1 Mg 0.17 0.34 0.25'
    assert one(cif_text(sites, (5.2, 5.2, 8.5, 90, 90, 120), symbol='P 63/m m c', formula='Mg', z=6)) == 'Mg6'
    assert 'its own image' in one(cif_text('Mg1 Mg 0.36 0.64 0.25', (3.2, 3.2, 5.2, 90, 90, 120), symbol='P 63/m m c'))


@pytest.mark.parametrize('label', ['OH', 'Oh', 'O-H', 'OH1', 'Ow', 'OW1', 'Wat', 'Wat1', 'O', 'O1', 'O2-', 'W1'])
def test_labels_of_groups_are_never_oxygen_without_its_hydrogen(label):
    sites = f'Ni1 0 0 0\n{label} 0.33333 0.66667 0.23'
    text = cif_text(sites, (3.13, 3.13, 4.6, 90, 90, 120), columns=LABELS, symbol='P -3 m 1', formula='H2 Ni O2')
    assert 'lists H2 in its formula `H2 Ni O2`, but no H atom is located' in one(text)


@pytest.mark.parametrize('label', ['OH', 'Oh', 'O-H', 'OW1', 'Wat', 'Wat1', 'NH4', 'H2O'])
def test_labels_of_groups_without_a_formula(label):
    text = cif_text(f'Ni1 0 0 0\n{label} 0.3 0.6 0.2', columns=LABELS)
    assert 'but no H atom is located' in one(text) or label in {'NH4', 'H2O'}
    assert 'Ni' not in one(text) or 'located' in one(text) or 'H' in one(text)


@pytest.mark.parametrize(
    ('label', 'formula', 'expected'),
    [
        ('Ca1A', '', 'Ca1'),
        ('CA1', '', 'may be C or Ca'),
        ('CA1', 'Ca', 'Ca1'),
        ('CA1', 'C', 'C1'),
        ('HG1', 'Hg', 'Hg1'),
        ('Hg', '', 'Hg1'),
        ('HG', '', 'may be H or Hg'),
        ('O2-', '', 'O1'),
        ('MgM1', '', 'Mg1'),
        ('SiT1', '', 'Si1'),
        ('OA1', '', 'O1'),
        ('D1', '', 'H1'),
        ('W1', 'W', 'W1'),
        ('ZN1', '', 'Zn1'),
        ('X1', '', 'is not an element'),
        ('M1', '', 'is not an element'),
        ('1', '', 'is not an element'),
    ],
)
def test_elements_by_their_labels(label, formula, expected):
    values = {'formula': formula} if formula else {}
    assert expected in one(cif_text(f'{label} 0.1 0.2 0.3', columns=LABELS, **values))


@pytest.mark.parametrize(
    ('symbol', 'expected'),
    [
        ('Fe3+', 'Fe1'),
        ('O2-', 'O1'),
        ('Ca+2', 'Ca1'),
        ('Cval', 'C1'),
        ('D', 'H1'),
        ('FE', 'Fe1'),
        ('OH', 'is not an el'),
        ('Xx', 'is not'),
    ],
)
def test_type_symbols(symbol, expected):
    assert expected in one(cif_text(f'a1 {symbol} 0.1 0.2 0.3'))


def test_hydrogen_that_is_attached_but_not_located():
    columns = 'label type_symbol fract_x fract_y fract_z attached_hydrogens'
    sites = 'Al1 Al 0 0 0 .\nO1 O 0.5 0.5 0.5 1'
    assert '1 H atoms are attached' in one(cif_text(sites, columns=columns))
    water = 'Ca1 Ca 0 0 0\nS1 S 0.5 0.5 0.5\nO1 O 0.5 0 0\nO2 O 0 0.5 0\nO3 O 0 0 0.5\nO4 O 0.5 0.5 0'
    assert 'lists H4' in one(cif_text(water, formula='Ca H4 O6 S'))


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        ({'formula': 'Na Cl', 'z': 1}, 'Na1Cl1'),
        ({'formula': 'Na2 Cl2', 'z': 2}, 'Na1Cl1'),
        ({'formula': 'Na Cl', 'z': 4}, 'it has Z = 4 units of `Na Cl`, but the atoms in its cell are Na1Cl1'),
        ({'formula': 'Na Cl2'}, 'its formula is `Na Cl2`, but the atoms in its cell are Na1Cl1'),
        ({'formula': 'Na Cl K'}, 'no K atom is located'),
        ({'formula': 'Na'}, 'its formula is `Na`'),
        ({'density': 0.776}, 'Na1Cl1'),
        ({'density': 2.16}, 'its density is 2.16'),
        ({'volume': 125.0}, 'Na1Cl1'),
        ({'volume': 179.4}, 'its cell volume is 179.4'),
        ({'z': 'many'}, 'not a number'),
    ],
)
def test_what_a_block_says_of_itself_is_checked(values, expected):
    assert expected in one(cif_text('Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5', **values))


@pytest.mark.parametrize(
    ('formula', 'cell'), [('O2', 'O8'), ('O2', 'O1'), ('Li2O2', 'Li4 O4'), ('H2', 'H4'), ('NaCl', 'Na4 Cl4')]
)
def test_units_that_pymatgen_counts(formula, cell):
    """The formula of the cell beside the number of its molecules: pymatgen reduces O8 to O2 and Li4O4 to Li2O2."""
    structure = Structure(
        [[6, 0, 0], [0, 7, 0], [0, 0, 8]],
        [element for element, count in Composition(cell).items() for _ in range(int(count))],
        [[i / 2, j / 2, k / 2] for i in (0, 1) for j in (0, 1) for k in (0, 1)][: round(Composition(cell).num_atoms)],
    )
    text = str(CifWriter(structure))
    assert f'_chemical_formula_structural   {formula}' in text
    assert structure_of(text).composition == Composition(cell)
    assert 'it has Z = 3' in one(re.sub(r'_Z .*', '_Z 3', text))


def test_blocks_without_atoms_are_passed_over_and_all_others_read():
    journal = "data_global\n_journal_name_full 'Acta'\n_publ_section_title\n;\n Two salts\n;\n\n"
    first = cif_text('K1 K 0 0 0\nCl1 Cl 0.5 0.5 0.5', name='first salt')
    second = cif_text('K1 K 0 0 0\nBr1 Br 0.5 0.5 0.5', name='II')
    items = read_cif(f'{journal}{first}\ndata_empty\n\n{second}')
    assert [item.name for item in items] == ['first_salt', 'II']
    assert [item.structure.composition.reduced_formula for item in items] == ['KCl', 'KBr']
    nothing = journal + 'data_powder\n_cell_length_a 5\nloop_\n_pd_meas_2theta\n1\n2\n'
    with pytest.raises(InvalidInputError, match='no atoms: none of its blocks'):
        read_cif(nothing)
    broken = second.replace('0.5 0.5 0.5', '0.5 0.5 x')
    good, bad = read_cif(first + broken)
    assert good.structure is not None
    assert 'section 2: `_atom_site_fract_x` is ' in bad.problem


def test_partial_occupancies_are_kept_for_screening():
    columns = 'label type_symbol fract_x fract_y fract_z occupancy'
    found = structure_of(cif_text('Na1 Na 0 0 0 0.5\nK1 K 0 0 0 0.5\nCl1 Cl 0.5 0.5 0.5 1', columns=columns))
    assert not found.is_ordered
    assert len(found) == 2
    assert 'occupancy' in one(cif_text('Na1 Na 0 0 0 1.5', columns=columns))
    assert 'are 0 Å apart' in one(cif_text('Na1 Na 0 0 0 1\nK1 K 0 0 0 1', columns=columns))


def test_files_of_pymatgen_come_back():
    for group, sites in (('Fm-3m', [[0, 0, 0], [0.5, 0.5, 0.5]]), ('F-43m', [[0, 0, 0], [0.25, 0.25, 0.25]])):
        crystal = Structure.from_spacegroup(group, Lattice.cubic(5.6), ['Zn', 'S'], sites)
        for options in ({}, {'symprec': 0.01}):
            assert StructureMatcher().fit(structure_of(crystal.to(fmt='cif', **options)), crystal)


def test_a_file_that_is_not_quite_a_cif_is_read_with_a_warning():
    text = cif_text('Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5').replace('loop_', '_publ_author_name Müller, A.\nloop_')
    [item] = read_cif(text)
    assert item.structure.composition.reduced_formula == 'NaCl'
    assert any('not quite a CIF' in warning for warning in item.warnings)


def test_magnetic_moments_are_said_to_be_left_out():
    """Their symmetry is that of a magnetic group, which is not read."""
    moments = 'loop_\n_atom_site_moment_label\n_atom_site_moment_crystalaxis_z\nMn1 4.5\n'
    atoms = 'loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nMn1 0 0 0\n'
    cell = ''.join(f'_cell_length_{axis} 3\n' for axis in 'abc') + ''.join(
        f'_cell_angle_{angle} 90\n' for angle in ('alpha', 'beta', 'gamma')
    )
    [plain], [magnetic] = read_cif(f'data_a\n{cell}{atoms}'), read_cif(f'data_a\n{cell}{atoms}{moments}')
    assert not plain.problem and not magnetic.problem
    assert set(magnetic.warnings) - set(plain.warnings) == {'its magnetic moments are not read: give initial moments'}

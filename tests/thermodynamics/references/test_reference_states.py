"""Reference states of the elements, and formation energies against them."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.chemistry.moments import initial_moments
from aiida_qagenai.chemistry.orderings import find_orderings
from aiida_qagenai.thermodynamics.references.atomization import GROUND_STATE_SPIN
from aiida_qagenai.thermodynamics.references.reference_states import reference_state, self_consistent_formation_energy

FERRO = 'ferromagnetic'
DENSITY = {'Li': 0.534, 'Be': 1.85, 'C': 3.51, 'Na': 0.97, 'Mg': 1.74, 'Al': 2.70, 'Si': 2.33}
NEIGHBOURS = {'bcc': 8, 'fcc': 12, 'hcp': 12, 'diamond': 4}


@pytest.mark.parametrize('element', DENSITY)
def test_crystals(element):
    """Density of the handbook, coordination of the structure."""
    from pymatgen.core import Lattice, Structure

    state = reference_state(element)
    structure = Structure(Lattice(state.cell), [element] * state.num_atoms, state.positions, coords_are_cartesian=True)
    assert state.is_crystal and state.spin == 0
    # Li and Na contract by some per cent when they are cooled.
    assert structure.density == pytest.approx(DENSITY[element], rel=0.06)
    shortest = min(site.nn_distance for site in structure.get_neighbors(structure[0], 5.0))
    near = structure.get_neighbors(structure[0], 1.05 * shortest)
    assert len(near) == NEIGHBOURS[state.kind]


def test_molecules_and_atoms():
    """Diatomic gases, O2 a triplet, noble gases."""
    oxygen = reference_state('O')
    assert (oxygen.num_atoms, oxygen.spin, oxygen.is_crystal) == (2, 2, False)
    assert np.linalg.norm(oxygen.positions[0] - oxygen.positions[1]) == pytest.approx(1.2075)
    assert reference_state('Ar').num_atoms == 1
    assert [element for element in GROUND_STATE_SPIN if reference_state(element) is None] == [
        *('B', 'P', 'S', 'Mn', 'Ga', 'Br', 'In', 'Sn', 'I', 'Hg', 'Po', 'At', 'Rn'),
    ]


def test_formation_energy_is_per_atom_and_linear():
    """Of LiH against Li and H2."""
    elements = {'Li': -200.0, 'H': -15.0}
    assert self_consistent_formation_energy(-216.0, {'Li': 1, 'H': 1}, elements) == pytest.approx(-0.5)
    assert self_consistent_formation_energy(-432.0, {'Li': 2, 'H': 2}, elements) == pytest.approx(-0.5)
    assert self_consistent_formation_energy(-15.0, {'H': 1}, elements) == 0


@pytest.mark.parametrize(
    ('element', 'count', 'nearest'),
    [('Fe', 1, 2.485), ('Cu', 1, 2.553), ('Ge', 2, 2.450), ('As', 2, 2.51), ('Bi', 2, 3.07), ('Te', 3, 2.835)],
)
def test_distances_of_heavier_elements(element, count, nearest):
    """Nearest neighbours, Å, as experiment has them."""
    state = reference_state(element)
    structure = Structure(Lattice(state.cell), [element] * count, state.positions, coords_are_cartesian=True)
    assert state.num_atoms == count
    assert min(structure.get_neighbor_list(4.0)[3]) == pytest.approx(nearest, abs=0.03)


@pytest.mark.parametrize(
    ('element', 'kind', 'num_atoms'),
    [
        ('Fe', 'ferromagnetic', 1),
        ('Co', 'ferromagnetic', 2),
        ('Ni', 'ferromagnetic', 1),
        ('Cr', 'antiferromagnetic', 2),
    ],
)
def test_magnetic_metals_have_their_order(element, kind, num_atoms):
    """Each is one of the orderings that are enumerated for its crystal; in chromium all neighbours are antiparallel."""
    state = reference_state(element)
    crystal = Structure(Lattice(state.cell), [element] * state.num_atoms, state.positions, coords_are_cartesian=True)
    found = find_orderings(crystal, initial_moments(crystal).values, max_atoms=4, max_orderings=4).orderings
    ordering = next(each for each in found if each.name == state.ordering)
    assert (ordering.kind, len(ordering.cell)) == (kind, num_atoms)
    nearest = min(site.nn_distance for site in ordering.cell.get_neighbors(ordering.cell[0], 3.0))
    signs = [
        ordering.moments[0] * ordering.moments[site.index] > 0
        for site in ordering.cell.get_neighbors(ordering.cell[0], nearest + 0.01)
    ]
    assert all(signs) is (kind == FERRO) and len(set(signs)) == 1

"""Polyhedra that share corners, edges and faces."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from aiida_qagenai.exchange.geometry import GeometricConstraint
from aiida_qagenai.ml.penalties import CrystalBatch
from aiida_qagenai.ml.penalties.geometry import GeometryCrystals, measure, reach_of

RUTILE = Structure.from_spacegroup(
    'P4_2/mnm', Lattice.tetragonal(4.594, 2.959), ['Ti', 'O'], [[0, 0, 0], [0.305, 0.305, 0]]
)
PEROVSKITE = Structure.from_spacegroup(
    'Pm-3m', Lattice.cubic(3.905), ['Sr', 'Ti', 'O'], [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0]]
)
ROCK_SALT = Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.212), ['Mg', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]])
QUARTZ = Structure.from_spacegroup(
    'P3_221', Lattice.hexagonal(4.913, 5.405), ['Si', 'O'], [[0.47, 0, 2 / 3], [0.4135, 0.2669, 0.7858]]
)
NICKELINE = Structure.from_spacegroup(
    'P6_3/mmc', Lattice.hexagonal(3.602, 5.009), ['Ni', 'As'], [[0, 0, 0], [1 / 3, 2 / 3, 0.25]]
)


def measured(text, *structures):
    """Return what a constraint says about structures."""
    constraint = GeometricConstraint.model_validate(text)
    batch = CrystalBatch.from_structures(structures)
    return measure(constraint, GeometryCrystals(batch, reach_of([constraint], batch.numbers)))


@pytest.mark.parametrize(
    ('structure', 'pair', 'corners', 'edges', 'faces'),
    [
        (RUTILE, 'Ti,O', 8, 2, 0),
        (PEROVSKITE, 'Ti,O', 6, 0, 0),
        (ROCK_SALT, 'Mg,O', 6, 12, 0),
        (ROCK_SALT.get_primitive_structure(), 'Mg,O', 6, 12, 0),
        (QUARTZ, 'Si,O', 4, 0, 0),
        (NICKELINE, 'Ni,As', 12, 6, 2),
    ],
)
def test_links_of_known_crystals_are_counted_with_their_periodic_images(structure, pair, corners, edges, faces):
    for name, number in (('corner', corners), ('edge', edges), ('face', faces)):
        found = measured(f'{name}_sharing({pair})={number}', structure)
        assert found.value.item() == number and found.satisfied.item()
        assert measured(f'{name}_sharing({pair})={number + 1}', structure).loss.item() > 0
        other = measured(f'{name}_sharing({pair})<={number - 1}' if number else f'{name}_sharing({pair})', structure)
        assert other.loss.item() > 0 and not other.satisfied.item()


def test_what_is_linked_safely_has_no_loss():
    for text, structure in (('edge_sharing(Ti,O)=2', RUTILE), ('corner_sharing(Ti,O)=6', PEROVSKITE)):
        assert measured(text, structure).loss.item() == 0


def test_links_are_counted_whatever_the_cell():
    skewed = RUTILE.copy()
    skewed.make_supercell([[1, 0, 3], [0, 1, -2], [0, 0, 1]], to_unit_cell=True)
    assert np.linalg.cond(skewed.lattice.matrix) > 5
    assert measured('edge_sharing(Ti,O)=2', skewed).value.item() == 2
    assert measured('corner_sharing(Ti,O)=8', skewed).value.item() == 8


def test_a_share_of_the_polyhedra_may_be_asked_for():
    pair = [[0, 0, 0], [0, 3, 0], [1.5, 1.5, 0], [-1.5, 1.5, 0], [0, 12, 0], [2, 12, 0]]
    half = Structure(Lattice.cubic(24), ['Ti', 'Ti', 'O', 'O', 'Ti', 'O'], pair, coords_are_cartesian=True)
    assert measured('edge_sharing(Ti,O)=1; share=60%', half).satisfied.item()
    assert not measured('edge_sharing(Ti,O)=1', half).satisfied.item()


def test_octahedra_come_to_share_edges_along_the_gradient():
    """A linear chain of corners becomes one of edges: its ligands split into two bridges."""
    batch = CrystalBatch.from_structures(
        [
            Structure(
                Lattice.orthorhombic(3.2, 9, 9),
                ['Ti', 'O', 'O'],
                [[0, 0, 0], [0.5, 0.05, 0], [0.1, 0.3, 0]],
            )
        ]
    )
    constraint = GeometricConstraint.model_validate('edge_sharing(Ti,O)=2')
    reach = reach_of([constraint], batch.numbers)
    fractional = batch.fractional.clone().requires_grad_()
    optimiser = torch.optim.Adam([fractional], lr=0.01)
    for _ in range(150):
        found = measure(constraint, GeometryCrystals(CrystalBatch(batch.cells, fractional, batch.numbers), reach))
        if found.loss.item() == 0:
            break
        optimiser.zero_grad()
        found.loss.sum().backward()
        optimiser.step()
    assert found.satisfied.item() and found.loss.item() == 0

"""Losses of geometric constraints."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from aiida_qagenai.exchange.geometry import GeometricConstraint
from aiida_qagenai.ml.penalties import CrystalBatch
from aiida_qagenai.ml.penalties.geometry import GeometryCrystals, measure, reach_of

STISHOVITE = Structure.from_spacegroup(
    'P4_2/mnm', Lattice.tetragonal(4.18, 2.67), ['Si', 'O'], [[0, 0, 0], [0.306, 0.306, 0]]
)
CRISTOBALITE = Structure.from_spacegroup(
    'Fd-3m', Lattice.cubic(7.13), ['O', 'Si'], [[0.125, 0.125, 0.125], [0, 0, 0]]
).get_primitive_structure()
GRAPHITE = Structure(
    Lattice.hexagonal(2.46, 6.7), ['C'] * 4, [[0, 0, 0.25], [0, 0, 0.75], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
)
EXTENSIVE = (
    'coordination(Si,O)=6',
    'coordination(Si,[O,Si])=3..4',
    'mean_coordination(O,Si)=2±0.1',
    'bond_length(Si,O)=1.5..1.6',
    'octahedral(Si,O)',
    'tetrahedral(Si,O)',
    'corner_sharing(Si,O)=6..8',
    'edge_sharing(Si,O)',
    'face_sharing(Si,O)=1',
    'min_distance>=1.9',
    'min_distance(O,O)>=2.5',
    'volume_per_atom=6.8±5%',
    'density=3±5%',
)
CELLS = ('a=2.9..3.0', 'c/b=1.5..1.6', 'alpha=50..60', 'dimensionality=2')


def measured(text, *structures):
    """Return what a constraint says about structures."""
    constraint = GeometricConstraint.model_validate(text)
    batch = CrystalBatch.from_structures(structures)
    return measure(constraint, GeometryCrystals(batch, reach_of([constraint], batch.numbers)))


def distorted(seed):
    """Return a crystal of silicon and oxygen without symmetry, the atoms of which are not too close."""
    rng = np.random.default_rng(seed)
    structure = [STISHOVITE, CRISTOBALITE][seed % 2].copy()
    structure.apply_strain(rng.normal(scale=0.05, size=3))
    lattice = Lattice(structure.lattice.matrix + rng.normal(scale=0.1, size=(3, 3)))
    sites = structure.frac_coords + rng.normal(scale=0.04, size=(len(structure), 3))
    return Structure(lattice, structure.species, sites)


@pytest.mark.parametrize(
    ('structure', 'text', 'value', 'satisfied'),
    [
        (STISHOVITE, 'coordination(Si,O)=6', 6, True),
        (STISHOVITE, 'coordination(Si,O)=4', 6, False),
        (STISHOVITE, 'coordination(O,Si)=3', 3, True),
        (STISHOVITE, 'mean_coordination(Si,O)=6±0.1', 6, True),
        (STISHOVITE, 'octahedral(Si,O)', 4.48, True),
        (STISHOVITE, 'octahedral(Si,O)<=4', 4.48, False),
        (STISHOVITE, 'bond_length(Si,O)=1.7..1.9', 1.776, True),
        (STISHOVITE, 'bond_length(Si,O)=1.5..1.7', 1.776, False),
        (STISHOVITE, 'min_distance(O,O)>=2.2', 2.2, True),
        (STISHOVITE, 'min_distance(O,O)>=2.4', 2.294, False),
        (STISHOVITE, 'density=4.3±5%', 4.277, True),
        (STISHOVITE, 'volume_per_atom=7..8', 7.775, True),
        (STISHOVITE, 'a=2.6..2.7', 2.67, True),
        (STISHOVITE, 'c/a=1.5..1.6', 1.566, True),
        (STISHOVITE, 'gamma=80..85', 90, False),
        (STISHOVITE, 'dimensionality=2', 3, False),
        (CRISTOBALITE, 'coordination(Si,O)=4', 4, True),
        (CRISTOBALITE, 'tetrahedral(Si,O)<=1', 0, True),
        (CRISTOBALITE, 'alpha=60±1', 60, True),
        (GRAPHITE, 'dimensionality=2', 2, True),
        (GRAPHITE, 'dimensionality=1', 2, False),
        (GRAPHITE, 'coordination(C,C)=3', 3, True),
    ],
)
def test_known_crystals_are_judged(structure, text, value, satisfied):
    found = measured(text, structure)
    assert found.value.item() == pytest.approx(value, abs=2e-3)
    assert found.satisfied.item() is satisfied
    assert satisfied or found.loss.item() > 0


def test_a_share_counts_the_atoms_that_are_nearest_to_it():
    both = Structure(
        Lattice.orthorhombic(8, 20, 8),
        ['Si', 'O', 'O', 'Si', 'O'],
        [[0, 0, 0], [1.6, 0, 0], [-1.6, 0, 0], [0, 10, 0], [1.6, 10, 0]],
        coords_are_cartesian=True,
    )
    assert measured('coordination(Si,O)=2; share=50%', both).satisfied.item()
    assert measured('coordination(Si,O)=2; share=50%', both).loss.item() == 0
    every = measured('coordination(Si,O)=2', both)
    assert every.loss.item() > 0 and every.value.item() == 1.5 and not every.satisfied.item()


def test_structures_are_measured_by_themselves_and_an_absent_element_satisfies_nothing():
    silicon = Structure(Lattice.cubic(3), ['Si'], [[0, 0, 0]])
    for text in (*EXTENSIVE, *CELLS):
        together = measured(text, STISHOVITE, silicon, CRISTOBALITE)
        for row, structure in enumerate((STISHOVITE, silicon, CRISTOBALITE)):
            alone = measured(text, structure)
            torch.testing.assert_close(together.loss[row], alone.loss[0])
            torch.testing.assert_close(together.value[row], alone.value[0], equal_nan=True)
    absent = measured('coordination(Si,O)=0', silicon)
    assert absent.value.isnan().item() and absent.loss.item() == 0 and not absent.satisfied.item()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(EXTENSIVE + CELLS))
def test_losses_do_not_depend_on_origin_order_or_orientation(seed, text):
    structure = distorted(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(structure))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    same = Structure(
        structure.lattice.matrix @ turn,
        [structure[index].specie for index in order],
        structure.frac_coords[order] + rng.normal(size=3) + rng.integers(-2, 3, size=(len(order), 3)),
    )
    one, other = measured(text, structure), measured(text, same)
    torch.testing.assert_close(one.loss, other.loss, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(one.value, other.value, rtol=1e-6, atol=1e-9, equal_nan=True)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(EXTENSIVE), st.sampled_from([(2, 1, 1), (1, 1, 2), (2, 2, 1)]))
def test_losses_of_atoms_do_not_grow_with_the_cell(seed, text, repeats):
    structure = distorted(seed)
    one, other = measured(text, structure), measured(text, structure.make_supercell(repeats, in_place=False))
    torch.testing.assert_close(one.loss, other.loss, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(one.value, other.value, rtol=1e-6, atol=1e-9, equal_nan=True)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(EXTENSIVE + CELLS))
def test_gradients_are_those_of_finite_differences(seed, text):
    constraint = GeometricConstraint.model_validate(text)
    start = CrystalBatch.from_structures([distorted(seed)])
    reach = reach_of([constraint], start.numbers)
    rng = np.random.default_rng(seed)
    moves, strain = (torch.as_tensor(rng.normal(size=shape)) for shape in ((1, start.numbers.shape[1], 3), (1, 3, 3)))

    def loss(step):
        cells = start.cells + 0.1 * step * strain
        batch = dataclasses.replace(start, cells=cells, fractional=start.fractional + 0.1 * step * moves)
        return measure(constraint, GeometryCrystals(batch, reach)).loss.sum()

    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(loss(step), step, allow_unused=True)[0]
    width = 1e-6
    expected = (loss(torch.tensor(width)) - loss(torch.tensor(-width))) / (2 * width)
    torch.testing.assert_close(
        (gradient if gradient is not None else 0 * step).detach(), expected, rtol=1e-3, atol=1e-6
    )

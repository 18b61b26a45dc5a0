"""Symmetries, smoothness, forces and the gradient stop of the validator's network, in double precision."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from toy_crystals import toy_structures

from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import ValidatorOptions
from aiida_qagenai.ml.elements import species_indices
from aiida_qagenai.ml.graph import build_graphs, collate
from aiida_qagenai.ml.training.losses import Scales, Targets, micro_batch_loss
from aiida_qagenai.ml.validator.moments import contractions, symmetric_traceless
from aiida_qagenai.ml.validator.network import MultiFidelityPotential, hyperparameters

ELEMENTS = (1, 3)
CUTOFF = hyperparameters('tiny')['cutoff']
LEVELS = range(4)
TOLERANCE = {'atol': 1e-10, 'rtol': 0}


def graph_of(structures):
    """Return the structures as one graph in double precision."""
    species = species_indices(structures.species, ELEMENTS)
    return collate(build_graphs(structures, species, CUTOFF, torch.float64))


def crystal(cell, species, cartesian):
    """Return one structure from Cartesian coordinates."""
    return StructureBatch(
        num_atoms=np.array([len(species)]),
        cells=np.asarray(cell, dtype=float)[None],
        species=np.array(species),
        fractional=np.asarray(cartesian) @ np.linalg.inv(cell),
        identifiers=np.array(['x']),
    )


def energies(model, structures):
    """Return the total energies on all levels, shape (4, B)."""
    return torch.stack([model(graph_of(structures), level) for level in LEVELS])


@pytest.fixture(params=['moments', 'pairs'])
def fresh(request):
    """Return a network of each architecture as training finds it."""
    return MultiFidelityPotential(len(ELEMENTS), **hyperparameters('tiny', request.param)).double()


@pytest.fixture
def model(fresh):
    """Return a network with random weights also where training starts at zero."""
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        fresh.mean_neighbours.fill_(20.0)
    return fresh


@pytest.fixture(scope='module')
def structures():
    """Return one structure of each prototype."""
    return toy_structures(7, seed=5)


def test_all_levels_start_from_one_surface(fresh, structures):
    start = energies(fresh, structures)
    assert start.std() > 0
    torch.testing.assert_close(start, start[:1].expand(4, -1), atol=0, rtol=0)


def test_levels_differ_once_their_parameters_do(model, structures):
    assert (energies(model, structures).diff(dim=0).abs() > 1e-4).all()


def test_rotations_and_reflections_change_nothing(model, structures):
    turn = Rotation.random(random_state=1).as_matrix()
    for matrix in (turn, -turn):
        turned = dataclasses.replace(structures, cells=structures.cells @ matrix)
        torch.testing.assert_close(energies(model, structures), energies(model, turned), **TOLERANCE)


def test_translations_and_other_images_change_nothing(model, structures):
    moved = structures.fractional + np.array([0.3, -0.7, 2.1])
    moved[::2] += np.array([1, 0, -2])
    shifted = dataclasses.replace(structures, fractional=moved)
    torch.testing.assert_close(energies(model, structures), energies(model, shifted), **TOLERANCE)


def test_the_order_of_the_atoms_changes_nothing(model):
    cell, species = 4.0 * np.eye(3), [3, 3, 1, 1]
    positions = np.random.default_rng(0).uniform(0, 4, (4, 3))
    order = [2, 0, 3, 1]
    a = crystal(cell, species, positions)
    b = crystal(cell, [species[i] for i in order], positions[order])
    torch.testing.assert_close(energies(model, a), energies(model, b), **TOLERANCE)


def test_the_choice_of_the_cell_changes_nothing(model, structures):
    matrix = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]])
    other = dataclasses.replace(
        structures, cells=matrix @ structures.cells, fractional=structures.fractional @ np.linalg.inv(matrix)
    )
    torch.testing.assert_close(energies(model, structures), energies(model, other), **TOLERANCE)


def test_a_supercell_has_eight_times_the_energy(model, structures):
    single = structures.select([3])
    shifts = np.array(list(itertools.product((0, 1), repeat=3)))
    super_cell = StructureBatch(
        num_atoms=single.num_atoms * 8,
        cells=single.cells * 2,
        species=np.tile(single.species, 8),
        fractional=(np.repeat(shifts, len(single.species), axis=0) + np.tile(single.fractional, (8, 1))) / 2,
        identifiers=single.identifiers,
    )
    torch.testing.assert_close(8 * energies(model, single), energies(model, super_cell), **TOLERANCE)


def test_distant_fragments_are_additive(model):
    cell = 40.0 * np.eye(3)
    a, b = np.array([[1.0, 1, 1], [2.5, 1, 1]]), np.array([[20.0, 20, 20], [20, 21.3, 20], [20, 20, 21.9]])
    both = crystal(cell, [3, 1, 1, 3, 3], np.concatenate([a, b]))
    parts = energies(model, crystal(cell, [3, 1], a)) + energies(model, crystal(cell, [1, 3, 3], b))
    torch.testing.assert_close(energies(model, both), parts, **TOLERANCE)


def test_the_energy_is_smooth_at_the_cutoff(model):
    def pair(distance):
        return energies(model, crystal(30.0 * np.eye(3), [3, 1], [[1.0, 1, 1], [1 + distance, 1, 1]]))

    beyond = pair(CUTOFF + 1e-3)
    inside = pair(CUTOFF - 1e-3)
    torch.testing.assert_close(beyond, inside, atol=1e-7, rtol=0)
    assert (pair(CUTOFF - 1.0) - beyond).abs().min() > 1e-6


@pytest.mark.parametrize('level', LEVELS)
@pytest.mark.parametrize('protected', [False, True])
def test_forces_are_the_gradient_of_the_energy(model, structures, level, protected):
    """Also in a stage with the gradient stop, in which most parameters stand still."""
    if protected:
        model.requires_grad_(False).references[level].requires_grad_()
    graph = graph_of(structures.select([3, 4]))

    def energy(positions):
        moved = dataclasses.replace(graph, positions=positions)
        return model(moved, level).sum()

    positions = graph.positions.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(positions), positions)
    assert gradient.abs().max() > 1e-3
    step = 1e-5
    for atom, axis in ((0, 0), (2, 1), (5, 2)):
        shift = torch.zeros_like(graph.positions)
        shift[atom, axis] = step
        numerical = (energy(graph.positions + shift) - energy(graph.positions - shift)) / (2 * step)
        assert gradient[atom, axis].item() == pytest.approx(numerical.item(), abs=1e-7)


def test_without_the_stop_low_fidelity_batches_move_the_high_fidelity(model, structures):
    graph = graph_of(structures)
    loss = micro_batch_loss(model, graph, Targets(torch.zeros(7)), level=0, scales=Scales(), options=ValidatorOptions())
    before = model(graph, 3).detach().clone()
    loss.backward()
    torch.optim.Adam(model.parameters(), lr=0.01).step()
    assert not torch.equal(model(graph, 3), before)


def test_all_levels_agree_with_one_level_at_a_time(model, fresh, structures):
    graph = graph_of(structures)
    per_atom, pooled = model.all_levels(graph)
    expected = energies(model, structures).T / graph.num_atoms.unsqueeze(1)
    torch.testing.assert_close(per_atom, expected, **TOLERANCE)
    assert pooled.shape == (7, hyperparameters('tiny')['channels'])


@pytest.mark.parametrize('architecture', ['moments', 'pairs'])
def test_the_base_size_is_rotation_invariant_too(structures, architecture):
    model = MultiFidelityPotential(2, **hyperparameters('base', architecture)).double()
    species = species_indices(structures.species, ELEMENTS)
    turned = dataclasses.replace(structures, cells=structures.cells @ Rotation.random(random_state=2).as_matrix())
    values = [model(collate(build_graphs(s, species, model.cutoff, torch.float64)), 3) for s in (structures, turned)]
    torch.testing.assert_close(values[0], values[1], atol=1e-9, rtol=0)


def test_a_level_inherits_its_parent_and_no_other(structures):
    """Two levels on one rung: what one of them learns does not move the other."""
    model = MultiFidelityPotential(len(ELEMENTS), (-1, 0, 0, 1), **hyperparameters('tiny')).double()
    graph = graph_of(structures)
    before = [model(graph, level) for level in LEVELS]
    with torch.no_grad():
        model.bias[0].add_(0.3)
        for name, parameter in model.named_parameters():
            if 'delta.0' in name or name.endswith('film.0'):
                parameter.add_(0.1)
    moved = [not torch.equal(model(graph, level), before[level]) for level in LEVELS]
    assert moved == [False, True, False, True]


@pytest.mark.parametrize('parents', [(), (0,), (-1, -1), (-1, 1), (-1, 2, 0)])
def test_parents_that_are_no_tree_are_refused(parents):
    with pytest.raises(ValueError, match='root'):
        MultiFidelityPotential(2, parents, **hyperparameters('tiny'))


def test_pairs_see_nothing_beyond_the_cutoff():
    """The strictly local architecture: an atom two cutoffs away has no influence, which messages would pass on."""
    moved = []
    for architecture in ('moments', 'pairs'):
        torch.manual_seed(1)
        model = MultiFidelityPotential(len(ELEMENTS), **hyperparameters('tiny', architecture)).double()
        atomic = [
            model.node_features(graph_of(crystal(40.0 * np.eye(3), [3, 1, 1], [[1.0, 1, 1], [4.0, 1, 1], [x, 1, 1]])))[
                0
            ]
            for x in (6.5, 7.5)
        ]
        moved.append(not torch.equal(*atomic))
    assert moved == [True, False]


def test_contractions_are_those_of_irreducible_tensors():
    """The Cartesian forms are proportional to the couplings of e3nn, each with one factor for all tensors."""
    from e3nn import o3

    generator = torch.Generator().manual_seed(0)
    v, a, b = torch.randn((3, 50, 3), generator=generator, dtype=torch.float64)
    matrix = symmetric_traceless(torch.einsum('ni,nj->nij', a, b))
    turned, length, square, scalar, determinant = contractions(v.unsqueeze(-1), matrix.unsqueeze(-1))
    couple = {(i, j, k): o3.wigner_3j(i, j, k, dtype=torch.float64) for i, j, k in ((1, 1, 2), (2, 1, 1), (2, 2, 2))}
    # e3nn orders the components of a vector as ours; a matrix is the coupling of two vectors to rank 2.
    rank2 = torch.einsum('ni,nj,ijk->nk', a, b, couple[1, 1, 2])
    vector = torch.einsum('nk,ni,kij->nj', rank2, v, couple[2, 1, 1])
    pairs = {
        'M v': (turned[:, :, 0], vector),
        'v.v': (length[:, 0], (v**2).sum(1)),
        'tr M2': (square[:, 0], (rank2**2).sum(1)),
        'v.M.v': (scalar[:, 0], (vector * v).sum(1)),
        'det M': (determinant[:, 0], torch.einsum('ni,nj,nk,ijk->n', rank2, rank2, rank2, couple[2, 2, 2])),
    }
    for name, (ours, theirs) in pairs.items():
        factor = (ours * theirs).sum() / (theirs**2).sum()
        assert factor.abs() > 0.1, name
        torch.testing.assert_close(ours, factor * theirs, rtol=1e-9, atol=1e-9, msg=name)

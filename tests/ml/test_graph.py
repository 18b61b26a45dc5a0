"""Neighbour lists and collation."""

import itertools

import numpy as np
import pytest
import torch
from toy_crystals import toy_structures

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.ml.graph import build_graphs, collate, neighbour_list


def brute_force(cell, positions, cutoff):
    """Return the sorted distances of all directed pairs within the cutoff."""
    found = []
    for image in itertools.product(range(-6, 7), repeat=3):
        vectors = positions[None] - positions[:, None] + np.array(image) @ cell
        distances = np.linalg.norm(vectors, axis=-1)
        found.extend(distances[(distances < cutoff) & (distances > 1e-9)])
    return np.sort(found)


@pytest.mark.parametrize('seed', range(4))
def test_the_list_holds_every_image_within_the_cutoff(seed):
    rng = np.random.default_rng(seed)
    cell = 2.5 * np.eye(3) + rng.uniform(-1, 1, (3, 3))
    positions = rng.uniform(0, 1, (3, 3)) @ cell
    i, j, shifts = neighbour_list(cell, positions, 3.5)
    distances = np.linalg.norm(positions[j] - positions[i] + shifts @ cell, axis=1)
    np.testing.assert_allclose(np.sort(distances), brute_force(cell, positions, 3.5), atol=1e-9)


def test_edge_vectors_are_as_long_as_the_list_says():
    structures = toy_structures(3)
    graph = collate(build_graphs(structures, structures.species, 4.0, torch.float64))
    lengths = graph.edge_vectors().norm(dim=-1)
    assert lengths.max() < 4.0
    assert (graph.owner[graph.senders] == graph.owner[graph.receivers]).all()


def test_collating_keeps_the_graphs_apart():
    structures = toy_structures(4)
    graphs = build_graphs(structures, structures.species, 4.0, torch.float64)
    together = collate(graphs)
    assert together.num_atoms.tolist() == structures.num_atoms.tolist()
    separate = torch.cat([graph.edge_vectors() for graph in graphs])
    torch.testing.assert_close(together.edge_vectors(), separate)


def test_an_absurdly_dense_crystal_is_refused_before_memory_runs_out():
    with pytest.raises(InvalidInputError, match='neighbours'):
        neighbour_list(0.05 * np.eye(3), np.zeros((1, 3)), 5.0)

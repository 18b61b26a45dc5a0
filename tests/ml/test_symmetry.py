"""Operations of a space group, and samples that keep them."""

import numpy as np
import pytest
import spglib
import torch
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.constraints import ConstraintOptions
from aiida_qagenai.ml.generator.guidance import Guide
from aiida_qagenai.ml.generator.lattice import log_coordinates
from aiida_qagenai.ml.generator.network import SIZES, Denoiser
from aiida_qagenai.ml.generator.sampler import Start, Task, sample
from aiida_qagenai.ml.generator.symmetry import Subspace, find_operations, reduced_setting, symmetrise

PROTOTYPES = {
    'perovskite': (
        221,
        Structure.from_spacegroup(
            'Pm-3m', Lattice.cubic(3.9), ['Sr', 'Ti', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
        ),
    ),
    'rutile': (
        136,
        Structure.from_spacegroup(
            'P4_2/mnm', Lattice.tetragonal(4.6, 2.95), ['Ti', 'O'], [[0, 0, 0], [0.305, 0.305, 0]]
        ),
    ),
    'wurtzite': (
        186,
        Structure.from_spacegroup(
            'P6_3mc', Lattice.hexagonal(3.25, 5.2), ['Zn', 'O'], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]
        ),
    ),
    'rock salt': (
        225,
        Structure.from_spacegroup(
            'Fm-3m', Lattice.cubic(4.2), ['Mg', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]]
        ).get_primitive_structure(),
    ),
    'anatase': (
        141,
        Structure.from_spacegroup(
            'I4_1/amd', Lattice.tetragonal(3.78, 9.51), ['Ti', 'O'], [[0, 0, 0], [0, 0, 0.208]]
        ).get_primitive_structure(),
    ),
}


def space_group(cell, fractional, species):
    """Return the number that spglib finds at 1e-3 Å."""
    return spglib.get_symmetry_dataset((cell, fractional, species), symprec=1e-3).number


@pytest.fixture(params=sorted(PROTOTYPES))
def prototype(request):
    """Return number, cell, coordinates, species and operations of a prototype in a reduced setting."""
    number, structure = PROTOTYPES[request.param]
    species = np.array(structure.atomic_numbers)
    cell, fractional = reduced_setting(structure.lattice.matrix, structure.frac_coords)
    operations = find_operations(cell, fractional, species)
    return number, *symmetrise(cell, fractional, operations), species, operations


@pytest.fixture
def model():
    """Return a denoiser of 100 elements with random weights and lattices of about 15 Å3 per atom."""
    model = Denoiser(100, **SIZES['tiny'])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.lattice.mean[0] = np.log(15.0) / np.sqrt(3)
        model.lattice.colour.mul_(0.1)
        model.lattice.whiten.mul_(10.0)
    return model


def draw(model, runtime, prototype, time, *, keep=True, seed=0):
    """Return three samples from a prototype: cells, coordinates."""
    _, cell, fractional, species, operations = prototype
    start = Start(torch.tensor(np.stack([cell] * 3)), torch.tensor(np.stack([fractional] * 3)), time)
    types = torch.tensor(np.stack([species - 1] * 3))
    task = Task(
        types,
        torch.ones_like(types, dtype=torch.bool),
        torch.ones(3, 100, dtype=torch.bool),
        start,
        [operations] * 3 if keep else None,
    )
    return sample(
        model.to(runtime.dtype),
        task,
        steps=10,
        stochasticity=1.0,
        guidance=1.0,
        conditioning=None,
        generator=torch.Generator().manual_seed(seed),
        runtime=runtime,
        report=lambda count: None,
    )


def test_operations_are_those_of_the_group_and_permute_atoms_of_one_kind(prototype):
    number, cell, fractional, species, operations = prototype
    assert space_group(cell, fractional, species) == number
    assert len(operations.rotations) == {221: 48, 136: 16, 186: 12, 225: 48, 141: 16}[number]
    assert (species[operations.permutations] == species).all()


def test_a_distorted_structure_becomes_symmetric_again(prototype):
    number, cell, fractional, species, operations = prototype
    rng = np.random.default_rng(0)
    distorted = cell @ (np.eye(3) + 0.01 * rng.standard_normal((3, 3)))
    moved = fractional + 0.005 * rng.standard_normal(fractional.shape)
    assert space_group(distorted, moved, species) == 1
    assert space_group(*symmetrise(distorted, moved, operations), species) == number


def test_operations_of_another_list_of_atoms_are_refused(prototype):
    _, cell, fractional, _, operations = prototype
    wrong = operations._replace(permutations=np.zeros_like(operations.permutations))
    with pytest.raises(InvalidInputError, match='one to one'):
        symmetrise(cell, fractional, wrong)


def test_the_projections_are_projections(prototype):
    _, cell, fractional, _, operations = prototype
    like = torch.zeros(1, dtype=torch.float64)
    kept = Subspace(torch.tensor(cell)[None], [operations], len(fractional) + 2, like)
    vectors = torch.randn(1, len(fractional) + 2, 3, dtype=torch.float64)
    once = kept.displace(vectors)
    torch.testing.assert_close(kept.displace(once), once)
    torch.testing.assert_close(once[:, len(fractional) :], vectors[:, len(fractional) :])
    coordinates = log_coordinates(torch.tensor(cell @ cell.T)[None]) + 0.2 * torch.randn(1, 6, dtype=torch.float64)
    lattice = kept.coordinates(coordinates)
    torch.testing.assert_close(kept.coordinates(lattice), lattice)
    torch.testing.assert_close(lattice[:, 0], coordinates[:, 0], atol=1e-9, rtol=0)  # the volume


@pytest.mark.parametrize('time', [0.3, 1.0])
def test_samples_keep_exactly_the_space_group_of_the_start(model, runtime, prototype, time):
    number, cell, _, species, _ = prototype
    samples = draw(model, runtime, prototype, time)
    for row in range(3):
        assert space_group(samples.cells[row].numpy(), samples.fractional[row].numpy(), species) == number
    lengths = np.linalg.norm(samples.cells.numpy(), axis=2)
    assert np.ptp(lengths, axis=0).max() > 1e-3
    assert abs(np.linalg.det(samples.cells[0].numpy()) / np.linalg.det(cell) - 1) > 1e-3


def test_without_symmetry_the_start_is_left(model, runtime, prototype):
    samples = draw(model, runtime, prototype, 0.3, keep=False)
    for row in range(3):
        assert space_group(samples.cells[row].numpy(), samples.fractional[row].numpy(), prototype[3]) == 1


def test_the_later_the_start_the_closer_are_the_samples(model, runtime, prototype):
    _, _, fractional, _, _ = prototype
    distances = []
    for time in (0.05, 0.5):
        moves = draw(model, runtime, prototype, time, keep=False).fractional.numpy() - fractional
        distances.append(np.abs(moves - moves.mean(1, keepdims=True)).mean())
    assert distances[0] < 0.3 * distances[1]


def test_the_same_seed_gives_the_same_bytes(model, runtime, prototype):
    first, again, other = (draw(model, runtime, prototype, 0.4, seed=seed) for seed in (1, 1, 2))
    assert first.cells.numpy().tobytes() == again.cells.numpy().tobytes()
    assert first.fractional.numpy().tobytes() == again.fractional.numpy().tobytes()
    assert first.cells.numpy().tobytes() != other.cells.numpy().tobytes()


def test_symmetry_needs_a_start(model, runtime, prototype):
    types = torch.zeros(1, 2, dtype=torch.int64)
    task = Task(types, torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 100, dtype=torch.bool), None, [None])
    with pytest.raises(InvalidInputError, match='start'):
        sample(
            model,
            task,
            steps=2,
            stochasticity=1.0,
            guidance=1.0,
            conditioning=None,
            generator=torch.Generator(),
            runtime=runtime,
            report=lambda count: None,
        )


def test_open_elements_become_neutral_from_any_start(model, runtime, prototype):
    """A start below the time at which elements are decided must not skip the decision."""
    _, cell, fractional, species, _ = prototype
    types = torch.full((1, len(species)), 100)
    allowed = torch.zeros(1, 100, dtype=torch.bool)
    allowed[0, [11, 7]] = True  # Mg, O
    start = Start(torch.tensor(cell)[None], torch.tensor(fractional)[None], 0.2)
    samples = sample(
        model.to(runtime.dtype),
        Task(types, torch.ones_like(types, dtype=torch.bool), allowed, start),
        steps=4,
        stochasticity=1.0,
        guidance=1.0,
        conditioning=None,
        generator=torch.Generator().manual_seed(0),
        runtime=runtime,
        report=lambda count: None,
        guide=Guide(ConstraintOptions(names=('charge_neutrality',), begin=0.4), tuple(range(1, 101))),
    )
    found = (samples.types[0] + 1).tolist()
    assert found.count(12) == found.count(8) or set(found) == {12}

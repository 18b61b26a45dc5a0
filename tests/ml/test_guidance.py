"""Constraints that act while sampling."""

import numpy as np
import pytest
import torch

from aiida_qagenai.chemistry.constraints import screen
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.constraints import ConstraintOptions
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.ml.generator.guidance import Guide
from aiida_qagenai.ml.generator.sampler import Task

REQUESTS = [
    {'mode': 'chemical_system', 'elements': ['Li', 'H'], 'min_atoms': 2, 'max_atoms': 4, 'count': 12},
    {'mode': 'composition', 'composition': {'Li': 2, 'H': 2}, 'count': 12},
]


@pytest.fixture
def generate(models, tmp_path, command):
    """Return a function that samples with some constraints and returns the structures."""
    (tmp_path / 'generator').symlink_to(models / 'generator')

    def run(constraints):
        config = {'generator': 'generator', 'steps': 12, 'requests': REQUESTS, 'constraints': constraints}
        status, results = command(tmp_path, 'generate', config)
        assert status == 0, results['error']
        return list(StructureBatch.load(tmp_path / 'candidates.npz').structures())

    return run


def test_guided_samples_satisfy_more_constraints(generate):
    def passing(structures):
        return sum(screen(structure, stage='final').passed for structure in structures)

    free, guided = generate(None), generate({})
    assert len(guided) == len(free) == 24
    assert passing(guided) > passing(free)
    # no lithium hydride but LiH and its multiples, or a pure element
    assert [s.formula for s in guided if not screen(s, stage='sampling').passed] == []
    for first, second in zip(free[12:], guided[12:], strict=True):
        assert first.composition == second.composition


def test_only_what_is_asked_for_acts(generate):
    free = generate(None)
    untouched = generate({'names': ['density'], 'final_steps': 0})
    for first, second in zip(free, untouched, strict=True):
        np.testing.assert_allclose(first.frac_coords, second.frac_coords, atol=1e-4)
        np.testing.assert_allclose(first.lattice.abc, second.lattice.abc, rtol=1e-4)


def test_types_are_settled_once_and_stay_within_what_is_allowed():
    guide = Guide(ConstraintOptions(names=('charge_neutrality',), begin=0.5), (1, 3, 8))
    mask = torch.tensor([[True, True, True], [True, True, False]])
    types = torch.tensor([[3, 3, 1], [0, 3, 0]])
    probabilities = torch.tensor([0.0, 1.0, 0.0]).expand(2, 3, 3)  # as sure as single precision can be
    task = Task(torch.full((2, 3), 3), mask, torch.tensor([[True, True, False]] * 2))
    before = guide.settle(types, probabilities, task, torch.tensor(0.7), torch.tensor(0.6))
    torch.testing.assert_close(before, types)
    settled = guide.settle(types, probabilities, task, torch.tensor(0.55), torch.tensor(0.45))
    assert settled[0, 2] == 1
    assert (settled[mask] < 2).all()
    # three atoms of lithium and hydrogen are never neutral unless they are one element; two are LiH
    assert settled[0].tolist() == [1, 1, 1]
    assert settled[1, :2].tolist() == [0, 1]


def test_unknown_constraints_are_refused():
    with pytest.raises(InvalidInputError, match='constraints'):
        parse('generate', {'generator': 'g', 'requests': REQUESTS, 'constraints': {'names': ['beauty']}})


def test_thresholds_are_settable():
    options = ConstraintOptions(
        names=('minimum_distance', 'volume_per_atom'), thresholds={'minimum_distance': {'alpha': 0.75}}
    )
    distance, volume = Guide(options, (1, 3)).penalties
    assert distance.alpha == 0.75
    assert volume == type(volume)()


def test_an_unknown_threshold_is_refused():
    options = ConstraintOptions(names=('minimum_distance',), thresholds={'minimum_distance': {'beta': 0.75}})
    with pytest.raises(InvalidInputError, match='`minimum_distance` has no threshold beta: it has alpha'):
        Guide(options, (1, 3))
    options = ConstraintOptions(names=('charge_alternation',), thresholds={'charge_alternation': {'alpha': 1.0}})
    with pytest.raises(InvalidInputError, match='it has none'):
        Guide(options, (1, 3))

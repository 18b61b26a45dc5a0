"""Bootstrap samples of the ensemble."""

import dataclasses

import numpy as np
import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.ml.training.members import bootstrap_keys, bootstrap_unit, multiplicities

KEYS = [f'structure-{index}' for index in range(400)]
ENERGIES = np.zeros((400, 1))


def test_multiplicities_are_poisson_with_mean_one():
    counts = multiplicities(KEYS, ENERGIES, num_members=5, seed=0)
    assert counts.shape == (5, 400)
    assert abs(counts.mean() - 1) < 0.08
    assert abs((counts == 0).mean() - np.exp(-1)) < 0.04


def test_members_differ():
    counts = multiplicities(KEYS, ENERGIES, num_members=2, seed=0)
    assert (counts[0] != counts[1]).mean() > 0.4


def test_more_data_does_not_change_what_a_member_has_seen():
    fewer = multiplicities(KEYS[:300], ENERGIES[:300], num_members=3, seed=0)
    more = multiplicities(KEYS, ENERGIES, num_members=3, seed=0)
    np.testing.assert_array_equal(more[:, :300], fewer)


def test_rows_of_one_group_go_together():
    counts = multiplicities(['a', 'b'] * 200, ENERGIES, num_members=4, seed=0)
    assert (counts[:, ::2] == counts[:, :1]).all()


def test_every_member_sees_every_level():
    energies = np.full((400, 2), np.nan)
    energies[:, 0] = 0.0
    energies[7:9, 1] = 0.0
    counts = multiplicities(KEYS, energies, num_members=10, seed=0)
    assert (counts[:, 7:9] >= 1).all()


def test_few_formulas_are_resampled_by_prototype(dataset):
    """Strained and perturbed copies of one crystal go together: no member sees a copy of what it is judged by."""
    assert bootstrap_unit(dataset) == 'prototype'
    keys = bootstrap_keys(dataset, 'prototype')
    prototypes = [name.rsplit('-', 1)[0] for name in dataset.structures.identifiers.tolist()]
    assert len(set(keys)) == len(set(prototypes)) == len(set(zip(keys, prototypes, strict=True)))
    assert keys[:7] == dataset.structures.identifiers[:7].tolist()
    assert bootstrap_keys(dataset.select(np.arange(20)), 'prototype') == keys[:20]


def test_many_formulas_are_resampled_by_formula_and_few_prototypes_by_structure(dataset):
    many = dataclasses.replace(dataset, groups=np.array([f'formula-{index % 12}' for index in range(len(dataset))]))
    assert bootstrap_unit(many) == 'group'
    assert bootstrap_keys(many, 'group') == many.groups.tolist()
    alone = dataset.select(np.arange(0, len(dataset), 7))
    assert bootstrap_unit(alone) == 'structure'
    assert bootstrap_keys(alone, 'structure') == alone.structures.identifiers.tolist()


def test_prototypes_without_pymatgen_are_refused_with_what_to_install(dataset, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(InvalidInputError, match='pip install pymatgen'):
        bootstrap_keys(dataset, 'prototype')

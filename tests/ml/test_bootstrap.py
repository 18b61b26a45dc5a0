"""Bootstrap samples of the ensemble."""

import dataclasses

import numpy as np

from aiida_qagenai.ml.training.members import bootstrap_keys, enough_groups, multiplicities

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


def test_few_groups_fall_back_to_structures(dataset):
    assert not enough_groups(dataset)
    assert bootstrap_keys(dataset, by_group=False) == dataset.structures.identifiers.tolist()
    many = dataclasses.replace(dataset, groups=np.array([f'formula-{index % 12}' for index in range(len(dataset))]))
    assert enough_groups(many)
    assert bootstrap_keys(many, by_group=True) == many.groups.tolist()

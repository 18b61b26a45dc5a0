"""Packed training sets survive the round trip; labels that make no sense are refused."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch


def labelled(n: int, seed: int = 0) -> LabelledBatch:
    """Return ``n`` one-atom structures with some energies missing."""
    rng = np.random.default_rng(seed)
    energies = rng.normal(size=(n, len(LADDER)))
    energies[rng.random(energies.shape) < 0.5] = np.nan
    return LabelledBatch(
        StructureBatch(
            num_atoms=np.ones(n, dtype=np.int64),
            cells=np.tile(np.eye(3) * 3, (n, 1, 1)),
            species=rng.integers(1, 119, n),
            fractional=rng.random((n, 3)),
            identifiers=np.array([str(i) for i in range(n)], dtype=np.str_) if n else np.zeros(0, dtype='<U1'),
        ),
        energies=energies,
        descriptors=rng.normal(size=(n, NUM_DESCRIPTORS)),
        groups=np.array(['A'] * n, dtype='<U1'),
        split=rng.integers(0, len(SPLITS), n).astype(np.int8),
    )


@given(n=st.integers(0, 6), seed=st.integers(0, 1000))
def test_round_trip(n, seed, tmp_path_factory):
    batch = labelled(n, seed)
    path = tmp_path_factory.mktemp('io') / 'a.npz'
    batch.save(path)
    loaded = LabelledBatch.load(io.BytesIO(path.read_bytes()))
    for name, array in batch.to_arrays().items():
        np.testing.assert_array_equal(loaded.to_arrays()[name], array, err_msg=name)
    assert loaded.counts == batch.counts
    assert sum(batch.counts.values()) == np.isfinite(batch.energies).sum()


@pytest.mark.parametrize(
    ('field', 'value', 'text'),
    [
        ('energies', np.zeros((2, 3)), 'shape'),
        ('energies', np.full((2, 4), np.inf), 'infinities'),
        ('forces', np.zeros((2, 4)), 'shape'),
        ('forces', np.full((2, 4, 3), np.inf), 'forces contain infinities'),
        ('stresses', np.zeros((2, 4, 3)), 'shape'),
        ('descriptors', np.zeros((2, 1)), 'shape'),
        ('groups', np.array(['A']), 'shape'),
        ('split', np.array([0, 4], dtype=np.int8), 'split'),
        ('split', np.array([0, -1], dtype=np.int8), 'split'),
    ],
)
def test_wrong_labels_are_refused(field, value, text):
    with pytest.raises(InvalidInputError, match=text):
        dataclasses.replace(labelled(2), **{field: value})


def with_forces(batch: LabelledBatch, rows: list[int], level: int = 1) -> LabelledBatch:
    """Return the batch with forces and stresses of some structures on one level."""
    rng = np.random.default_rng(1)
    forces, stresses = np.full((len(batch), 4, 3), np.nan), np.full((len(batch), 4, 3, 3), np.nan)
    forces[rows, level] = rng.normal(size=(len(rows), 3))
    stresses[rows, level] = rng.normal(size=(len(rows), 3, 3))
    return dataclasses.replace(batch, forces=forces, stresses=stresses)


def pairs(n: int) -> LabelledBatch:
    """Return ``n`` structures of one, two, three … atoms."""
    sizes = np.arange(1, n + 1)
    batch, total = labelled(n), int(sizes.sum())
    structures = dataclasses.replace(
        batch.structures, num_atoms=sizes, species=np.ones(total, dtype=np.int64), fractional=np.zeros((total, 3))
    )
    return dataclasses.replace(batch, structures=structures, forces=np.zeros(0))


def test_forces_and_stresses_survive_the_round_trip(tmp_path):
    batch = with_forces(labelled(4), [1, 3])
    batch.save(tmp_path / 'a.npz')
    loaded = LabelledBatch.load(tmp_path / 'a.npz')
    np.testing.assert_array_equal(loaded.forces, batch.forces)
    np.testing.assert_array_equal(loaded.stresses, batch.stresses)
    assert loaded.force_counts == {'PBE': 0, 'SCAN': 2, 'HSE06': 0, 'CCSD(T)': 0}


def test_a_file_without_forces_is_read_as_having_none(tmp_path):
    """So are all files of earlier releases, and a set without forces is written as they wrote it."""
    batch = labelled(3)
    assert not {'forces', 'stresses'} & batch.to_arrays().keys()
    batch.save(tmp_path / 'a.npz')
    loaded = LabelledBatch.load(tmp_path / 'a.npz')
    assert loaded.forces.shape == (3, 4, 3)
    assert loaded.stresses.shape == (3, 4, 3, 3)
    assert np.isnan(loaded.forces).all()
    assert np.isnan(loaded.stresses).all()


def test_forces_follow_their_structures():
    batch = pairs(4)
    forces = np.full((10, 4, 3), np.nan)
    forces[:, 0] = np.arange(10)[:, None]
    batch = dataclasses.replace(batch, forces=forces)
    assert batch.select([3, 1]).forces[:, 0, 0].tolist() == [6, 7, 8, 9, 1, 2]
    joined = LabelledBatch.concatenate([batch.select([2]), batch.select([0])])
    assert joined.forces[:, 0, 0].tolist() == [3, 4, 5, 0]
    assert joined.stresses.shape == (2, 4, 3, 3)


def test_forces_on_some_atoms_of_a_structure_are_refused():
    forces = np.full((6, 4, 3), np.nan)
    forces[4, 2] = 0.0
    with pytest.raises(InvalidInputError, match='`2` has forces on some of its atoms only'):
        dataclasses.replace(pairs(3), forces=forces)


TEACHER, CAMPAIGN = Level('teacher PBE', Fidelity.PBE), Level('fast:pbe', Fidelity.PBE)
HYBRID = Level('fast:hse', Fidelity.HSE06)


def two_levels(n: int = 3) -> LabelledBatch:
    """Return a set with two levels on one rung."""
    return dataclasses.replace(
        labelled(n),
        levels=(TEACHER, CAMPAIGN),
        energies=np.array([[-1.0, -2.0], [np.nan, -3.0], [-4.0, np.nan]]),
        forces=np.zeros(0),
        stresses=np.zeros(0),
    )


def test_several_levels_on_one_rung_survive_the_round_trip(tmp_path):
    batch = two_levels()
    batch.save(tmp_path / 'a.npz')
    loaded = LabelledBatch.load(tmp_path / 'a.npz')
    assert loaded.levels == (TEACHER, CAMPAIGN)
    np.testing.assert_array_equal(loaded.energies, batch.energies)
    assert loaded.forces.shape == (3, 2, 3)
    assert loaded.counts == {'PBE': 4, 'SCAN': 0, 'HSE06': 0, 'CCSD(T)': 0}
    np.testing.assert_array_equal(loaded.energies_of(Fidelity.PBE), [-2.0, -3.0, np.nan])
    assert np.isnan(loaded.energies_of(Fidelity.CCSD_T)).all()


def test_sets_of_different_levels_are_joined_without_mixing():
    other = dataclasses.replace(
        labelled(1),
        levels=(HYBRID, CAMPAIGN),
        energies=np.array([[-7.0, -8.0]]),
        forces=np.zeros(0),
        stresses=np.zeros(0),
    )
    joined = LabelledBatch.concatenate([two_levels(), other])
    assert joined.levels == (TEACHER, CAMPAIGN, HYBRID)
    np.testing.assert_array_equal(joined.energies[-1], [np.nan, -8.0, -7.0])
    np.testing.assert_array_equal(joined.energies[0], [-1.0, -2.0, np.nan])
    assert joined.select([3]).levels == joined.levels


def test_the_ladder_takes_the_tags_of_its_energies():
    batch = with_forces(labelled(2), [0], level=0)
    named = batch.tagged({'PBE': 'fast:pbe', 'HSE06': 'fast:hse'})
    assert named.levels == (CAMPAIGN, HYBRID)
    np.testing.assert_array_equal(named.energies, batch.energies[:, [0, 2]])
    np.testing.assert_array_equal(named.forces, batch.forces[:, [0, 2]])


def test_candidates_are_no_training_set(tmp_path):
    labelled(2).structures.save(tmp_path / 'a.npz')
    with pytest.raises(CorruptFileError, match='energies, descriptors, groups, split'):
        LabelledBatch.load(tmp_path / 'a.npz')

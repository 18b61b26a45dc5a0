"""Packed training sets survive the round trip; labels that make no sense are refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.common.fidelity import LADDER
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
        ('descriptors', np.zeros((2, 1)), 'shape'),
        ('groups', np.array(['A']), 'shape'),
        ('split', np.array([0, 4], dtype=np.int8), 'split'),
        ('split', np.array([0, -1], dtype=np.int8), 'split'),
    ],
)
def test_wrong_labels_are_refused(field, value, text):
    import dataclasses

    with pytest.raises(InvalidInputError, match=text):
        dataclasses.replace(labelled(2), **{field: value})


def test_candidates_are_no_training_set(tmp_path):
    labelled(2).structures.save(tmp_path / 'a.npz')
    with pytest.raises(CorruptFileError, match='energies, descriptors, groups, split'):
        LabelledBatch.load(tmp_path / 'a.npz')

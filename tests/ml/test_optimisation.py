"""Batches, schedule and averaged weights."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from aiida_qagenai.ml.training.optimisation import Averaged, batches, known_only, schedule


@given(rows=st.integers(1, 30), size=st.integers(1, 40), passes=st.integers(1, 4))
def test_every_row_is_seen_equally_often(rows, size, passes):
    stream = batches(np.arange(rows), size, torch.Generator().manual_seed(0))
    taken = np.concatenate([next(stream) for _ in range(passes * rows)])
    counts = np.bincount(taken, minlength=rows)
    assert np.ptp(counts) <= 1


def test_batches_have_the_size_asked_for_or_that_of_the_data():
    for rows, size in ((10, 3), (3, 10)):
        stream = batches(np.arange(rows), size, torch.Generator().manual_seed(0))
        assert {len(batch) for batch in itertools.islice(stream, 7)} == {min(rows, size)}


@pytest.mark.parametrize('total', [1, 5, 100, 50_000])
def test_the_rate_warms_up_and_decays(total):
    rates = [schedule(step, total) for step in range(total)]
    assert 0 < min(rates) <= max(rates) <= 1.0
    assert np.argmax(rates) <= max(1, total // 10)
    if total >= 100:
        assert rates[-1] < 0.02


def test_the_average_forgets_the_start_and_lags_behind_the_end():
    parameter = nn.Parameter(torch.zeros(1))
    averaged = Averaged([parameter], decay=0.9)
    for step in range(200):
        with torch.no_grad():
            parameter.fill_(float(step))
        averaged.update()
    averaged.apply()
    assert 185 < parameter.item() < 199


def test_structures_with_other_elements_are_left_out(dataset):
    with_lithium_only = known_only(dataset, (3,))
    assert set(with_lithium_only.structures.species) == {3}
    assert len(known_only(dataset, (1, 3))) == len(dataset)

"""Fixtures of the tests of searches for hyperparameters: a made-up training set with a test split."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from aiida_qagenai.data.dataset import DatasetData

TAGS = dict.fromkeys(('PBE', 'SCAN', 'HSE06', 'CCSD(T)'), 'pipeline:toy')


@pytest.fixture
def make_dataset(aiida_profile_clean, toy_labels):
    """Return a factory of the toy training set with a test split: it takes a function that changes labels and rows."""

    def create(change=lambda labels, rows: labels) -> DatasetData:
        split = np.zeros(len(toy_labels), dtype=np.int8)
        rows = [3, 19, 22, 23]
        split[[5, 13, 18]], split[[7]], split[rows] = 1, 2, 3
        labels = change(dataclasses.replace(toy_labels, split=split), rows)
        return DatasetData(labels, level_tags=TAGS, formation_scheme='anchored', scientific=False).store()

    return create


@pytest.fixture
def dataset(make_dataset):
    """Return that training set."""
    return make_dataset()

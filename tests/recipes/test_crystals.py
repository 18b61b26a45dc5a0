"""The crystals of the recipes: their splits, and reduced cells by size."""

import sys
from pathlib import Path

import numpy as np
import pytest
from toy_crystals import toy_dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

import crystals


def test_formulas_are_split_by_their_hash():
    formulas = [f'A{index}' for index in range(4000)]
    parts = [crystals.part_of(formula) for formula in formulas]
    assert parts == [crystals.part_of(formula) for formula in formulas]
    for part, share in (('train', 0.9), ('validation', 0.05), ('test', 0.05)):
        assert parts.count(part) / len(parts) == pytest.approx(share, abs=0.015)


def test_cells_are_reduced_and_grouped_by_size():
    labels = toy_dataset()
    cells = crystals.by_size(labels, 100)
    assert sum(len(each) for each in cells) == len(labels)
    assert [each.numbers.shape[1] for each in cells] == sorted({*labels.structures.num_atoms.tolist()})
    volumes = np.sort(np.concatenate([each.lattice.det().numpy() for each in cells]))
    assert volumes == pytest.approx(np.sort(np.abs(np.linalg.det(labels.structures.cells))), rel=1e-5)
    lengths = np.concatenate([each.lattice.norm(dim=2).numpy() for each in cells])
    assert (np.diff(lengths, axis=1) > -1e-4).all()

"""Cook's distance against its definition, and what it finds."""

import numpy as np
import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.influence import influence

PENALTY = 0.5


@pytest.fixture
def problem():
    """Return a design of 60 rows and labels with noise of 0.05 eV/atom."""
    rng = np.random.default_rng(0)
    design = rng.dirichlet(np.ones(4), size=60)
    return design, design @ np.array([-1.0, 0.5, 2.0, 0.3]) + rng.normal(0, 0.05, 60)


def test_the_distance_is_the_change_of_the_fit_without_the_row(problem):
    design, labels = problem

    def solve(rows):
        gram = design[rows].T @ design[rows] + PENALTY * np.eye(4)
        return np.linalg.solve(gram, design[rows].T @ labels[rows])

    hat = design @ np.linalg.solve(design.T @ design + PENALTY * np.eye(4), design.T)
    everything = np.arange(60)
    whole = solve(everything)
    spread = ((labels - design @ whole) ** 2).sum() / (60 - np.trace(hat))
    found = influence(design, labels, PENALTY, robust=False)
    for row in (0, 7, 59):
        without = solve(np.delete(everything, row))
        assert found.residuals[row] == pytest.approx(labels[row] - design[row] @ without)
        # the change of the fitted value of the row, from which the others follow by the hat matrix
        change = design[row] @ (whole - without)
        expected = change**2 / (hat[row, row] * np.trace(hat) * spread)
        assert found.distances[row] == pytest.approx(expected)


def test_injected_outliers_are_found(problem):
    design, labels = problem
    wrong = [3, 17, 40]
    labels[wrong] += [0.6, -0.5, 0.8]
    outliers = np.flatnonzero(influence(design, labels).outliers(3.5))
    assert set(wrong) <= set(outliers.tolist())
    assert len(outliers) <= len(wrong) + 1


def test_outliers_that_hide_each_other_are_found_by_the_robust_fit_only(problem):
    design, labels = problem
    rows = np.argsort(-design[:, 0])[:6]
    labels[rows] += 1.0
    robust, plain = (influence(design, labels, 1e-6, robust=each) for each in (True, False))
    assert plain.outliers(3.5).sum() == 0
    assert robust.outliers(3.5)[rows].sum() >= 5


def test_clean_labels_are_hardly_ever_outliers():
    rng = np.random.default_rng(1)
    design = rng.dirichlet(np.ones(5), size=400)
    labels = design @ rng.normal(size=5) + rng.normal(0, 0.02, 400)
    assert influence(design, labels).outliers(3.5).mean() < 0.01


def test_labels_of_other_rows_are_refused(problem):
    design, labels = problem
    with pytest.raises(InvalidInputError, match=r'shape \(60, 4\) does not belong to 59 labels'):
        influence(design, labels[1:])

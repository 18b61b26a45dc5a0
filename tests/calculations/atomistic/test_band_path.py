"""The band path: the same points of the zone, whatever the setting of the cell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from aiida_qagenai.calculations.atomistic.band_path import band_path

HALF = 2.04
FCC = np.array([[0, HALF, HALF], [HALF, 0, HALF], [HALF, HALF, 0]])


def test_points_of_rock_salt():
    """In the usual primitive cell Γ is at the origin, X at (½, 0, ½) and L at (½, ½, ½), or equivalent points."""
    path = band_path(FCC.tolist(), [('Li', [0, 0, 0]), ('H', [HALF] * 3)], 0.5)
    found = {label: np.sort(np.abs(path.kpoints[index])) for index, label in path.labels}
    assert found['GAMMA'] == pytest.approx([0, 0, 0])
    assert found['X'] == pytest.approx([0, 0.5, 0.5])
    assert found['L'] == pytest.approx([0, 0, 0.5]) or found['L'] == pytest.approx([0.5, 0.5, 0.5])


@pytest.mark.parametrize('seed', range(4))
def test_rotated_and_skewed_cells(seed):
    """A rotation of the crystal and another choice of its lattice vectors do not move the points in the crystal."""
    rng = np.random.default_rng(seed)
    turn = Rotation.random(random_state=seed).as_matrix()
    change = [[1, 0, 0], [int(rng.integers(-1, 2)), 1, 0], [0, int(rng.integers(-1, 2)), 1]]
    sites = [('Li', np.zeros(3)), ('H', np.full(3, HALF))]
    straight = band_path(FCC, sites, 0.5)
    skewed = np.array(change) @ FCC @ turn.T
    turned = band_path(skewed, [(symbol, position @ turn.T) for symbol, position in sites], 0.5)
    assert [label for _, label in turned.labels] == [label for _, label in straight.labels]

    def lengths(path, cell):
        return np.linalg.norm(path.kpoints @ (2 * np.pi * np.linalg.inv(cell).T), axis=1)

    assert lengths(turned, skewed) == pytest.approx(lengths(straight, FCC), abs=1e-6)
    # X is half a reciprocal lattice vector in any cell: twice its coordinates are integers.
    corner = {label: index for index, label in turned.labels}['X']
    assert 2 * turned.kpoints[corner] == pytest.approx(np.rint(2 * turned.kpoints[corner]), abs=1e-6)

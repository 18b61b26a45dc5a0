"""The map of the proposals of an inverse design."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.queries.designs import Proposals
from aiida_qagenai.report.design_map import draw_map, plot_map, principal_plane


def proposals(count: int) -> Proposals:
    """Return proposals of two rounds; the first two are computed, the first is within."""
    rng, rows = np.random.default_rng(0), np.arange(count)
    latent = rng.normal(size=(count, 6)).astype(np.float32)
    return Proposals(rows % 2, rng.uniform(100, 300, count), rows < 2, rows < 1, latent)


def test_the_plane_is_that_in_which_vectors_differ():
    """Vectors in a plane lie in it, at their distances; a shift of all changes nothing."""
    flat = np.random.default_rng(1).normal(size=(9, 2)).astype(np.float32)
    turned = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0][:2].astype(np.float32)
    points, share = principal_plane(flat @ turned + 3)
    assert share == pytest.approx(1, abs=1e-5)
    distances = [np.linalg.norm(each[:, None] - each, axis=-1) for each in (points, flat)]
    np.testing.assert_allclose(*distances, atol=1e-4)


def test_proposals_are_drawn_by_property_and_by_round(tmp_path):
    left, right, bar = draw_map(proposals(8), label='predicted bulk modulus (GPa)').axes
    assert bar.get_ylabel() == 'predicted bulk modulus (GPa)' and '% of the variance' in left.get_ylabel()
    sizes = {each.get_label(): len(each.get_offsets()) for each in right.collections}
    assert sizes == {'round 0': 4, 'round 1': 4, 'computed': 2, 'within the window': 1}
    assert plot_map(proposals(8), tmp_path / 'map.svg', label='x').read_text().startswith('<?xml')


def test_two_proposals_are_no_map():
    with pytest.raises(InvalidInputError, match='three proposals or more, there are 2'):
        draw_map(proposals(2), label='x')

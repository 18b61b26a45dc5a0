"""The predictions of candidates, from the arrays of the task."""

import numpy as np
import pytest

from aiida_qagenai.common.properties import DESCRIBED
from aiida_qagenai.parsers.predict import make_prediction


@pytest.fixture
def arrays():
    numbers = {name: np.full((2, 4), 0.1) for name in ('energies', 'sigma')}
    scalars = {name: np.array([0.1, np.nan]) for name in ('divergence_signed', 'divergence_sigma')}
    return {**numbers, **scalars, 'distance_to_training': np.ones(2), 'out_of_distribution': np.array([False, True])}


def test_the_gap_is_that_at_pbe_where_it_was_predicted(arrays):
    gaps = {'gaps': np.array([[1.5, 2.5, 2.0, 1.8], [np.nan] * 4]), 'gap_sigma': np.full((2, 4), 0.3)}
    first, second = (make_prediction({**arrays, **gaps}, row, '001-00000', 'u').content for row in (0, 1))
    assert (first.band_gap, first.band_gap_sigma) == (1.5, 0.3)
    assert second.band_gap is None and second.energy_pbe == 0.1


def test_without_a_gap_there_is_none(arrays):
    assert make_prediction(arrays, 0, '001-00000', 'u').content.band_gap is None


def test_descriptors_are_stored_by_their_names(arrays):
    described = {
        name: np.full((2, len(DESCRIBED)), value) for name, value in (('descriptors', 0.2), ('descriptor_sigma', 0.1))
    }
    content = make_prediction({**arrays, **described}, 0, '001-00000', 'u').content
    assert content.descriptors == dict.fromkeys(DESCRIBED, 0.2) and content.descriptor_sigma['elf_high'] == 0.1
    assert make_prediction(arrays, 0, '001-00000', 'u').content.descriptors is None

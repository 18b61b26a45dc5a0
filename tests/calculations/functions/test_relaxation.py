"""Tests for :mod:`aiida_qagenai.calculations.functions.relaxation`."""

from __future__ import annotations

import numpy as np
import pytest
from aiida.orm import Dict, StructureData, TrajectoryData
from magnetic_crystals import rock_salt_cell

from aiida_qagenai.calculations.functions.relaxation import summarize_relaxation


def summary(cation: str, electrons: int, **output) -> dict:
    """Return the summary of a relaxation by pw.x that changed nothing."""
    crystal = StructureData(pymatgen=rock_salt_cell(cation)).store()
    trajectory = TrajectoryData()
    trajectory.set_trajectory(['M', 'O'], np.zeros((1, 2, 3)))
    trajectory.set_array('forces', np.zeros((1, 2, 3)))
    values = {'energy': -1.0, 'number_of_electrons': electrons, **output}
    settings = {'engine': 'espresso', 'max_volume_change': 0.2, 'scientific': True}
    nodes = {'results': Dict(values), 'settings': Dict(settings), 'trajectory': trajectory.store()}
    return summarize_relaxation(initial=crystal, relaxed=crystal, **nodes)['results'].get_dict()


@pytest.mark.parametrize(
    ('cation', 'electrons', 'output', 'codes'),
    [
        ('Ni', 16, {'lsda': True, 'absolute_magnetization': 2.0}, []),
        ('Ni', 16, {'lsda': True, 'absolute_magnetization': 0.01}, [723]),
        ('Ni', 16, {}, [723]),
        ('Mg', 16, {}, []),
        ('Mn', 21, {}, [707, 723]),
        ('Mn', 21, {'lsda': True, 'absolute_magnetization': 5.0}, []),
    ],
)
def test_a_relaxation_without_moments_is_a_warning(aiida_profile_clean, cation, electrons, output, codes):
    """Of a crystal that has some; an odd number of electrons is one without spin polarisation."""
    results = summary(cation, electrons, **output)
    assert results['warning_codes'] == codes
    assert results['absolute_moment'] == output.get('absolute_magnetization', 0.0)

"""Other forms of a crystal are the same crystal, and their noise is pooled about each crystal's own mean."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
sys.path.insert(0, str(BENCHMARKS))

import repeats  # noqa: E402

from aiida_qagenai.common.fidelity import LADDER, Fidelity  # noqa: E402


def as_pymatgen(form):
    cell, sites = form
    symbols, places = zip(*sites, strict=True)
    return Structure(cell, symbols, places, coords_are_cartesian=True)


@pytest.mark.parametrize('name', ['LiH', 'BN', 'Si'])
def test_another_form_is_the_same_crystal(name):
    first, *others = (as_pymatgen(form) for form in repeats.forms_of(repeats.listed()[name], 6))
    matcher = StructureMatcher(scale=False, primitive_cell=False)
    for other in others:
        assert matcher.fit(first, other)
        assert other.volume == pytest.approx(first.volume)
        assert not np.allclose(other.lattice.matrix, first.lattice.matrix)


def test_all_levels_have_the_small_mesh_and_basis():
    settings, structure = repeats.ladder_settings(), repeats.listed()['LiH']
    for level in LADDER:
        values = settings.crystal_parameters(level, structure[0])
        assert values['kmesh'] == [2, 2, 2] and values['kmesh_shift'] == [0, 0, 0]


def test_what_two_levels_share_is_no_noise_of_their_divergence(capsys):
    shared = np.array([[0.0, 0.002], [1.0, 1.004]])
    repeats.report({Fidelity.PBE: shared, Fidelity.HSE06: shared + np.array([[0.1], [0.3]])})
    lines = capsys.readouterr().out.splitlines()
    figures = {line['name']: line for line in map(json.loads, lines)}
    assert figures['noise-pbe']['value'] == pytest.approx(1000 * np.sqrt((2e-6 + 8e-6) / 2))
    assert figures['noise-hse06-divergence']['value'] == pytest.approx(0, abs=1e-9)
    assert figures['noise-hse06-divergence']['reference_value'] == pytest.approx(200 * 0.5**0.5)
    assert figures['repeats']['value'] == 4

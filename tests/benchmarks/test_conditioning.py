"""Which crystals our own DFT judges, and what their gaps say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
sys.path.insert(0, str(BENCHMARKS.parent / 'recipes'))
sys.path.insert(0, str(BENCHMARKS))

from conditioning_parts import computed  # noqa: E402
from conditioning_parts.steering import TARGETS, Made  # noqa: E402


def crystal(number: int) -> Made:
    """Return a crystal of as many atoms."""
    sites = np.linspace(0, 1, number, endpoint=False)[:, None] * [1, 0, 0]
    return Made(Structure(Lattice.cubic(4.0), ['Si'] * number, sites), 'substitution')


def test_the_smallest_crystal_of_each_arm_of_pools_without_open_shells():
    pools = ['Al-Sn-Cl-Se', 'Y-Ni-F-N', 'Ba-Ge-O-Br']
    assert computed.admitted(pools) == ['Al-Sn-Cl-Se', 'Ba-Ge-O-Br']
    arms = {arm: {'Al-Sn-Cl-Se': [crystal(3), crystal(2), crystal(4)]} for arm in computed.ARMS}
    found = list(computed.smallest(arms, ['Al-Sn-Cl-Se']))
    assert [arm for _, arm, _ in found] == list(computed.ARMS)
    assert {len(structure) for _, _, structure in found} == {2}
    assert {computed.key_of(structure) for _, _, structure in found} == {'Si2-4.00-4.00-4.00'}


def test_only_pools_with_both_gaps_count(capsys):
    gaps = {'free': {'a': 1.0, 'b': np.nan}, **{f'aimed {value:g}': {'a': value, 'b': 9.0} for value in TARGETS}}
    computed.report(gaps)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == '# computed: 9 of 10 crystals'
    figures = {each['name']: each['value'] for each in (json.loads(line) for line in lines if line.startswith('{'))}
    assert figures['median-computed-5'] == pytest.approx(5.0)
    assert figures['moved-computed-5'] == pytest.approx(1.0)
    assert figures['wasserstein-computed-3'] == pytest.approx(0.0)

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

from conditioning_parts import computed, localised  # noqa: E402
from conditioning_parts.steering import TARGETS, Made  # noqa: E402


def crystal(number: int) -> Made:
    """Return a crystal of as many atoms."""
    sites = np.linspace(0, 1, number, endpoint=False)[:, None] * [1, 0, 0]
    return Made(Structure(Lattice.cubic(4.0), ['Si'] * number, sites), 'substitution')


def test_the_smallest_crystal_of_each_arm_of_pools_without_open_shells():
    pools = ['Al-Sn-Cl-Se', 'Y-Ni-F-N', 'Ba-Ge-O-Br']
    assert computed.admitted(pools) == ['Al-Sn-Cl-Se', 'Ba-Ge-O-Br']
    arms = {arm: {'Al-Sn-Cl-Se': [crystal(3), crystal(2), crystal(4)]} for arm in computed.ARMS}
    found = list(computed.smallest(arms, computed.ARMS, ['Al-Sn-Cl-Se']))
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


def test_how_far_localised_electrons_move(capsys):
    """Pools without one of both values do not count, and a value that is there already is no distance to move."""
    values = {'free': {'a': 0.05, 'b': 0.1, 'c': 0.05}, 'elf_high 0.05': {'a': 0.0, 'b': np.nan, 'c': 0.1}}
    localised.report({**values, 'elf_high 0.3': {'a': 0.3, 'b': 0.2, 'c': np.nan}})
    lines = capsys.readouterr().out.splitlines()
    figures = {each['name']: each['value'] for each in (json.loads(line) for line in lines if line.startswith('{'))}
    assert figures['moved-elf-high-0.05'] is None
    assert figures['median-elf-high-0.3'] == pytest.approx(0.25)
    assert figures['moved-elf-high-0.3'] == pytest.approx(0.175 / 0.225)
    assert figures['wasserstein-elf-high-0.3'] == pytest.approx(0.05)

"""Which crystals our own DFT judges, and what their gaps say."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from recipe_data import PARTS, write_recipe_data

from aiida_qagenai.common.descriptors import FIELDS
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
sys.path.insert(0, str(BENCHMARKS.parent / 'recipes'))
sys.path.insert(0, str(BENCHMARKS))

import crystals  # noqa: E402
import gap_data  # noqa: E402
from conditioning_parts import computed, diffusion, localised  # noqa: E402
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


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    """Return the training set of made-up crystals, half of which have a gap."""
    folder = write_recipe_data(tmp_path / 'data', crystals.FILES)
    rows = ['material_id,gap_pbe', *(f'mp-0{number},{number % 3}' for number in range(0, 40, 2))]
    (folder / gap_data.FILES[-1]).write_bytes(gzip.compress('\n'.join(rows).encode()))
    monkeypatch.setattr(diffusion, 'split_of', lambda formula: SPLITS.index(PARTS[formula]))
    return diffusion.training_set(folder, tmp_path)


def test_the_diffusion_model_learns_from_gaps_of_formulas_that_are_trained_on(labelled):
    labels = LabelledBatch.load(labelled)
    assert set(labels.groups) <= {name for name, part in PARTS.items() if part != 'test'}
    assert {int(name[4:]) % 2 for name in labels.structures.identifiers} == {0}
    expected = [int(name[4:]) % 3 for name in labels.structures.identifiers]
    np.testing.assert_array_equal(labels.descriptors[:, FIELDS.index('band_gap')], expected)
    assert np.isfinite(labels.descriptors).sum() == len(labels)


def test_those_that_the_model_has_nearest_to_the_target_are_ranked_first():
    judged, predicted = ({'a': np.arange(5.0) + shift, 'b': np.arange(5.0, 10.0) + shift} for shift in (0.5, 0.0))
    found = diffusion.nearest(judged, predicted, 7.1)
    assert found['b'].tolist() == [7.5, 8.5] and not len(found['a'])


@pytest.mark.slow
def test_arms_of_the_diffusion_model_make_crystals_once(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(diffusion, 'PER_POOL', 2)
    made = {}
    for arm in diffusion.LEARNED:
        generator = diffusion.trained(arm, labelled, tmp_path, 2)
        for scale in (0.0, 3.0):
            made[arm, scale] = diffusion.sampled(tmp_path / arm, generator, ['Li-H'], 5.0, scale)
    assert all(len(found['Li-H']) == 2 for found in made.values())
    monkeypatch.setattr(diffusion, 'run_here', None)
    again = diffusion.sampled(tmp_path / arm, tmp_path / 'gone', ['Li-H'], 5.0, 3.0)
    assert again == made[arm, 3.0]

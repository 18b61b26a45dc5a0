"""The stored counts of structures that were ordered."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

from guidance_parts import masks, stability, targets
from guidance_parts.runs import complete, load
from pymatgen.core import Lattice, Structure

RUNS = json.loads(targets.RECORD.read_text())


def counts(name, arm):
    """Return the sums of a target and an arm over all seeds."""
    mine = [run for run in RUNS if (run['target'], run['arm']) == (name, arm)]
    return {key: sum(run[key] or 0 for run in mine) for key in ('requested', *targets.COUNTED)}


@pytest.mark.parametrize('name', list(targets.TARGETS))
def test_guided_samples_satisfy_more_and_stay_valid(name):
    arms = {arm: counts(name, arm) for arm in targets.TARGETS[name].arms}
    assert len({each['requested'] for each in arms.values()}) == 1
    share = {arm: each['hits'] / each['requested'] for arm, each in arms.items()}
    assert share['guided'] >= (2 * share['unguided'] if share['unguided'] < 0.3 else share['unguided'])
    assert share['guided'] > share.get('best-of-2', 0)
    assert arms['guided']['valid'] >= 0.9 * arms['unguided']['valid']


def test_three_constraints_hold_together_where_each_alone_does():
    alone = ('si-o-six', 'silica-volume', 'silica-distance')
    for name in alone:
        assert counts(name, 'guided')['hits'] >= 0.8 * counts(name, 'guided')['requested']
    assert counts('silica-three', 'guided')['hits'] >= 0.5 * counts('silica-three', 'guided')['requested']


def test_every_arm_has_its_share(capsys):
    targets.show(RUNS)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('{')]
    figures = {record['name']: record for record in map(json.loads, lines)}
    for arm in ('unguided', 'best-of-2', 'guided'):
        sums = counts('boron-volume', arm)
        assert figures[f'{arm}-boron-volume']['value'] == sums['hits'] / sums['requested']
    assert 'guided-boron-volume-agreed' not in figures and 'guided-si-o-six-agreed' in figures


def test_what_is_kept_in_a_relaxation_is_told(capsys):
    """The figures are those of the stored crystals: duplicates and those without a distance do not count."""
    runs = json.loads(stability.RECORD.read_text())
    stability.show(runs)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('{')]
    figures = {record['name']: record for record in map(json.loads, lines)}
    crystals = [crystal for run in runs if run['arm'] == 'guided' for crystal in run['crystals']]
    placed = [crystal for crystal in crystals if crystal[2] is not None and not crystal[3]]
    kept = sum(crystal[1] for crystal in placed)
    assert figures['kept-guided-si-o-six']['value'] == kept / len(placed)


@pytest.mark.parametrize('height', [2.7, 4.4, 8.0])
def test_a_kagome_net_is_found_whatever_is_above_it(height):
    sites = [[0.5, 0, 0], [0, 0.5, 0], [0.5, 0.5, 0], [0, 0, 0], [1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]]
    iron_tin = Structure(Lattice.hexagonal(5.3, height), ['Fe'] * 3 + ['Sn'] * 3, sites)
    assert masks.has_kagome(iron_tin.perturb(0.05), 'Fe') and not masks.has_kagome(iron_tin, 'Sn')


def test_planes_of_close_packing_are_no_kagome_net():
    for group, a in ((225, 3.6), (229, 2.9), (221, 2.5)):
        assert not masks.has_kagome(Structure.from_spacegroup(group, Lattice.cubic(a), ['Fe'], [[0, 0, 0]]), 'Fe')


def test_masks_hold_their_net_before_the_relaxation(capsys):
    runs = load(masks.RECORD)
    arms = {arm: [run for run in runs if run['arm'] == arm] for arm in masks.ARMS}
    sums = {arm: {key: sum(run[key] for run in mine) for key in mine[0] if key != 'arm'} for arm, mine in arms.items()}
    assert sums['masked']['before'] == sums['masked']['requested'] == sums['unmasked']['requested']
    assert sums['masked']['after'] > sums['unmasked']['after']
    masks.show(runs)
    assert '"kagome-masked-after"' in capsys.readouterr().out


def test_a_measurement_that_was_killed_goes_on(tmp_path):
    """What had ended is kept, what is stored is measured again only when asked for, and what is not planned stays."""
    record, plan = tmp_path / 'runs.json', [{'arm': 'masked', 'seed': seed} for seed in range(3)]
    measured = []

    def measure(arm, seed):
        if seed == 2 and len(measured) < 3:
            measured.append('killed')
            raise KeyboardInterrupt
        measured.append(seed)
        return {'arm': arm, 'seed': seed, 'hits': len(measured)}

    with pytest.raises(KeyboardInterrupt):
        complete(record, plan, measure)
    assert [run['hits'] for run in load(record)] == [1, 2]
    assert [run['hits'] for run in complete(record, plan, measure)] == [1, 2, 4]
    assert [run['hits'] for run in complete(record, plan[:1], measure, again=True)] == [2, 4, 5]
    assert measured == [0, 1, 'killed', 2, 0]

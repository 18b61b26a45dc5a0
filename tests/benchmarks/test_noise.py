"""What the benchmark `noise` does to labels, and what it stores."""

import json
import sys
from pathlib import Path

import numpy as np
from toy_crystals import toy_dataset

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import Level

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import noise
from noise_parts.arms import LABELS, OVERLAP, SMALL_BASIS, missing, rows_of, start, two_bases, unconverged


def labels():
    """Return 400 crystals with labels at PBE and SCAN, each of a formula of its own."""
    batch = toy_dataset(400, high=400).on_levels((Level('PBE', Fidelity.PBE), Level('SCAN', Fidelity.SCAN)))
    batch.groups[:] = [f'{index}' for index in range(400)]
    return start(batch, 0)


def test_the_labels_of_held_out_crystals_stay(capsys):
    whole = labels()
    assert len(rows_of(whole)) == LABELS
    for spoil in (missing, unconverged(flagged=True)):
        spoilt = spoil(whole, np.random.default_rng(0))
        held_out = whole.split == 1
        np.testing.assert_array_equal(spoilt.energies[held_out], whole.energies[held_out])
        np.testing.assert_array_equal(spoilt.energies[:, 0], whole.energies[:, 0])


def test_two_bases_overlap_where_they_are_kept_apart():
    spoilt = two_bases(kept='apart')(labels(), np.random.default_rng(0))
    assert spoilt.levels[1] == SMALL_BASIS
    known = np.isfinite(spoilt.energies) & (spoilt.split == 0)[:, None]
    assert known[:, 1].sum() == LABELS // 2
    assert (known[:, 1] & known[:, 2]).sum() == OVERLAP
    assert (known[:, 1] | known[:, 2]).sum() == LABELS


def test_the_stored_runs_give_all_figures(capsys):
    runs = json.loads(noise.RECORD.read_text())['runs']
    noise.report(runs)
    figures = {line['name']: line['value'] for line in map(json.loads, capsys.readouterr().out.splitlines())}
    for arm in noise.ARMS:
        assert figures[f'error-{noise.slug(arm.noise)}-{noise.slug(arm.name)}'] > 0
    assert min(value for name, value in figures.items() if name.startswith('seeds-')) >= 5

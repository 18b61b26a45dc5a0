"""Tasks of the GPU side as subprocesses of the command line."""

import sys

import numpy as np
import pytest

from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.common.errors import QagenaiError
from aiida_qagenai.exchange.structures import StructureBatch


def test_a_task_returns_its_results_and_shows_progress(tmp_path):
    cell = np.eye(3) * 4.2
    batch = StructureBatch(
        num_atoms=np.array([1]),
        cells=cell[None],
        species=np.array([29]),
        fractional=np.zeros((1, 3)),
        identifiers=np.array(['Cu']),
    )
    batch.save(tmp_path / 'start.npz')
    config = {'structure': 'start.npz', 'potential': {'name': 'emt'}}
    results = run_ml_task('relax', config, tmp_path, 'relaxing')
    assert results['status'] == 'ok' and (tmp_path / 'relaxed.npz').exists()


def test_a_task_that_fails_says_why(tmp_path):
    with pytest.raises(QagenaiError, match=r'the task `generate` failed: .*requests'):
        run_ml_task('generate', {'generator': 'missing'}, tmp_path, 'sampling')


def test_a_task_that_is_killed_is_an_error(tmp_path, monkeypatch):
    killed = tmp_path / 'python'
    killed.write_text('#!/bin/sh\necho loading\nkill -9 $$\n')
    killed.chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(killed))
    (tmp_path / 'results.json').write_text('{"status": "ok", "warnings": []}')  # of an earlier run
    with pytest.raises(QagenaiError, match='`generate` ended before it could say why: loading'):
        run_ml_task('generate', {}, tmp_path, 'sampling')

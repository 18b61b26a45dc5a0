"""Fixtures of the GPU side: a made-up data set and models trained on it for a few steps through the commands."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_crystals import toy_dataset

from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.cli import RESULTS_NAME, main
from aiida_qagenai.ml.runtime import Runtime, setup

SHORT_TRAININGS: dict[str, dict[str, Any]] = {
    'descriptor': {'steps': 60},
    'generator': {'steps': 120, 'batch_size': 32},
    'validator': {'steps': 80, 'options': {'num_members': 3}},
}


def run_command(folder: Path, task: str, config: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Run a command in ``folder`` and return its exit status and ``results.json``."""
    (folder / 'config.json').write_text(json.dumps(config))
    with contextlib.chdir(folder) if sys.version_info >= (3, 11) else _chdir(folder):
        status = main([task, '--config', 'config.json'])
    return status, json.loads((folder / RESULTS_NAME).read_text())


@contextlib.contextmanager
def _chdir(folder: Path) -> Iterator[None]:
    import os

    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture(scope='session')
def command():
    """Return the function that runs a command in a folder."""
    return run_command


@pytest.fixture(scope='session')
def runtime() -> Runtime:
    """Return a double-precision CPU runtime."""
    return setup(RuntimeConfig(dtype='float64'))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def dataset() -> LabelledBatch:
    """Return 40 made-up crystals, 10 of them with all levels."""
    return toy_dataset()


@pytest.fixture(scope='session')
def models(tmp_path_factory: pytest.TempPathFactory, dataset: LabelledBatch) -> Path:
    """Return a folder with ``dataset.npz`` and a briefly trained ``descriptor``, ``generator`` and ``validator``."""
    folder = tmp_path_factory.mktemp('models')
    dataset.save(folder / 'dataset.npz')
    for role, options in SHORT_TRAININGS.items():
        status, results = run_command(
            folder, 'train', {'role': role, 'dataset': 'dataset.npz', 'output': role, **options}
        )
        assert status == 0, results['error']
        (folder / f'{role}.json').write_text(json.dumps(results))
    return folder

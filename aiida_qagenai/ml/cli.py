"""The commands ``train``, ``generate``, ``predict``, ``label``, ``relax`` and the others of ``TASKS``.

Each runs in the current working directory, prints progress, and always ends by writing ``results.json``, also when it
fails. The exit status is 0 if and only if ``status`` there is ``ok``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import sys
import time
import traceback
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, NonFiniteError, NotConvergedError
from aiida_qagenai.exchange.tasks import TASKS, parse
from aiida_qagenai.ml.progress import Record

if t.TYPE_CHECKING:
    import torch

__all__ = ('RESULTS_NAME', 'main')

RESULTS_NAME = 'results.json'
FORMAT_VERSION = 1
MODULES = {
    'train_descriptor': 'training.descriptor',
    'train_generator': 'training.generator',
    'train_validator': 'training.validator',
    'generate': 'generator.generate',
    'predict': 'validator.predict',
    'label': 'labelling',
    'relax_many': 'relaxations',
    'elastic': 'elasticity',
    'contest': 'alternatives.contest',
    'gaps': 'gaps.predict',
    **dict.fromkeys(('properties', 'tune_properties'), 'properties.predict'),
    **dict.fromkeys(('relax', 'free_energy', 'barrier'), 'atomistic'),
}
"""Name of the function behind a command → its module, imported when it is called."""

THREAD_VARIABLES = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, write ``results.json`` and return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m aiida_qagenai.ml', description=__doc__)
    parser.add_argument('task', choices=TASKS)
    parser.add_argument(
        '--config', type=Path, required=True, help='JSON configuration; paths in it are relative to here'
    )
    namespace = parser.parse_args(arguments)
    task = namespace.task
    wall, cpu = time.perf_counter(), time.process_time()
    record = Record()
    error: dict[str, str] | None = None
    device: torch.device | None = None
    try:
        config = parse(task, _read(namespace.config))
        # Before the first import of numpy and torch, whose libraries read these once.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(config.num_threads)))
        from aiida_qagenai.ml.runtime import setup

        record.timings['import_seconds'] = time.perf_counter() - wall
        runtime = setup(config)
        device = runtime.device
        # Each task loads its own libraries and no others.
        name = f'train_{config.role}' if task == 'train' else task
        module = importlib.import_module(f'aiida_qagenai.ml.{MODULES[name]}')
        getattr(module, name)(config, runtime, record)
    except Exception as exception:
        error = {'kind': _kind(exception), 'message': str(exception) or type(exception).__name__}
        if error['kind'] == 'internal':
            traceback.print_exc()
        print(f'error ({error["kind"]}): {error["message"]}', file=sys.stderr, flush=True)
    record.timings.update(wall_seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)
    _write_results(task, error, record, device)
    return 0 if error is None else 1


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exception:
        raise InvalidInputError(f'cannot read the configuration `{path}`: {exception.strerror}') from exception


def _kind(exception: Exception) -> str:
    import torch

    if isinstance(exception, NotConvergedError):
        return f'{exception.what}_not_converged'
    kinds = {
        'corrupt_file': CorruptFileError,
        'invalid_input': InvalidInputError | FileNotFoundError,
        'non_finite': NonFiniteError | FloatingPointError,
        'out_of_memory': MemoryError | torch.OutOfMemoryError,
    }
    # The CPU allocator of torch raises a plain RuntimeError.
    plain = isinstance(exception, RuntimeError) and "can't allocate memory" in str(exception)
    default = 'out_of_memory' if plain else 'internal'
    return next((kind for kind, classes in kinds.items() if isinstance(exception, classes)), default)


def _write_results(task: str, error: dict[str, str] | None, record: Record, device: torch.device | None) -> None:
    """Write ``results.json`` atomically, as strict JSON."""
    from aiida_qagenai.ml.runtime import package_versions, peak_memory_mb

    results = {
        'format_version': FORMAT_VERSION,
        'task': task,
        'status': 'ok' if error is None else 'failed',
        'error': error,
        'metrics': {name: value for name, value in record.metrics.items() if math.isfinite(value)},
        'history': record.history,
        'versions': package_versions(device),
        'timings': record.timings,
        'peak_memory_mb': peak_memory_mb(device),
        'warnings': record.warnings,
        **record.counts,
    }
    temporary = Path(RESULTS_NAME + '.partial')
    temporary.write_text(json.dumps(results, indent=2, allow_nan=False) + '\n')
    temporary.replace(RESULTS_NAME)

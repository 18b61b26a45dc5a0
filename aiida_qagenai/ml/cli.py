"""The commands ``train``, ``generate``, ``predict``, ``relax``, ``free_energy`` and ``barrier``.

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

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, NotConvergedError
from aiida_qagenai.exchange.tasks import TASKS, parse

if t.TYPE_CHECKING:
    from aiida_qagenai.ml.progress import Record
    from aiida_qagenai.ml.runtime import Runtime

__all__ = ('RESULTS_NAME', 'main')

RESULTS_NAME = 'results.json'
FORMAT_VERSION = 1
MODULES = {
    'train_descriptor': 'training.descriptor',
    'train_generator': 'training.generator',
    'train_validator': 'training.validator',
    'generate': 'generator.generate',
    'predict': 'validator.predict',
    **dict.fromkeys(('relax', 'free_energy', 'barrier'), 'atomistic'),
}
"""Name of the function behind a command → its module, imported when it is called."""

THREAD_VARIABLES = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog='python -m aiida_qagenai.ml', description=__doc__)
    parser.add_argument('task', choices=TASKS)
    parser.add_argument(
        '--config', type=Path, required=True, help='JSON configuration; paths in it are relative to here'
    )
    namespace = parser.parse_args(arguments)
    return _run(namespace.task, namespace.config)


def _run(task: str, config_path: Path) -> int:
    """Run ``task``, write ``results.json`` and return the exit status."""
    wall, cpu = time.perf_counter(), time.process_time()
    error: dict[str, str] | None = None
    record: Record | None = None
    runtime: Runtime | None = None
    try:
        config = parse(task, _read(config_path))
        # Before the first import of numpy and torch, whose libraries read these once.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(config.num_threads)))
        from aiida_qagenai.ml.progress import Record
        from aiida_qagenai.ml.runtime import setup

        record = Record()
        record.timings['import_seconds'] = time.perf_counter() - wall
        runtime = setup(config)
        _dispatch(task, config, runtime, record)
    except Exception as exception:
        error = {'kind': _kind(exception), 'message': str(exception) or type(exception).__name__}
        if error['kind'] == 'internal':
            traceback.print_exc()
        print(f'error ({error["kind"]}): {error["message"]}', file=sys.stderr, flush=True)
    _write_results(task, error, record, runtime, wall_seconds=time.perf_counter() - wall, cpu_start=cpu)
    return 0 if error is None else 1


def _dispatch(task: str, config: t.Any, runtime: Runtime, record: Record) -> None:
    """Import and call the function behind a command; only the validator loads e3nn."""
    name = f'train_{config.role}' if task == 'train' else task
    module = importlib.import_module(f'aiida_qagenai.ml.{MODULES[name]}')
    getattr(module, name)(config, runtime, record)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exception:
        message = f'cannot read the configuration `{path}`: {exception.strerror}'
        raise InvalidInputError(message) from exception


def _kind(exception: Exception) -> str:
    """Return the kind of failure that an exception stands for."""
    import torch

    from aiida_qagenai.ml.runtime import NonFiniteError

    if isinstance(exception, CorruptFileError):
        return 'corrupt_file'
    if isinstance(exception, InvalidInputError | FileNotFoundError):
        return 'invalid_input'
    if isinstance(exception, NonFiniteError | FloatingPointError):
        return 'non_finite'
    if isinstance(exception, NotConvergedError):
        return f'{exception.what}_not_converged'
    out_of_memory = isinstance(exception, MemoryError | torch.OutOfMemoryError)
    # The CPU allocator of torch raises a plain RuntimeError.
    if out_of_memory or (isinstance(exception, RuntimeError) and "can't allocate memory" in str(exception)):
        return 'out_of_memory'
    return 'internal'


def _write_results(
    task: str,
    error: dict[str, str] | None,
    record: Record | None,
    runtime: Runtime | None,
    *,
    wall_seconds: float,
    cpu_start: float,
) -> None:
    """Write ``results.json`` atomically, as strict JSON."""
    from aiida_qagenai.ml import runtime as environment
    from aiida_qagenai.ml.progress import Record

    record = record or Record()
    device = runtime.device if runtime is not None else None
    versions = environment.package_versions()
    if device is not None:
        versions['device'] = environment.device_name(device)
    results = {
        'format_version': FORMAT_VERSION,
        'task': task,
        'status': 'ok' if error is None else 'failed',
        'error': error,
        'metrics': {name: value for name, value in record.metrics.items() if math.isfinite(value)},
        'history': record.history,
        'versions': versions,
        'timings': {
            'wall_seconds': wall_seconds,
            'cpu_seconds': time.process_time() - cpu_start,
            **record.timings,
        },
        'peak_memory_mb': environment.peak_memory_mb(device),
        'warnings': record.warnings,
        **record.counts,
    }
    temporary = Path(RESULTS_NAME + '.partial')
    temporary.write_text(json.dumps(results, indent=2, allow_nan=False) + '\n')
    temporary.replace(RESULTS_NAME)

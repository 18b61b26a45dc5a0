"""Tasks of the GPU side (`python -m aiida_qagenai.ml`) as subprocesses.

What calls them never imports torch: it starts in a fraction of a second, and a task that runs out of memory or crashes
is an error message here.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing as t
import warnings
from collections import deque
from pathlib import Path

from aiida_qagenai.common.errors import QagenaiError

__all__ = ('run_quietly', 'run_task')

_STEP = re.compile(r'^\S+: step (\d+)/(\d+)')
RESULTS = 'results.json'
LAST_LINES = 5
"""Lines of a task that are shown if it ends without saying why."""

Show = t.Callable[[int, int], object]
"""What is called with the number of steps that are done, and of all."""

Runner = t.Callable[[str, dict[str, t.Any], Path, str], dict[str, t.Any]]
"""What runs a task: its name, configuration, folder, and what to call it on a bar."""


def run_task(
    task: str, config: dict[str, t.Any], folder: Path, show: Show = lambda done, total: None
) -> dict[str, t.Any]:
    """Run one task in ``folder`` and return what it wrote to ``results.json``.

    :param config: configuration of the task; paths in it are relative to ``folder``.
    :param show: called as the task proceeds.
    :raises QagenaiError: if the task fails, with its message.
    """
    (folder / 'config.json').write_text(json.dumps(config), encoding='utf8')
    (folder / RESULTS).unlink(missing_ok=True)  # of an earlier run in the same folder
    command = [sys.executable, '-m', 'aiida_qagenai.ml', task, '--config', 'config.json']
    last: deque[str] = deque(maxlen=LAST_LINES)
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                last.append(line.rstrip())
                if step := _STEP.match(line):
                    show(int(step[1]), int(step[2]))
        except BaseException:
            process.kill()
            raise
    return _results(folder / RESULTS, task, list(last))


def run_quietly(task: str, config: dict[str, t.Any], folder: Path, _: str) -> dict[str, t.Any]:
    """Run one task without a bar; its warnings are those of Python.

    :raises QagenaiError: as :func:`run_task`.
    """
    results = run_task(task, config, folder)
    for text in results['warnings']:
        warnings.warn(text, stacklevel=4)
    return results


def _results(path: Path, task: str, last: list[str]) -> dict[str, t.Any]:
    """Return the results of a task that has ended.

    :raises QagenaiError: if it failed, or was killed before it could say why.
    """
    if not path.exists():
        said = ' / '.join(last) or 'it printed nothing'
        raise QagenaiError(f'the task `{task}` ended before it could say why: {said}')
    results: dict[str, t.Any] = json.loads(path.read_bytes())
    if results['status'] != 'ok':
        raise QagenaiError(f'the task `{task}` failed: {results["error"]["message"]}')
    return results

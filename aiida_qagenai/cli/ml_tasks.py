"""Commands of the GPU side (`python -m aiida_qagenai.ml`) as subprocesses, with a bar for their progress.

The command line never imports torch: it starts in a fraction of a second, and a task that runs out of memory or
crashes is an error message here.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing as t
from collections import deque
from pathlib import Path

import click

from aiida_qagenai.cli.bars import counting_bar
from aiida_qagenai.common.errors import QagenaiError

__all__ = ('run_ml_task',)

_STEP = re.compile(r'^\S+: step (\d+)/(\d+)')
RESULTS = 'results.json'
LAST_LINES = 5
"""Lines of a task that are shown if it ends without saying why."""


def run_ml_task(task: str, config: dict[str, t.Any], folder: Path, label: str) -> dict[str, t.Any]:
    """Run one task in ``folder`` and return what it wrote to ``results.json``.

    :param config: configuration of the task; paths in it are relative to ``folder``.
    :param label: what the bar on standard error says.
    :raises QagenaiError: if the task fails, with its message.
    """
    (folder / 'config.json').write_text(json.dumps(config), encoding='utf8')
    (folder / RESULTS).unlink(missing_ok=True)  # of an earlier run in the same folder
    command = [sys.executable, '-m', 'aiida_qagenai.ml', task, '--config', 'config.json']
    last: deque[str] = deque(maxlen=LAST_LINES)
    with (
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
        counting_bar(label) as show,
    ):
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
    for warning in results['warnings']:
        click.echo(f'warning: {warning}', err=True)
    return results

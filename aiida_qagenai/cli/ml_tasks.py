"""Tasks of the GPU side with a bar for their progress."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.api.tasks import run_task
from aiida_qagenai.cli.bars import counting_bar

__all__ = ('run_ml_task',)


def run_ml_task(task: str, config: dict[str, t.Any], folder: Path, label: str) -> dict[str, t.Any]:
    """Run one task in ``folder``, print its warnings, and return what it wrote to ``results.json``.

    :param config: configuration of the task; paths in it are relative to ``folder``.
    :param label: what the bar on standard error says.
    :raises QagenaiError: if the task fails, with its message.
    """
    with counting_bar(label) as show:
        results = run_task(task, config, folder, show)
    for warning in results['warnings']:
        click.echo(f'warning: {warning}', err=True)
    return results

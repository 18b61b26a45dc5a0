"""Runs that are kept in a file, so that a measurement that was killed goes on where it was."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable, Sequence
from pathlib import Path

Run = dict[str, t.Any]


def load(path: Path) -> list[Run]:
    """Return the runs of a record, none where there is no record."""
    runs: list[Run] = json.loads(path.read_text()) if path.exists() else []
    return runs


def complete(path: Path, plan: Sequence[Run], measure: Callable[..., Run], *, again: bool = False) -> list[Run]:
    """Return the runs of a record after measuring those of a plan that it lacks, each of which is kept at once.

    :param plan: keys and values that tell each run from the others; ``measure`` takes them by keyword.
    :param again: whether the runs of the plan that the record has are forgotten first.
    """
    runs = load(path)
    if again:
        runs = [run for run in runs if not any(_is(run, each) for each in plan)]
        _write(path, runs)
    for each in plan:
        if not any(_is(run, each) for run in runs):
            runs.append(measure(**each))
            print(f'# {json.dumps(runs[-1])}', flush=True)
            _write(path, runs)
    return runs


def _is(run: Run, wanted: Run) -> bool:
    return wanted.items() <= run.items()


def _write(path: Path, runs: list[Run]) -> None:
    """Replace the record at once: a kill in between leaves the earlier one."""
    lines = ',\n'.join(json.dumps(each, separators=(',', ':')) for each in runs)
    part = path.with_suffix('.part')
    part.write_text(f'[\n{lines}\n]\n')
    part.replace(path)

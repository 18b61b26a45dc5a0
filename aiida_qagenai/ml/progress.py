"""Progress lines on standard output and the record of a task that becomes ``results.json``."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
import typing as t
from collections.abc import Callable, Iterator, Mapping

from aiida_qagenai.common.errors import NonFiniteError

__all__ = ('Progress', 'Record')

Figures = Mapping[str, float] | Callable[[], Mapping[str, float]] | None


@dataclasses.dataclass
class Record:
    """What a task reports about itself.

    :param metrics: flat figures of merit; only finite ones are kept.
    :param history: curves, each a list of numbers.
    :param counts: task-specific entries at the top level of ``results.json``.
    """

    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    timings: dict[str, float] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    counts: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as ``<name>_seconds``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            key = f'{name}_seconds'
            self.timings[key] = self.timings.get(key, 0.0) + time.perf_counter() - start

    def warn(self, message: str) -> None:
        """Keep a warning once and show it."""
        if message not in self.warnings:
            self.warnings.append(message)
            print(f'warning: {message}', flush=True)

    def log(self, **values: float) -> None:
        """Append one point to each of the named curves."""
        for name, value in values.items():
            self.history.setdefault(name, []).append(float(value))


class Progress:
    """Prints about twenty-five lines over a task: what it does, step, figures, elapsed time and time to the end."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.step = 0
        self._every = max(1, total // 25)
        self._start = time.perf_counter()

    def advance(self, label: str, figures: Figures = None, *, count: int = 1) -> bool:
        """Note that ``count`` more steps are done; return whether a line was printed.

        :param figures: or a function that returns them, which is called only where a line is printed.
        :raises NonFiniteError: if a figure is not finite.
        """
        due = (self.step + count) // self._every > self.step // self._every or self.step + count >= self.total
        self.step += count
        if callable(figures):
            figures = figures() if due else {}
        figures = figures or {}
        for name, value in figures.items():
            if not math.isfinite(value):
                message = f'{label}: {name} became {value} at step {self.step}: lower the learning rate or use float64'
                raise NonFiniteError(message)
        if due:
            elapsed = time.perf_counter() - self._start
            eta = elapsed / self.step * (self.total - self.step)
            shown = ' '.join(f'{name} {value:.4g}' for name, value in figures.items())
            text = f'{label}: step {self.step}/{self.total} {shown} elapsed {elapsed:.1f} s eta {eta:.1f} s'
            print(' '.join(text.split()), flush=True)
        return due

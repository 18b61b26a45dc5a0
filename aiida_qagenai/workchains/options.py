"""Scheduler options of the jobs."""

from __future__ import annotations

import typing as t

__all__ = ('set_options',)

ONE_PROCESS = {'num_machines': 1, 'num_mpiprocs_per_machine': 1}


def set_options(namespace: t.Any, options: dict[str, t.Any] | None) -> None:
    """Set ``options`` in the builder ``namespace`` of a calculation, on one process unless they say otherwise."""
    if options:
        namespace.metadata.options = {'resources': ONE_PROCESS, **options}

"""`aiida-qagenai process`: one file per group of commands."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'process',
    help='Inspect processes.',
    commands_at={
        'cost': 'aiida_qagenai.cli.process.cost:cost',
    },
)

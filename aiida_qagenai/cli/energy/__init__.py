"""`aiida-qagenai energy`: one file per group of commands."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'energy',
    help='Search the computed energies.',
    commands_at={
        'divergence': 'aiida_qagenai.cli.energy.search:divergence',
        'list': 'aiida_qagenai.cli.energy.search:list_',
    },
)

"""`aiida-qagenai archive`: one file per group of commands."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'archive',
    help='Write campaigns to files and import them.',
    commands_at={
        'export': 'aiida_qagenai.cli.archive.files:export',
        'import': 'aiida_qagenai.cli.archive.files:import_',
    },
)

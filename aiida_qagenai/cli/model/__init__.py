"""`aiida-qagenai model`: one file per group of commands."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'model',
    help='Inspect trained models.',
    commands_at={
        'lineage': 'aiida_qagenai.cli.model.lineage:lineage',
    },
)

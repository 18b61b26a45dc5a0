"""`aiida-qagenai candidate`: one file per group of commands."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'candidate',
    help='Search the candidates of campaigns.',
    commands_at={
        'list': 'aiida_qagenai.cli.candidate.search:list_',
    },
)

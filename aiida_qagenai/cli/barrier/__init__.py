"""`aiida-qagenai barrier`: running and showing."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'barrier',
    help='Compute the barriers of hops and other paths.',
    commands_at={
        'continue': 'aiida_qagenai.cli.barrier.run:continue_',
        'list': 'aiida_qagenai.cli.barrier.show:list_',
        'protocols': 'aiida_qagenai.cli.barrier.run:protocols',
        'run': 'aiida_qagenai.cli.barrier.run:run',
        'show': 'aiida_qagenai.cli.barrier.show:show',
    },
    without_profile=frozenset({'protocols'}),
)

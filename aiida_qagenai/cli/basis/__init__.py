"""`aiida-qagenai basis`: one file per group of commands."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'basis',
    help='Install and show families of Gaussian basis sets.',
    commands_at={
        'install': 'aiida_qagenai.cli.basis.families:install',
        'list': 'aiida_qagenai.cli.basis.families:list_',
        'show': 'aiida_qagenai.cli.basis.families:show',
    },
)

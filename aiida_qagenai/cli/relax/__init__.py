"""`aiida-qagenai relax`: running and showing."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'relax',
    help='Relax crystals at PBE with PySCF or pw.x.',
    commands_at={
        'continue': 'aiida_qagenai.cli.relax.run:continue_',
        'protocols': 'aiida_qagenai.cli.relax.run:protocols',
        'run': 'aiida_qagenai.cli.relax.run:run',
        'show': 'aiida_qagenai.cli.relax.show:show',
    },
    without_profile=frozenset({'protocols'}),
)

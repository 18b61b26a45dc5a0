"""`aiida-qagenai energy`: computing and searching."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'energy',
    help='Compute energies of crystals, and search them.',
    commands_at={
        'continue': 'aiida_qagenai.cli.energy.run:continue_',
        'divergence': 'aiida_qagenai.cli.energy.search:divergence',
        'list': 'aiida_qagenai.cli.energy.search:list_',
        'protocols': 'aiida_qagenai.cli.energy.run:protocols',
        'run': 'aiida_qagenai.cli.energy.run:run',
        'show': 'aiida_qagenai.cli.energy.show:show',
    },
    without_profile=frozenset({'protocols'}),
)

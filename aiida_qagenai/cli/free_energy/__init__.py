"""`aiida-qagenai free-energy`: running and showing."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'free-energy',
    help='Compute free energies at finite temperature.',
    commands_at={
        'continue': 'aiida_qagenai.cli.free_energy.run:continue_',
        'list': 'aiida_qagenai.cli.free_energy.show:list_',
        'protocols': 'aiida_qagenai.cli.free_energy.run:protocols',
        'run': 'aiida_qagenai.cli.free_energy.run:run',
        'show': 'aiida_qagenai.cli.free_energy.show:show',
    },
    without_profile=frozenset({'protocols'}),
)

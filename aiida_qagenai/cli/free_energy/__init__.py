"""`aiida-qagenai free-energy`: one file per group of commands."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'free-energy',
    help='Compute free energies and distances to the hull at finite temperature.',
    commands_at={
        'continue': 'aiida_qagenai.cli.free_energy.run:continue_',
        'list': 'aiida_qagenai.cli.free_energy.run:list_',
        'protocols': 'aiida_qagenai.cli.free_energy.run:protocols',
        'run': 'aiida_qagenai.cli.free_energy.run:run',
        'show': 'aiida_qagenai.cli.free_energy.run:show',
    },
    without_profile=frozenset({'protocols'}),
)

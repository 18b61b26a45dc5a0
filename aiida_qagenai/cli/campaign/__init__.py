"""`aiida-qagenai campaign`: one file per group of commands."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'campaign',
    help='Run, continue and inspect campaigns.',
    commands_at={
        'continue': 'aiida_qagenai.cli.campaign.run:continue_',
        'follow': 'aiida_qagenai.cli.campaign.run:follow',
        'ledger': 'aiida_qagenai.cli.campaign.show:ledger',
        'list': 'aiida_qagenai.cli.campaign.show:list_',
        'protocols': 'aiida_qagenai.cli.campaign.run:protocols',
        'run': 'aiida_qagenai.cli.campaign.run:run',
        'show': 'aiida_qagenai.cli.campaign.show:show',
    },
    without_profile=frozenset({'protocols'}),
)

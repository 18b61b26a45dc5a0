"""`aiida-qagenai campaign`: campaigns, started, followed, shown and judged."""

from aiida_qagenai.cli.campaign.commands import campaign
from aiida_qagenai.cli.campaign.judging import failures, hits, stopping

__all__ = ('campaign',)

for _command in (failures, hits, stopping):
    campaign.add_command(_command)

"""`aiida-qagenai campaign`: campaigns, started, followed and shown."""

from aiida_qagenai.cli.campaign.commands import campaign

__all__ = ('campaign',)

"""The command ``aiida-qagenai``: one file per noun; AiiDA is imported when a command runs, not for its help."""

from aiida_qagenai.cli.root import main

__all__ = ('main',)

"""The root of the command line: which command lives where, and errors in one line."""

from __future__ import annotations

import importlib
import typing as t

import click

from aiida_qagenai import __version__
from aiida_qagenai.common.errors import QagenaiError

__all__ = ('main',)

COMPUTING = ('barrier', 'campaign', 'elastic', 'energy', 'free-energy', 'hyperparameters', 'relax', 'validation')
HOLDING = ('archive', 'basis', 'candidate', 'dataset', 'model', 'process')
ALONE = ('design', 'evaluate', 'generate', 'hull', 'integrity', 'plot', 'predict', 'report', 'screen', 'serve', 'setup')
NOUNS = sorted(COMPUTING + HOLDING + ALONE)
"""Modules or folders of the command line, each with a group of commands or a command of the same name."""

ALIASES = {
    'candidates': 'candidate list',
    'cost': 'process cost',
    'divergence': 'energy divergence',
    'energies': 'energy list',
    'export': 'archive export',
    'import': 'archive import',
    'lineage': 'model lineage',
}
"""Earlier names that still work → names in the documentation."""


class Main(click.Group):
    """The root group: it imports a noun when it is asked for, and prints an error for users as one line."""

    def invoke(self, ctx: click.Context) -> t.Any:
        """Run the command.

        :raises click.ClickException: exit status 1, for an error of this package.
        """
        try:
            return super().invoke(ctx)
        except QagenaiError as exception:
            raise click.ClickException(str(exception)) from exception

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the alphabet."""
        return NOUNS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name or by an earlier name of it, which the help does not list."""
        noun, *names = ALIASES.get(cmd_name, cmd_name).split()
        if noun not in NOUNS:
            return None
        name = noun.replace('-', '_')
        command: t.Any = getattr(importlib.import_module(f'aiida_qagenai.cli.{name}'), name)
        found: click.Command = command.get_command(ctx, *names) if names else command
        return found


main = Main(
    'aiida-qagenai',
    help='Closed-loop, quantum-aware materials discovery with full provenance.',
    params=[click.Option(['-p', '--profile'], help='AiiDA profile; the default profile otherwise.')],
    epilog='Earlier names still work: '
    + ', '.join(f'`{alias}` is `{command}`' for alias, command in ALIASES.items())
    + '.',
    context_settings={'help_option_names': ['-h', '--help']},
)
click.version_option(__version__, prog_name='aiida-qagenai')(main)

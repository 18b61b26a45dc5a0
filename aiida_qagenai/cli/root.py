"""The root of the command line: which command lives where, and errors in one line."""

from __future__ import annotations

import typing as t

import click

from aiida_qagenai import __version__
from aiida_qagenai.cli.lazy import LazyGroup
from aiida_qagenai.common.errors import QagenaiError

__all__ = ('main',)

COMMANDS = {
    'hull': 'aiida_qagenai.cli.hull.hull:hull',
    'integrity': 'aiida_qagenai.cli.integrity.integrity:integrity',
    'screen': 'aiida_qagenai.cli.screen.screen:screen',
    'serve': 'aiida_qagenai.cli.serve.serve:serve',
    'setup': 'aiida_qagenai.cli.setup.setup:setup',
    **{
        noun: f'aiida_qagenai.cli.{noun.replace("-", "_")}:GROUP'
        for noun in (
            'archive',
            'barrier',
            'basis',
            'campaign',
            'candidate',
            'dataset',
            'energy',
            'free-energy',
            'model',
            'process',
            'relax',
        )
    },
}
"""Nouns and the commands that stand alone."""

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


class Main(LazyGroup):
    """The root group: an error that tells a user what to do is printed as one line."""

    def invoke(self, ctx: click.Context) -> t.Any:
        """Run the command.

        :raises click.ClickException: exit status 1, for an error of this package.
        """
        try:
            return super().invoke(ctx)
        except QagenaiError as exception:
            raise click.ClickException(str(exception)) from exception

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name or by an earlier name of it, which the help does not list."""
        if cmd_name not in ALIASES:
            return super().get_command(ctx, cmd_name)
        noun, name = ALIASES[cmd_name].split()
        group = super().get_command(ctx, noun)
        assert isinstance(group, click.Group)
        return group.get_command(ctx, name)


main = Main(
    'aiida-qagenai',
    help='Closed-loop, quantum-aware materials discovery with full provenance.',
    commands_at=COMMANDS,
    without_profile=frozenset({'hull', 'screen', 'setup'}),
    params=[
        click.Option(['-p', '--profile'], help='AiiDA profile; the default profile otherwise.'),
    ],
    epilog='Earlier names still work: '
    + ', '.join(f'`{alias}` is `{command}`' for alias, command in ALIASES.items())
    + '.',
    context_settings={'help_option_names': ['-h', '--help']},
)
click.version_option(__version__, prog_name='aiida-qagenai')(main)

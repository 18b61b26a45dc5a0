"""The root of the command line: which command lives where, the profile, and errors in one line."""

from __future__ import annotations

import functools
import importlib
import typing as t

import click

from aiida_qagenai import __version__
from aiida_qagenai.common.errors import QagenaiError

__all__ = ('LazyGroup', 'main')


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for.

    :param commands_at: name → module and attribute: ``'candidates': 'aiida_qagenai.cli.candidates:candidates'``.
    :param without_profile: names of the commands that need no AiiDA profile.
    """

    def __init__(
        self,
        *args: t.Any,
        commands_at: dict[str, str],
        without_profile: frozenset[str] = frozenset(),
        **kwargs: t.Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.commands_at = commands_at
        self.without_profile = without_profile

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the alphabet."""
        return sorted(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, which loads the profile before it runs."""
        if cmd_name not in self.commands_at:
            return None
        module, attribute = self.commands_at[cmd_name].split(':')
        command: click.Command = getattr(importlib.import_module(module), attribute)
        if cmd_name in self.without_profile or isinstance(command, click.Group):
            return command
        return with_profile(command)


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


def with_profile(command: click.Command) -> click.Command:
    """Return a copy of ``command`` that loads the profile first."""
    import copy

    callback = command.callback
    assert callback is not None

    @functools.wraps(callback)
    def run(*args: t.Any, **kwargs: t.Any) -> t.Any:
        load_profile(click.get_current_context().find_root().params['profile'])
        return callback(*args, **kwargs)

    wrapped = copy.copy(command)
    wrapped.callback = run
    return wrapped


def load_profile(name: str | None) -> None:
    """Load a profile, by default the one that is loaded already, or else the default profile.

    :raises click.ClickException: if there is none or it cannot be used.
    """
    from aiida import get_profile, load_profile
    from aiida.common.exceptions import AiidaException
    from aiida.manage import get_manager

    if name is None and get_profile() is not None:
        return
    try:
        load_profile(name)
        get_manager().get_profile_storage()
    except AiidaException as exception:
        message = f'{exception}: `aiida-qagenai setup` prepares a profile on this machine, `-p NAME` chooses one'
        raise click.ClickException(message) from exception


CAMPAIGN = LazyGroup(
    'campaign',
    help='Run, continue, and look at campaigns.',
    commands_at={
        'continue': 'aiida_qagenai.cli.launch:continue_',
        'follow': 'aiida_qagenai.cli.launch:follow',
        'ledger': 'aiida_qagenai.cli.campaign:ledger',
        'list': 'aiida_qagenai.cli.campaign:list_',
        'protocols': 'aiida_qagenai.cli.launch:protocols',
        'run': 'aiida_qagenai.cli.launch:run',
        'show': 'aiida_qagenai.cli.campaign:show',
    },
    without_profile=frozenset({'protocols'}),
)

BASIS = LazyGroup(
    'basis',
    help='Install and look at families of Gaussian bases.',
    commands_at={
        'install': 'aiida_qagenai.cli.basis:install',
        'list': 'aiida_qagenai.cli.basis:list_',
        'show': 'aiida_qagenai.cli.basis:show',
    },
)

DATASET = LazyGroup(
    'dataset',
    help='Import external data, merge databases, and build training sets.',
    commands_at={
        'build': 'aiida_qagenai.cli.view:build',
        'export': 'aiida_qagenai.cli.merge:export',
        'import': 'aiida_qagenai.cli.dataset:import_',
        'list': 'aiida_qagenai.cli.dataset:list_',
        'materials-project': 'aiida_qagenai.cli.download:materials_project',
        'merge': 'aiida_qagenai.cli.merge:merge',
        'optimade': 'aiida_qagenai.cli.download:optimade',
        'table': 'aiida_qagenai.cli.view:table',
        'why': 'aiida_qagenai.cli.merge:why',
    },
)

FREE_ENERGY = LazyGroup(
    'free-energy',
    help='Finite temperature: quasi-harmonic free energies and E_hull(T).',
    commands_at={
        'continue': 'aiida_qagenai.cli.free_energy:continue_',
        'list': 'aiida_qagenai.cli.free_energy:list_',
        'protocols': 'aiida_qagenai.cli.free_energy:protocols',
        'run': 'aiida_qagenai.cli.free_energy:run',
        'show': 'aiida_qagenai.cli.free_energy:show',
    },
    without_profile=frozenset({'protocols'}),
)

BARRIER = LazyGroup(
    'barrier',
    help='Kinetics: barriers of hops and other paths.',
    commands_at={
        'continue': 'aiida_qagenai.cli.barrier:continue_',
        'list': 'aiida_qagenai.cli.barrier:list_',
        'run': 'aiida_qagenai.cli.barrier:run',
        'show': 'aiida_qagenai.cli.barrier:show',
    },
)

RELAX = LazyGroup(
    'relax',
    help='Relax crystals at PBE, by PySCF or pw.x.',
    commands_at={
        'continue': 'aiida_qagenai.cli.relax:continue_',
        'protocols': 'aiida_qagenai.cli.relax:protocols',
        'run': 'aiida_qagenai.cli.relax:run',
        'show': 'aiida_qagenai.cli.relax:show',
    },
    without_profile=frozenset({'protocols'}),
)

COMMANDS = {
    'barrier': 'aiida_qagenai.cli.root:BARRIER',
    'basis': 'aiida_qagenai.cli.root:BASIS',
    'campaign': 'aiida_qagenai.cli.root:CAMPAIGN',
    'candidates': 'aiida_qagenai.cli.candidates:candidates',
    'cost': 'aiida_qagenai.cli.cost:cost',
    'dataset': 'aiida_qagenai.cli.root:DATASET',
    'divergence': 'aiida_qagenai.cli.energies:divergence',
    'energies': 'aiida_qagenai.cli.energies:energies',
    'export': 'aiida_qagenai.cli.archive:export',
    'free-energy': 'aiida_qagenai.cli.root:FREE_ENERGY',
    'hull': 'aiida_qagenai.cli.hull:hull',
    'import': 'aiida_qagenai.cli.archive:import_',
    'integrity': 'aiida_qagenai.cli.integrity:integrity',
    'lineage': 'aiida_qagenai.cli.lineage:lineage',
    'relax': 'aiida_qagenai.cli.root:RELAX',
    'screen': 'aiida_qagenai.cli.screen:screen',
    'serve': 'aiida_qagenai.cli.serve:serve',
    'setup': 'aiida_qagenai.cli.setup:setup',
}

main = Main(
    'aiida-qagenai',
    help='Closed-loop, quantum-aware materials discovery with full provenance.',
    commands_at=COMMANDS,
    without_profile=frozenset({'hull', 'screen', 'setup'}),
    params=[
        click.Option(['-p', '--profile'], help='AiiDA profile; the default profile otherwise.'),
    ],
    context_settings={'help_option_names': ['-h', '--help']},
)
click.version_option(__version__, prog_name='aiida-qagenai')(main)

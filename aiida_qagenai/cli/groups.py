"""Groups of commands that open the profile, and what the families of one work chain share."""

from __future__ import annotations

import importlib
import typing as t

import click

from aiida_qagenai.cli.loaders import load_process
from aiida_qagenai.cli.params import PROCESS
from aiida_qagenai.cli.progress import Describe, count_jobs, follow
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from aiida.orm import ProcessNode

__all__ = ('Noun', 'ProfileCommand', 'add_continue', 'add_protocols', 'launch', 'resume')


class ProfileCommand(click.Command):
    """A command that opens the AiiDA profile before it runs."""

    def invoke(self, ctx: click.Context) -> t.Any:
        """Open the profile and run the command."""
        from aiida_qagenai.engine.profile import open_profile

        open_profile(ctx.find_root().params['profile'])
        return super().invoke(ctx)


class Noun(click.Group):
    """A group whose commands open the profile."""

    command_class = ProfileCommand


def launch(
    builder: t.Any, family: str, *, label: str, watch: bool, describe: Describe | None = count_jobs
) -> ProcessNode:
    """Submit a work chain to the daemon, which is started if need be, and show its progress.

    :param family: name of the family of commands.
    :raises InvalidInputError: if inputs are invalid, before anything is computed.
    """
    from aiida.engine import submit

    from aiida_qagenai.engine.daemon import ensure_daemon

    ensure_daemon()
    builder.metadata.label = label
    try:
        node: ProcessNode = submit(builder)
    except ValueError as exception:
        raise InvalidInputError(f'the inputs were refused: {exception}') from exception
    click.echo(f'{node.process_label} {node.pk} started')
    if watch:
        follow(node, describe, f'aiida-qagenai {family} continue {node.pk}')
    return node


def resume(
    identifier: str, family: str, process_label: str | tuple[str, ...], describe: Describe | None = count_jobs
) -> ProcessNode:
    """Take up a process after an interruption, unless it has ended, and show its progress.

    :raises InvalidInputError: if there is no such process.
    """
    from aiida_qagenai.engine.daemon import restart_processes

    labels = (process_label,) if isinstance(process_label, str) else process_label
    node = load_process(identifier, *labels)
    if not node.is_terminated:
        restart_processes(node)
    follow(node, describe, f'aiida-qagenai {family} continue {node.pk}')
    return node


def add_continue(group: Noun, process_label: str | tuple[str, ...], describe: Describe | None = count_jobs) -> None:
    """Add the command ``<family> continue``."""

    @group.command('continue')
    @PROCESS
    def continue_(process: str) -> None:
        """Continue a run after an interruption.

        A run that a crash or a reboot interrupted goes on where it stopped; nothing is computed twice.
        """
        node = resume(process, str(group.name), process_label, describe)
        click.echo(f'next: aiida-qagenai {group.name} show {node.pk}')


def add_protocols(group: Noun, where: str, what: str) -> None:
    """Add the command ``<family> protocols``, which needs no profile.

    :param where: module and name of the function that returns the description of each protocol.
    :param what: what the protocols are of.
    """

    @group.command('protocols', cls=click.Command, help=f'List the protocols of {what}.')
    def protocols() -> None:
        module, name = where.split(':')
        for protocol, description in getattr(importlib.import_module(module), name)().items():
            click.echo(f'{protocol:12} {description}')

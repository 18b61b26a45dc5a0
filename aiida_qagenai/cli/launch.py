"""What the families of one work chain share: submission, and the commands `continue` and `protocols`."""

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

__all__ = ('continue_command', 'launch', 'protocols_command', 'resume')


def launch(builder: t.Any, family: str, *, label: str, watch: bool, describe: Describe = count_jobs) -> ProcessNode:
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
        message = f'the inputs were refused: {exception}'
        raise InvalidInputError(message) from exception
    click.echo(f'{node.process_label} {node.pk} started')
    if watch:
        follow(node, describe, f'aiida-qagenai {family} continue {node.pk}')
    return node


def resume(identifier: str, family: str, process_label: str, describe: Describe = count_jobs) -> ProcessNode:
    """Take up a process after an interruption, unless it has ended, and show its progress.

    :raises InvalidInputError: if there is no such process.
    """
    from aiida_qagenai.engine.daemon import restart_processes

    node = load_process(identifier, process_label)
    if not node.is_terminated:
        restart_processes(node)
    follow(node, describe, f'aiida-qagenai {family} continue {node.pk}')
    return node


def continue_command(family: str, process_label: str) -> click.Command:
    """Return the command ``<family> continue``."""

    @click.command('continue')
    @PROCESS
    def continue_(process: str) -> None:
        """Continue a run after an interruption.

        A run that a crash or a reboot interrupted goes on where it stopped; nothing is computed twice.
        """
        node = resume(process, family, process_label)
        click.echo(f'next: aiida-qagenai {family} show {node.pk}')

    return continue_


def protocols_command(where: str, what: str) -> click.Command:
    """Return the command ``<family> protocols``.

    :param where: module and name of the function that returns the description of each protocol.
    :param what: what the protocols are of.
    """

    @click.command('protocols', help=f'List the protocols of {what}.')
    def protocols() -> None:
        module, name = where.split(':')
        for protocol, description in getattr(importlib.import_module(module), name)().items():
            click.echo(f'{protocol:12} {description}')

    return protocols

"""Groups of commands that import a command only when it is asked for, and load the profile before it runs."""

from __future__ import annotations

import copy
import functools
import importlib
import typing as t

import click

__all__ = ('LazyGroup',)


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


def with_profile(command: click.Command) -> click.Command:
    """Return a copy of ``command`` that loads the profile first."""
    callback = command.callback
    assert callback is not None

    @functools.wraps(callback)
    def run(*args: t.Any, **kwargs: t.Any) -> t.Any:
        from aiida_qagenai.engine.profile import open_profile

        open_profile(click.get_current_context().find_root().params['profile'])
        return callback(*args, **kwargs)

    wrapped = copy.copy(command)
    wrapped.callback = run
    return wrapped

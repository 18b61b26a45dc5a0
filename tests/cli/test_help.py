"""The help of every command: complete, light to load, and under the documented names."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from aiida_qagenai.cli.root import ALIASES, main


def walk(group: click.Group, *path: str):
    """Yield the path and the object of every command under ``group``."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from walk(command, *path, name)


COMMANDS = dict(walk(main))


@pytest.mark.parametrize('path', COMMANDS, ids=' '.join)
def test_every_command_and_every_option_has_a_help_text(path):
    """A sentence that ends with a period; the short help in the list of commands is not cut."""
    command = COMMANDS[path]
    assert command.help, 'no help text'
    assert command.help.strip().endswith('.')
    assert not command.get_short_help_str(limit=66).endswith('...'), command.get_short_help_str(limit=66)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help and parameter.help.endswith(('.', ')')), parameter.opts


def test_shared_options_are_the_same_everywhere():
    """One name means one thing: the same help text and the same type."""
    texts: dict[str, set[str]] = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            for name in set(parameter.opts) & {'--format', '--set', '--follow', '--options', '--formula'}:
                texts.setdefault(name, set()).add(f'{parameter.help} {parameter.metavar} {parameter.type}')
    assert {name: len(found) for name, found in texts.items()} == dict.fromkeys(texts, 1)
    assert len(texts) == 5


@pytest.mark.parametrize('alias', ALIASES)
def test_earlier_names_are_the_same_commands(run, alias):
    """They are named in the help, but not listed."""
    documented = run(*ALIASES[alias].split(), '--help').stdout
    assert run(alias, '--help').stdout.splitlines()[1:] == documented.splitlines()[1:]
    assert alias not in main.list_commands(None)
    assert f'`{alias}` is `{ALIASES[alias]}`' in ' '.join(run('--help').stdout.split())


def test_help_does_not_load_aiida():
    """Nor anything else that takes long, of any command."""
    code = (
        'import sys; from aiida_qagenai.cli import main\n'
        f'for path in {[*COMMANDS]!r}:\n'
        '    try: main([*path, "--help"])\n'
        '    except SystemExit: pass\n'
        'heavy = ("aiida", "torch", "pandas", "pymatgen", "numpy", "matplotlib", "pydantic")\n'
        'print([name for name in heavy if name in sys.modules], file=sys.stderr)'
    )
    result = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True)
    assert result.stderr.strip() == '[]'

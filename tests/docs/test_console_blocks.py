"""Every command line in the documentation is one that the programs it calls would accept."""

from __future__ import annotations

import json
import re
import shlex
import tomllib

import click
import pytest
import yaml
from documentation import ROOT, Block, blocks, words

from aiida_qagenai.cli import main
from aiida_qagenai.cli.root import ALIASES

CONSOLE = blocks('console')
PLACEHOLDER = re.compile(r'[A-Z][A-Z0-9_]*')
# Programs of others, in commands that only show where a step is done.
FOREIGN = {
    '.ci/wheels', '.venv/bin/pre-commit', 'apt-get', 'podman',
    'echo', 'cat', 'export', 'git', 'mkdir', 'optimade-get', 'pip', 'python', 'python3',
    'uv', '~/pyscf/bin/pip', '~/pyscf-forge/bin/pip', '~/pyscf-forge/bin/python', '~/qagenai/bin/pip', 'aiida-pseudo',
}  # fmt: skip


def parse(group: click.Command, arguments: list[str]) -> list[str]:
    """Follow ``arguments`` through a tree of commands and return the names of the commands.

    :raises click.UsageError: if a command, an option, the number of values, a choice or a number is wrong.
    """
    context = click.Context(group, info_name='')
    names: list[str] = []
    command = group
    while True:
        parser = command.make_parser(context)
        parser.allow_interspersed_args = not isinstance(command, click.Group)
        values, arguments, order = parser.parse_args(list(arguments))
        for parameter in order:
            check_value(parameter, values[parameter.name], context)
        if not isinstance(command, click.Group):
            missing = [
                parameter.human_readable_name
                for parameter in command.params
                if parameter.required and values.get(parameter.name) in (None, (), [])
            ]
            if arguments or missing:
                raise click.UsageError(f'{" ".join(names)}: too many {arguments}, missing {missing}')
            return names
        name, found, arguments = command.resolve_command(context, arguments)
        assert name is not None and found is not None
        names.append(name)
        command, context = found, click.Context(found, info_name=name, parent=context)


def check_value(parameter: click.Parameter, value: object, context: click.Context) -> None:
    """Convert a value that is neither a placeholder nor a file, as the command would."""
    values = value if isinstance(value, (list, tuple)) else [value]
    if parameter.nargs == 1 and not isinstance(parameter.type, click.Path):
        for item in values:
            if isinstance(item, str) and not PLACEHOLDER.fullmatch(item):
                parameter.type.convert(item, parameter, context)


def name(parameter: object) -> str:
    """Return the name of a case."""
    return parameter.where if isinstance(parameter, Block) else str(parameter).split('   ')[0]


def lines(program: str) -> list[tuple[Block, str]]:
    """Return the command lines of one program."""
    return [(block, line) for block in CONSOLE for line in block.commands() if words(line)[:1] == [program]]


@pytest.mark.parametrize(('block', 'line'), lines('aiida-qagenai'), ids=name)
def test_command_exists(block, line):
    """Each `aiida-qagenai` command has the subcommands, options and values that the page gives."""
    _, *arguments = words(line)
    names = parse(main, arguments)
    assert names and names[0] not in ALIASES, f'{block.where}: {names[0]} is called {ALIASES[names[0]]} now'


@pytest.mark.parametrize(('block', 'line'), lines('verdi'), ids=name)
def test_verdi_command_exists(block, line):
    """Each `verdi` command exists; options that AiiDA takes from plugins are not looked at."""
    from aiida.cmdline.commands.cmd_verdi import verdi

    command, context = verdi, click.Context(verdi)
    for word in words(line)[1:]:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(context, word)
        assert found is not None, f'{block.where}: no command {word!r} in {line!r}'
        command = found
    for path in re.findall(r'examples/[\w/.]+', line):
        assert (ROOT / path).exists(), f'{block.where}: {path} does not exist'


@pytest.mark.parametrize(('block', 'line'), lines('python') + lines('verdi'), ids=name)
def test_script_exists(block, line):
    """Each script is in the repository and defines the options that the page gives."""
    for path in re.findall(r'(?:benchmarks|examples)/\w+\.py', line):
        source = (ROOT / path).read_text()
        for option in re.findall(r'(?<=[\s\[])--[\w-]+', line.split(path)[1]):
            assert f"'{option}'" in source or option in benchmark_options(), f'{block.where}: {path} has no {option}'


def benchmark_options() -> set[str]:
    """Return the options that benchmarks share."""
    return {
        option
        for path in (ROOT / 'benchmarks').glob('*.py')
        if not path.read_text().count("__name__ == '__main__'")
        for option in re.findall(r"'(--[\w-]+)'", path.read_text())
    }


@pytest.mark.parametrize(('block', 'line'), lines('make'), ids=name)
def test_target_exists(block, line):
    """Each target is in the Makefile."""
    targets = {*re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)}
    assert {*words(line)[1:]} <= targets, block.where


def test_extras_exist():
    """What pip is told to install of this package are extras of it."""
    extras = {*tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['optional-dependencies']}
    named = re.findall(r'aiida-qagenai\[([\w,]+)\]', ''.join(block.code for block in CONSOLE))
    assert named and {extra for names in named for extra in names.split(',')} <= extras


def test_no_other_programs():
    """A program that no test reads is one of a few of others."""
    programs = {words(line)[0] for block in CONSOLE for line in block.commands() if words(line)}
    assert programs - {'aiida-qagenai', 'verdi', 'make'} <= FOREIGN


def test_data_blocks():
    """The JSON and YAML of the pages can be read."""
    for block in blocks('json', 'yaml'):
        assert json.loads(block.code) if block.language == 'json' else yaml.safe_load(block.code), block.where


@pytest.mark.parametrize(
    'line',
    [
        'campaign run Li --protocol no-such-protocol --set',
        'candidate list --no-such-option',
        'candidate list --min-divergence much',
        'campaign show',
        'campaign vanish PK',
        'process cost PK PK',
    ],
)
def test_wrong_command_is_found(line):
    """The reading of commands notices a wrong name, option, value and number of arguments."""
    with pytest.raises(click.UsageError):
        parse(main, shlex.split(line))


READ_ONLY = {
    ('basis', 'list'), ('campaign', 'ledger'), ('campaign', 'list'), ('campaign', 'phases'),
    ('campaign', 'protocols'), ('campaign', 'show'),
    ('candidate', 'list'), ('dataset', 'list'), ('dataset', 'table'), ('energy', 'divergence'), ('energy', 'list'),
    ('elastic', 'list'),
    ('free-energy', 'list'), ('integrity',), ('model', 'lineage'), ('process', 'cost'), ('relax', 'protocols'),
}  # fmt: skip


def read_only() -> list[str]:
    """Return the documented commands that only read the profile, each once."""
    found = {line: words(line)[1:] for _, line in lines('aiida-qagenai')}
    return [line for line, arguments in found.items() if tuple(parse(main, arguments)) in READ_ONLY]


def test_commands_that_read(aiida_profile, run):
    """Commands that only read do so, as printed, in a profile with a campaign called `quickstart`."""
    from fake_campaign import make_campaign

    aiida_profile.reset_storage()
    toy = make_campaign('quickstart')
    known = {'PK': toy.campaign.pk, 'CHECKPOINT': toy.state['validator'].uuid, 'LABEL': 'quickstart'}
    commands = read_only()
    assert {tuple(parse(main, words(line)[1:])) for line in commands} >= READ_ONLY - {('basis', 'list')}
    for line in commands:
        run(*(known.get(word, word) for word in words(line)[1:]))


def test_evaluation_of_the_page(run, tmp_path, monkeypatch):
    """The commands of the page on evaluation run as printed, and print the figures that its table describes."""
    from pymatgen.core import Lattice, Structure

    page = ['docs/howto/evaluate.md']
    crystal = Structure(Lattice.cubic(4.2), ['Mg', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    monkeypatch.chdir(tmp_path)
    text = 'material_id,e_above_hull,formation_energy_per_atom,cif\nmp-1,0.02,-2.9,"{}"\n'
    for name in ('samples.csv', 'test.csv', 'train.csv'):
        (tmp_path / name).write_text(text.format(crystal.to(fmt='cif')))
    for name in ('samples.extxyz', 'more.extxyz'):
        crystal.to_ase_atoms().write(name)
    (tmp_path / 'phases.csv').write_text('formula,formation_energy_per_atom\nMgO,-3.0\n')
    for block in blocks('console', pages=page):
        for line in block.commands():
            output = run(*words(line)[1:]).stdout
    printed = {re.sub(r'-\d+$', '-k', figure['name']) for figure in json.loads(output)['figures']}
    table = (ROOT / page[0]).read_text().partition('## What is computed')[2].partition('\n\n')[2]
    described = ' '.join(line.split('|')[1] for line in table.splitlines() if line.startswith('| `'))
    missing = {name for name in printed if f'`{name}`' not in described}
    assert missing <= {'composition-validity-icsd24', 'shell-coverage-precision', 'corrected-rmse-k', 'metre-rmse-k'}
    assert 'sun' in printed and 'metre-k' in printed


def test_hull_of_the_page(run, tmp_path, monkeypatch):
    """The two tables of the page on screening give the JSON that the page prints."""
    page = ['docs/howto/screen.md']
    monkeypatch.chdir(tmp_path)
    console = next(block for block in blocks('console', pages=page) if 'cat phases.csv' in block.code)
    for name, content in re.findall(r'^\$ cat (\S+)\n((?:[^$].*\n)+)', console.code, re.MULTILINE):
        (tmp_path / name).write_text(content)
    command = next(line for line in console.commands() if line.startswith('aiida-qagenai hull'))
    printed = json.loads(run(*words(command)[1:], '--json').output)
    expected = json.loads(next(block for block in blocks('json', pages=page) if 'e_above_hull' in block.code).code)
    assert expected
    for record, shown in zip(printed, expected, strict=False):
        rounded = json.loads(json.dumps(record), parse_float=lambda number: round(float(number), 3))
        assert {key: rounded[key] for key in shown} == shown

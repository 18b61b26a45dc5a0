"""Options and argument types that commands share, so that one thing has one name everywhere."""

from __future__ import annotations

import functools
import typing as t
from pathlib import Path

import click
import yaml

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity

__all__ = (
    'CAMPAIGN',
    'CHEMICAL_SYSTEM',
    'ENGINE_CODES',
    'FILE',
    'FILES_ON_POTENTIAL',
    'FOLDER',
    'FOLLOW',
    'FORMAT',
    'FORMULA',
    'HOW_EVALUATED',
    'LABEL',
    'LEVEL',
    'ML_CODE',
    'NODE',
    'OPTIONS',
    'OUTPUT',
    'PICTURE',
    'PROCESS',
    'PYSCF_CODE',
    'SET',
    'STRUCTURE',
    'file_option',
    'option',
    'parse_settings',
    'potential_options',
    'protocol_option',
    'read_options',
    'several',
)


class LevelType(click.ParamType):
    """A level of theory, however its name is spelled (`CCSD(T)`, `ccsdt`)."""

    name = 'level'

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the known levels."""
        return '|'.join(level.value for level in LADDER)

    def convert(self, value: t.Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name of the level.

        :raises InvalidInputError: if it is not known.
        """
        return Fidelity.parse(value).value


LEVEL = LevelType()
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
"""A file that is read."""
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
"""A folder that is read."""
OUTPUT = click.Path(dir_okay=False, path_type=Path)
"""A file that is written, or that the command itself checks."""
PICTURE = click.Path(dir_okay=False, path_type=Path)
"""A picture that is written: the ending chooses the format."""

NODE = 'LABEL|PK|UUID'
STRUCTURE = f'FILE|{NODE}'


def option(*names: str, **attributes: t.Any) -> t.Callable[[t.Any], t.Any]:
    """Return an option that shows its default, unless that is an empty text."""
    return click.option(*names, show_default=attributes.get('default') != '', **attributes)


FORMAT = option(
    '--format',
    'fmt',
    type=click.Choice(['table', 'csv', 'json']),
    default='table',
    help='Table for people; CSV or JSON with every column for programs.',
)
CAMPAIGN = option('--campaign', metavar=NODE, help='Only what belongs to this campaign.')
CHEMICAL_SYSTEM = option('--chemical-system', metavar='A-B', help='Only this chemical system, such as Li-H.')
FORMULA = option('--formula', help='Only this formula, such as LiH; multiples are the same formula.')
PROCESS = click.argument('process', metavar=NODE)
LABEL = option('--label', default='', help='Label of the process, by which other commands find it.')
FOLLOW = option('--follow/--no-follow', 'watch', default=True, help='Show the progress until the end.')
SET = option(
    '--set',
    'settings',
    multiple=True,
    metavar='KEY=VALUE',
    help='Change a setting of the protocol; dots lead to nested settings. Repeatable.',
)
OPTIONS = option(
    '--options',
    type=OUTPUT,
    help='YAML file with scheduler options, in the sections `pyscf`, `models` and `relax`.',
)
PYSCF_CODE = 'pyscf@localhost'
ENGINE_CODES = {'pyscf': PYSCF_CODE, 'espresso': 'pw@localhost'}
"""The code of each engine, unless told otherwise."""
ML_CODE = 'qagenai-ml@localhost'

SECTIONS = {'pyscf': 'pyscf_options', 'models': 'ml_options', 'relax': 'relax_options'}
"""Sections of a file of scheduler options → the inputs that they become."""


def several(*options: t.Callable[[t.Any], t.Any]) -> t.Callable[[t.Any], t.Any]:
    """Return one decorator for several options, the first one first in the help."""
    return lambda command: functools.reduce(lambda result, add: add(result), reversed(options), command)


def file_option(name: str) -> t.Callable[[t.Any], t.Any]:
    """Return the option for files that a program of others reads."""
    path = click.Path(exists=True, path_type=Path)
    return option(name, 'files', multiple=True, type=path, help='File or folder that the program reads. Repeatable.')


def protocol_option(family: str, default: str = 'fast') -> t.Callable[[t.Any], t.Any]:
    """Return the option `--protocol` of a family of commands, whose protocols ``<family> protocols`` lists."""
    text = f'Protocol; `aiida-qagenai {family} protocols` lists them.'
    return option('--protocol', default=default, help=text)


def potential_options(family: str) -> t.Callable[[t.Any], t.Any]:
    """Return the options that all commands on an interatomic potential have."""
    return several(
        option(
            '--potential',
            required=True,
            help='Potential: emt, chgnet, chgnet:r2scan, sevennet, sevennet:mf-0:R2SCAN, validator or validator:SCAN.',
        ),
        option('--checkpoint', metavar=NODE, help='The validator, if that is the potential.'),
        protocol_option(family, 'moderate'),
        option('--code', metavar=NODE, default=ML_CODE, help='Python with ase and phonopy.'),
        SET,
        LABEL,
        FOLLOW,
    )


FILES_ON_POTENTIAL = several(
    click.argument('files', nargs=-1, required=True, type=FILE),
    option(
        '--potential',
        required=True,
        help='Potential: validator, validator:SCAN, chgnet, chgnet:r2scan, sevennet, sevennet:mf-0:R2SCAN, emt.',
    ),
    option('--validator', type=FOLDER, help='Checkpoint of a validator in place of the shipped one.'),
    option('--output', type=click.Path(file_okay=False, path_type=Path), required=True, help='Folder for the results.'),
)
"""What commands on crystals in files take that evaluate a potential."""

HOW_EVALUATED = several(
    option('--device', type=click.Choice(['cpu', 'cuda']), default='cpu', help='Where the potential is evaluated.'),
    option('--threads', type=click.IntRange(1, 1024), default=1, help='Threads of the processor.'),
    option('--overwrite', is_flag=True, help='Replace the results of another command in the folder.'),
    FORMAT,
)
"""Their last options."""


def parse_settings(values: t.Sequence[str]) -> dict[str, t.Any]:
    """Return nested settings from texts such as ``generate.num_candidates=200``; values are read as YAML.

    :raises InvalidInputError: if a text has no `=`, a value cannot be read, or a setting is given beside a part of it.
    """
    settings: dict[str, t.Any] = {}
    for text in values:
        path, separator, value = text.partition('=')
        *parents, name = path.split('.')
        if not separator or not all((*parents, name)):
            raise InvalidInputError(f'`{text}` is not a setting: write KEY=VALUE, for example scf.max_cycle=100')
        target = settings
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise InvalidInputError(f'`{path}` is a part of `{parent}`, which another --set replaces as a whole')
        try:
            target[name] = yaml.safe_load(value)
        except yaml.YAMLError as exception:
            raise InvalidInputError(f'the value of `{path}` cannot be read: {exception}') from exception
    return settings


def read_options(path: Path | None, section: str | None = None) -> dict[str, dict[str, t.Any] | None]:
    """Return the scheduler options in a YAML file as ``pyscf_options``, ``ml_options`` and ``relax_options``.

    :param section: a section that the file must have.
    :raises InvalidInputError: if the file cannot be read, or for a section or an option that AiiDA does not know.
    """
    from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation

    try:
        content = (yaml.safe_load(path.read_text(encoding='utf8')) or {}) if path else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exception:
        raise InvalidInputError(f'the scheduler options in {path} cannot be read: {exception}') from exception
    if not isinstance(content, dict) or not set(content) <= set(SECTIONS):
        raise InvalidInputError(f'{path} must hold scheduler options in sections, any of {", ".join(SECTIONS)}')
    if path is not None and section is not None and not content.get(section):
        raise InvalidInputError(f'{path} has no section `{section}` with scheduler options')
    known = set(PyscfCellCalculation.spec().inputs['metadata']['options'])
    for part, options in content.items():
        unknown = sorted(set(options) - known) if isinstance(options, dict) else [str(options)]
        if unknown:
            raise InvalidInputError(f'unknown scheduler options in section `{part}` of {path}: {", ".join(unknown)}')
    return {port: content.get(part) for part, port in SECTIONS.items()}

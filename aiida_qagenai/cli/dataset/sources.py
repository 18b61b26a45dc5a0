"""`aiida-qagenai dataset import|install|optimade|materials-project|list`: data as nodes."""

from __future__ import annotations

import contextlib
import os
import sys
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.groups import ProfileCommand
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import CHEMICAL_SYSTEM, FORMAT, option, several
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from aiida_qagenai.databases.sources.importer import ImportReport

__all__ = ('import_', 'install', 'list_', 'materials_project', 'optimade')

DATABASES = columns('database, version, license: licence, entries, energies, complete, url: from')

FOLDER = option(
    '--folder',
    type=click.Path(file_okay=False, path_type=Path),
    help='Folder that keeps downloads until they are imported.',
)
SMALL = 200_000
"""Bytes below which starting other processes takes longer than parsing."""

origin_options = several(
    option('--database', required=True, help='Short name of the database: mp, oqmd, mpts-52.'),
    option('--version', 'version', required=True, help='Its version or date: 2023.11.'),
    option('--license', 'license_', required=True, help='Licence of the data: CC-BY-4.0.'),
    option('--url', default='', help='Where it is published.'),
    option('--level', default='', help='Level of theory beyond the fidelity: "PBE+U, MP2020".'),
    option('--fidelity', default='PBE', help='Fidelity of energy columns that name none.'),
    option(
        '--energy',
        'energies',
        multiple=True,
        metavar='COLUMN=KIND[:FIDELITY]',
        help='Meaning of a column: formation_energy_per_atom, energy_per_atom or total_energy. Repeatable.',
    ),
    option('--experimental/--computed', default=None, help='Whether all structures were measured.'),
)
"""Options that say where data comes from."""


@click.command('import', cls=ProfileCommand)
@click.argument('paths', nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar='PATH...')
@origin_options
@option('--identifier', help='Column with the identifiers, if it is not found by its name.')
@option('--workers', type=click.IntRange(min=0), help='Number of processes; by default one per core, up to 4.')
@option('--max-problems', type=click.IntRange(min=0), default=20, help='Most problems printed.')
def import_(
    paths: tuple[Path, ...], *, identifier: str | None, workers: int | None, max_problems: int, **origin: t.Any
) -> None:
    """Import structures and energies from files.

    They become one version of a database. PATH is a CSV file with a column `cif`, a CIF, POSCAR or extended XYZ file,
    JSON of entries (pymatgen, ASE, OPTIMADE), or a folder (or .zip, .tar.gz) of such files, with or without a
    `metadata.csv`. A record that is malformed, or whose formula, Z, density or symmetry contradicts its atoms, is
    reported with its place and left out. Run the same command again after an interruption; importing twice adds
    nothing.
    """
    from aiida_qagenai.databases.sources.importer import import_files
    from aiida_qagenai.exchange.readers.formats import detect_format

    settings = [settings_of(origin, format=detect_format(path), identifier=identifier) for path in paths]
    processes = min(4, os.cpu_count() or 1) if workers is None else workers
    if sum(_size(path) for path in paths) < SMALL:
        processes = 0
    with progress_line() as show:
        reports = import_files(paths, settings, workers=processes, progress=show)
    print_reports(reports, max_problems)


def settings_of(origin: dict[str, t.Any], **values: t.Any) -> t.Any:
    """Return the settings of an import from the options of :func:`origin_options`."""
    from aiida_qagenai.databases.sources.settings import make_settings

    energies = {}
    for text in origin['energies']:
        column, separator, meaning = text.partition('=')
        if not separator:
            message = f'`{text}` is not the meaning of a column: write COLUMN=KIND or COLUMN=KIND:FIDELITY'
            raise InvalidInputError(message)
        energies[column] = meaning
    named = {name: value for name, value in origin.items() if name not in {'energies', 'license_'}}
    return make_settings(**named, license=origin['license_'], energies=energies, **values)


@contextlib.contextmanager
def progress_line() -> t.Iterator[t.Callable[[str, int, int], None]]:
    """Show how many records were read, on one line of a terminal and nowhere else."""
    from rich.console import Console

    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    with Console(stderr=True).status('…') as status:
        yield lambda name, done, malformed: status.update(
            f'{name}: {done} records' + (f', {malformed} malformed' if malformed else '')
        )


def print_reports(reports: list[ImportReport], max_problems: int = 20) -> None:
    """Print what an import did and what it left out.

    :raises InvalidInputError: if it did nothing.
    """
    for report in reports:
        _print_report(report, max_problems)
    if not any(report.imported or report.known for report in reports):
        raise InvalidInputError('nothing could be imported')


def _print_report(report: ImportReport, max_problems: int) -> None:
    energies = ', '.join(f'{count} {name}' for name, count in report.energies.items()) or 'no'
    click.echo(
        f'{report.file}: {report.records} records, {report.imported} imported with {energies} energies, '
        f'{report.known} known already, {report.malformed} left out (process {report.pk})'
    )
    for kind, items, total in (
        ('', report.problems, report.malformed),
        ('warning: ', report.warnings, len(report.warnings)),
    ):
        for item in items[:max_problems]:
            name = f' ({item.identifier})' if item.identifier else ''
            click.echo(f'  {kind}{item.place or report.file}{name}: {item.message}')
        if total > max_problems:
            click.echo(f'  … and {total - max_problems} more: `verdi node show {report.pk}`, output `report`')


@click.command(cls=ProfileCommand)
@click.argument('name', type=click.Choice(['ladder']))
def install(name: str) -> None:
    """Store data that come with the package.

    `ladder`: crystals of H to Ar at PBE, SCAN, HSE06 and composite CCSD(T), as a version of a database that `dataset
    build --database` takes. Installing the same again adds nothing.
    """
    from aiida_qagenai.databases.sources.ladder import install_ladder

    found = install_ladder()
    known = ', installed before' if found.repeated else ''
    click.echo(f'{found.label}: {found.entries} crystals, {found.energies} energies (process {found.pk}{known})')


@click.command('list', cls=ProfileCommand)
@FORMAT
def list_(fmt: str) -> None:
    """List the databases of the profile."""
    from aiida_qagenai.databases.groups import databases

    frame = databases()
    footer = '' if len(frame) else 'No database yet: `aiida-qagenai dataset import` adds one.'
    print_frame(frame, fmt, DATABASES, footer=footer)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob('*')) if path.is_dir() else path.stat().st_size


@click.command(cls=ProfileCommand)
# not `url`, which is an option
@click.argument('provider', metavar='URL')
@origin_options
@option(
    '--filter', 'query', default='', help='Filter of the structures: \'elements HAS ONLY "Li","H"\'; by default all.'
)
@option('--field', 'fields', multiple=True, help='Field of the provider to keep as a property. Repeatable.')
@option('--limit', type=click.IntRange(min=1), help='Largest number of structures.')
@option('--page-limit', type=click.IntRange(min=1), default=100, help='Structures per request.')
@option('--pause', type=click.FloatRange(min=0), default=0.0, help='Pause between requests, s.')
@FOLDER
def optimade(provider: str, *, folder: Path | None, **options: t.Any) -> None:
    """Import structures from an OPTIMADE provider.

    A busy server is asked again after a pause. The same command goes on with the next page after an interruption.
    Energies are imported from fields whose meaning `--energy` gives.
    """
    from aiida_qagenai.databases.sources.importer import import_files
    from aiida_qagenai.databases.sources.optimade import download
    from aiida_qagenai.databases.sources.staging import default_folder

    asked = {name: options.pop(name) for name in ('query', 'fields', 'limit', 'page_limit', 'pause')}
    settings = settings_of({**options, 'url': options['url'] or provider}, format='optimade')
    with progress_line() as show:
        staging = download(provider, settings, folder or default_folder(), **asked, progress=show)
        reports = import_files([staging.path], [settings], progress=show)
    staging.remove()
    print_reports(reports)


@click.command('materials-project', cls=ProfileCommand)
@CHEMICAL_SYSTEM
@option('--elements', metavar='A,B', help='Elements that must be present, among any others.')
@option('--max-e-above-hull', type=float, help='Largest distance to the hull of the database, eV/atom.')
@option('--license', 'license_', default='CC-BY-4.0', help='Licence of the data.')
@FOLDER
def materials_project(
    *,
    chemical_system: str | None,
    elements: str | None,
    max_e_above_hull: float | None,
    license_: str,
    folder: Path | None,
) -> None:
    """Import structures from the Materials Project.

    Its key comes from the environment (MP_API_KEY) and is not stored.
    """
    from aiida_qagenai.databases.sources.importer import import_files
    from aiida_qagenai.databases.sources.materials_project import LEVEL, download
    from aiida_qagenai.databases.sources.settings import make_settings
    from aiida_qagenai.databases.sources.staging import default_folder
    from aiida_qagenai.queries.tables import parse_system

    query: dict[str, t.Any] = {}
    if chemical_system is not None:
        query['chemsys'] = parse_system(chemical_system)
    if elements is not None:
        query['elements'] = [symbol.strip() for symbol in elements.split(',')]
    if max_e_above_hull is not None:
        query['energy_above_hull'] = (0.0, max_e_above_hull)
    if not query:
        message = 'give --chemical-system, --elements or --max-e-above-hull: the whole database is too large'
        raise InvalidInputError(message)
    with progress_line() as show:
        staging, version = download(folder or default_folder(), database='mp', query=query, progress=show)
        # One version per query, because a version of a database does not grow.
        label = version + ''.join(f';{name}={value}' for name, value in sorted(query.items()))
        settings = make_settings(
            database='mp',
            version=label.replace(' ', ''),
            license=license_,
            url='https://materialsproject.org',
            level=LEVEL,
            format='json',
        )
        reports = import_files([staging.path], [settings], progress=show)
    staging.remove()
    print_reports(reports)

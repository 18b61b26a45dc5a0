"""`aiida-qagenai dataset import|list`: external data as nodes."""

from __future__ import annotations

import os
import sys
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.params import FORMAT
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from aiida_qagenai.databases.sources.importer import ImportReport

__all__ = ('import_', 'list_')

DATABASES = {
    'database': 'database',
    'version': 'version',
    'license': 'licence',
    'entries': 'entries',
    'energies': 'energies',
    'complete': 'complete',
    'url': 'from',
}


def origin_options(command: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """Add the options that say where data comes from."""
    for option in reversed(
        (
            click.option('--database', required=True, help='Short name of the database: mp, oqmd, mpts-52.'),
            click.option('--version', 'version', required=True, help='Its version or date: 2023.11.'),
            click.option('--license', 'license_', required=True, help='Licence of the data: CC-BY-4.0.'),
            click.option('--url', default='', help='Where it is published.'),
            click.option('--level', default='', help='Level of theory beyond the fidelity: "PBE+U, MP2020".'),
            click.option(
                '--fidelity', default='PBE', show_default=True, help='Fidelity of energy columns that name none.'
            ),
            click.option(
                '--energy',
                'energies',
                multiple=True,
                metavar='COLUMN=KIND[:FIDELITY]',
                help='Meaning of a column: formation_energy_per_atom, energy_per_atom or total_energy. Repeatable.',
            ),
            click.option('--experimental/--computed', default=None, help='Whether all structures were measured.'),
        )
    ):
        command = option(command)
    return command


@click.command('import')
@click.argument('paths', nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar='PATH...')
@origin_options
@click.option('--identifier', help='Column with the identifiers, if it is not found by its name.')
@click.option('--workers', type=click.IntRange(min=0), help='Number of processes; by default one per core, up to 4.')
@click.option(
    '--max-problems',
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help='Most problems printed.',
)
def import_(
    paths: tuple[Path, ...],
    *,
    identifier: str | None,
    workers: int | None,
    max_problems: int,
    **origin: t.Any,
) -> None:
    """Import structures and energies from files.

    They become one version of a database. PATH is a CSV file with a column `cif`, a CIF, POSCAR or extended XYZ file,
    JSON of entries (pymatgen, ASE, OPTIMADE), or a folder (or .zip, .tar.gz) of such files, with or without a
    `metadata.csv`. A record that is malformed, or whose formula, Z, density or symmetry contradicts its atoms, is
    reported with its place and left out. Run the same command again after an interruption; importing twice adds
    nothing.
    """
    from aiida_qagenai.databases.sources.importer import import_files
    from aiida_qagenai.exchange.formats import detect_format

    settings = [settings_of(origin, format=detect_format(path), identifier=identifier) for path in paths]
    processes = min(4, os.cpu_count() or 1) if workers is None else workers
    if sum(_size(path) for path in paths) < SMALL:
        processes = 0
    with progress_line() as show:
        reports = import_files(paths, settings, workers=processes, progress=show)
    print_reports(reports, max_problems)


SMALL = 200_000
"""Bytes below which starting other processes takes longer than parsing."""


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


class progress_line:  # noqa: N801 (used as a function)
    """Context that shows how many records were read, on one line of a terminal and nowhere else."""

    def __enter__(self) -> t.Callable[[str, int, int], None]:
        from rich.console import Console

        self._status = Console(stderr=True).status('…') if sys.stderr.isatty() else None
        if self._status is not None:
            self._status.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def _show(self, name: str, done: int, malformed: int) -> None:
        if self._status is not None:
            self._status.update(f'{name}: {done} records' + (f', {malformed} malformed' if malformed else ''))


def print_reports(reports: list[ImportReport], max_problems: int = 20) -> None:
    """Print what an import did and what it left out.

    :raises InvalidInputError: if it did nothing.
    """
    for report in reports:
        _print_report(report, max_problems)
    if not any(report.imported or report.known for report in reports):
        message = 'nothing could be imported'
        raise InvalidInputError(message)


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


@click.command('list')
@FORMAT
def list_(fmt: str) -> None:
    """List the databases of the profile."""
    from aiida_qagenai.databases.tables import databases

    frame = databases()
    footer = '' if len(frame) else 'No database yet: `aiida-qagenai dataset import` adds one.'
    print_frame(frame, fmt, DATABASES, footer=footer)


def _size(path: Path) -> int:
    """Return the size of a file or folder, bytes."""
    return sum(file.stat().st_size for file in path.rglob('*')) if path.is_dir() else path.stat().st_size

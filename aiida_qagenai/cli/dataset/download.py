"""`aiida-qagenai dataset optimade|materials-project`: external data from the network."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.dataset.files import origin_options, print_reports, progress_line, settings_of
from aiida_qagenai.cli.params import CHEMICAL_SYSTEM

__all__ = ('materials_project', 'optimade')

FOLDER = click.option(
    '--folder',
    type=click.Path(file_okay=False, path_type=Path),
    help='Folder that keeps downloads until they are imported.',
)


@click.command()
# not `url`, which is an option
@click.argument('provider', metavar='URL')
@origin_options
@click.option(
    '--filter', 'query', default='', help='Filter of the structures: \'elements HAS ONLY "Li","H"\'; by default all.'
)
@click.option('--field', 'fields', multiple=True, help='Field of the provider to keep as a property. Repeatable.')
@click.option('--limit', type=click.IntRange(min=1), help='Largest number of structures.')
@click.option(
    '--page-limit', type=click.IntRange(min=1), default=100, show_default=True, help='Structures per request.'
)
@click.option(
    '--pause', type=click.FloatRange(min=0), default=0.0, show_default=True, help='Pause between requests, s.'
)
@FOLDER
def optimade(
    provider: str,
    *,
    query: str,
    fields: tuple[str, ...],
    limit: int | None,
    page_limit: int,
    pause: float,
    folder: Path | None,
    **origin: t.Any,
) -> None:
    """Import structures from an OPTIMADE provider.

    A busy server is asked again after a pause. The same command goes on with the next page after an interruption.
    Energies are imported from fields whose meaning `--energy` gives.
    """
    from aiida_qagenai.databases.sources.importer import import_files
    from aiida_qagenai.databases.sources.optimade import download
    from aiida_qagenai.databases.sources.staging import default_folder

    settings = settings_of({**origin, 'url': origin['url'] or provider}, format='optimade')
    with progress_line() as show:
        staging = download(
            provider,
            settings,
            folder or default_folder(),
            query=query,
            fields=fields,
            limit=limit,
            page_limit=page_limit,
            pause=pause,
            progress=show,
        )
        reports = import_files([staging.path], [settings], progress=show)
    staging.remove()
    print_reports(reports)


@click.command('materials-project')
@CHEMICAL_SYSTEM
@click.option('--elements', metavar='A,B', help='Elements that must be present, among any others.')
@click.option('--max-e-above-hull', type=float, help='Largest distance to the hull of the database, eV/atom.')
@click.option('--license', 'license_', default='CC-BY-4.0', show_default=True, help='Licence of the data.')
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
    from aiida_qagenai.common.errors import InvalidInputError
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

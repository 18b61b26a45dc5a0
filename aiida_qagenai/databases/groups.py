"""Versions of external databases as groups of their entries."""

from __future__ import annotations

import typing as t

import pandas as pd
from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.sources.settings import ImportSettings
from aiida_qagenai.queries.outputs import nodes_of

__all__ = ('DatabaseGroup', 'databases', 'find_database', 'known_entries', 'open_database')

LABEL_PREFIX = 'qagenai/databases/'


class DatabaseGroup(orm.Group):
    """The entries and energies of one version of a database; only an import fills it, and nothing changes it after.

    The extras hold ``database``, ``version``, ``license``, ``url``, ``files`` (SHA-256 → uuid of the process that
    imported it) and ``complete``.
    """

    @property
    def is_complete(self) -> bool:
        """Return whether the import has finished."""
        return bool(self.base.extras.get('complete', False))

    def add_nodes(self, nodes: t.Any) -> None:
        self._refuse()

    def remove_nodes(self, nodes: t.Any) -> None:
        self._refuse()

    def clear(self) -> None:
        self._refuse()

    def _refuse(self) -> t.NoReturn:
        """Refuse: entries come from an import, and a version of a database does not change."""
        message = f'`{self.label}` is a version of a database: import another version, or delete the group as a whole'
        raise ModificationNotAllowed(message)


def find_database(database: str, version: str) -> DatabaseGroup | None:
    """Return the group of a version of a database, or ``None``."""
    builder = orm.QueryBuilder()
    builder.append(DatabaseGroup, filters={'label': f'{LABEL_PREFIX}{database}/{version}'}, project='*')
    return t.cast('DatabaseGroup | None', builder.first(flat=True))


def open_database(settings: ImportSettings) -> DatabaseGroup:
    """Return the group of a version of a database, created if it is new.

    :raises InvalidInputError: if it was started with another licence.
    """
    group = find_database(settings.database, settings.version)
    if group is None:
        group = DatabaseGroup(f'{LABEL_PREFIX}{settings.database}/{settings.version}').store()
        origin = settings.model_dump(include={'database', 'version', 'license', 'url'})
        group.base.extras.set_many({**origin, 'files': {}, 'complete': False})
    license_ = group.base.extras.get('license')
    if license_ != settings.license:
        raise InvalidInputError(f'version `{settings.version}` of `{settings.database}` has the licence `{license_}`')
    return group


def known_entries(settings: ImportSettings) -> dict[str, str]:
    """Return identifier → SHA-256 of the entries of a version of a database."""
    filters = {'attributes.database': settings.database, 'attributes.version': settings.version}
    return dict(nodes_of(EntryData, ['attributes.identifier', 'attributes.sha256'], filters).iterall())


def databases() -> pd.DataFrame:
    """Return one row per version of a database, oldest first, with the number of its entries and energies."""
    counts: dict[int, dict[str, int]] = {}
    for cls, name in ((EntryData, 'entries'), (EnergyData, 'energies')):
        builder = orm.QueryBuilder().append(DatabaseGroup, project='id', tag='group')
        builder.append(cls, with_group='group', project='id', subclassing=False)
        for group, _ in builder.iterall():
            counts.setdefault(group, {}).setdefault(name, 0)
            counts[group][name] += 1
    builder = orm.QueryBuilder().append(DatabaseGroup, project=['id', 'time', 'extras'], tag='group')
    builder.order_by({'group': 'time'})
    rows = []
    for pk, time, extras in builder.all():
        origin = {name: extras.get(name) for name in ('database', 'version', 'license', 'url', 'complete')}
        rows.append({**origin, 'entries': 0, 'energies': 0, **counts.get(pk, {}), 'started': time, 'pk': pk})
    columns = ['database', 'version', 'license', 'url', 'complete', 'entries', 'energies', 'started', 'pk']
    return pd.DataFrame(rows, columns=columns)

"""Versions of external databases as groups of their entries."""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed

__all__ = ('LABEL_PREFIX', 'DatabaseGroup', 'find_database')

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
        """Refuse: entries come from an import.

        :raises aiida.common.exceptions.ModificationNotAllowed: always.
        """
        self._refuse()

    def remove_nodes(self, nodes: t.Any) -> None:
        """Refuse: a version of a database does not change.

        :raises aiida.common.exceptions.ModificationNotAllowed: always.
        """
        self._refuse()

    def clear(self) -> None:
        """Refuse: a version of a database does not change.

        :raises aiida.common.exceptions.ModificationNotAllowed: always.
        """
        self._refuse()

    def _refuse(self) -> t.NoReturn:
        message = f'`{self.label}` is a version of a database: import another version, or delete the group as a whole'
        raise ModificationNotAllowed(message)


def find_database(database: str, version: str) -> DatabaseGroup | None:
    """Return the group of a version of a database, or ``None``."""
    builder = orm.QueryBuilder()
    builder.append(DatabaseGroup, filters={'label': f'{LABEL_PREFIX}{database}/{version}'}, project='*')
    return t.cast('DatabaseGroup | None', builder.first(flat=True))

"""AiiDA's archives, written and read with the nodes' hashes and without its reports.

Upstream: an import by AiiDA 2.9 drops the hashes of nodes, so that the cache finds nothing that was imported, and no
public function counts the nodes of an archive.
"""

from __future__ import annotations

import collections
import contextlib
import typing as t
from pathlib import Path

from aiida import orm
from aiida.common.exceptions import CorruptStorage, IncompatibleStorageSchema
from aiida.tools.archive import create_archive
from aiida.tools.archive import import_archive as import_aiida_archive
from aiida.tools.archive.create import EXPORT_LOGGER
from aiida.tools.archive.exceptions import ExportImportException, ExportValidationError
from aiida.tools.archive.implementations.sqlite_zip.main import ArchiveFormatSqlZip

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.engine.profile import profile_storage
from aiida_qagenai.engine.rows import (
    HASH_KEY,
    columns_of_nodes,
    plain_inserts,
    rows_of,
    table_names_kept,
    update_extras,
)

__all__ = ('count_nodes', 'read_archive', 'write_archive')

PRIVATE_EXTRAS = '_aiida_'


def write_archive(entities: list[t.Any], path: Path) -> None:
    """Write ``entities``, nodes and groups, and all that belongs to them to an archive.

    :raises InvalidInputError: if a process among them has not ended.
    """
    try:
        with _without_reports(), table_names_kept():
            create_archive(entities, filename=path, overwrite=True)
    except ExportValidationError as exception:
        raise InvalidInputError(str(exception)) from exception


def read_archive(path: Path) -> None:
    """Import an archive into the loaded profile; the hashes of its nodes are kept, so that caching finds them.

    :raises InvalidInputError: if the archive has the format of another version of AiiDA.
    :raises CorruptFileError: if it cannot be imported.
    """
    with _explained(path, 'imported'):
        private = _private_extras(path)
        with _without_reports(), table_names_kept(), plain_inserts(profile_storage(), private):
            import_aiida_archive(path, create_group=False)
    _restore_private_extras(private)


def count_nodes(path: Path) -> dict[str, int]:
    """Return the number of nodes in an archive by class name.

    :raises InvalidInputError: if the archive has the format of another version of AiiDA.
    :raises CorruptFileError: if it cannot be read.
    """
    with _explained(path, 'read'), ArchiveFormatSqlZip().open(path, mode='r') as reader:
        builder = reader.querybuilder().append(orm.Node, project='node_type')
        counts = collections.Counter(node_type.split('.')[-2] for (node_type,) in rows_of(builder))
    return dict(sorted(counts.items()))


def _private_extras(path: Path) -> dict[str, dict[str, t.Any]]:
    """Return uuid → the hash and the marks of the cache of the nodes in an archive."""
    with ArchiveFormatSqlZip().open(path, mode='r') as reader:
        return {
            uuid: {name: value for name, value in extras.items() if name.startswith(PRIVATE_EXTRAS)}
            for uuid, extras in columns_of_nodes(reader.get_backend(), 'uuid', 'extras')
        }


def _restore_private_extras(private: dict[str, dict[str, t.Any]]) -> None:
    """Give nodes the hash and the marks of the cache that they had, where an import by AiiDA has left them out."""
    builder = orm.QueryBuilder().append(
        orm.Node, filters={'extras': {'!has_key': HASH_KEY}}, project=['uuid', 'id', 'extras']
    )
    update_extras({pk: {**extras, **private[uuid]} for uuid, pk, extras in rows_of(builder) if private.get(uuid)})


@contextlib.contextmanager
def _explained(path: Path, done: str) -> t.Iterator[None]:
    """Raise what AiiDA says of an archive that cannot be ``done`` as an error of this package."""
    try:
        yield
    except IncompatibleStorageSchema as exception:
        raise InvalidInputError(str(exception)) from exception
    except (ExportImportException, CorruptStorage) as exception:
        raise CorruptFileError(f'`{path}` cannot be {done}: {exception}') from exception


@contextlib.contextmanager
def _without_reports() -> t.Iterator[None]:
    """Silence the reports of AiiDA's archive tools."""
    level = EXPORT_LOGGER.level
    EXPORT_LOGGER.setLevel('WARNING')
    try:
        yield
    finally:
        EXPORT_LOGGER.setLevel(level)

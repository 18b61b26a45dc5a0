"""Rows of a storage backend, many at a time, for :mod:`aiida_qagenai.engine.bulk` and the archives.

No other module writes to a backend without the ORM of AiiDA.

Upstream: `StorageBackend.bulk_insert` need not make an object of every row, and `QueryBuilder` need not look up the
name of a table for every field of every row.
"""

from __future__ import annotations

import contextlib
import functools
import typing as t

import sqlalchemy
from aiida import orm
from aiida.manage import get_manager
from aiida.orm.entities import EntityTypes
from aiida.storage.psql_dos.orm.querybuilder import main as queries

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aiida.orm.implementation import StorageBackend

__all__ = (
    'CHUNK_SIZE',
    'HASH_KEY',
    'chunks',
    'columns_of_nodes',
    'fill_group',
    'insert_nodes',
    'insert_rows',
    'plain_inserts',
    'rows_of',
    'table_names_kept',
    'transaction',
    'update_extras',
)

CHUNK_SIZE = 5000
"""Nodes per transaction: on SQLite a write transaction of more than about 5 s makes other clients fail."""

HASH_KEY = '_aiida_hash'
"""Extra in which AiiDA keeps the hash of a node."""

Row = dict[str, t.Any]


def rows_of(builder: orm.QueryBuilder) -> Iterator[t.Any]:
    """Yield the results of a query that has many: AiiDA fetches a hundred at a time."""
    yield from builder.iterall(batch_size=CHUNK_SIZE)


def columns_of_nodes(backend: StorageBackend, *names: str) -> Iterator[t.Any]:
    """Yield columns of all nodes of a storage or archive, without the objects that a query builder makes of rows.

    :param names: of the columns, such as ``uuid``.
    """
    table = _table(backend, EntityTypes.NODE)
    query = sqlalchemy.select(*(table.c[name] for name in names)).execution_options(yield_per=CHUNK_SIZE)
    yield from backend.get_session().execute(query)


def insert_rows(backend: StorageBackend, entity: EntityTypes, rows: Sequence[Row]) -> None:
    """Insert rows of nodes or links within a transaction.

    ``StorageBackend.bulk_insert`` writes the same, but makes an object of every row that it wrote, and on PostgreSQL
    has a long statement read for every thousand: together more than the writing takes.
    """
    if rows:
        backend.get_session().execute(sqlalchemy.insert(_table(backend, entity)), rows)


def insert_nodes(backend: StorageBackend, rows: Sequence[Row]) -> dict[str, int]:
    """Insert rows of nodes within a transaction and return uuid → pk."""
    insert_rows(backend, EntityTypes.NODE, rows)
    builder = orm.QueryBuilder(backend=backend)
    uuids = [row['uuid'] for row in rows]
    return dict(rows_of(builder.append(orm.Node, filters={'uuid': {'in': uuids}}, project=['uuid', 'id'])))


def fill_group(group: orm.Group, pks: Iterable[int]) -> None:
    """Add stored nodes to a group; those it has already stay.

    :param pks: of nodes of the storage of the group.
    """
    wanted = set(pks)
    builder = orm.QueryBuilder(backend=group.backend)
    builder.append(orm.Group, filters={'id': group.pk}, tag='group')
    present = set(builder.append(orm.Node, with_group='group', project='id').all(flat=True))
    rows = [{'dbnode_id': pk, 'dbgroup_id': group.pk} for pk in sorted(wanted - present)]
    for chunk in chunks(rows):
        with transaction(group.backend):
            group.backend.bulk_insert(EntityTypes.GROUP_NODE, chunk)


def update_extras(extras: Mapping[int, Row]) -> None:
    """Replace the extras of stored nodes of the default profile; their modification times stay.

    :param extras: pk → all extras of the node.
    """
    backend = get_manager().get_profile_storage()
    for chunk in chunks(list(extras)):
        builder = orm.QueryBuilder(backend=backend)
        builder.append(orm.Node, filters={'id': {'in': chunk}}, project=['id', 'mtime'])
        rows = [{'id': pk, 'mtime': mtime, 'extras': extras[pk]} for pk, mtime in rows_of(builder)]
        with transaction(backend):
            backend.bulk_update(EntityTypes.NODE, rows)


@contextlib.contextmanager
def plain_inserts(backend: StorageBackend, extras: Mapping[str, Row]) -> Iterator[None]:
    """Let the nodes and links that AiiDA's import of archives adds within the block go in by :func:`insert_rows`.

    :param extras: uuid → what a node has in its extras besides those it is inserted with.
    """
    original = backend.bulk_insert

    def insert(entity: EntityTypes, rows: list[Row], allow_defaults: bool = False) -> list[int]:
        if entity is EntityTypes.LINK:
            insert_rows(backend, entity, rows)
            return []  # the pks of links are not asked for
        if entity is not EntityTypes.NODE:
            pks: list[int] = original(entity, rows, allow_defaults)
            return pks
        complete = [{**row, 'extras': {**row['extras'], **extras.get(row['uuid'], {})}} for row in rows]
        found = insert_nodes(backend, complete)
        return [found[row['uuid']] for row in rows]

    backend.bulk_insert = insert  # type: ignore[method-assign]
    try:
        yield
    finally:
        del backend.bulk_insert


@contextlib.contextmanager
def table_names_kept() -> Iterator[None]:
    """Let queries for dictionaries, of which AiiDA's archives are made, keep the name of a table within the block.

    They find it anew for every field of every row, by way of the attributes of a class of SQLAlchemy: up to a third of
    the time.
    """
    original = queries.get_table_name
    queries.get_table_name = functools.lru_cache(maxsize=1024)(original)
    try:
        yield
    finally:
        queries.get_table_name = original


def transaction(backend: StorageBackend) -> t.ContextManager[t.Any]:
    """Return a transaction, or nothing inside one: a nested transaction would commit the outer one."""
    return contextlib.nullcontext() if backend.in_transaction else backend.transaction()


def chunks(items: list[t.Any]) -> Iterator[list[t.Any]]:
    """Yield slices of at most ``CHUNK_SIZE`` items."""
    for start in range(0, len(items), CHUNK_SIZE):
        yield items[start : start + CHUNK_SIZE]


def _table(backend: StorageBackend, entity: EntityTypes) -> sqlalchemy.Table:
    node = backend.nodes.ENTITY_CLASS
    model = {EntityTypes.NODE: 'MODEL_CLASS', EntityTypes.LINK: 'LINK_CLASS'}[entity]
    return t.cast('sqlalchemy.Table', getattr(node, model).__table__)

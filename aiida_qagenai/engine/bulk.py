"""Storage of many outputs, inputs and cached clones at once, without the ORM of AiiDA.

The engine of AiiDA stores outputs one by one, with about ten queries each (20–40 ms per node, and growing). Here the
rows of a whole batch are inserted by two statements, as in AiiDA's own import of archives. The checks of the ORM for
each node are made here once per batch; what is stored is the same as what the ORM would have stored.

Upstream: a function `store_outputs(process_node, nodes)` beside `Node.store`.
"""

from __future__ import annotations

import contextlib
import typing as t

from aiida import orm
from aiida.common import timezone
from aiida.common.exceptions import ModificationNotAllowed, ValidationError
from aiida.common.links import LinkType, validate_link_label
from aiida.orm.entities import EntityTypes

from aiida_qagenai.engine import canonical
from aiida_qagenai.engine.rows import HASH_KEY, Row, chunks, insert_nodes, insert_rows, rows_of, transaction

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aiida.orm.implementation import StorageBackend

__all__ = (
    'check_labels',
    'clone_outputs',
    'insert_outputs',
    'link_inputs',
    'linked_uuids',
    'store_outputs',
)

NAMESPACE_SEPARATOR = '__'


def store_outputs(process_node: orm.CalculationNode, nodes: Mapping[str, orm.Data]) -> dict[str, orm.Data]:
    """Store unstored nodes as outputs of a running calculation, with their CREATE links.

    Every check precedes the first write, and up to ``CHUNK_SIZE`` nodes go in with their links in one transaction: all
    or none. It may be called again: labels that the process already has are kept, and the node stored under such a
    label is returned, so a parser that was killed and runs again adds nothing twice.

    :param process_node: the stored, unsealed process that creates the nodes.
    :param nodes: full link label (``candidates__c00000``) → unstored node.
    :return: label → loaded, stored node, in the order of ``nodes``.
    :raises aiida.common.exceptions.ModificationNotAllowed: if the process is sealed.
    :raises aiida.common.exceptions.ValidationError: if a node is invalid, naming its label.
    :raises ValueError: if a label is invalid or ambiguous, or a node is stored, linked already, or given twice.
    :raises TypeError: if the process is not a calculation, or a value is not a data node.
    """
    return _load(process_node.backend, insert_outputs(process_node, nodes))


def insert_outputs(process_node: orm.CalculationNode, nodes: Mapping[str, orm.Data]) -> dict[str, int]:
    """Store outputs as :func:`store_outputs` does, and return label → pk: for many that nobody looks at then."""
    _forget_unstored(process_node)
    _check_process(process_node)
    existing = _linked(process_node, LinkType.CREATE)
    check_labels([*existing, *(label for label in nodes if label not in existing)])
    missing = {label: node for label, node in nodes.items() if label not in existing}
    _check_nodes(process_node, missing)
    rows = {label: _row(node) for label, node in missing.items()}
    created = _insert_outputs(process_node, rows)
    _autogroup(process_node.backend, created.values())
    return {label: existing[label] if label in existing else created[label] for label in nodes}


def link_inputs(process_node: orm.CalculationNode, nodes: Mapping[str, orm.Data | int]) -> None:
    """Add INPUT_CALC links to a calculation whose record was just created.

    It may be called again: links that exist are kept.

    :param process_node: the stored, unsealed process.
    :param nodes: full link label (``members__c00000``) → stored node, or its pk.
    :raises aiida.common.exceptions.ModificationNotAllowed: if the process is sealed.
    :raises ValueError: if a label is invalid, ambiguous or taken by another node, or a node is not stored, unknown, or
        a descendant of the process.
    :raises TypeError: if the process is not a calculation, or a value is not a data node.
    """
    _check_process(process_node)
    pks = {label: _pk(label, node) for label, node in nodes.items()}
    existing = _linked(process_node, LinkType.INPUT_CALC)
    for label, pk in pks.items():
        if existing.get(label, pk) != pk:
            raise ValueError(f'{process_node} already has another input `{label}`: node {existing[label]}, not {pk}')
    missing = {label: pk for label, pk in pks.items() if label not in existing}
    if not missing:
        return
    check_labels([*existing, *missing])
    _check_sources(process_node, set(missing.values()))
    links = [_link(pk, process_node.pk, LinkType.INPUT_CALC, label) for label, pk in missing.items()]
    for chunk in chunks(links):
        with transaction(process_node.backend):
            insert_rows(process_node.backend, EntityTypes.LINK, chunk)


def clone_outputs(process_node: orm.CalculationNode, source: orm.CalculationNode) -> None:
    """Give a process taken from the cache clones of all outputs of the cached one, ``source``.

    Attributes that name an input of ``source`` by uuid and are left out of the hash for that reason
    (``candidate_uuid``) are changed to name the input of ``process_node`` under the same label.

    :raises aiida.common.exceptions.ModificationNotAllowed: if ``process_node`` is sealed.
    """
    _check_process(process_node)
    existing = _linked(process_node, LinkType.CREATE)
    there = linked_uuids(source, LinkType.INPUT_CALC)
    here = linked_uuids(process_node, LinkType.INPUT_CALC)
    renamed = {there[label]: uuid for label, uuid in here.items() if label in there}
    builder = orm.QueryBuilder(backend=source.backend)
    builder.append(orm.CalculationNode, filters={'id': source.pk}, tag='process')
    builder.append(
        orm.Data,
        with_incoming='process',
        tag='output',
        edge_filters={'type': LinkType.CREATE.value},
        project=['*', 'label', 'description', 'attributes', 'extras', 'repository_metadata'],
        edge_project=['label'],
    )
    rows: dict[str, Row] = {}
    for node, *columns, link_label in rows_of(builder):
        if link_label not in existing:
            rows[link_label] = _clone_row(node, columns, renamed)
    _autogroup(process_node.backend, _insert_outputs(process_node, rows).values())


def linked_uuids(
    process_node: orm.ProcessNode, link_type: LinkType = LinkType.INPUT_CALC, namespace: str = ''
) -> dict[str, str]:
    """Return link label → uuid of the nodes linked to a process, by one query that loads no node.

    :param namespace: if given, only labels in that namespace, and without it: ``c00000`` for ``members__c00000``.
    """
    prefix = namespace + NAMESPACE_SEPARATOR if namespace else ''
    found = _linked(process_node, link_type, project='uuid')
    return {label.removeprefix(prefix): uuid for label, uuid in sorted(found.items()) if label.startswith(prefix)}


def _check_process(process_node: orm.CalculationNode) -> None:
    if not isinstance(process_node, orm.CalculationNode):
        raise TypeError(f'only calculations have such links, got {process_node!r}')
    if not process_node.is_stored:
        raise ValueError('the process has to be stored first')
    if process_node.is_sealed:
        raise ModificationNotAllowed(f'{process_node} is sealed: it has finished, and its links can no longer change')


def _forget_unstored(process_node: orm.CalculationNode) -> None:
    """Take unstored nodes off the list that SQLAlchemy keeps with their user, which the next flush would go through.

    The nodes themselves keep their user.
    """
    session = process_node.backend.get_session()
    with session.no_autoflush:
        session.expire(process_node.user.backend_entity.bare_model, ['dbnodes'])


def check_labels(labels: Sequence[str]) -> None:
    """Check that labels are valid and that none is both a node and a namespace (``a`` and ``a__b``)."""
    taken = set(labels)
    for label in labels:
        try:
            validate_link_label(label)
        except (ValueError, TypeError) as exception:
            raise ValueError(f'invalid link label `{label}`: {exception}') from exception
        parts = label.split(NAMESPACE_SEPARATOR)
        if not all(parts):
            raise ValueError(f'invalid link label `{label}`: a part between `{NAMESPACE_SEPARATOR}` is empty')
        for end in range(1, len(parts)):
            parent = NAMESPACE_SEPARATOR.join(parts[:end])
            if parent in taken:
                message = f'link label `{label}` lies in a namespace `{parent}` that is already the label of a node'
                raise ValueError(message)


def _check_nodes(process_node: orm.CalculationNode, nodes: Mapping[str, orm.Data]) -> None:
    """Check that each node may be stored as an output of the process, as ``Node.store`` does for one."""
    backend = process_node.backend
    storable: set[type] = set()
    seen: dict[str, str] = {}
    for label, node in nodes.items():
        if not isinstance(node, orm.Data):
            raise TypeError(f'output `{label}` is no data node: {node!r}')
        # AiiDA's own attributes of the node would ask the session for each whether the node is stored by now.
        model = node.backend_entity.bare_model
        if model.id is not None:
            raise ValueError(f'output `{label}` is already stored ({node}): a calculation creates its outputs')
        if model.uuid in seen:
            raise ValueError(f'outputs `{seen[model.uuid]}` and `{label}` are the same node')
        if node.base.links.incoming_cache:
            raise ValueError(f'output `{label}` already has incoming links')
        if node.backend is not backend:
            raise ValueError(f'output `{label}` belongs to another storage than the process')
        seen[model.uuid] = label
        try:
            if type(node) not in storable:
                node._validate_storability()
                storable.add(type(node))
            node._validate()
            model.attributes, model.extras = canonical.clean(model.attributes), canonical.clean(model.extras)
        except (ValidationError, ValueError) as exception:
            raise ValidationError(f'output `{label}` is invalid: {exception}') from exception


def _check_sources(process_node: orm.CalculationNode, pks: set[int]) -> None:
    """Check that the nodes exist, are data, and do not descend from the process."""
    builder = orm.QueryBuilder(backend=process_node.backend)
    builder.append(orm.Data, filters={'id': {'in': list(pks)}}, project='id')
    unknown = pks - {pk for (pk,) in rows_of(builder)}
    if unknown:
        raise ValueError(f'not stored data nodes: {sorted(unknown)}')
    builder = orm.QueryBuilder(backend=process_node.backend)
    builder.append(orm.CalculationNode, filters={'id': process_node.pk}, tag='process')
    builder.append(orm.Data, with_ancestors='process', project='id')
    cycle = pks & {pk for (pk,) in rows_of(builder)}
    if cycle:
        raise ValueError(f'nodes {sorted(cycle)} descend from {process_node}: linking them would make a cycle')


def _pk(label: str, node: orm.Data | int) -> int:
    if isinstance(node, int):
        return node
    if not isinstance(node, orm.Data):
        raise TypeError(f'input `{label}` is no data node: {node!r}')
    if not node.is_stored:
        raise ValueError(f'input `{label}` is not stored')
    return int(node.pk)


def _linked(process_node: orm.ProcessNode, link_type: LinkType, project: str = 'id') -> dict[str, t.Any]:
    """Return link label → pk (or another column) of the data nodes linked to a process."""
    relation = {'with_incoming' if link_type in (LinkType.CREATE, LinkType.RETURN) else 'with_outgoing': 'process'}
    builder = orm.QueryBuilder(backend=process_node.backend)
    builder.append(orm.ProcessNode, filters={'id': process_node.pk}, tag='process')
    builder.append(
        orm.Data, edge_filters={'type': link_type.value}, project=[project], edge_project=['label'], **relation
    )
    return {label: value for value, label in rows_of(builder)}


def _row(node: orm.Data) -> Row:
    """Return the database row of a checked node; its files, if any, go to the repository."""
    repository = node.base.repository
    if repository.list_object_names():
        repository._store()
    model = node.backend_entity.bare_model
    return {
        'uuid': str(model.uuid),
        'node_type': model.node_type,
        'process_type': model.process_type,
        'label': model.label,
        'description': model.description,
        'ctime': model.ctime,
        'mtime': timezone.now(),
        'attributes': model.attributes,
        'extras': {**model.extras, HASH_KEY: canonical.make_hash(node.base.caching.get_objects_to_hash())},
        'repository_metadata': model.repository_metadata,
        'dbcomputer_id': None if model.dbcomputer is None else model.dbcomputer.id,
        'user_id': model.user.id,
    }


def _clone_row(node: orm.Data, columns: Sequence[t.Any], renamed: Mapping[str, str]) -> Row:
    """Return the database row of a clone of a stored ``node``, as ``Data.clone`` would make it."""
    from aiida.common.utils import get_new_uuid

    label, description, attributes, extras, repository_metadata = columns
    for name in node._hash_ignored_attributes:
        if attributes.get(name) in renamed:
            attributes[name] = renamed[attributes[name]]
    now = timezone.now()
    return {
        'uuid': get_new_uuid(),
        'node_type': node.node_type,
        'process_type': node.process_type,
        'label': label,
        'description': description,
        'ctime': now,
        'mtime': now,
        'attributes': attributes,
        'extras': {HASH_KEY: extras.get(HASH_KEY) or node.base.caching.compute_hash()},
        'repository_metadata': repository_metadata,
        'dbcomputer_id': None if node.computer is None else node.computer.pk,
        'user_id': node.user.pk,
    }


def _link(source: int | None, target: int | None, link_type: LinkType, label: str) -> Row:
    return {'input_id': source, 'output_id': target, 'type': link_type.value, 'label': label}


def _insert_outputs(process_node: orm.CalculationNode, rows: Mapping[str, Row]) -> dict[str, int]:
    """Insert nodes and their CREATE links and return label → pk."""
    backend = process_node.backend
    created: dict[str, int] = {}
    for chunk in chunks(list(rows.items())):
        with transaction(backend):
            pks = insert_nodes(backend, [row for _, row in chunk])
            labelled = {label: pks[row['uuid']] for label, row in chunk}
            links = [_link(process_node.pk, pk, LinkType.CREATE, label) for label, pk in labelled.items()]
            insert_rows(backend, EntityTypes.LINK, links)
        created.update(labelled)
    return created


def _load(backend: StorageBackend, pks: Mapping[str, int]) -> dict[str, orm.Data]:
    """Return label → loaded node, by one query."""
    builder = orm.QueryBuilder(backend=backend)
    builder.append(orm.Data, filters={'id': {'in': list(pks.values())}}, project=['*', 'id'])
    with _keep_loaded(backend):
        loaded = {pk: node for node, pk in rows_of(builder)}
    return {label: loaded[pk] for label, pk in pks.items()}


@contextlib.contextmanager
def _keep_loaded(backend: StorageBackend) -> Iterator[None]:
    """Keep the primary keys of what is loaded in the block: AiiDA ends a query with a commit, which forgets them.

    Each would be asked for again with a query of its own.
    """
    session = backend.get_session()
    expire, session.expire_on_commit = session.expire_on_commit, False
    try:
        yield
    finally:
        session.expire_on_commit = expire


def _autogroup(backend: StorageBackend, pks: Iterable[int]) -> None:
    """Add new nodes to the group of the running script if ``verdi run --auto-group`` asks for one."""
    if not backend.autogroup.is_enabled:
        return
    nodes = _load(backend, {str(pk): pk for pk in pks}).values()
    wanted = [node for node in nodes if backend.autogroup.is_to_be_grouped(node)]
    if wanted:
        backend.autogroup.get_or_create_group().add_nodes(wanted)

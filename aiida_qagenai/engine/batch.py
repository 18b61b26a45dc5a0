"""Calculations with many inputs and outputs: members are linked in bulk, cached outputs are cloned in bulk.

Upstream: a port for a whole namespace of nodes that is linked and hashed at once, and a caching hook that clones in
bulk.
"""

from __future__ import annotations

import dataclasses
import typing as t

from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.engine.bulk import NAMESPACE_SEPARATOR, clone_outputs, link_inputs
from aiida_qagenai.engine.rows import HASH_KEY, rows_of

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from aiida.engine.processes.process_spec import ProcessSpec
    from aiida.parsers import Parser

__all__ = ('BatchMixin', 'Member', 'bulk_inputs', 'members_of', 'register_outputs')


@dataclasses.dataclass(frozen=True)
class Member:
    """One of the nodes that a set node packs."""

    pk: int
    uuid: str
    hash: str | None


def members_of(set_node: orm.Data, namespace: str = 'candidates') -> dict[str, Member]:
    """Return label → member of a set: the outputs in ``namespace`` of the process that created the set node.

    No node is loaded. The set itself holds no uuids, so that equal content has an equal hash; the process that made
    the set made its members too, and their labels are in the order of the set.

    :raises ValueError: if no process created the set, it created no such outputs, or not as many as the set packs.
    """
    # Two queries: SQLite plans one for both with a loop over all links of the database.
    builder = orm.QueryBuilder(backend=set_node.backend)
    builder.append(orm.Data, filters={'id': set_node.pk}, tag='set', project='attributes.num_structures')
    edge = {'type': LinkType.CREATE.value}
    builder.append(orm.CalculationNode, with_outgoing='set', edge_filters=edge, project='id')
    expected, creator = builder.first() or (None, None)
    prefix = namespace + NAMESPACE_SEPARATOR
    members = {}
    if creator is not None:
        builder = orm.QueryBuilder(backend=set_node.backend)
        builder.append(orm.CalculationNode, filters={'id': creator}, tag='creator')
        columns = ['id', 'uuid', f'extras.{HASH_KEY}']
        builder.append(orm.Data, with_incoming='creator', edge_filters=edge, project=columns, edge_project=['label'])
        for pk, uuid, hash_, label in rows_of(builder):
            if label.startswith(prefix):
                members[label.removeprefix(prefix)] = Member(pk, uuid, hash_)
    if not members:
        raise ValueError(f'{set_node!r} has no members: it must come from a process with outputs `{namespace}`')
    if expected is not None and expected != len(members):
        raise ValueError(f'{set_node!r} packs {expected} structures, its process created {len(members)} `{namespace}`')
    return dict(sorted(members.items()))


def register_outputs(parser: Parser, stored: Mapping[str, orm.Data]) -> None:
    """Tell a parser of outputs that were stored in bulk, so that ports are validated and parents see them."""
    for label, node in stored.items():
        parser.out(label.replace(NAMESPACE_SEPARATOR, '.'), node)


class BatchMixin:
    """Mixin, before ``CalcJob``, for a process with many inputs or outputs.

    ``MEMBERS`` maps a dynamic input namespace to the input port of its set node and the output namespace in which the
    creator of that set has the members: ``{'members': ('candidate_set', 'candidates')}``. Only the set is given as an
    input; its members become INPUT_CALC links in that namespace as soon as the process has a record. They count in the
    hash of the process as any input does, but are not serialised with its state.

    When the process is taken from the cache, its outputs are cloned in bulk.
    """

    MEMBERS: t.ClassVar[dict[str, tuple[str, str]]] = {}

    node: orm.CalculationNode
    inputs: t.Any

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the namespaces of the members."""
        super().define(spec)  # type: ignore[misc]
        for namespace, (port, _) in cls.MEMBERS.items():
            spec.input_namespace(
                namespace,
                dynamic=True,
                valid_type=orm.Data,
                required=False,
                help=f'Members of `{port}`. Leave empty: they follow from it.',
            )

    def __init__(self, inputs: Mapping[str, t.Any] | None = None, *args: t.Any, **kwargs: t.Any) -> None:
        """Construct the process; members among the inputs (of a restart builder) are only compared."""
        given = dict(inputs or {})
        self._given = {namespace: dict(given.pop(namespace, None) or {}) for namespace in self.MEMBERS}
        self._members: dict[str, Member] = {}
        super().__init__(given, *args, **kwargs)  # type: ignore[call-arg]

    def _setup_db_record(self) -> None:
        """Find the members and make the record aware of them, before it is hashed, looked up and stored.

        :raises ValueError: if a set has no members or the members given are not those of the set.
        """
        super()._setup_db_record()  # type: ignore[misc]
        for namespace, (port, siblings) in self.MEMBERS.items():
            if port not in self.inputs:
                continue
            members = members_of(self.inputs[port], siblings)
            given = {label: node.uuid for label, node in self._given[namespace].items()}
            if given and given != {label: member.uuid for label, member in members.items()}:
                raise ValueError(f'the nodes given as `{namespace}` are not the members of `{port}`: leave them out')
            for label, member in members.items():
                self._members[namespace + NAMESPACE_SEPARATOR + label] = member
        _prepare(self.node, self._members)

    def _create_and_setup_db_record(self) -> t.Any:
        pk = super()._create_and_setup_db_record()  # type: ignore[misc]
        if self.node.is_stored and self._members:
            link_inputs(self.node, _pks(self._members))
        return pk


def bulk_inputs(*namespaces: str) -> t.Callable[[t.Any], t.Any]:
    """Return a decorator of a calcfunction that links the nodes in some of its input namespaces in bulk.

    Put it above ``@calcfunction``. Callers, the function and the graph stay as they are: the nodes are given as
    dictionaries by label, and become INPUT_CALC links ``<namespace>__<label>`` that count in the hash.

    :param namespaces: names of keyword arguments that take a dictionary of stored nodes.
    """

    def decorate(function: t.Any) -> t.Any:
        process_class = function.process_class

        def flat_inputs(self: t.Any) -> dict[str, t.Any]:
            inputs: dict[str, t.Any] = super(process_class, self)._flat_inputs()
            self._members = {label: node for label, node in inputs.items() if _namespace(label) in namespaces}
            return {label: node for label, node in inputs.items() if label not in self._members}

        def setup_db_record(self: t.Any) -> None:
            super(process_class, self)._setup_db_record()
            self._members = _stored_members(self._members)
            _prepare(self.node, self._members)

        def create_and_setup_db_record(self: t.Any) -> t.Any:
            pk = super(process_class, self)._create_and_setup_db_record()
            if self.node.is_stored:
                link_inputs(self.node, _pks(self._members))
            return pk

        # AiiDA builds the class of a function itself and keeps it in a closure, so it is changed, not replaced.
        process_class._flat_inputs = flat_inputs
        process_class._setup_db_record = setup_db_record
        process_class._create_and_setup_db_record = create_and_setup_db_record
        return function

    return decorate


def _namespace(label: str) -> str:
    """Return the first part of a link label, or nothing where it has only one."""
    namespace, separator, _ = label.partition(NAMESPACE_SEPARATOR)
    return namespace if separator else ''


def _stored_members(nodes: Mapping[str, orm.Data]) -> dict[str, Member]:
    """Return label → member of stored nodes, by one query.

    :raises ValueError: if a node is not stored.
    """
    for label, node in nodes.items():
        if not node.is_stored:
            raise ValueError(f'input `{label}` has to be stored first')
    if not nodes:
        return {}
    pks = [node.pk for node in nodes.values()]
    builder = orm.QueryBuilder().append(
        orm.Data, filters={'id': {'in': pks}}, project=['id', 'uuid', f'extras.{HASH_KEY}']
    )
    members = {pk: Member(pk, uuid, hash_) for pk, uuid, hash_ in rows_of(builder)}
    return {label: members[t.cast(int, node.pk)] for label, node in nodes.items()}


def _prepare(node: orm.CalculationNode, members: Mapping[str, Member]) -> None:
    """Let an unstored process node count its future members in its hash, and clone cached outputs in bulk.

    Both are methods of the node; a subclass of the node would need an entry point of its own, which whoever imports
    an archive may not have, so they are replaced on this instance.
    """
    hashes = {
        label: member.hash or orm.load_node(member.pk).base.caching.compute_hash() for label, member in members.items()
    }

    class Caching(type(node.base.caching)):  # type: ignore[misc]
        """Caching of a process node whose members are not linked yet."""

        def get_objects_to_hash(self) -> t.Any:
            """Return what is hashed, with the members as they will be among the inputs."""
            objects = super().get_objects_to_hash()
            objects['inputs'].update(hashes)
            return objects

    def add_outputs_from_cache(cached: orm.CalculationNode) -> None:
        """Link the members and clone the outputs of ``cached``."""
        link_inputs(node, _pks(members))
        clone_outputs(node, cached)

    node.base.__dict__['caching'] = Caching(node)
    node.__dict__['_add_outputs_from_cache'] = add_outputs_from_cache


def _pks(members: Mapping[str, Member]) -> dict[str, int]:
    return {label: member.pk for label, member in members.items()}

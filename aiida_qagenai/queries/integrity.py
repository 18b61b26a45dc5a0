"""Whether the graph of the profile is whole: `verdi storage integrity` of AiiDA 2.9 checks nothing."""

from __future__ import annotations

import dataclasses
import typing as t
from collections import defaultdict

from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.data.assessment import AssessmentData
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.engine import canonical
from aiida_qagenai.engine.bulk import check_labels
from aiida_qagenai.engine.profile import profile_storage
from aiida_qagenai.engine.rows import HASH_KEY, rows_of
from aiida_qagenai.queries.derivations import wrong_energies

__all__ = ('Fault', 'IntegrityReport', 'check_integrity')


NAMING: dict[type[orm.Data], str] = {
    PredictionData: 'candidate_uuid',
    AssessmentData: 'candidate_uuid',
    CandidateData: 'relaxed_from',
}
"""Class of nodes → the attribute that names a candidate by its uuid; unrelaxed candidates lack it."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that should not be in the graph.

    :param check: name of the check that found it.
    :param pk: the node.
    """

    check: str
    pk: int
    message: str


@dataclasses.dataclass(frozen=True)
class IntegrityReport:
    """What was looked at, by check, and what is wrong."""

    checked: dict[str, int]
    faults: list[Fault]


def check_integrity(*, hashes: bool = True, energies: bool = False) -> IntegrityReport:
    """Check the nodes and links of the profile; nothing is changed.

    - ``outputs``, ``inputs``: link labels of a process are valid and unique, none is a node and a namespace at once,
      and no node was created twice;
    - ``candidates``: predictions, assessments and relaxed candidates name a candidate that is an input of the process
      that made them;
    - ``processes``: what has ended is sealed, and what is sealed has ended;
    - ``files``: every file of a node is in the repository;
    - ``hashes``: the hash of every data node is that of its content (most of the time; leave it out to be quick);
    - ``energies``: every energy is what the function that made it gives for its inputs today.
    """
    checks: dict[str, t.Callable[[], tuple[int, list[tuple[int, str]]]]] = {
        'outputs': lambda: _links(LinkType.CREATE),
        'inputs': lambda: _links(LinkType.INPUT_CALC),
        'candidates': _candidates,
        'processes': _processes,
        'files': _files,
    }
    if hashes:
        checks['hashes'] = _hashes
    if energies:
        checks['energies'] = wrong_energies
    checked, faults = {}, []
    for name, check in checks.items():
        checked[name], found = check()
        faults += [Fault(name, pk, message) for pk, message in sorted(found)]
    return IntegrityReport(checked, faults)


def _links(link_type: LinkType) -> tuple[int, list[tuple[int, str]]]:
    """Check the labels of all links of a type, and that a node has one creator."""
    creates = link_type is LinkType.CREATE
    builder = orm.QueryBuilder().append(orm.CalculationNode, tag='process', project='id')
    relation: dict[str, t.Any] = {'with_incoming' if creates else 'with_outgoing': 'process'}
    edge = {'type': link_type.value}
    builder.append(orm.Data, edge_filters=edge, edge_project='label', project='id', **relation)
    labels, creators = defaultdict(list), defaultdict(list)
    for process, node, label in rows_of(builder):
        labels[process].append(label)
        creators[node].append(process)
    faults = []
    for process, names in labels.items():
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        faults += [(process, f'two links have the label `{name}`') for name in twice]
        try:
            check_labels(names)
        except ValueError as exception:
            faults.append((process, str(exception)))
    if creates:
        faults += [(node, f'created by {made}') for node, made in creators.items() if len(made) > 1]
    return sum(map(len, labels.values())), faults


def _candidates() -> tuple[int, list[tuple[int, str]]]:
    count, faults = 0, []
    for kind, attribute in NAMING.items():
        builder = orm.QueryBuilder().append(orm.CalculationNode, tag='process', project='id')
        columns, named_only = ['id', f'attributes.{attribute}'], {'attributes': {'has_key': attribute}}
        edges = {'type': LinkType.CREATE.value}
        builder.append(kind, with_incoming='process', edge_filters=edges, project=columns, filters=named_only)
        named = defaultdict(list)
        for process, pk, uuid in rows_of(builder):
            named[process].append((pk, uuid))
        for process, members in named.items():
            builder = orm.QueryBuilder().append(orm.CalculationNode, filters={'id': process}, tag='process')
            edge = {'type': LinkType.INPUT_CALC.value}
            builder.append(orm.Data, with_outgoing='process', edge_filters=edge, project='uuid')
            inputs = {uuid for (uuid,) in rows_of(builder)}
            faults += [
                (pk, f'candidate {uuid} is not an input of its process') for pk, uuid in members if uuid not in inputs
            ]
            count += len(members)
    return count, faults


def _processes() -> tuple[int, list[tuple[int, str]]]:
    columns = ['id', 'attributes.process_state', 'attributes.sealed']
    count, faults = 0, []
    for pk, state, sealed in rows_of(orm.QueryBuilder().append(orm.ProcessNode, project=columns)):
        count += 1
        ended = state in ('finished', 'excepted', 'killed')
        if ended and not sealed:
            faults.append((pk, f'{state}, but not sealed'))
        elif sealed and not ended:
            faults.append((pk, f'sealed, but {state or "without a state"}'))
    return count, faults


def _files() -> tuple[int, list[tuple[int, str]]]:
    owners: dict[str, int] = {}
    for pk, metadata in rows_of(orm.QueryBuilder().append(orm.Node, project=['id', 'repository_metadata'])):
        owners |= dict.fromkeys(_keys(metadata), pk)
    keys = list(owners)
    present = profile_storage().get_repository().has_objects(keys)
    faults = [(owners[key], f'file {key} is missing') for key, there in zip(keys, present, strict=True) if not there]
    return len(keys), faults


def _keys(metadata: dict[str, t.Any]) -> list[str]:
    """Return the keys of the files in the metadata of a repository, folders included."""
    found: list[str] = []
    for item in (metadata or {}).get('o', {}).values():
        found += [item['k']] if 'k' in item else _keys(item)
    return found


def _hashes() -> tuple[int, list[tuple[int, str]]]:
    """Check the hashes of all data nodes that have one: it is what the cache goes by."""
    count, faults = 0, []
    builder = orm.QueryBuilder().append(orm.Data, project=['id', '*', f'extras.{HASH_KEY}'])
    for pk, node, stored in rows_of(builder):
        if stored is None:
            continue
        count += 1
        if canonical.make_hash(node.base.caching.get_objects_to_hash()) != stored:
            faults.append((pk, 'its hash is not that of its content'))
    return count, faults

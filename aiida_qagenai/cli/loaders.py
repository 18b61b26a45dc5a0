"""From what a user types to structures and nodes: a file, or a label, pk or uuid, with one text for each error."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import click

from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from aiida.orm import AbstractCode, Data, Node, ProcessNode, StructureData, WorkChainNode

    from aiida_qagenai.data.checkpoint import CheckpointData
    from aiida_qagenai.exchange.readers.structure_files import NamedStructure

__all__ = (
    'formula_of',
    'load_campaign',
    'load_checkpoint',
    'load_code',
    'load_node',
    'load_process',
    'load_structure',
    'load_structures',
    'make_file_nodes',
    'print_warnings',
    'read_structure_nodes',
    'read_with_warnings',
)

MAX_WARNINGS = 20
"""Warnings printed of one file."""

UUID = r'[0-9a-f-]{4,36}'
"""What is taken for a uuid or the beginning of one."""


N = t.TypeVar('N', bound='Node')


def load_node(
    identifier: str,
    kind: type[N] | None = None,
    name: str = 'node',
    *,
    named: Sequence[tuple[type[Node], dict[str, t.Any]]] = (),
    process_labels: Sequence[str] = (),
    advice: str = '',
) -> N:
    """Return the only node with that label, pk or uuid (or the beginning of a uuid).

    :param kind: class of the node, every class by default.
    :param name: what such a node is called.
    :param named: classes and filters of nodes that have a name besides their label.
    :param process_labels: classes of the process, where the node is one; every class by default.
    :param advice: what a user may do, for the end of a message.
    :raises InvalidInputError: if there is no such node, several, or one of another kind.
    """
    others: list[Node] = []
    for candidates in map(_latest_of_each, _candidates(identifier, named)):
        found = [
            node
            for node in candidates
            if (kind is None or isinstance(node, kind))
            and (not process_labels or getattr(node, 'process_label', None) in process_labels)
        ]
        if len(found) == 1:
            return t.cast('N', found[0])
        if found:
            pks = ', '.join(str(node.pk) for node in found[:5]) + (', …' if len(found) > 5 else '')
            names = f'{name}es' if name.endswith('s') else f'{name}s'
            message = f'`{identifier}` names {len(found)} {names} (pk {pks}), expected exactly one: give its pk or uuid'
            raise InvalidInputError(message)
        others += candidates
    advice = advice and f': {advice}'
    if others:
        what = getattr(others[0], 'process_label', None) or type(others[0]).__name__
        raise InvalidInputError(f'`{identifier}` is of type {what} (pk {others[0].pk}), not a {name}{advice}')
    raise InvalidInputError(f'no {name} `{identifier}`, expected exactly one node with this label, pk or uuid{advice}')


def _candidates(identifier: str, named: Sequence[tuple[type[Node], dict[str, t.Any]]]) -> t.Iterator[list[Node]]:
    """Yield the nodes that ``identifier`` may mean: by pk, then by label or uuid, then by another name.

    The class is not part of the queries: AiiDA does not count the candidates of a campaign among the StructureData.
    """
    from aiida.orm import Node, QueryBuilder

    if re.fullmatch(r'[0-9]{1,18}', identifier):
        yield QueryBuilder().append(Node, filters={'id': int(identifier)}).all(flat=True)
    ways: list[dict[str, t.Any]] = [{'label': identifier}]
    if re.fullmatch(UUID, identifier):
        ways.append({'uuid': {'like': f'{identifier}%'}})
    yield QueryBuilder().append(Node, filters={'or': ways}).all(flat=True)
    for kind, filters in named:
        yield QueryBuilder().append(kind, filters=filters, subclassing=False).all(flat=True)


def _latest_of_each(nodes: list[Node]) -> list[Node]:
    """Return nodes without the candidates that one of the others was relaxed from: these have the same name."""
    origins = {node.base.attributes.get('relaxed_from', None) for node in nodes}
    return [node for node in nodes if node.uuid not in origins]


def load_process(identifier: str, *labels: str, advice: str = '') -> ProcessNode:
    """Return the process with that label, pk or uuid.

    :param labels: classes that the process may be of.
    :raises InvalidInputError: as :func:`load_node`.
    """
    from aiida.orm import ProcessNode

    name = ' or '.join(labels) or 'process'
    return load_node(identifier, ProcessNode, name, process_labels=labels, advice=advice)


def load_campaign(identifier: str) -> WorkChainNode:
    """Return the process of a campaign by its pk or uuid, or the latest one of the campaign with that label.

    :raises InvalidInputError: if there is none, or the node is something else.
    """
    from aiida.orm import WorkChainNode
    from aiida.orm import load_node as load

    from aiida_qagenai.queries.campaigns import all_campaigns

    for campaign in reversed(all_campaigns()):
        if campaign.group is not None and campaign.label == identifier:
            return t.cast('WorkChainNode', load(campaign.processes[-1]))
    advice = 'see `aiida-qagenai campaign list`'
    return load_node(identifier, WorkChainNode, 'campaign', process_labels=['CampaignWorkChain'], advice=advice)


def load_checkpoint(identifier: str | None) -> CheckpointData | None:
    """Return the checkpoint with that label, pk or uuid, or None.

    :raises InvalidInputError: as :func:`load_node`.
    """
    if identifier is None:
        return None
    from aiida_qagenai.data.checkpoint import CheckpointData

    return load_node(identifier, CheckpointData, 'checkpoint')


def load_code(identifier: str) -> AbstractCode:
    """Return the code with that label, pk or uuid.

    :raises InvalidInputError: if there is none, or several.
    """
    from aiida.common.exceptions import MultipleObjectsError, NotExistent
    from aiida.orm import load_code as load

    try:
        return load(identifier)
    except MultipleObjectsError as exception:
        message = f'`{identifier}` names several codes, expected exactly one: give LABEL@COMPUTER, the pk or the uuid'
        raise InvalidInputError(message) from exception
    except (NotExistent, ValueError) as exception:
        message = f'no code `{identifier}`: run `aiida-qagenai setup` for codes on this machine, or `verdi code create`'
        raise InvalidInputError(message) from exception


def make_file_nodes(paths: Sequence[Path]) -> dict[str, Data]:
    """Return the input files as nodes by their labels.

    :raises InvalidInputError: if a folder has a name that no label may have.
    """
    from aiida.orm import FolderData, SinglefileData

    nodes: dict[str, Data] = {}
    for index, path in enumerate(paths):
        if path.is_dir() and not path.resolve().name.isidentifier():
            raise InvalidInputError(f'the name of the folder `{path}` may have letters, digits and underscores only')
        label = path.resolve().name if path.is_dir() else f'file{index}'
        nodes[label] = FolderData(tree=str(path.resolve())) if path.is_dir() else SinglefileData(path.resolve())
    return nodes


def load_structure(identifier: str) -> StructureData:
    """Return the only structure of a file, or the one with that label, pk or uuid.

    :raises InvalidInputError: if a file holds more, or as :func:`load_node`.
    """
    nodes = load_structures([identifier])
    if len(nodes) != 1:
        raise InvalidInputError(f'`{identifier}` holds {len(nodes)} structures, expected exactly one')
    return next(iter(nodes.values()))


def load_structures(
    identifiers: Sequence[str | Path], prefix: str = 's', *, primitive: bool = False
) -> dict[str, StructureData]:
    """Return structures by label: all of each file, and each that the profile holds under a label, pk or uuid.

    :param primitive: whether crystals of files are reduced to their primitive cells.
    :raises InvalidInputError: naming the file or the node that cannot be used.
    """
    nodes: list[StructureData] = []
    for identifier in identifiers:
        if Path(identifier).is_file():
            nodes += read_structure_nodes(Path(identifier), primitive=primitive)
        else:
            nodes.append(_stored_structure(str(identifier)))
    return {f'{prefix}{index:03d}{formula_of(node)}': node for index, node in enumerate(nodes)}


def formula_of(node: StructureData) -> str:
    """Return the reduced formula."""
    from pymatgen.core import Composition

    return str(Composition(node.get_formula()).reduced_formula)


def read_with_warnings(file: Path) -> list[NamedStructure]:
    """Return the structures of a file, after printing what was assumed or left out as they were read.

    :raises InvalidInputError: naming the file and the place of what cannot be read or contradicts itself.
    """
    from aiida_qagenai.exchange.readers.structure_files import read_named_structures

    found = read_named_structures(file)
    print_warnings(file, [f'{item.name}: {text}' for item in found for text in item.warnings])
    return found


def print_warnings(file: Path, texts: Sequence[str]) -> None:
    """Print warnings about a file, each text once."""
    lines = [f'{file}, {text}' for text in dict.fromkeys(texts)]
    for line in lines[:MAX_WARNINGS]:
        click.echo(f'Warning: {line}', err=True)
    if len(lines) > MAX_WARNINGS:
        click.echo(f'Warning: {file}: {len(lines) - MAX_WARNINGS} more warnings', err=True)


def read_structure_nodes(file: Path, *, primitive: bool = False) -> list[StructureData]:
    """Return the structures of a file as nodes, which are labelled by the file and their name in it.

    A structure that the profile holds already under this label is not stored again: the label stays unambiguous. One
    with magnetic moments keeps its cell, and the moments as an extra.

    :raises InvalidInputError: naming the structure that cannot be used.
    """
    from aiida.orm import QueryBuilder, StructureData

    from aiida_qagenai.chemistry.moments import moments_of_structure
    from aiida_qagenai.chemistry.symmetry import primitive_cell
    from aiida_qagenai.exchange.crystals import MOMENTS_EXTRA

    nodes = []
    for item in read_with_warnings(file):
        if not item.structure.is_ordered:
            raise InvalidInputError(f'`{file}`, {item.name}: partial occupancies, order the structure first')
        label = file.stem if item.name == file.stem else f'{file.name}: {item.name}'
        moments = moments_of_structure(item.structure)
        reduced = primitive and not (moments and any(moments))
        cell = primitive_cell(item.structure) if reduced else item.structure
        if len(cell) < len(item.structure):
            label += ' (primitive cell)'
        node = StructureData(pymatgen=cell, label=label)
        if item.warnings:
            node.base.extras.set('warnings', list(item.warnings))
        known = QueryBuilder().append(StructureData, filters={'label': label}, subclassing=False).all(flat=True)
        nodes.append(next((each for each in known if each.get_pymatgen() == node.get_pymatgen()), node))
        if moments and any(moments):
            nodes[-1].base.extras.set(MOMENTS_EXTRA, moments)
    return nodes


def _stored_structure(identifier: str) -> StructureData:
    """Return a structure of the profile; candidates and entries of databases have a name besides their label."""
    from aiida.orm import StructureData

    from aiida_qagenai.data.candidate import CandidateData
    from aiida_qagenai.data.entry import EntryData

    named: list[tuple[type[Node], dict[str, t.Any]]] = [(EntryData, {'attributes.identifier': identifier})]
    if found := re.fullmatch(r'(\d{3})-(\d{5})', identifier):
        named.append((CandidateData, {'attributes.cycle': int(found[1]), 'attributes.index': int(found[2])}))
    advice = 'give a file, or see `aiida-qagenai candidate list`'
    return load_node(identifier, StructureData, 'structure', named=named, advice=advice)

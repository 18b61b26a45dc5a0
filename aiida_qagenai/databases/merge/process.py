"""The merge as a process over the nodes of databases, what it exports, and what it says about one material."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import json
import multiprocessing
import typing as t
from collections import Counter
from pathlib import Path

import pandas as pd
import pydantic
from aiida import orm
from aiida.engine import calcfunction

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.groups import DatabaseGroup, find_database
from aiida_qagenai.databases.merge.analysis import Analysis, analyse_many
from aiida_qagenai.databases.merge.materials import Material, MergeEntry, merge
from aiida_qagenai.databases.merge.rules import MergeRules, default_rules
from aiida_qagenai.engine.batch import bulk_inputs
from aiida_qagenai.queries.outputs import find_finished, outputs_of

__all__ = (
    'MERGE_SCHEMA',
    'MergeExport',
    'export_merge',
    'find_material',
    'load_merge',
    'merge_databases',
    'merge_entries',
)

FILENAME = 'materials.json'
MERGE_SCHEMA: t.Literal['https://aiida-qagenai.readthedocs.io/schemas/merge-1.json'] = (
    'https://aiida-qagenai.readthedocs.io/schemas/merge-1.json'
)

_WORKERS = 0
"""Processes that analyse symmetries: a matter of speed that no result depends on, hence no input of the process."""


class ExportedMaterial(Material):
    """A material with the structure of its representative and where every entry is from."""

    cell: list[list[float]]
    symbols: list[str]
    positions: list[list[float]]
    sources: list[dict[str, t.Any]]


class MergeExport(pydantic.BaseModel):
    """File of a merge (format version 1): lengths in Å, positions Cartesian, energies in eV/atom.

    :param process: uuid of the process that merged, in the graph it was exported from.
    """

    schema_id: t.Literal['https://aiida-qagenai.readthedocs.io/schemas/merge-1.json'] = pydantic.Field(
        MERGE_SCHEMA, serialization_alias='$schema', validation_alias='$schema'
    )
    process: str
    databases: list[dict[str, t.Any]]
    rules: MergeRules
    materials: list[ExportedMaterial]


@bulk_inputs('entries', 'energies')
@calcfunction
def merge_entries(rules: orm.Dict, **kwargs: t.Any) -> dict[str, orm.Data]:
    """Merge the entries of databases by Algorithm 3 (see :mod:`aiida_qagenai.databases.merge.materials`).

    :param rules: content of ``rules.yaml``.
    :param kwargs: the namespaces ``entries`` (EntryData) and ``energies`` (EnergyData of these), by any labels.
    :returns: ``materials``, a JSON file with what was merged and why, and ``report`` with the counts.
    """
    settings = MergeRules(**rules.get_dict())
    nodes: list[EntryData] = list(kwargs['entries'].values())
    structures = [_arrays(node) for node in nodes]
    analyses = _analyse(structures, settings, _WORKERS)
    energies: dict[str, dict[str, float]] = {}
    for node in kwargs.get('energies', {}).values():
        content = node.base.attributes.all
        value = content['formation_energy_per_atom']
        value = content['energy_per_atom'] if value is None else value
        energies.setdefault(content['structure_uuid'], {})[content['level_tag']] = value
    pairs = zip(nodes, analyses, strict=True)
    materials = merge([_entry(node, analysis, energies.get(node.uuid, {})) for node, analysis in pairs], settings)
    content = json.dumps([material.model_dump(mode='json') for material in materials], indent=0)
    return {
        'materials': orm.SinglefileData(io.BytesIO(content.encode()), filename=FILENAME),
        'report': orm.Dict({**count(materials), 'inputs_sha256': _digest(rules.get_dict(), _given(kwargs))}),
    }


# The file names the entries of its own inputs by uuid.
merge_entries.is_valid_cache = lambda node: False


def merge_databases(
    databases: t.Sequence[DatabaseGroup], rules: MergeRules | None = None, *, workers: int = 0
) -> tuple[orm.ProcessNode, bool]:
    """Merge versions of databases and return the process, and whether it is one that ran before.

    Merging the same entries by the same rules again adds nothing.

    :param workers: processes that analyse symmetries; 0 does it in this one.
    :raises InvalidInputError: if there are no entries, or an import has not finished.
    """
    global _WORKERS  # noqa: PLW0603
    for group in databases:
        if not group.is_complete:
            raise InvalidInputError(f'the import of `{group.label}` has not finished: run it again first')
    pks = [group.pk for group in databases]
    content = (rules or default_rules()).model_dump(mode='json')
    done = find_finished('merge_entries', _digest(content, [_uuids(cls, pks) for cls in (EntryData, EnergyData)]))
    if done is not None:
        return done, True
    entries = _members(EntryData, pks, 'attributes.database', 'attributes.identifier', 'attributes.version')
    energies = _members(EnergyData, pks, 'attributes.structure_uuid', 'attributes.level_tag')
    if not entries:
        raise InvalidInputError('the databases hold no entries')
    inputs = {
        'entries': {f'e{index:07d}': node for index, node in enumerate(entries)},
        'energies': {f'e{index:07d}': node for index, node in enumerate(energies)},
    }
    _WORKERS = workers
    try:
        _, process = merge_entries.run_get_node(orm.Dict(content), **inputs)
    finally:
        _WORKERS = 0
    return process, False


def _given(namespaces: t.Mapping[str, t.Any]) -> list[list[str]]:
    return [[node.uuid for node in namespaces.get(name, {}).values()] for name in ('entries', 'energies')]


def _digest(rules: dict[str, t.Any], uuids: list[list[str]]) -> str:
    """Return the SHA-256 of what a merge depends on, whatever the order."""
    content = [rules, [sorted(names) for names in uuids]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def count(materials: list[Material]) -> dict[str, t.Any]:
    """Return the table of what was merged."""
    flags = Counter(flag for material in materials for flag in material.flags)
    databases: dict[str, Counter[str]] = {}
    overlaps: Counter[str] = Counter()
    for material in materials:
        present = sorted({member.database for member in material.members})
        overlaps['+'.join(present)] += 1
        for member in material.members:
            counts = databases.setdefault(member.database, Counter())
            counts['entries'] += 1
            counts['representatives'] += member.uuid == material.representative.uuid
            counts['shared'] += len(present) > 1
            counts['duplicates'] += sum(other.database == member.database for other in material.members) > 1
        for item in material.discarded:
            counts = databases.setdefault(item.database, Counter())
            counts.update(['entries', 'discarded'])
    return {
        'materials': len(materials),
        'entries': sum(counts['entries'] for counts in databases.values()),
        'merged': sum(len(material.members) > 1 for material in materials),
        'databases': {name: dict(counts) for name, counts in sorted(databases.items())},
        'overlaps': dict(sorted(overlaps.items())),
        'flags': dict(sorted(flags.items())),
        'conflicts': sum(len(material.conflicts) for material in materials),
    }


def report_table(report: dict[str, t.Any]) -> pd.DataFrame:
    """Return one row per database: entries, how many represent a material, are shared, repeated, or left out."""
    columns = ['entries', 'representatives', 'shared', 'duplicates', 'discarded']
    rows = [{'database': name, **dict.fromkeys(columns, 0), **counts} for name, counts in report['databases'].items()]
    return pd.DataFrame(rows, columns=['database', *columns])


def load_merge(process: orm.ProcessNode) -> tuple[list[Material], dict[str, t.Any]]:
    """Return the materials and the report of a merge.

    :raises InvalidInputError: if the process is none or did not finish.
    """
    outputs = outputs_of(process.pk)
    if not {'materials', 'report'} <= outputs.keys():
        raise InvalidInputError(f'process {process.pk} is not a finished merge')
    content = json.loads(outputs['materials'].get_content())
    return [Material(**item) for item in content], outputs['report'].get_dict()


def find_material(identifier: str, process: orm.ProcessNode | None = None) -> tuple[Material, bool]:
    """Return the material with an identifier, or that an entry belongs to, and whether the entry was left out of it.

    :param identifier: of a material, or of an entry in its database (``mp-149``), or its uuid.
    :param process: a merge; the latest by default.
    :raises InvalidInputError: if there is none.
    """
    process = process or latest_merge()
    for material in load_merge(process)[0]:
        if identifier == material.identifier:
            return material, False
        for item in (*material.members, *material.discarded):
            if identifier in (item.identifier, item.uuid, f'{item.database}:{item.identifier}'):
                return material, item in material.discarded
    raise InvalidInputError(f'no material or entry `{identifier}` in merge {process.pk}')


def latest_merge() -> orm.ProcessNode:
    """Return the merge that finished last.

    :raises InvalidInputError: if there is none.
    """
    builder = orm.QueryBuilder().append(
        orm.CalcFunctionNode,
        filters={'attributes.process_label': 'merge_entries', 'attributes.exit_status': 0},
        project='*',
        tag='process',
    )
    found = builder.order_by({'process': {'ctime': 'desc'}}).limit(1).first(flat=True)
    if found is None:
        raise InvalidInputError('nothing is merged yet: `aiida-qagenai dataset merge DATABASE/VERSION …`')
    return t.cast(orm.ProcessNode, found)


def export_merge(path: Path, process: orm.ProcessNode | None = None) -> int:
    """Write a merge as one JSON file in the format of :class:`MergeExport`, and return the number of materials."""
    process = process or latest_merge()
    materials, _ = load_merge(process)
    builder = orm.QueryBuilder().append(orm.CalcFunctionNode, filters={'id': process.pk}, tag='process')
    builder.append(orm.Dict, with_outgoing='process', edge_filters={'label': 'rules'}, project='attributes')
    rules = MergeRules(**t.cast('dict[str, t.Any]', builder.first(flat=True)))
    builder = orm.QueryBuilder().append(orm.CalcFunctionNode, filters={'id': process.pk}, tag='process')
    builder.append(EntryData, with_outgoing='process', project=['uuid', 'attributes'], subclassing=False)
    entries = dict(builder.iterall())
    exported = []
    for material in materials:
        best = entries[material.representative.uuid]
        exported.append(
            ExportedMaterial(
                **material.model_dump(),
                cell=best['cell'],
                symbols=[site['kind_name'] for site in best['sites']],
                positions=[site['position'] for site in best['sites']],
                sources=[
                    {**entries[member.uuid]['source'], 'sha256': entries[member.uuid]['sha256']}
                    for member in (*material.members, *material.discarded)
                ],
            )
        )
    versions = sorted({(item['database'], item['version'], item['source']['license']) for item in entries.values()})
    content = MergeExport(
        process=process.uuid,
        databases=[{'database': name, 'version': version, 'license': terms} for name, version, terms in versions],
        rules=rules,
        materials=exported,
    )
    partial = path.with_name(path.name + '.partial')
    partial.write_text(content.model_dump_json(by_alias=True, indent=1), encoding='utf8')
    partial.replace(path)
    return len(exported)


def select_databases(names: t.Sequence[str]) -> list[DatabaseGroup]:
    """Return the groups called ``DATABASE/VERSION``.

    :raises InvalidInputError: naming those there are.
    """
    groups = []
    for name in names:
        database, _, version = name.partition('/')
        group = find_database(database, version)
        if group is None:
            known = orm.QueryBuilder().append(DatabaseGroup, project='label').all(flat=True)
            labels = ', '.join(sorted(label.split('/', 2)[2] for label in known)) or 'none'
            raise InvalidInputError(f'no database `{name}`; there are: {labels}')
        groups.append(group)
    return groups


def _members(cls: type[orm.Data], groups: list[int | None], *order: str) -> list[t.Any]:
    """Return the nodes of a class in groups, in an order that no import and no database decides."""
    builder = orm.QueryBuilder().append(DatabaseGroup, filters={'id': {'in': groups}}, tag='group')
    builder.append(cls, with_group='group', project=['*', *order], subclassing=False)
    rows = sorted(builder.iterall(), key=lambda row: (*map(str, row[1:]), row[0].uuid))
    return [row[0] for row in rows]


def _uuids(cls: type[orm.Data], groups: list[int | None]) -> list[str]:
    builder = orm.QueryBuilder().append(DatabaseGroup, filters={'id': {'in': groups}}, tag='group')
    builder.append(cls, with_group='group', project='uuid', subclassing=False)
    return t.cast('list[str]', builder.all(flat=True))


def _arrays(node: EntryData) -> tuple[t.Any, list[str], t.Any]:
    attributes = node.base.attributes.all
    sites = attributes['sites']
    return attributes['cell'], [site['kind_name'] for site in sites], [site['position'] for site in sites]


def _entry(node: EntryData, analysis: Analysis, energies: dict[str, float]) -> MergeEntry:
    names = ('database', 'version', 'identifier', 'formula', 'experimental', 'properties')
    attributes = dict(zip(names, node.base.attributes.get_many(names), strict=True))
    return MergeEntry(uuid=node.uuid, analysis=analysis, energies=energies, **attributes)


def _analyse(structures: list[tuple[t.Any, t.Any, t.Any]], rules: MergeRules, workers: int) -> list[Analysis]:
    tolerances = (rules.symprec, rules.symprec_tight)
    if not workers:
        return analyse_many(structures, *tolerances)
    tasks = [structures[start : start + 100] for start in range(0, len(structures), 100)]
    context = multiprocessing.get_context('spawn')
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(analyse_many, task, *tolerances) for task in tasks]
        return [analysis for future in futures for analysis in future.result()]

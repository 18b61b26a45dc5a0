"""What a checkpoint came from: back through its datasets and parents to the first energy."""

from __future__ import annotations

import typing as t

import pandas as pd
from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.queries.campaigns import NOT_SCIENTIFIC, among
from aiida_qagenai.queries.tables import load

__all__ = ('Step', 'candidate_lineages', 'lineage')

COLUMNS = ['pk', 'kind', 'what', 'made_by', 'process', 'used_by', 'created', 'note']


def lineage(checkpoint: int | str) -> pd.DataFrame:
    """Return every checkpoint, dataset and energy that a checkpoint descends from, oldest first.

    Only links of the provenance graph are followed: checkpoint ← training ← dataset and parent checkpoint; dataset ←
    its construction ← energies and previous dataset.

    :param checkpoint: pk or uuid of a ``CheckpointData``.
    :return: columns ``pk``, ``kind``, ``what``, ``made_by`` (process label), ``process`` (its pk), ``used_by`` (pk of
        the node that was made from it), ``created`` and ``note``.
    :raises InvalidInputError: if there is no such checkpoint.
    """
    start = load(checkpoint, CheckpointData, 'lineage starts from a checkpoint')
    used_by: dict[int, int | None] = {start.pk: None}
    creators: dict[int, tuple[int, str]] = {}
    level = [start.pk]
    while level:
        made_by = _creators(level)
        creators |= made_by
        products = {process: product for product, (process, _) in made_by.items()}
        level = []
        for process, source in _sources(list(products)):
            if source not in used_by:
                used_by[source] = products[process]
                level.append(source)
    rows = [
        {**row, 'made_by': creators.get(row['pk'], (None, ''))[1], 'process': creators.get(row['pk'], (None, ''))[0]}
        for row in _describe(list(used_by))
    ]
    for row in rows:
        row['used_by'] = used_by[row['pk']]
    table = pd.DataFrame(rows, columns=COLUMNS).sort_values('created').reset_index(drop=True)
    # A model is what it learned from: what came before it in its own lineage decides.
    tainted = (table['note'] == NOT_SCIENTIFIC).cummax()
    table.loc[tainted & (table['kind'] == 'checkpoint'), 'note'] = NOT_SCIENTIFIC
    return table.astype({'process': 'Int64', 'used_by': 'Int64'})


def _creators(products: list[int]) -> dict[int, tuple[int, str]]:
    builder = orm.QueryBuilder().append(orm.Data, filters=among('id', products), tag='product', project='id')
    builder.append(
        orm.CalculationNode,
        with_outgoing='product',
        edge_filters={'type': LinkType.CREATE.value},
        project=['id', 'attributes.process_label'],
    )
    return {product: (process, label or '') for product, process, label in builder.all()}


def _sources(processes: list[int]) -> list[tuple[int, int]]:
    """Return pairs of a process and each checkpoint, dataset or energy that it read, in the order they were made."""
    builder = orm.QueryBuilder()
    builder.append(orm.CalculationNode, filters=among('id', processes), tag='process', project='id')
    builder.append(
        (CheckpointData, DatasetData, EnergyData),
        with_outgoing='process',
        tag='source',
        edge_filters={'type': LinkType.INPUT_CALC.value},
        project='id',
    )
    builder.order_by({'source': 'ctime'})
    return [(process, source) for process, source in builder.all()]


def _describe(pks: list[int]) -> t.Iterator[dict[str, t.Any]]:
    for cls, fields, describe in (
        (CheckpointData, ('role', 'architecture', 'metrics'), _describe_checkpoint),
        (DatasetData, ('counts', 'num_structures', 'scientific'), _describe_dataset),
        (
            EnergyData,
            ('fidelity', 'formula', 'total_energy', 'formation_energy_per_atom', 'protocol', 'scientific'),
            _describe_energy,
        ),
    ):
        builder = orm.QueryBuilder().append(
            cls, filters=among('id', pks), project=['id', 'ctime', *(f'attributes.{field}' for field in fields)]
        )
        for pk, created, *values in builder.all():
            content = dict(zip(fields, values, strict=True))
            note = NOT_SCIENTIFIC if not content.get('scientific', True) else ''
            kind = cls.__name__.removesuffix('Data').lower()
            yield {'pk': pk, 'kind': kind, 'what': describe(content), 'created': created, 'note': note}


def _describe_checkpoint(content: dict[str, t.Any]) -> str:
    metrics = ', '.join(f'{name} {value:.3g}' for name, value in sorted(content['metrics'].items())[:3])
    return f'{content["role"]} {content["architecture"]}' + (f' ({metrics})' if metrics else '')


def _describe_dataset(content: dict[str, t.Any]) -> str:
    counts = ', '.join(f'{count} {name}' for name, count in content['counts'].items() if count)
    return f'{content["num_structures"]} structures: {counts}'


def _describe_energy(content: dict[str, t.Any]) -> str:
    total, formation = content['total_energy'], content['formation_energy_per_atom']
    value = f'{formation:.6f} eV/atom of formation' if total is None else f'{total:.6f} eV'
    return f'{content["fidelity"]} of {content["formula"]}: {value} ({content["protocol"]})'


class Step(t.NamedTuple):
    """A node that a candidate descends from, and what made it.

    :param what: in words; the energies of all training sets are one step.
    :param uuid: of the node, or of the latest one.
    :param made_by: label of the process that made it; empty for a first input.
    """

    kind: str
    what: str
    uuid: str
    made_by: str
    process_uuid: str


MODELS = (CheckpointData,)

ENERGIES = {'dataset': 'energies of the training sets', 'energy': 'energies that these refer to'}
"""Kind of what was made of several energies → their name in a lineage."""


def candidate_lineages(candidates: t.Sequence[str]) -> dict[str, list[Step]]:
    """Return the steps from each candidate back to its first inputs, by the uuid of the candidate.

    A relaxed candidate leads to the unrelaxed one, this to the models that proposed it, and these as in :func:`lineage`
    to their training sets, the energies in them, and the models that they were trained from. Where no model proposed
    it, the other inputs of the process that did are the first ones.

    :param candidates: uuids.
    """
    found: dict[str, list[Step]] = {}
    known: dict[int, list[Step]] = {}
    for uuid in candidates:
        steps: list[Step] = []
        current: str | None = uuid
        process: int | None = None
        while current:
            steps.append(_proposal(current))
            current, process = _before(current)
        for model in _inputs_of(process, MODELS):
            if model not in known:
                known[model] = _model_steps(model)
            steps += [step for step in known[model] if step not in steps]
        if process is not None and not _inputs_of(process, MODELS):
            steps += _first_inputs(process)
        found[uuid] = steps
    return found


def _proposal(uuid: str) -> Step:
    fields = ['attributes.formula', 'attributes.origin', 'attributes.motif', 'attributes.relaxed_from']
    builder = orm.QueryBuilder()
    builder.append(orm.Data, filters={'uuid': uuid}, project=fields, tag='candidate')
    formula, origin, motif, relaxed = builder.first()
    made_by, process = _maker(uuid)
    what = f'{formula}, relaxed' if relaxed else f'{formula} from {origin}' + (f', begun as {motif}' if motif else '')
    return Step('candidate', what, uuid, made_by, process)


def _maker(uuid: str) -> tuple[str, str]:
    builder = orm.QueryBuilder().append(orm.Data, filters={'uuid': uuid}, tag='product')
    fields = ['attributes.process_label', 'uuid']
    edge = {'type': LinkType.CREATE.value}
    builder.append(orm.CalculationNode, with_outgoing='product', edge_filters=edge, project=fields)
    label, process = builder.first() or ('', '')
    return label or '', process


def _before(uuid: str) -> tuple[str | None, int | None]:
    """Return the candidate that a candidate was relaxed from, or None, and the process that made it."""
    builder = orm.QueryBuilder().append(
        orm.Data, filters={'uuid': uuid}, tag='candidate', project='attributes.relaxed_from'
    )
    edge = {'type': LinkType.CREATE.value}
    builder.append(orm.CalculationNode, with_outgoing='candidate', edge_filters=edge, project='id')
    return builder.first() or (None, None)


def _inputs_of(process: int | None, classes: tuple[type[orm.Data], ...]) -> list[int]:
    builder = orm.QueryBuilder().append(orm.CalculationNode, filters={'id': process or -1}, tag='process')
    edge = {'type': LinkType.INPUT_CALC.value}
    builder.append(classes, with_outgoing='process', edge_filters=edge, project='id')
    return builder.all(flat=True)


def _first_inputs(process: int) -> list[Step]:
    """Return the inputs of a process that are not structures."""
    builder = orm.QueryBuilder().append(orm.CalculationNode, filters={'id': process}, tag='process')
    edge = {'type': LinkType.INPUT_CALC.value}
    others = (orm.Dict, orm.List, orm.Code)
    builder.append(others, with_outgoing='process', edge_filters=edge, edge_project='label', project='uuid')
    return [Step('input', label, uuid, *_maker(uuid)) for uuid, label in builder.all()]


def _model_steps(pk: int) -> list[Step]:
    """Return the lineage of a model from the newest to the oldest, energies of one training set together."""
    table = lineage(pk)
    fields = ['id', 'uuid']
    nodes = [*map(int, table['pk']), *map(int, table['process'].dropna())]
    uuids = dict(orm.QueryBuilder().append(orm.Node, filters=among('id', nodes), project=fields).all())
    kinds = dict(zip(table['pk'], table['kind'], strict=True))
    groups: dict[t.Any, list[dict[str, t.Any]]] = {}
    for row in table.iloc[::-1].to_dict('records'):
        alone = row['kind'] != 'energy'
        groups.setdefault(row['pk'] if alone else kinds.get(row['used_by'], ''), []).append(row)
    steps: list[Step] = []
    for user, group in groups.items():
        row = group[0]
        what = row['what'] if len(group) == 1 else f'{len(group)} {ENERGIES[user]}'
        maker = '' if pd.isna(row['process']) else uuids[int(row['process'])]
        steps.append(Step(row['kind'], what, uuids[row['pk']], row['made_by'], maker))
    return steps

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

__all__ = ('lineage',)

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

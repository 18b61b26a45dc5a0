"""Queries for the nodes of a class, for what processes created, and for processes that ran before.

`process.outputs` would load every node, one by one.
"""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.queries.campaigns import among

__all__ = ('created_by', 'find_finished', 'nodes_of', 'outputs_of')


def nodes_of(
    cls: type[orm.Data], project: str | list[str], filters: dict[str, t.Any] | None = None
) -> orm.QueryBuilder:
    """Return a query for the nodes of exactly one class."""
    return orm.QueryBuilder().append(cls, filters=filters, project=project, subclassing=False)


def created_by(
    processes: t.Collection[int | None],
    cls: type[orm.Data],
    project: str | list[str],
    *,
    filters: dict[str, t.Any] | None = None,
    label: str | None = None,
) -> orm.QueryBuilder:
    """Return a query for the nodes of a class that calculations created.

    :param processes: their pks.
    :param label: only outputs with this link label.
    """
    builder = orm.QueryBuilder().append(orm.CalculationNode, filters=among('id', processes), tag='process')
    edge = {'type': LinkType.CREATE.value} | ({} if label is None else {'label': label})
    exact = cls is not orm.Data
    return builder.append(
        cls, with_incoming='process', edge_filters=edge, filters=filters, project=project, subclassing=not exact
    )


def outputs_of(process: int | None) -> dict[str, orm.Data]:
    """Return link label → node of what a calculation function created."""
    builder = orm.QueryBuilder().append(orm.CalculationNode, filters={'id': process}, tag='process')
    edge = {'type': LinkType.CREATE.value}
    builder.append(orm.Data, with_incoming='process', edge_filters=edge, edge_project='label', project='*')
    return {label: node for node, label in builder.all()}


def find_finished(function: str, digest: str) -> orm.ProcessNode | None:
    """Return the run of a calculation function that ended well and whose ``report`` has the SHA-256 of the inputs."""
    builder = orm.QueryBuilder().append(orm.Dict, filters={'attributes.inputs_sha256': digest}, tag='report')
    filters = {'attributes.process_label': function, 'attributes.exit_status': 0}
    builder.append(orm.CalcFunctionNode, with_outgoing='report', filters=filters, project='*')
    return t.cast('orm.ProcessNode | None', builder.first(flat=True))

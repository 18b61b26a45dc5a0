"""Imports that were killed: which still run, and how those that do not are closed."""

from __future__ import annotations

import os
import socket
import typing as t

import psutil
from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.databases.groups import DatabaseGroup
from aiida_qagenai.engine.resumable import mark_killed
from aiida_qagenai.engine.rows import fill_group
from aiida_qagenai.queries.outputs import created_by

__all__ = ('WHERE', 'close_interrupted', 'this_process')

WHERE = 'qagenai_runs'
"""Extra of an import: the machine and the process that runs it."""


def this_process() -> dict[str, t.Any]:
    """Return what identifies this process on this machine."""
    return {'host': socket.gethostname(), 'pid': os.getpid(), 'started': psutil.Process().create_time()}


def close_interrupted(group: DatabaseGroup) -> None:
    """Close the imports into a group that were killed, so that their nodes can be exported as any others.

    :raises InvalidInputError: if one still runs.
    """
    builder = orm.QueryBuilder()
    builder.append(
        orm.CalcFunctionNode,
        filters={'attributes.process_label': 'import_entries', 'attributes.sealed': {'!has_key': ''}},
        project='*',
        tag='process',
    )
    builder.append(
        orm.Dict,
        with_outgoing='process',
        edge_filters={'type': LinkType.INPUT_CALC.value},
        filters={
            'attributes.database': group.base.extras.get('database'),
            'attributes.version': group.base.extras.get('version'),
        },
    )
    for (node,) in builder.all():
        if node.is_sealed:
            continue
        where = node.base.extras.get(WHERE, {})
        if _runs(where):
            message = f'process {where["pid"]} on {where["host"]} imports into `{group.label}` now: wait for it'
            raise InvalidInputError(message)
        stored = created_by([node.pk], orm.Data, 'id').all(flat=True)
        fill_group(group, stored)
        mark_killed(node, f'interrupted after {len(stored)} nodes; a later import went on')


def _runs(where: dict[str, t.Any]) -> bool:
    """Return whether the process of an import still lives; one on another machine counts as alive."""
    if not where or where['pid'] == os.getpid():
        return False
    if where['host'] != socket.gethostname():
        return True
    try:
        return bool(abs(psutil.Process(where['pid']).create_time() - where['started']) < 1.0)
    except psutil.NoSuchProcess:
        return False

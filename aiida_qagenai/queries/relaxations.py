"""From a candidate to the structure it was relaxed to, and back, along the links of the relaxation."""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.queries.tables import uuid_filter

__all__ = ('relaxed_from', 'relaxed_to')

PROCESS_TYPE = 'aiida.workflows:qagenai.pbe_relax'


def relaxed_from(candidates: t.Sequence[str]) -> dict[str, str]:
    """Return relaxed structure → candidate, by uuid, for what the given candidates were relaxed to at PBE."""
    return _pairs(initial=uuid_filter('uuid', list(candidates)))


def relaxed_to(relaxed: t.Sequence[str]) -> dict[str, str]:
    """Return relaxed structure → what it was relaxed from, by uuid, for those of the given structures that were."""
    return _pairs(relaxed=uuid_filter('uuid', list(relaxed)))


def _pairs(initial: dict[str, t.Any] | None = None, relaxed: dict[str, t.Any] | None = None) -> dict[str, str]:
    """Return relaxed structure → structure that went in, by one query."""
    builder = orm.QueryBuilder()
    # Not StructureData: AiiDA finds its subclasses by the prefix of their entry point, and candidates have another.
    builder.append(orm.Data, filters=initial or {}, project='uuid', tag='initial')
    builder.append(
        orm.WorkChainNode,
        with_incoming='initial',
        edge_filters={'type': LinkType.INPUT_WORK.value, 'label': 'structure'},
        filters={'process_type': PROCESS_TYPE},
        tag='relaxation',
    )
    builder.append(
        orm.Data,
        with_incoming='relaxation',
        edge_filters={'type': LinkType.RETURN.value, 'label': 'relaxed'},
        filters=relaxed or {},
        project='uuid',
    )
    return {end: start for start, end in builder.all()}

"""What a process called, and how each of these stands."""

from __future__ import annotations

import dataclasses
import datetime

from aiida import orm

from aiida_qagenai.queries.campaigns import CALL

__all__ = ('Child', 'children_of')


@dataclasses.dataclass(frozen=True)
class Child:
    """A process that another one called, and how it stands."""

    pk: int
    uuid: str
    link: str
    process: str
    state: str | None
    exit_status: int | None
    created: datetime.datetime
    changed: datetime.datetime

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in {'finished', 'excepted', 'killed'}

    @property
    def is_ok(self) -> bool:
        """Whether it has ended well; a status from 700 on is a warning."""
        return self.state == 'finished' and (self.exit_status == 0 or (self.exit_status or 0) >= 700)


def children_of(process: int) -> list[Child]:
    """Return what a process called, oldest first, by one query for scalars."""
    names = [f'attributes.{name}' for name in ('process_label', 'process_state', 'exit_status')]
    builder = orm.QueryBuilder().append(orm.ProcessNode, filters={'id': process}, tag='caller')
    builder.append(
        orm.ProcessNode,
        with_incoming='caller',
        edge_filters=CALL,
        edge_project='label',
        tag='called',
        project=['id', 'uuid', *names, 'ctime', 'mtime'],
    )
    builder.order_by({'called': 'ctime'})
    return [Child(pk, uuid, link, label or '', *row) for pk, uuid, label, *row, link in builder.all()]

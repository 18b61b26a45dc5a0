"""Pages of a large collection of the server of OPTIMADE in memory. Imports that server, which is optional."""

from __future__ import annotations

import typing as t

from optimade.server.entry_collections.mongo import MongoCollection

__all__ = ('PagedCollection',)


class PagedCollection(MongoCollection):
    """A collection that copies the resources of one page only, where its base copies all that match the filter."""

    def _run_db_query(
        self, criteria: dict[str, t.Any], single_entry: bool = False
    ) -> tuple[list[dict[str, t.Any]], int, bool]:
        """Return the resources of a page, how many match in all, and whether there are more behind."""
        found = self.collection.find(criteria.get('filter', {}), {'id': True}, sort=criteria.get('sort'))
        names = [item['id'] for item in found]
        start = criteria.get('skip', 0)
        page = names[start : start + criteria['limit']] if criteria.get('limit') else names[start:]
        fields = {**criteria.get('projection', {}), '_id': False}
        if len(fields) > 1:
            fields['id'] = True
        items = {item['id']: item for item in self.collection.find({'id': {'$in': page}}, fields)}
        return [items[name] for name in page], len(names), not single_entry and start + len(page) < len(names)

"""Pages of a large collection of the server of OPTIMADE in memory. Imports that server, which is optional."""

from __future__ import annotations

import collections
import re
import threading
import typing as t
from collections.abc import Iterable, Iterator

from mongomock.filtering import filter_applies
from optimade.filterparser import LarkParser
from optimade.server.entry_collections.mongo import MongoCollection

__all__ = ('BooleanParser', 'PagedCollection', 'with_booleans')

KEPT = 32
"""Queries whose answers are kept, for the pages behind the first."""


class PagedCollection(MongoCollection):
    """A collection of resources by identifier that answers one page of a query without reading the others.

    Its base asks mongomock, which walks through all resources for every page and copies those that match. Here
    mongomock only decides what matches a filter; what a query finds is kept until a resource changes, and a filter that
    names an identifier or elements looks only at the resources that have them.
    """

    def __init__(self, *arguments: t.Any, booleans: t.Collection[str] = ()) -> None:
        """Construct the collection as its base.

        :param booleans: fields that are true or false.
        """
        super().__init__(*arguments)
        self.parser = BooleanParser()
        self._booleans = frozenset(booleans)
        self._lock = threading.RLock()
        self._resources: dict[str, dict[str, t.Any]] = {}
        self._containing: dict[str, dict[str, None]] = collections.defaultdict(dict)
        self._found: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._resources)

    def count(self, **query: t.Any) -> int:
        """Return the number of resources that match the ``filter``."""
        return len(self._find(query))

    def insert(self, data: list[t.Any]) -> None:
        """Add resources, or replace those that are there, which keep their place in the order and their elements."""
        with self._lock:
            for item in data:
                self._resources[item['id']] = item
                for element in item['elements']:
                    self._containing[element].setdefault(item['id'])
            self._found.clear()

    def clear(self) -> None:
        """Remove all resources."""
        with self._lock:
            for held in (self._resources, self._containing, self._found):
                held.clear()

    def _find(self, criteria: t.Mapping[str, t.Any]) -> list[str]:
        query = with_booleans(criteria.get('filter') or {}, self._booleans)
        order = criteria.get('sort') or []
        key = repr((query, order))
        with self._lock:
            if key not in self._found:
                names = [name for name in self._candidates(query) if filter_applies(query, self._resources[name])]
                # The last key first, because sorting is stable.
                for field, direction in reversed(order):
                    names.sort(key=lambda name: sort_key(self._resources[name].get(field)), reverse=direction < 0)
                while len(self._found) >= KEPT:
                    del self._found[next(iter(self._found))]
                self._found[key] = names
            return self._found[key]

    def _candidates(self, query: t.Mapping[str, t.Any]) -> Iterable[str]:
        smallest: t.Collection[str] = self._resources
        for field, condition in conditions(query):
            if field == 'id' and '$eq' in condition:
                return [condition['$eq']] if condition['$eq'] in self._resources else []
            # of several elements behind `$in` any will do
            elements = condition.get('$all', condition.get('$in', ())) if field == 'elements' else ()
            if '$all' in condition or len(elements) == 1:
                smallest = min((smallest, *(self._containing.get(name, {}) for name in elements)), key=len)
        return smallest

    def _run_db_query(
        self, criteria: dict[str, t.Any], single_entry: bool = False
    ) -> tuple[list[dict[str, t.Any]], int, bool]:
        """Return the resources of a page, how many match in all, and whether there are more behind."""
        with self._lock:
            names, start = self._find(criteria), criteria.get('skip', 0)
            page = names[start : start + criteria['limit']] if criteria.get('limit') else names[start:]
            wanted = criteria.get('projection') or {}
            fields = {name for name, shown in wanted.items() if shown} | {'id'} if wanted else None
            items = [self._resources[name] for name in page]
        results = [{name: value for name, value in item.items() if fields is None or name in fields} for item in items]
        return results, len(names), not single_entry and start + len(page) < len(names)


class BooleanParser(LarkParser):
    """A parser of filters that keeps which of TRUE and FALSE was written: that of its base loses it.

    They become strings, and :func:`with_booleans` truth values again where the field is one.
    """

    LITERAL = re.compile(r'"(?:\\.|[^"\\])*"|\b(TRUE|FALSE)\b')

    def parse(self, filter_: str) -> t.Any:
        """Return the tree of a filter.

        :raises optimade.filterparser.ParserError: if it cannot be read.
        """
        return super().parse(self.LITERAL.sub(lambda found: f'"{found[1]}"' if found[1] else found[0], filter_))


WORDS = {'TRUE': True, 'FALSE': False}


def with_booleans(query: t.Any, fields: t.Collection[str], field: str = '') -> t.Any:
    """Return a query in which TRUE and FALSE are truth values where they are compared with one of ``fields``.

    :param field: that the query is about, where it is a part of another.
    """
    if isinstance(query, dict):
        return {
            key: with_booleans(value, fields, field if key.startswith('$') else key) for key, value in query.items()
        }
    if isinstance(query, list):
        return [with_booleans(value, fields, field) for value in query]
    return WORDS.get(query, query) if field in fields and isinstance(query, str) else query


def conditions(query: t.Mapping[str, t.Any]) -> Iterator[tuple[str, t.Mapping[str, t.Any]]]:
    """Yield the fields and their conditions that all have to hold."""
    for field, condition in query.items():
        if field == '$and':
            for part in condition:
                yield from conditions(part)
        elif isinstance(condition, dict):
            yield field, condition


def sort_key(value: t.Any) -> tuple[bool, t.Any]:
    """Return the sort key of a value: unknown values come first, lists sort by their first value."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value is not None, value

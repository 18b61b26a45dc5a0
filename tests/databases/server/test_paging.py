"""Pages of the server of OPTIMADE against those of its own collection in memory."""

from __future__ import annotations

import datetime
import itertools
import uuid

import pytest

pytest.importorskip('optimade.server.config', reason='needs the server: pip install "aiida-qagenai[optimade]"')

from optimade.filterparser import LarkParser
from optimade.models import StructureResource
from optimade.server.config import ServerConfig
from optimade.server.entry_collections.mongo import MongoCollection
from optimade.server.mappers import StructureMapper

from aiida_qagenai.databases.server.paging import PagedCollection, conditions

COMPOUNDS = (('Li', 'H'), ('Ba', 'Ti', 'O'), ('Ba', 'O'), ('Li',), ('Ti', 'O'), ('H', 'Li', 'O'))
SIZES = (2, None, 4, 2, 3, None)


@pytest.fixture(scope='module')
def create():
    """Return a factory of collections of :data:`COMPOUNDS`."""
    mapper = StructureMapper()

    def factory(cls):
        config = ServerConfig(mongo_database=f'test-{uuid.uuid4()}', insert_test_data=False)
        collection = cls('structures', StructureResource, mapper, config)
        collection.insert([resource(index) for index in range(len(COMPOUNDS))])
        return collection

    return factory


@pytest.fixture(scope='module')
def plain(create):
    """Return a collection of the server itself."""
    return create(MongoCollection)


@pytest.fixture(scope='module')
def paged(create):
    """Return a collection of ours with the same resources."""
    return create(PagedCollection)


def resource(index, **changes):
    """Return what is known of a compound."""
    elements = sorted(COMPOUNDS[index])
    return {
        'id': f'id-{index}',
        'type': 'structures',
        'elements': elements,
        'nelements': len(elements),
        'last_modified': datetime.datetime(2026, 1, 1 + index, tzinfo=datetime.UTC),
        'nsites': SIZES[index],
        **changes,
    }


def ask(collection, text, **criteria):
    """Return the identifiers on a page, how many there are, and whether more come."""
    query = {'filter': collection.transformer.transform(LarkParser().parse(text))} if text else {}
    items, count, more = collection._run_db_query({**query, 'limit': 2, **criteria})
    return [item['id'] for item in items], count, more


@pytest.mark.parametrize(
    'text',
    [
        '',
        'id = "id-3"',
        'id = "nothing"',
        'id = "id-3" OR id = "id-4"',
        'elements HAS "Li"',
        'NOT elements HAS "Li"',
        'elements HAS "Xe"',
        'elements HAS ALL "Ba","O"',
        'elements HAS ANY "Ba","H"',
        'elements HAS ONLY "Li","H"',
        'elements HAS "O" AND nelements = 2',
        'nelements = 2 AND (elements HAS "O" OR elements HAS "H")',
        'elements LENGTH 2',
        'last_modified > "2026-01-03T12:00:00Z"',
    ],
)
def test_a_page_is_that_of_mongomock(plain, paged, text):
    orders = ([], [('nsites', 1)], [('nsites', -1), ('id', -1)], [('elements', 1)])
    for order, skip in itertools.product(orders, range(3)):
        criteria = {'skip': skip, **({'sort': order} if order else {})}
        assert ask(paged, text, **criteria) == ask(plain, text, **criteria), criteria


def test_what_changes_is_seen_in_its_place(create):
    collection = create(PagedCollection)
    assert ask(collection, 'elements HAS "Li" AND nsites > 3')[0] == []
    collection.insert([resource(0, nsites=5), resource(2, nsites=1)])
    assert ask(collection, 'elements HAS "Li" AND nsites > 3')[0] == ['id-0']
    assert ask(collection, 'elements HAS "Li"', limit=0)[0] == ['id-0', 'id-3', 'id-5']
    assert len(collection) == collection.count() == len(COMPOUNDS)
    collection.clear()
    assert ask(collection, 'elements HAS "Li"') == ([], 0, False)


def test_only_the_fields_that_are_asked_for(paged):
    items, *_ = paged._run_db_query({'projection': {'nsites': True}, 'limit': 1})
    assert items == [{'id': 'id-0', 'nsites': 2}]


def test_alternatives_are_no_condition():
    query = {'$and': [{'a': {'$eq': 1}}, {'$or': [{'b': {'$eq': 2}}]}], 'c': {'$in': [3]}}
    assert list(conditions(query)) == [('a', {'$eq': 1}), ('c', {'$in': [3]})]

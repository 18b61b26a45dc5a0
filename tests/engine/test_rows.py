"""What bulk storage and archives do past the ORM."""

from __future__ import annotations

from aiida import orm
from aiida.storage.psql_dos.orm.querybuilder import main as queries

from aiida_qagenai.engine.rows import table_names_kept


def test_the_name_of_a_table_is_found_once_per_query(aiida_profile_clean, monkeypatch):
    """Whatever the number of rows; the rows are the same, and afterwards AiiDA is as it was."""
    for value in range(5):
        orm.Int(value).store()
    find, found = queries.get_table_name, []
    monkeypatch.setattr(queries, 'get_table_name', lambda alias: found.append(alias) or find(alias))
    watching = queries.get_table_name

    def ask():
        found.clear()
        builder = orm.QueryBuilder().append(orm.Int, tag='number', project=['uuid', 'attributes.value'])
        return builder.order_by({'number': 'id'}).dict()

    plain = ask()
    looked = len(found)
    with table_names_kept():
        kept = ask()
    assert kept == plain
    assert [row['number']['attributes.value'] for row in kept] == list(range(5))
    assert len(found) < looked - 5
    assert queries.get_table_name is watching

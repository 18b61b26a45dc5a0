"""A number in a table leads to its node and its query."""

from __future__ import annotations

import pandas as pd
import pytest

from aiida_qagenai.report.tables import ROWS, cell, make_table


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (None, '–'),
        (float('nan'), '–'),
        (pd.NA, '–'),
        (True, 'yes'),
        (0.12345, '0.123'),
        (0.0, '0.000'),
        (2e-5, '2.0e-05'),
        (12345, '12,345'),
        ('LiH', 'LiH'),
    ],
)
def test_texts(value, text):
    assert cell(value).text == text


def test_sources():
    assert cell(0.5, 'abc', 'score').source == "node abc\naiida.orm.load_node('abc').base.attributes.get('score')"
    assert cell(0.5, None, 'f()').source == 'f()' and cell(None, 'abc', 'score').source == ''
    assert not cell(True).number and cell(3).number


def test_a_long_table_says_what_it_leaves_out():
    frame = pd.DataFrame({'a': range(1000), 'uuid': ['u'] * 1000})
    table = make_table(frame, 'Many', {'a': 'A'}, {'a': ('uuid', 'x')})
    assert len(table.rows) == ROWS and table.note == 'The first 30 of 1,000 rows.'
    assert table.rows[0][0].source.startswith('node u')
    assert make_table(frame.head(2), 'Few', {'a': 'A'}, {}, query='f()').rows[1][0].source == 'f()'

"""The table for people and the list for programs."""

from __future__ import annotations

import json

from aiida_qagenai.cli.setup.rows import Row, State, print_rows, print_rows_as_json, problems

ROWS = [
    Row('packages', 'Python', State.OK, '3.11.7'),
    Row('machine', 'GPU', State.NOTE, 'H200 [0], which torch cannot use', f'pip install torch {"--option " * 20}end'),
    Row('machine', 'disk', State.PROBLEM, '0.1 GiB free', 'free some space'),
]


def test_advice_is_one_line_in_a_file(capsys):
    """A command can be copied from it; brackets are no markup."""
    print_rows(ROWS)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert f'→ {ROWS[1].advice}' in lines
    assert any('H200 [0]' in line for line in lines)
    assert [line.split()[0] for line in lines if line.startswith(('ok', 'note', 'problem'))] == [*State]


def test_json_holds_the_rows(capsys):
    print_rows_as_json(ROWS)
    assert [Row(**row) for row in json.loads(capsys.readouterr().out)] == ROWS


def test_only_problems_make_calculations_fail():
    assert problems(ROWS) == [ROWS[2]]

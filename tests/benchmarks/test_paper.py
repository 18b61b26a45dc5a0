"""The page with the tables of the paper: what the records say, and what was not measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
sys.path.insert(0, str(BENCHMARKS))

import paper  # noqa: E402
from paper_parts.items import Item, NotMeasuredError, Table, lines  # noqa: E402
from paper_parts.page import BEGIN, END, block, draw_all, renewed  # noqa: E402
from paper_parts.registry import ITEMS  # noqa: E402

from aiida_qagenai.common.errors import InvalidInputError  # noqa: E402


def test_the_page_is_what_the_records_say():
    done = subprocess.run(
        [sys.executable, 'paper.py', '--check'], cwd=BENCHMARKS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = {line['name']: line['value'] for line in map(json.loads, done.stdout.splitlines())}
    assert set(figures) == {item.slug for item in ITEMS}
    assert figures['table-9'] == figures['figure-7'] == 1


def test_all_items_of_the_paper_have_a_place():
    names = {f'Figure {n}' for n in (2, 4, 5, 6, 7, 9, 10, 11, 12)}
    names |= {f'Table {n}' for n in (3, 6, 7, 8, 9, 10, 12, 14, 15, 16, 17)}
    names |= {'Figure 11 Li-Co-O', 'Figure 11 Li-Mn-O', 'Figure 11 Li-Fe-P-O'}
    names |= {'Table 7 other sets', 'Table 7 rules', 'Figure 7 surrogates', 'Figure 7 starts', 'Table 15 pools'}
    assert {item.name for item in ITEMS} == names


def test_a_picture_is_drawn_for_every_item_that_has_one(tmp_path):
    drawn = draw_all(ITEMS, tmp_path)
    pictures = {path.name for path in (paper.PAGE.parent / 'paper').iterdir()}
    assert {path.name for path in drawn} == pictures
    before = drawn[0].read_bytes()
    draw_all(ITEMS[: ITEMS.index(next(item for item in ITEMS if item.draw)) + 1], tmp_path)
    assert drawn[0].read_bytes() == before


def missing() -> Table:
    raise NotMeasuredError('no records')


def test_what_has_no_records_names_the_command():
    assert block(Item('Table 1', 'Nothing', 'make it', missing), 'x').endswith('Not measured. `make it` measures it.')
    assert block(Item('Table 1', 'Nothing', ''), 'x').endswith('Not measured yet.')


def test_a_cell_without_a_number_says_so():
    text = Table(('a', 'b'), [[None, 0.12345]], 'A note.').text()
    assert text.splitlines()[-3:] == ['| not measured | 0.123 |', '', 'A note.']


def test_only_what_is_between_marks_changes():
    item = Item('Table 1', 'Numbers', 'run', lambda: Table(('a',), [[1]]))
    begin = BEGIN.format(name=item.name)
    text = renewed(f'before\n{begin}\nold\n{END}\nafter\n', [item], 'x')
    assert text.startswith('before\n') and text.endswith('after\n') and 'old' not in text and '| 1 |' in text
    assert renewed(text, [item], 'x') == text
    with pytest.raises(InvalidInputError, match='one place'):
        renewed('nothing', [item], 'x')


def test_a_figure_that_a_benchmark_did_not_print_is_not_measured():
    with pytest.raises(NotMeasuredError):
        lines('hull')['no such figure']
    with pytest.raises(NotMeasuredError):
        lines('no such benchmark')

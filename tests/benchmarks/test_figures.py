"""The line of JSON that a benchmark prints for each figure."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

from figures import figure

KEYS = ['name', 'value', 'unit', 'reference', 'reference_value', 'ratio']


@pytest.mark.parametrize(
    ('arguments', 'options', 'ratio'),
    [
        (('speed', 3.0, 's', 'before', 6.0), {}, 0.5),
        (('speed', 3.0, 's', 'before', 6.0), {'ratio': 2.0}, 2.0),
        (('share', 0.25, '1'), {}, None),
        (('differ', 4, 'crystals', 'none', 0), {}, None),
        (('rmse', None, 'Å', 'before', 6.0), {}, None),
    ],
)
def test_a_figure_is_one_line_with_its_ratio(capsys, arguments, options, ratio):
    figure(*arguments, **options)
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert list(record) == KEYS
    assert tuple(record.values()) == (*arguments, *[None] * (5 - len(arguments)), ratio)


def test_what_is_no_number_is_null(capsys):
    figure('learned', float('nan'), 'eV', 'before', float('nan'))
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)['value'] is None

"""What people read: no missing values, fixed decimals."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest

from aiida_qagenai.cli.output import print_frame


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (None, ''),
        (float('nan'), ''),
        (pd.NA, ''),
        (pd.NaT, ''),
        (0.0, '0.000'),
        (-20.0, '-20.000'),
        (np.float64(0.12345), '0.123'),
        (7, '7'),
        (np.True_, 'yes'),
        (False, 'no'),
        ('[bold]x', '[bold]x'),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), '2026-01-02 03:04'),
    ],
)
def test_texts(capsys, value, text):
    print_frame(pd.DataFrame({'a': pd.Series([value], dtype=object)}), 'table', {'a': 'heading'})
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert 'heading' in lines
    assert text in lines


def test_no_column_is_cut_in_a_file(capsys):
    frame = pd.DataFrame({f'column{i}': ['x' * 12] for i in range(12)})
    print_frame(frame, 'table', {name: name for name in frame})
    assert capsys.readouterr().out.count('x' * 12) == 12

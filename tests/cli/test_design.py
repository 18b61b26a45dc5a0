"""`aiida-qagenai design`: rounds of inverse design without a profile."""

import pandas as pd
import pytest
from ase.io import read
from click.testing import CliRunner

from aiida_qagenai.cli.design import design


@pytest.mark.slow
def test_rounds_leave_a_table_and_the_crystals(tmp_path):
    """A row for every crystal; given again, the command writes the same."""
    pytest.importorskip('chgnet')
    arguments = ['Ti-C', 'V-N', '--target', 'bulk_modulus=250', '--output', str(tmp_path), '--rounds', '1']
    arguments += ['--per-round', '2', '--per-system', '3', '--max-atoms', '2', '--format', 'csv']
    result = CliRunner().invoke(design, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    text = (tmp_path / 'designed.csv').read_text()
    table, images = pd.read_csv(tmp_path / 'designed.csv'), read(tmp_path / 'designed.extxyz', ':')
    assert len(table) == len(images) == 2
    assert [image.info['formula'] for image in images] == table['formula'].tolist()
    assert {image.info['potential'] for image in images} == {'chgnet'}
    CliRunner().invoke(design, arguments, catch_exceptions=False)
    assert (tmp_path / 'designed.csv').read_text() == text

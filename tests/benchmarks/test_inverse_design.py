"""The stored records of the inverse design of a bulk modulus."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

from inverse_design_parts import heads


def figures(capsys):
    """Return the printed figures by name."""
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('{')]
    return {record['name']: record for record in map(json.loads, lines)}


def test_the_heads_beat_the_published_error_of_inverse_design(capsys):
    heads.show(json.loads(heads.RECORD.read_text()))
    found = figures(capsys)
    assert found['heads-mape-bulk_modulus']['value'] < heads.PAPER
    assert found['heads-mae-bulk_modulus']['value'] < 0.2 * found['heads-mae-bulk_modulus']['reference_value']
    assert 0.6 < found['heads-within-sigma-bulk_modulus']['value'] < 0.9

"""The page on the ladder: what the data of the package say, and what it says of a small ladder."""

import subprocess
import sys
from pathlib import Path

import pytest
from ladder_results import CRYSTALS, recipe, results

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
sys.path.insert(0, str(BENCHMARKS))

import ladder_tables as tables  # noqa: E402
from paper_parts.page import block  # noqa: E402

from aiida_qagenai.thermodynamics.ladder.records import Ladder  # noqa: E402


def test_the_page_is_what_the_data_say():
    done = subprocess.run(
        [sys.executable, 'ladder_tables.py', '--check'], cwd=BENCHMARKS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"ladder-complete"' in done.stdout


@pytest.fixture
def ladder(monkeypatch, tmp_path):
    """Let the tables be of a small ladder, whose first crystal has an archive."""
    (tmp_path / 'LiH.aiida').touch()
    monkeypatch.setattr(tables, 'ARCHIVES', tmp_path)
    found = Ladder.from_dict(recipe.pack(results(), CRYSTALS, {}, {}))
    monkeypatch.setattr(tables, 'load_ladder', lambda: found)


def test_tables_of_a_small_ladder(ladder):
    text = '\n'.join(block(item, 'ladder') for item in tables.ITEMS)
    assert '| LiH | 2.69 | 2.59 | 2.39 | 2.54 ± 0.05 | 2.49 |' in text
    assert '| BN | 6.96 | 6.86 | – | – ± – | 6.76 |' in text
    assert '| **mean absolute error** | 0.20 | 0.10 | 0.10 | 0.05 | 1 crystals |' in text
    assert '| LiH | LiH-caesium-chloride | +0.090 | +0.090 | +0.090 | +0.090 ± 0.071 |' in text
    assert '| LiH-0.94 | +0.010 | +0.010 | +0.010 | +0.010 |' in text
    assert '| LiH | 12.0 | 0.0 | 0.0 | 0.0 | 12.0 | 2.0 | 2 | yes | none |' in text
    assert 'crystalhse06 failed: no memory' in text and '| not complete | 2 | BN, C |' in text
    assert '| absolute | – | – | 1 |' in text
    assert '| refused | 1 | LiH-zinc-blende by PBE: no reason |' in text


def test_tables_of_nothing(monkeypatch, tmp_path):
    """Each says that it was not measured, and what measures it."""
    monkeypatch.setattr(tables, 'LEARNED', tmp_path / 'nothing.json')
    monkeypatch.setattr(tables, 'load_ladder', lambda: Ladder({}, {}, ('LiH',)))
    texts = [block(item, 'ladder') for item in tables.ITEMS]
    assert all('Not measured.' in text for text in texts[:-1]) and '| not complete | 1 | LiH |' in texts[-1]

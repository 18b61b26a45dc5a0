"""The benchmark of the contest: its sets, its records, and what it makes of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
sys.path.insert(0, str(BENCHMARKS))

from contest_parts import data, runs  # noqa: E402

from aiida_qagenai.exchange.arms import ABOUT  # noqa: E402


@pytest.mark.parametrize(
    ('formula', 'amounts'),
    [
        ('Ca(H2PO2)2', {'Ca': 1, 'H': 4, 'P': 2, 'O': 4}),
        ('CaHPO4·2H2O', {'Ca': 1, 'H': 5, 'P': 1, 'O': 6}),
        ('(CaO)2·SiO2', {'Ca': 2, 'O': 4, 'Si': 1}),
    ],
)
def test_formulas_of_hydrates_are_read(formula, amounts):
    assert data.composition_of(formula).get_el_amt_dict() == amounts


def test_a_formula_that_cannot_be_read_is_left_out():
    assert data.composition_of('·(3') is None


@pytest.mark.parametrize('name', runs.CONTESTS)
def test_every_contest_has_valid_settings_and_its_records(name):
    config = runs.config_of(name)
    assert set(config.arms) <= set(ABOUT)
    assert {each.arm for each in runs.stored()[name]} <= set(config.arms)


def test_the_records_give_the_figures():
    found = subprocess.run(
        [sys.executable, 'contest.py', '--quick', '--only', 'teacher-networks'],
        cwd=BENCHMARKS, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 'read from the records' in found.stderr
    figures = {record['name']: record for record in map(json.loads, found.stdout.splitlines())}
    assert figures['teacher-networks-folds']['value'] == len(
        {(each.repeat, each.fold) for each in runs.stored()['teacher-networks']}
    )
    assert figures['r2scan-with-a-tenth-ratio']['reference_value'] == 1.2
    assert any(name.startswith('data-efficiency-with-') for name in figures)
    taken = [name for name in figures if name.endswith('-taken')]
    assert len(taken) == 3

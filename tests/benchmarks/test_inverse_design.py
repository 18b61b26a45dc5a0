"""The stored records of the inverse design of a bulk modulus."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

from inverse_design_parts import campaign, dft, elastic, heads, phonons


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


def test_sevennet_has_the_published_bulk_moduli_and_chgnet_does_not(capsys):
    elastic.show(json.loads(elastic.RECORD.read_text()))
    found = figures(capsys)
    near = {name: record['value'] for name, record in found.items() if name.startswith('elastic-ten-K')}
    assert near['elastic-ten-K-sevennet:0:0.13.0'] == 9 > near['elastic-ten-K-chgnet:0.3.0:0.4.2']
    errors = [found[f'elastic-held-out-mae-K-{name}']['value'] for name in ('sevennet:0:0.13.0', 'chgnet:0.3.0:0.4.2')]
    assert errors[0] < 10 < errors[1] < 20
    # a potential that is too soft makes some of the 157 held-out crystals unstable
    assert found['elastic-without-modulus-sevennet:0:0.13.0']['value'] == 26


def test_ten_crystals_have_350_gpa_by_the_judge(capsys):
    """The errors of the first two rounds are below the published one; the bar at 200 and 100 GPa is missed."""
    campaign.show(json.loads(campaign.RECORD.read_text()))
    found = figures(capsys)
    assert found['kvrh-hits-350']['value'] == 10
    per_call = [found[f'kvrh-hits-per-call-{number}-350'] for number in range(3)]
    assert sum(record['value'] * record['reference_value'] for record in per_call) == pytest.approx(10)
    assert all(found[f'kvrh-mape-{number}-350']['value'] < campaign.PAPER for number in range(3))
    assert found['kvrh-mape-0-350']['value'] < found['kvrh-mape-2-350']['value']


def test_few_hits_are_dynamically_stable_by_a_judge_that_fails_osmium(capsys):
    phonons.show(json.loads(campaign.RECORD.read_text()), json.loads(phonons.CONTROL.read_text()))
    found = figures(capsys)
    assert found['kvrh-stable-elements']['value'] == 3
    assert [found[f'kvrh-stable-hits-{target}']['value'] for target in campaign.SYSTEMS] == [1, 1, 5]


def test_moduli_by_dft_are_the_published_ones(capsys):
    dft.show(json.loads(dft.RECORD.read_text()))
    found = figures(capsys)
    assert len(found) == 4 and all(0.9 < record['ratio'] < 1.1 for record in found.values())

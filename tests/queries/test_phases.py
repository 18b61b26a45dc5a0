"""The phases of a campaign: each once, known ones by name, and the pairs that PBE puts in another order."""

from __future__ import annotations

import pandas as pd
import pytest
from fake_campaign import make_campaign

from aiida_qagenai.cli.campaign.phases import answer, summary
from aiida_qagenai.queries import phases
from aiida_qagenai.queries.phases import COLUMNS, found_phases, misranked_pairs


def row(name: str, **fields) -> dict:
    """Return a candidate of BN as the search returns it."""
    cycle = int(name.partition('-')[0])
    return {
        **dict.fromkeys(COLUMNS),
        **{'name': name, 'cycle': cycle, 'formula': 'BN', 'passed_constraints': True, 'duplicate_of': None},
        **{'fingerprint': name, 'origin': None, 'top_fidelity': 'HSE06', 'e_above_hull': 0.05},
        **fields,
    }


@pytest.fixture
def rows(monkeypatch):
    """Let the search return given rows, of a campaign that left out the compounds of its system."""

    def use(*found: dict) -> None:
        monkeypatch.setattr(phases, 'candidates', lambda *_args, **_kwargs: pd.DataFrame(found))
        monkeypatch.setattr(phases, '_excludes_system', lambda _campaign: True)

    return use


def test_equal_candidates_are_one_phase(rows):
    """Those that equal one known crystal, one candidate, or one of an earlier cycle, are counted together."""
    rows(
        row('001-00000', known_as='mp-1', e_above_hull=0.3, duplicate_of='000-00001'),
        row('001-00001', known_as='mp-1', e_above_hull=0.2),
        row('001-00002', fingerprint='a'),
        row('001-00003', duplicate_of='001-00002'),
        row('002-00000', fingerprint='a', e_above_hull=0.04),
        row('002-00001', e_above_hull=0.2),
        row('002-00002', passed_constraints=False),
        row('000-00001'),
    )
    table = found_phases('any')
    assert table['phase'].tolist() == ['new', 'rediscovered']
    assert table['count'].tolist() == [3, 2] and table['cycle'].tolist() == [1, 1]
    assert table['name'].tolist() == ['002-00000', '001-00001'] and table['trained_on'].tolist() == [False, True]
    assert set(table['stable_phase']) == {'mp-604884'}
    lines = summary(table, 0.1)
    assert lines == [
        '1 known phase rediscovered: BN (mp-1)',
        '1 phase within 0.1 eV/atom of the predicted hull, 1 of them new',
    ]


def test_misranked_pairs(rows):
    """A pair is mis-ranked if the top rung reverses it; other compositions and strained copies do not compare."""
    ideal, strained = {'origin': 'mp-1 (BN), ideal'}, {'origin': 'mp-1 (BN), strained'}
    computed = {'divergence_computed': 0.1, 'space_group_number': 216}
    rows(
        row('000-00000', formation_pbe=-1.0, formation_hse06=-1.1, **computed, **ideal),
        row('000-00001', formation_pbe=-0.5, formation_hse06=-1.9, **computed, **strained),
        row('001-00000', formation_pbe=-1.05, formation_hse06=-1.05, **computed),
        row('001-00001', formation_pbe=-0.9, formation_hse06=-0.8, **computed),
        row('001-00002', formula='B', formation_pbe=0.0, formation_hse06=0.0, **computed),
        row('001-00003', formation_pbe=-2.0, divergence_computed=None),
    )
    pairs = misranked_pairs('any')
    assert len(pairs) == 3 and pairs['misranked'].tolist() == [True, False, False]
    assert (pairs['lower'][0], pairs['higher'][0]) == ('001-00000', '000-00000')
    assert pairs['pbe'][0] == pytest.approx(0.05) and pairs['top'][0] == pytest.approx(-0.05)
    assert answer(pairs).startswith('PBE mis-ranks 1 of 3 pairs')
    assert 'mis-ranks none of 2 pairs' in answer(pairs[1:])
    assert 'composition (not scientific):' in answer(pairs.assign(note=['', 'not scientific', '']))
    assert 'nothing can be mis-ranked yet' in answer(pairs[:0])


def test_phases_of_a_campaign(aiida_profile):
    """The toy has no known crystal: LiH of each size is a new phase, and both cycles found the same ones."""
    aiida_profile.reset_storage()
    toy = make_campaign()
    table = found_phases(toy.campaign.pk)
    assert set(table['phase']) == {'new'} and table['count'].sum() >= len(table)
    assert table['e_above_hull'].max() <= 0.1
    assert set(table['stable_phase']) == {'mp-23703'}
    assert list(table.columns) == list(COLUMNS)

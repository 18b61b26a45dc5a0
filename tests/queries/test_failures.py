"""Where a campaign fails, by class of materials."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.queries.failures import _chemistry, _shells, class_rates, packing_shares


@pytest.fixture(scope='module')
def toy(aiida_profile):
    """Return a finished campaign: in two cycles two candidates of LiH each were computed, one of them a hit."""
    from fake_campaign import make_campaign

    aiida_profile.reset_storage()
    return make_campaign('toy')


def test_rates_by_class(toy):
    """LiH is a hydride with closed shells; hits and errors are counted in both groups."""
    table = class_rates('toy')
    assert table[['group', 'name']].values.tolist() == [['chemistry', 'hydride'], ['shells', 'closed']]
    for row in table.to_dict('records'):
        assert (row['computed'], row['hits'], row['hit_rate']) == (4, 2, 0.5)
        assert row['hit_rate_low'] < 0.5 < row['hit_rate_high']
        assert row['errors'] > 0 and row['mae'] >= 0
        assert 0 <= row['overconfident_low'] <= row['overconfident'] <= row['overconfident_high'] <= 1


@pytest.mark.parametrize(
    ('formula', 'chemistry', 'shells'),
    [
        ('C', 'carbon', 'closed'),
        ('Si', 'element', 'closed'),
        ('Li2O', 'oxide', 'closed'),
        ('La2CuO4', 'oxide', 'magnetic'),
        ('CeO2', 'oxide', 'f electrons'),
        ('GaN', 'nitride', 'closed'),
    ],
)
def test_classes(formula, chemistry, shells):
    assert (_chemistry(formula), _shells(formula)) == (chemistry, shells)


def test_packings_of_what_was_generated(toy):
    """Rock salt is none of the three packings."""
    table = packing_shares('toy')
    assert table['stage'].tolist() == [1, 2]
    assert table['structures'].tolist() == ['generated'] * 2
    assert table['number'].tolist() == [4, 4]
    assert table[['fcc', 'bcc', 'hcp', 'metals']].sum().sum() == 0
    assert table['share'].tolist() == [0.0, 0.0]
    assert (table['share_high'] > 0).all()


def test_unknown_campaign(toy):
    with pytest.raises(InvalidInputError):
        class_rates('nothing')

"""Core hours of energies, from those that were computed."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.selection.costs import CostRecord, Costs, affordable

PBE, HSE06 = Fidelity.PBE, Fidelity.HSE06
FUNCTIONS = {'Li': 2, 'H': 1, 'Ni': 10, 'O': 4}


@pytest.fixture
def costs():
    """Return what LiH and NiO cost: a thousandth of the cube of the basis functions, ten times more at HSE06."""
    records = [
        CostRecord(level, composition, factor * 1e-3 * size**3)
        for composition, size in (({'Li': 1, 'H': 1}, 3), ({'Li': 2, 'H': 2}, 6))
        for level, factor in ((PBE, 1.0), (HSE06, 10.0))
    ]
    return Costs(FUNCTIONS).measured([*records, CostRecord(PBE, {'Ni': 1, 'O': 1}, 5 * 1e-3 * 14**3)])


def test_the_cost_grows_with_the_cube(costs):
    """Magnetic compounds are apart, and use the others' factor at a level where none was computed."""
    assert costs.estimate({'Li': 4, 'H': 4}, [PBE]) == pytest.approx(1e-3 * 12**3)
    assert costs.estimate({'Li': 1, 'H': 1}, [PBE, HSE06]) == pytest.approx(11e-3 * 3**3)
    assert costs.estimate({'Ni': 2, 'O': 2}, [PBE]) == pytest.approx(5e-3 * 28**3)
    assert costs.estimate({'Ni': 1, 'O': 1}, [HSE06]) == pytest.approx(10e-3 * 14**3)
    assert costs.estimate({'Li': 1, 'H': 1}, [Fidelity.SCAN]) is None


def test_tables_add_up(costs):
    """What two cycles measured counts by its size, not by the number of cycles."""
    other = Costs(FUNCTIONS).measured([CostRecord(PBE, {'Li': 8, 'H': 8}, 3e-3 * 24**3)])
    both = costs.added(other.table)
    assert both.table['PBE']['energies'] == 3
    expected = (1e-3 * (3**3 + 6**3) + 3e-3 * 24**3) / (3**3 + 6**3 + 24**3) * 3**3
    assert both.estimate({'Li': 1, 'H': 1}, [PBE]) == pytest.approx(expected)


def test_small_cells_come_first_and_nothing_is_started_that_does_not_fit(costs):
    """Of one size the better one comes first; what a large cell leaves is not lost for a cheaper one."""
    small, large = {'Li': 1, 'H': 1}, {'Li': 4, 'H': 4}
    candidates = [('large', large), ('best', small), ('next', small)]
    hours = costs.estimate(small, [PBE])
    assert affordable(candidates, costs, [PBE], 2.5 * hours) == (
        ['best', 'next'],
        {'large': pytest.approx(1e-3 * 12**3)},
    )
    assert affordable(candidates, costs, [PBE], 100.0)[0] == ['best', 'next', 'large']
    assert affordable(candidates, costs, [PBE], 0.0)[0] == []


def test_a_cost_that_nobody_knows_is_started(costs):
    """As long as anything is left."""
    assert affordable([('a', {'Li': 1})], Costs(FUNCTIONS), [PBE], 0.1)[0] == ['a']
    assert affordable([('a', {'Li': 1})], Costs(FUNCTIONS), [PBE], 0.0)[0] == []

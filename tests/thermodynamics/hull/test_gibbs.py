"""The hull at every temperature."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.gibbs import GibbsCurve, gibbs_hull

KELVIN = np.arange(0.0, 1001.0, 100.0)


def curve(formula: str, energy: float, entropy: float, **changes) -> GibbsCurve:
    """Return G = E − S T."""
    values = {'identifier': formula, 'level': 'emt', 'temperatures': KELVIN, 'gibbs': energy - entropy * KELVIN}
    return GibbsCurve(**{'formula': formula, 'static': energy, **values, **changes})


ELEMENTS = [curve('Cu', 1.0, 1e-4), curve('Au', 2.0, 1e-4)]


def test_entropy_stabilises_a_phase():
    """CuAu is 0.03 eV/atom above its elements at 0 K and gains 1e-4 eV/(K atom): it crosses them at 300 K."""
    temperatures, results = gibbs_hull([curve('CuAu', 1.53, 2e-4)], ELEMENTS)
    energies = np.array([result.decomposition_energy for result in results['CuAu']])
    np.testing.assert_allclose(energies, 0.03 - 1e-4 * temperatures, atol=1e-12)
    assert [result.stability for result in results['CuAu']] == ['metastable'] * 3 + ['stable'] * 8
    assert results['CuAu'][0].decomposition == pytest.approx({'Cu': 0.5, 'Au': 0.5})


def test_candidates_compete_with_each_other():
    """The better polymorph at each temperature is on the hull, the other one above it by the difference."""
    low = curve('CuAu', 1.2, 1e-4, identifier='low')
    high = curve('CuAu', 1.25, 2e-4, identifier='high')
    _, results = gibbs_hull([low, high], ELEMENTS)
    assert results['high'][0].e_above_hull == pytest.approx(0.05)
    assert results['low'][0].e_above_hull == 0
    assert results['low'][-1].e_above_hull == pytest.approx(0.05)
    assert results['high'][-1].e_above_hull == 0


def test_missing_elements_are_reported():
    _, results = gibbs_hull([curve('CuAu', 1.5, 0.0)], ELEMENTS[:1])
    assert 'Au' in results['CuAu'][0].missing
    assert results['CuAu'][0].e_above_hull is None


def test_a_better_static_energy_replaces_that_of_the_potential():
    """Vibrations stay, the rest is exchanged; formation energies make the same hull as total ones."""
    better = {'Cu': 0.0, 'Au': 0.0, 'CuAu': -0.1}
    curves = [each.with_static(better[each.formula], 'PBE') for each in [*ELEMENTS, curve('CuAu', 1.53, 2e-4)]]
    _, results = gibbs_hull(curves[2:], curves[:2])
    assert results['CuAu'][0].decomposition_energy == pytest.approx(-0.1)
    assert results['CuAu'][-1].decomposition_energy == pytest.approx(-0.1 - 1e-4 * 1000)


def test_only_common_temperatures_count():
    """A phase whose free energy ends at 500 K ends the hull there."""
    short = curve('Cu', 1.0, 1e-4, temperatures=KELVIN[:6], gibbs=1.0 - 1e-4 * KELVIN[:6])
    temperatures, results = gibbs_hull([curve('CuAu', 1.5, 0.0)], [short, ELEMENTS[1]])
    assert temperatures.tolist() == KELVIN[:6].tolist()
    assert len(results['CuAu']) == 6


@pytest.mark.parametrize(
    ('competing', 'message'),
    [
        ([*ELEMENTS, ELEMENTS[0]], 'identifier of its own'),
        ([ELEMENTS[0], curve('Au', 2.0, 0.0, level='chgnet')], 'level of theory'),
        ([ELEMENTS[0], curve('Au', 2.0, 0.0, temperatures=KELVIN + 7)], 'no temperature in common'),
    ],
)
def test_what_makes_no_hull_is_refused(competing, message):
    with pytest.raises(InvalidInputError, match=message):
        gibbs_hull([curve('CuAu', 1.5, 0.0)], competing)

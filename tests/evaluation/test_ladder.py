"""What a ladder of energies says."""

import pytest
from ladder_results import CRYSTALS, recipe, result, results

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.evaluation.ladder import (
    by_class,
    cohesive_errors,
    composite_error,
    correlations,
    divergences,
    doubts,
    extrapolation_error,
    polymorphs,
)
from aiida_qagenai.thermodynamics.ladder.records import Ladder


@pytest.fixture(scope='module')
def ladder() -> Ladder:
    """Return a ladder of three crystals."""
    return Ladder.from_dict(recipe.pack(results(), CRYSTALS, {}, {}))


def test_errors_against_experiment(ladder):
    """Of crystals at equilibrium with a measured value, each level over those that have it."""
    found = cohesive_errors(ladder)
    assert found[Fidelity.PBE].value == pytest.approx(0.2) and found[Fidelity.PBE].denominator == 2
    assert found[Fidelity.CCSD_T].value == pytest.approx(0.05) and found[Fidelity.CCSD_T].denominator == 1
    assert composite_error(ladder.crystals['LiH']) == pytest.approx(0.05)
    assert extrapolation_error(ladder.crystals['LiH']) == pytest.approx(0.05)
    assert extrapolation_error(ladder.crystals['BN']) is None


def test_polymorphs_in_the_measured_order(ladder):
    """E(other) − E(stable), with the errors of the extrapolations of both."""
    (pair,) = polymorphs(ladder)
    assert (pair.stable, pair.other) == ('LiH', 'LiH-caesium-chloride')
    assert pair.differences[Fidelity.PBE] == pytest.approx(0.09) and pair.is_right(Fidelity.PBE)
    assert pair.error == pytest.approx(0.05 * 2**0.5)


def test_divergence_of_pbe_by_class(ladder):
    """Formation energies, so that a larger cohesive energy is a lower one."""
    found = divergences(ladder)
    assert [one.name for one in found] == ['LiH', 'LiH-caesium-chloride']
    assert found[0].signed == pytest.approx(-0.15) and found[0].absolute == pytest.approx(0.15)
    assert found[0].relative == pytest.approx(3.0) and found[0].error == pytest.approx(-0.2)
    assert found[1].error is None and list(by_class(found)) == ['hydride']


def test_correlation_needs_enough_crystals(ladder):
    """Five at least; a divergence that is the error gives R² of one."""
    few = correlations(divergences(ladder))
    assert few['absolute'].value is None and few['absolute'].denominator == 1
    crystals = {f'{name}{i}': CRYSTALS[name] for name in ('LiH', 'BN') for i in range(3)}
    many = {}
    for index, (name, content) in enumerate(crystals.items()):
        many[f'ladder-{name}'] = result(content, content['cohesive'])
        many[f'ladder-{name}']['energies']['PBE']['anchored'] += 0.1 * index
        many[f'ladder-{name}']['energies']['CCSD(T)']['anchored'] += 0.01 * (index == 2)
    found = correlations(divergences(Ladder.from_dict(recipe.pack(many, crystals, {}, {}))))
    assert found['signed'].denominator == 6 and found['signed'].value == pytest.approx(1.0, abs=0.01)
    low, high = found['signed'].interval
    assert 0.9 < low <= high <= 1.0 + 1e-9


def test_doubts_about_coupled_cluster(ladder):
    """T1 beyond its limit is named; what has no CCSD(T) is not listed."""
    found = {one.name: one for one in doubts(ladder)}
    assert set(found) == {'LiH', 'LiH-0.94', 'LiH-caesium-chloride'}
    assert found['LiH'].flags == ('T1 > 0.02',) and found['LiH'].gap == 3.0

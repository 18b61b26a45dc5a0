"""What the rounds of an inverse design are summed up to, by the potential and by a judge."""

from __future__ import annotations

import pytest
from aiida.orm import Dict

from aiida_qagenai.calculations.functions.design import judge_round, sum_up_round
from aiida_qagenai.data.elastic import ElasticData

ASKED = {'target': 'bulk_modulus=24', 'max_e_above_hull': 0.1}
NEAR, FAR = -3.6, -2.0
"""Energies of NaCl by CHGNet near the hull of the package and far above it, eV/atom."""


def tensor(modulus: float | None, energy: float, potential: str = 'chgnet:0.3.0:0.4.2') -> ElasticData:
    """Return the tensor of a crystal of NaCl, without a modulus of an unstable one."""
    return ElasticData(
        structure_uuid='x', formula='NaCl', chemical_system='Cl-Na', num_atoms=2, potential=potential, has_tensor=True,
        energy_per_atom=energy, volume_per_atom=22.0, tensor=[[1.0] * 6] * 6, bulk_modulus_vrh=modulus,
        mechanically_stable=modulus is not None,
    )  # fmt: skip


@pytest.fixture
def summary(aiida_profile_clean):
    """Return the summary of a hit, one that is too soft, one far above the hull and an unstable one."""
    chosen = Dict({'rows': [0, 1, 2, 3], 'predicted': [24.0, 12.0, None, 24.0]})
    crystals = {'a': tensor(25.0, NEAR), 'b': tensor(12.0, NEAR), 'c': tensor(24.0, FAR), 'd': tensor(None, NEAR)}
    return sum_up_round(settings=Dict(ASKED), chosen=chosen, **crystals)


def test_a_round_is_summed_up(summary):
    found = summary.get_dict()
    assert (found['stable'], found['within'], found['hits']) == (3, ['a', 'c'], ['a'])
    assert found['error_target'] == pytest.approx((1 / 24 + 0.5 + 0) / 3)
    assert found['error_predicted'] == pytest.approx((1 / 25 + 0) / 2)
    assert found['computed'] == {'a': 25.0, 'b': 12.0, 'c': 24.0, 'd': None}
    assert found['hull']['a'].startswith('complete') and found['e_above_hull']['c'] > 1


def test_a_hit_by_the_judge_is_near_the_hull_by_the_potential(summary):
    """The judge has no place on the hull, and no tensor of one crystal."""
    judged = {'a': tensor(30.0, -1.0, 'sevennet:0'), 'b': tensor(24.0, -1.0, 'sevennet:0')}
    judged['c'] = tensor(24.0, -1.0, 'sevennet:0')
    found = judge_round(settings=Dict(ASKED), summary=summary, **judged).get_dict()
    assert (found['within'], found['hits'], found['stable']) == (['b', 'c'], ['b'], 3)
    assert found['error_target'] == pytest.approx(0.25 / 3)

"""What the beginning of a campaign computes before the ladder."""

from __future__ import annotations

import pytest
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

from aiida_qagenai.workchains.campaign.seed import SeedWorkChain

CASES = {
    'plain': (False, False, True, True),
    'corrected': (True, False, False, False),
    'corrected and self-consistent': (True, True, True, False),
}


@pytest.mark.parametrize('case', CASES)
def test_atoms_that_no_energy_refers_to_are_not_computed(pyscf_code, ml_code, monkeypatch, case):
    """With the counterpoise correction every crystal has its own; the elements are computed where asked for."""
    corrected, self_consistent, computes, atoms = CASES[case]
    builder = SeedWorkChain.get_builder_from_protocol(
        pyscf_code=pyscf_code,
        ml_code=ml_code,
        elements=['Li', 'H'],
        protocol='machinery',
        overrides={
            'self_consistent': self_consistent,
            'energy': {'counterpoise': {'shells': 1} if corrected else None},
        },
    )
    process = instantiate_process(get_manager().get_runner(), builder)
    inputs = process.reference_inputs()
    assert bool(inputs) is computes
    if computes:
        assert inputs['reference_elements'].get_list() == ['Li', 'H']
        assert inputs['isolated_atoms'].value is atoms
        assert inputs['self_consistent'].value is self_consistent

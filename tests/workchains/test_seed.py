"""What the beginning of a campaign computes before the ladder."""

from __future__ import annotations

import pytest
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

from aiida_qagenai.workchains import seed
from aiida_qagenai.workchains.protocols.energy import energy_settings
from aiida_qagenai.workchains.seed import SeedWorkChain, nested_references

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
        protocol='quickstart',
        overrides={'self_consistent': self_consistent},
    )
    process = instantiate_process(get_manager().get_runner(), builder)
    if corrected:
        shells = energy_settings('moderate').counterpoise
        changed = energy_settings('pipeline').model_copy(update={'counterpoise': shells})
        monkeypatch.setattr(seed, 'energy_settings', lambda _: changed)
    assert process.should_compute_references() is computes
    assert process.needs_atoms is atoms


def test_a_campaign_without_references_has_none():
    """What is handed on is empty, not missing."""
    assert nested_references(None) == {'references': {}, 'elements': {}}

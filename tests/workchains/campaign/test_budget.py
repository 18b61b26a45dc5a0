"""Which candidates of a cycle fit into the core hours that are left."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.workchains.campaign.budget import fitting_candidates, measured_costs
from aiida_qagenai.workchains.protocols.campaign import campaign_settings


@pytest.fixture
def energy(make_structure):
    """Return a function that gives an energy of LiH at PBE that took some core hours."""

    def create(core_hours: float) -> EnergyData:
        return EnergyData(
            fidelity='PBE',
            total_energy=-20.0,
            num_atoms=2,
            formula='LiH',
            chemical_system='H-Li',
            converged=True,
            protocol='pipeline',
            level_tag='pipeline:a',
            scientific=False,
            structure_uuid='a' * 32,
            core_hours=core_hours,
        )

    return create


def test_what_fits_is_started(energy, lithium_hydride, make_structure):
    """The ledger holds what energies of the initial set and of all cycles have cost."""
    lithium = make_structure(['Li'], [[0, 0, 0]])
    settings = campaign_settings('machinery', {'budget_core_hours': 1.0})
    # Three basis functions of LiH, two of Li.
    costs = measured_costs(settings, {'c00001': lithium_hydride}, {'c00001pbe': energy(0.27)})
    assert costs == {'PBE': {'energies': 1, 'core_hours': 0.27, 'size': 27.0}}
    candidates, levels = {'compound': lithium_hydride, 'element': lithium}, [Fidelity.PBE]
    ledger = {'seed': {'costs': costs}, 'cycles': []}
    assert fitting_candidates(settings, ledger, candidates, levels) == (['element', 'compound'], {})
    ledger['cycles'] = [{'core_hours': {'pyscf': 0.8, 'ml': 5.0}}]
    started, left = fitting_candidates(settings, ledger, candidates, levels)
    assert (started, left) == (['element'], {'compound': pytest.approx(0.27)})


def test_without_a_budget_of_core_hours_all_are_started(lithium_hydride):
    """In the order in which they were chosen."""
    candidates = dict.fromkeys(('b', 'a'), lithium_hydride)
    ledger = {'seed': {}, 'cycles': []}
    assert fitting_candidates(campaign_settings('machinery'), ledger, candidates, []) == (['b', 'a'], {})

"""Noise of repeated energies, and calculations that did not converge."""

from __future__ import annotations

import numpy as np
import pytest
from aiida.engine import run_get_node

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.queries.quality import repeat_noise, unconverged


def store(fidelity: str, energy: float, structure: str = 'a', tag: str = 'fast:x', **changes) -> None:
    """Store an energy of two atoms."""
    values = {
        'fidelity': fidelity,
        'total_energy': 2 * energy,
        'num_atoms': 2,
        'formula': 'LiH',
        'chemical_system': 'H-Li',
        'converged': True,
        'protocol': 'fast',
        'level_tag': tag,
        'scientific': True,
        'structure_uuid': structure,
    }
    EnergyData(**{**values, **changes}).store()


def test_noise_is_pooled_over_repeats(aiida_profile_clean):
    """Energies of another structure or level, and those that did not converge, are no repeats."""
    for energy in (-1.0, -1.002):
        store('PBE', energy)
    for energy in (-3.0, -3.004, -3.008):
        store('PBE', energy, structure='b')
    store('PBE', -9.0, tag='fast:y')
    store('PBE', -9.0, converged=False)
    store('SCAN', -2.0)
    store('SCAN', -2.006)
    table = repeat_noise().set_index('fidelity')
    pbe = np.sqrt((2 * 0.001**2 + 2 * 0.004**2) / 3)
    assert table.loc['PBE', 'energy_noise'] == pytest.approx(pbe)
    assert table.loc['PBE', 'groups'] == 2 and table.loc['PBE', 'energies'] == 5
    scan = np.hypot(0.003, 0.003)
    assert table.loc['SCAN', 'divergence_noise'] == pytest.approx(np.hypot(pbe, scan))
    assert np.isnan(table.loc['CCSD(T)', 'energy_noise']) and table.loc['CCSD(T)', 'groups'] == 0


def test_unconverged_calculations_are_found(pyscf_code, lithium_hydride, pyscf_parameters):
    """One that stopped after one cycle, with what it said; not one that converged."""
    from aiida.orm import Dict

    for scf in ({'max_cycle': 1}, {}):
        parameters = pyscf_parameters('PBE', scf=scf)
        inputs = {'code': pyscf_code, 'structure': lithium_hydride, 'parameters': Dict(parameters)}
        last = run_get_node(PyscfCellCalculation, **inputs)[1]
    assert last.is_finished_ok, last.exit_message
    table = unconverged()
    assert len(table) == 1 and table.status[0] == 410 and 'did not converge' in table.reason[0]

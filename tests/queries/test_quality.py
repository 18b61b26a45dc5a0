"""Noise of repeated energies, and calculations that did not converge."""

from __future__ import annotations

import numpy as np
import pytest
from aiida.engine import run_get_node
from click.testing import CliRunner

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.cli import main
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.queries.quality import repeat_noise, suspicious_labels, unconverged


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


def trained(results: dict, process_type: str = 'aiida.calculations:qagenai.train') -> int:
    """Store a training with these results and return its pk."""
    from aiida.common.links import LinkType
    from aiida.orm import CalcJobNode, Computer, Dict

    computer = Computer.collection.get(label='localhost')
    job = CalcJobNode(process_type=process_type, computer=computer)
    job.set_option('resources', {'num_machines': 1, 'num_mpiprocs_per_machine': 1})
    job.store()
    node = Dict(results)
    node.base.links.add_incoming(job, link_type=LinkType.CREATE, link_label='results')
    node.store()
    return int(job.pk)


def test_suspicious_labels_are_those_of_the_latest_training_that_names_them(aiida_profile_clean, aiida_localhost):
    """A label that two trainings name is listed once; doubtful ones have no distance."""
    label = {'identifier': '002-00017', 'level': 'fast:x', 'compared_with': None}
    trained({'outlying_labels': [{**label, 'cooks_distance': 0.3, 'residual': 0.9}]})
    mild = {**label, 'identifier': '002-00003', 'cooks_distance': 0.1, 'residual': -0.2}
    doubt = {'identifier': '001-00000', 'level': 'fast:x'}
    latest = trained(
        {'outlying_labels': [{**label, 'cooks_distance': 0.4, 'residual': 0.8}, mild], 'doubtful_labels': [doubt]}
    )
    trained({'metrics': {}})
    table = suspicious_labels()
    assert table['identifier'].tolist() == ['002-00017', '002-00003', '001-00000']
    assert table['kind'].tolist() == ['outlier', 'outlier', 'doubtful']
    assert table['training'].tolist() == [latest] * 3
    assert table['residual'].tolist()[:2] == [0.8, -0.2]
    output = CliRunner().invoke(main, ['dataset', 'suspicious', '--format', 'csv']).output
    assert '002-00017' in output


def test_without_trainings_nothing_is_suspicious(aiida_profile_clean):
    """The table is empty, and the command says so."""
    assert suspicious_labels().empty
    assert '0 labels' in CliRunner().invoke(main, ['dataset', 'suspicious']).output

"""A real cycle whose candidates are relaxed before their energies are computed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_qagenai.calculations.functions.ledger import open_ledger
from aiida_qagenai.calculations.models.train import ROLES, TrainCalculation
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.queries.costs import costs
from aiida_qagenai.queries.relaxations import relaxed_to
from aiida_qagenai.workchains.campaign.cycle import CycleWorkChain
from aiida_qagenai.workchains.protocols.energy import energy_settings

GAMMA = {'pyscf': {'energy': {'meshes': {'PBE': {'fixed': [1, 1, 1], 'shift': [0, 0, 0]}}}}}
SETTINGS = {
    'budget': 4,
    'generate': {'num_candidates': 12, 'max_atoms': 1, 'neutral_fraction': 0.0, 'steps': 10},
    'screen': {'max_e_above_hull': 100.0, 'hull_fidelity': 'PBE', 'stage': 'generation'},
    'select': {'num_clusters': 2, 'cap': 2, 'fraction': 1.0},
    'relax': {'engine': 'pyscf', 'protocol': 'pipeline', **GAMMA},
    **{'learn': {role: {'tune_steps': 4} for role in ROLES}},
}


@pytest.fixture
def state(aiida_profile_clean, ml_code, toy_labels):
    """Return what a cycle starts from: a training set with PBE only, models and atoms with made-up energies."""
    energies = toy_labels.energies.copy()
    energies[:, 1:] = np.nan
    settings = energy_settings('pipeline')
    level = settings.tag(Fidelity.PBE)
    labels = dataclasses.replace(toy_labels, energies=energies)
    dataset = DatasetData(labels, level_tags={'PBE': level}, formation_scheme='anchored', scientific=False).store()

    def train(role: str) -> orm.Data:
        parameters = orm.Dict({'role': role, 'steps': 60, 'seed': 1, 'batch_size': 16})
        node = run_get_node(TrainCalculation, code=ml_code, dataset=dataset, parameters=parameters)[1]
        assert node.is_finished_ok, node.exit_message
        return node.outputs.checkpoint

    def atom(symbol: str, total_energy: float) -> EnergyData:
        return EnergyData(
            fidelity='PBE',
            total_energy=total_energy,
            num_atoms=1,
            formula=symbol,
            chemical_system=symbol,
            converged=True,
            protocol='pipeline',
            level_tag=settings.tag(Fidelity.PBE, isolated=True),
            scientific=False,
            structure_uuid='a' * 32,
        )

    return {
        'dataset': dataset,
        'ledger': open_ledger(orm.Dict({'core_hours': {}})),
        'checkpoints': {role: train(role) for role in ROLES},
        'atomic_references': {'pbe': {'H': atom('H', -13.0), 'Li': atom('Li', -200.0)}},
    }


@pytest.mark.slow
def test_the_training_set_gets_what_was_relaxed(state, pyscf_code, ml_code):
    """Each energy is of a relaxed candidate, its geometry is what is learned, and every calculation is counted once."""
    builder = CycleWorkChain.get_builder_from_protocol(
        state=state,
        pyscf_code=pyscf_code,
        ml_code=ml_code,
        elements=['H', 'Li'],
        protocol='quickstart',
        overrides=SETTINGS,
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    (entry,) = outputs['state']['ledger']['cycles']
    ladder = next(child for child in node.called if child.process_label == 'LadderWorkChain')
    relaxed, energies = ladder.outputs.relaxed, ladder.outputs.energies
    computed = [child for child in ladder.called if child.process_label == 'EnergyWorkChain' and child.is_finished_ok]
    assert entry['relaxed'] == len(relaxed) >= 1
    assert entry['energies']['PBE'] == len(energies) == len(computed) == len(relaxed)
    assert entry['failed'] == sum(not child.is_finished_ok for child in ladder.called)
    assert entry['oracle_calls'] == len(ladder.inputs.structures)
    jobs = costs(node.pk).groupby('process')['core_hours'].sum()
    assert entry['core_hours']['pyscf'] == pytest.approx(jobs['PyscfCellCalculation'])
    assert entry['core_hours']['espresso'] == 0.0

    dataset = outputs['state']['dataset']
    assert len(dataset) == len(state['dataset']) + len(relaxed)
    learned = dataset.structures()
    rows = learned.identifiers.tolist()
    for label, structure in relaxed.items():
        candidate = ladder.inputs.structures[label]
        assert energies[f'{label}pbe'].content.structure_uuid == structure.uuid
        assert relaxed_to([structure.uuid]) == {structure.uuid: candidate.uuid}
        cell = learned.structure(rows.index(candidate.name)).lattice.matrix
        assert cell == pytest.approx(np.array(structure.cell), abs=1e-5)
        assert dataset.creator.inputs.relaxed[label].uuid == structure.uuid

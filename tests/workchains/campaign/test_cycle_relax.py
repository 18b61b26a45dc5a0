"""A real cycle whose candidates are relaxed before their energies are computed."""

from __future__ import annotations

import numpy as np
import pytest
from aiida.engine import run_get_node

from aiida_qagenai.calculations.models.train import ROLES
from aiida_qagenai.queries.costs import costs
from aiida_qagenai.queries.relaxations import relaxed_to
from aiida_qagenai.workchains.campaign.cycle import CycleWorkChain

GAMMA = {'pyscf': {'energy': {'meshes': {'PBE': {'fixed': [1, 1, 1], 'shift': [0, 0, 0]}}}}}
SETTINGS = {
    'budget': 4,
    'generate': {'num_candidates': 12, 'max_atoms': 1, 'neutral_fraction': 0.0, 'steps': 10},
    'screen': {'max_e_above_hull': 100.0, 'hull_fidelity': 'PBE', 'stage': 'generation'},
    'select': {'num_clusters': 2, 'cap': 2, 'fraction': 1.0},
    'relax': {'engine': 'pyscf', 'protocol': 'pipeline', **GAMMA},
    **{'learn': {role: {'tune_steps': 4} for role in ROLES}},
}


@pytest.mark.slow
def test_the_training_set_gets_what_was_relaxed(state, pyscf_code, ml_code):
    """Each energy is of a relaxed candidate, its geometry is what is learned, and every calculation is counted once."""
    builder = CycleWorkChain.get_builder_from_protocol(
        state=state,
        pyscf_code=pyscf_code,
        ml_code=ml_code,
        elements=['H', 'Li'],
        protocol='machinery',
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

    placed = outputs['hits']['levels']['PBE']
    assert sorted(placed['results']) == sorted(relaxed)
    assert entry['hits_by_level'] == {'PBE': len(placed['hits'])}
    assert entry['hits'] == len(outputs['hits']['hits'])
    assert outputs['hits'].creator.inputs.competing.uuid == state['dataset'].uuid

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

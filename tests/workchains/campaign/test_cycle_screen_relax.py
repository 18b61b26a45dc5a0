"""A real cycle whose candidates are relaxed on a potential before they are assessed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from fake_campaign import make_checkpoint
from untrained import write_untrained_validator

from aiida_qagenai.calculations.functions.ledger import open_ledger
from aiida_qagenai.calculations.models.train import ROLES
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.queries.integrity import check_integrity
from aiida_qagenai.workchains.campaign.cycle import CycleWorkChain
from aiida_qagenai.workchains.campaign.screening import potential_problem
from aiida_qagenai.workchains.protocols.campaign import campaign_settings, merge_settings
from aiida_qagenai.workchains.protocols.energy import energy_settings

CALLS = (LinkType.CALL_CALC, LinkType.CALL_WORK)

SETTINGS = {
    'budget': 4,
    'generate': {'num_candidates': 10, 'max_atoms': 2, 'motif_fraction': 0.6, 'neutral_fraction': 0.0, 'steps': 10},
    'screen': {'max_e_above_hull': 100.0, 'hull_fidelity': 'PBE', 'stage': 'generation', 'relax': 'chgnet'},
    'select': {'num_clusters': 2, 'cap': 1, 'fraction': 1.0},
    **{'learn': {role: {'tune_steps': 4} for role in ROLES}},
}


@pytest.mark.slow
def test_what_is_assessed_and_computed_is_relaxed(state, pyscf_code, ml_code):
    """Every candidate is predicted before and after, and the energies belong to the relaxed crystal."""
    pytest.importorskip('chgnet')
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
    called = {entry.link_label: entry.node for entry in node.base.links.get_outgoing(link_type=CALLS).all()}
    generated, relaxed = called['generate'].outputs.candidates, called['relax'].outputs.candidates
    assert sorted(generated) == sorted(relaxed) and len(relaxed) == 10
    left_out = called['filter'].outputs.result.get_dict()
    for label, after in relaxed.items():
        content = after.base.attributes.all
        assert content['relaxed_from'] == generated[label].uuid
        if after.name in left_out:
            assert content['relaxation_reason'] == left_out[after.name]
            assert after.cell == generated[label].cell
        first = called['predict'].outputs.predictions[label].content
        last = called['predictrelaxed'].outputs.predictions[label].content
        assert (first.candidate_uuid, last.candidate_uuid) == (generated[label].uuid, after.uuid)
        assert called['assess'].outputs.assessments[label].content.candidate_uuid == after.uuid
    counts = outputs['state']['ledger']['cycles'][0]['relaxation']
    assert sum(counts.values()) == 10 and counts['unrelaxed'] >= len(left_out) and counts['relaxed'] > 0
    # the known crystals of the system compete as they are relaxed, predicted by the same model
    known = called['known'].outputs.phases
    moved = called['relax'].outputs.competing
    assert moved.structures().identifiers.tolist() == known.structures().identifiers.tolist()
    assert np.abs(moved.structures().cells - known.structures().cells).max() > 1e-3
    assert called['predictrelaxed'].inputs.known_phases.uuid == called['assess'].inputs.known_phases.uuid == moved.uuid
    assert len(called['predictrelaxed'].outputs.arrays.get_array('competing_energies')) == len(moved) + len(
        state['dataset']
    )
    assert {gap['formula'] for gap in outputs['selection']['gaps']} == {'LiH'}
    # what was chosen is computed and learned as it was relaxed
    (label,) = outputs['selection']['selected']
    assert called['energies'].inputs.structures[label].uuid == relaxed[label].uuid
    dataset = outputs['state']['dataset'].structures()
    if relaxed[label].name in dataset.identifiers.tolist():
        row = dataset.identifiers.tolist().index(relaxed[label].name)
        np.testing.assert_allclose(dataset.cells[row], relaxed[label].cell, atol=1e-6)
    assert not check_integrity().faults


def test_a_potential_is_named_in_several_ways():
    """By its name, with options behind colons, or with all its keys; what does not exist is refused."""
    short = campaign_settings('fast', {'screen': {'relax': 'sevennet:mf-0:PBE'}}).screen.relax
    long = {'potential': {'name': 'sevennet', 'model': 'mf-0', 'modality': 'PBE'}, 'relaxation': {'max_steps': 20}}
    assert campaign_settings('fast', {'screen': {'relax': long}}).screen.relax.potential == short.potential
    precise = campaign_settings('precise', {'screen': {'relax': {'relaxation': {'max_steps': 20}}}}).screen.relax
    assert precise.potential.name == 'chgnet' and precise.relaxation.max_steps == 20
    complete = campaign_settings('precise').dump()
    assert merge_settings(complete, {'screen': {'relax': None}}).screen.relax is None
    assert merge_settings(complete, {'screen': {'relax': 'validator'}}).screen.relax.potential.name == 'validator'
    with pytest.raises(InvalidInputError, match='chgent'):
        campaign_settings('fast', {'screen': {'relax': 'chgent'}})


def test_a_missing_package_is_found_before_anything_is_computed(ml_code, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    problem = potential_problem(campaign_settings('fast', {'screen': {'relax': 'sevennet'}}), ml_code)
    assert problem is not None and 'pip install "aiida-qagenai[ml,sevennet]"' in problem
    assert potential_problem(campaign_settings('fast', {'screen': {'relax': 'validator'}}), ml_code) is None


SCRIPT = """import sys
from ase import Atoms
from ase.build import bulk
from ase.io import write

close = Atoms('LiH', positions=[(0, 0, 0), (0.3, 0, 0)], cell=[4, 4, 4], pbc=True)
salts = [bulk('LiH', 'rocksalt', a=edge) for edge in (4.3, 3.9)]
write('crystals.extxyz', [*salts, close, bulk('Li', 'bcc', a=3.5)])
"""


@pytest.mark.slow
def test_every_candidate_goes_through_whatever_the_potential_makes_of_it(
    ml_code, pyscf_code, python_code, tmp_path, toy_labels
):
    """The validator of the campaign relaxes, here one that learned nothing: nothing is lost, and levels are its own."""
    write_untrained_validator(tmp_path / 'validator', ('H', 'Li'))
    energies = toy_labels.energies.copy()
    energies[:, 1:] = np.nan
    tag = energy_settings('pipeline').tag(Fidelity.PBE)
    labels = dataclasses.replace(toy_labels, energies=energies)
    state = {
        'dataset': DatasetData(labels, level_tags={'PBE': tag}, formation_scheme='anchored', scientific=False).store(),
        'ledger': open_ledger(orm.Dict({'core_hours': {}})),
        'checkpoints': {
            'validator': CheckpointData(tmp_path / 'validator').store(),
            **{role: make_checkpoint(role, elements=('H', 'Li')).store() for role in ('descriptor', 'generator')},
        },
    }
    (tmp_path / 'propose.py').write_text(SCRIPT)
    program = {'program': 'toy', 'arguments': ['propose.py'], 'outputs': ['crystals.extxyz'], 'primitive': False}
    screen = {**SETTINGS['screen'], 'relax': 'validator', 'max_e_above_hull': 0.0}
    builder = CycleWorkChain.get_builder_from_protocol(
        state=state,
        pyscf_code=pyscf_code,
        ml_code=ml_code,
        generator_code=python_code('toy', 'qagenai.external_generate'),
        generator_files={'script': orm.SinglefileData(tmp_path / 'propose.py')},
        elements=['H', 'Li'],
        protocol='machinery',
        overrides={**SETTINGS, 'generate': {'max_atoms': 2, 'external': program}, 'screen': screen},
    )
    _, node = run_get_node(builder)
    called = {entry.link_label: entry.node for entry in node.base.links.get_outgoing(link_type=CALLS).all()}
    assert {'known', 'filter', 'predict', 'relax', 'predictrelaxed', 'assess'} <= set(called), node.exit_message
    relaxed = called['relax'].outputs.candidates
    assert called['relax'].inputs.checkpoint.uuid == state['checkpoints']['validator'].uuid
    assert len(relaxed) == 4 and list(called['filter'].outputs.result.get_dict()) == ['001-00002']
    tags = {each.base.attributes.get('relaxation_potential').split(':')[0] for each in relaxed.values()}
    assert tags == {'validator'}
    for label, after in relaxed.items():
        assert called['assess'].outputs.assessments[label].content.candidate_uuid == after.uuid
        assert called['predictrelaxed'].outputs.predictions[label].content.candidate_uuid == after.uuid
    assert called['assess'].outputs.assessments['c00002'].content.stopped_by == 'constraints'
    assert called['assess'].inputs.known_phases.uuid == called['relax'].outputs.competing.uuid
    assert {gap['formula'] for gap in node.outputs.selection['gaps']} == {'LiH'}
    assert not check_integrity().faults

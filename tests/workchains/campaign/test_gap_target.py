"""Cycles that ask for a band gap, and learn from the gaps that the campaign has computed."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from fake_campaign import make_checkpoint

from aiida_qagenai.calculations.models.train import ROLES
from aiida_qagenai.common.descriptors import FIELDS
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.queries import searches
from aiida_qagenai.workchains.campaign.cycle import CycleWorkChain
from aiida_qagenai.workchains.campaign.generator import sampled_generation
from aiida_qagenai.workchains.campaign.screening import prediction
from aiida_qagenai.workchains.protocols.campaign import campaign_settings

RUNTIME = {'seed': 1, 'device': 'cpu', 'dtype': 'float32', 'num_threads': 1}


@pytest.fixture
def inputs(aiida_profile_clean, ml_code, toy_labels):
    """Return what a cycle builds its jobs from."""
    dataset = DatasetData(
        toy_labels, level_tags={'PBE': 'a', 'SCAN': 'b', 'HSE06': 'c', 'CCSD(T)': 'd'}, formation_scheme='x'
    )
    checkpoints = {role: make_checkpoint(role) for role in ROLES}
    return {
        'ml_code': ml_code,
        'elements': orm.List(['H', 'Li']),
        'cycle': orm.Int(1),
        'state': {'dataset': dataset, 'checkpoints': checkpoints},
    }


@pytest.mark.parametrize(
    ('target', 'text'), [(None, None), ({'elf_high': 0.1}, 'elf_high=0.1'), ({'band_gap': 3.0}, 'band_gap=3')]
)
def test_a_target_reaches_the_generator_with_what_was_computed(inputs, target, text):
    """The motifs are asked for it, and the model that chooses them learns from the training set; else not."""
    settings = campaign_settings('machinery', {'generate': {'target': target}})
    builder = sampled_generation(inputs, settings, RUNTIME)
    motifs = [each for each in builder.parameters['requests'] if each['mode'] == 'motifs']
    assert {each.get('target') for each in motifs} == {text}
    assert ('labels' in builder) == bool(text) and (not text or builder.labels is inputs['state']['dataset'])
    # What no generator was conditioned on is not in its own target.
    assert builder.parameters['target'] == (target if text == 'band_gap=3' else None)


@pytest.mark.parametrize('head', [None, 'gaps', 'descriptors'])
def test_predicted_gaps_and_descriptors_learn_from_what_was_computed(inputs, head):
    candidates = DatasetData(inputs['state']['dataset'].structures())
    builder = prediction(inputs, candidates, {}, {**RUNTIME, **({head: True} if head else {})})
    assert ('labels' in builder) == bool(head)


@pytest.mark.slow
def test_a_cycle_computes_a_gap_and_learns_it(state, pyscf_code, ml_code):
    """Candidates have predicted gaps, the computed one is in the training set, and the search has both."""
    generate = {
        'num_candidates': 12,
        'max_atoms': 2,
        'motif_fraction': 1.0,
        'novelty': 0.0,
        'target': {'band_gap': 3.0},
    }
    overrides = {
        'budget': 4,
        'generate': generate,
        'screen': {'max_e_above_hull': 100.0, 'hull_fidelity': 'PBE', 'stage': 'generation'},
        'select': {'num_clusters': 2, 'cap': 1, 'fraction': 1.0},
        'learn': {
            'generator_every': 1,
            **{key: {'tune_steps': 4} for key in ('descriptor', 'validator')},
            'generator': {'start': 'nothing', 'size': 'tiny', 'tune_steps': 4},
        },
    }
    builder = CycleWorkChain.get_builder_from_protocol(
        pyscf_code=pyscf_code,
        ml_code=ml_code,
        elements=['H', 'Li'],
        protocol='machinery',
        state=state,
        overrides=overrides,
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    called = {child.process_label: child for child in node.called}
    for job in ('GenerateCalculation', 'PredictCalculation'):
        assert called[job].inputs.labels.uuid == state['dataset'].uuid
    labels = outputs['state']['dataset'].labels()
    assert len(labels) == len(state['dataset'].labels()) + 1
    gap = labels.descriptors[-1, FIELDS.index('band_gap')]
    tuned = {child.inputs.parameters['role'] for child in node.called if child.process_label == 'TrainCalculation'}
    assert gap > 0 and 'descriptor' in tuned
    table = searches.candidates(target='band_gap=3')
    assert table['band_gap_computed'].dropna().tolist() == pytest.approx([gap]) and table['band_gap'].notna().all()

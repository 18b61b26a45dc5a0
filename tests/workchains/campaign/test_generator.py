"""A program of others in the place of the generator."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from generators import PYXTAL_SCRIPT, VERSION, script

from aiida_qagenai.calculations.models.train import ROLES
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.workchains.campaign.campaign import CampaignWorkChain
from aiida_qagenai.workchains.campaign.cycle import CycleWorkChain
from aiida_qagenai.workchains.campaign.launch import continuation

OPTIONS = ['--composition', '{"Li": 1, "H": 1}', '--count', 12, '--seed', '{seed}', '--output', 'crystals.extxyz']
PYXTAL = {
    'program': 'PyXtal',
    'arguments': [PYXTAL_SCRIPT.name, *OPTIONS],
    'outputs': ['crystals.extxyz'],
    'version_arguments': ['-c', VERSION],
}
NOISE = {'motif_fraction': 0.0, 'max_atoms': 4}
SETTINGS = {
    'budget': 4,
    'generate': {'max_atoms': 2, 'external': PYXTAL},
    'screen': {'max_e_above_hull': 100.0, 'hull_fidelity': 'PBE', 'stage': 'generation'},
    'select': {'num_clusters': 2, 'cap': 1, 'fraction': 1.0},
    'learn': {'generator_every': 1, **{role: {'tune_steps': 4} for role in ROLES}},
}


@pytest.fixture
def common(pyscf_code, ml_code):
    """Return what every campaign is given."""
    return {'pyscf_code': pyscf_code, 'ml_code': ml_code, 'elements': ['H', 'Li'], 'protocol': 'machinery'}


@pytest.mark.slow
def test_program_proposes_the_candidates_of_a_cycle(state, common, python_code):
    """Its candidates are predicted, screened, computed and learned from; no model that samples is fine-tuned."""
    code = python_code('pyxtal', 'qagenai.external_generate')
    files = {'script': orm.SinglefileData(PYXTAL_SCRIPT)}
    builder = CycleWorkChain.get_builder_from_protocol(
        **common, state=state, overrides=SETTINGS, generator_code=code, generator_files=files
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    called = {child.process_label: child for child in node.called}
    generation = called['ExternalGenerateCalculation']
    assert generation.inputs.parameters['elements'] == ['H', 'Li'] and generation.inputs.parameters['max_atoms'] == 2
    assert generation.inputs.seed.value != 0 and generation.inputs.cycle.value == 1
    assert 'GenerateCalculation' not in called
    assert outputs['selection']['funnel']['generated'] == len(generation.outputs.candidates) > 1
    (entry,) = outputs['state']['ledger']['cycles']
    assert entry['selected'] == 1
    (label,) = outputs['selection']['selected']
    structure = called['LadderWorkChain'].inputs.structures[label]
    assert structure.uuid == generation.outputs.candidates[label].uuid
    tuned = [child.inputs.parameters['role'] for child in node.called if child.process_label == 'TrainCalculation']
    assert set(tuned) <= {'validator'}
    assert outputs['state']['checkpoints']['generator'].uuid == state['checkpoints']['generator'].uuid


def test_settings_and_code_belong_together(common, python_code):
    """A program without its settings, settings without a program, and colliding files are refused."""
    code = python_code('pyxtal', 'qagenai.external_generate')

    def build(**inputs):
        return CampaignWorkChain.get_builder_from_protocol(**common, **inputs)

    with pytest.raises(InvalidInputError, match=r'`generator_code` is given, but `generate\.external` is not'):
        build(generator_code=code)
    with pytest.raises(
        InvalidInputError, match=r'`generate\.external` needs `generator_code`, the code that runs PyXtal'
    ):
        build(overrides={'generate': {'external': PYXTAL}})
    with pytest.raises(InvalidInputError, match=r'the output `crystals\.extxyz` matches the input file'):
        files = {'a': script('', 'crystals.extxyz')}
        build(overrides={'generate': {'external': PYXTAL}}, generator_code=code, generator_files=files)
    with pytest.raises(InvalidInputError, match='the campaign limits the elements'):
        build(overrides={'generate': {'external': {**PYXTAL, 'max_atoms': 3}}}, generator_code=code)
    with pytest.raises(InvalidInputError, match='did you mean `arguments`'):
        build(overrides={'generate': {'external': {**PYXTAL, 'argument': []}}}, generator_code=code)


def test_a_continuation_keeps_the_program(common, python_code):
    """Code, files and settings are those of the campaign that ended; switched off, nothing is left of them."""
    builder = CampaignWorkChain.get_builder_from_protocol(
        **common,
        overrides=SETTINGS,
        generator_code=python_code('pyxtal', 'qagenai.external_generate'),
        generator_files={'script': orm.SinglefileData(PYXTAL_SCRIPT)},
    )
    node = instantiate_process(get_manager().get_runner(), builder).node
    builder = continuation(node, {}, {})
    assert builder.generator_code.label == 'pyxtal'
    assert builder.generator_files['script'].filename == PYXTAL_SCRIPT.name
    assert builder.parameters['generate']['external']['program'] == 'PyXtal'
    builder = continuation(node, {}, {'generate': {'external': None}})
    assert builder.parameters['generate']['external'] is None
    assert 'generator_code' not in builder and not builder.generator_files


@pytest.mark.parametrize(
    ('generate', 'expected'),
    [
        ({'geometry': {'constraints': ['coordination(Si,H)=4']}}, 'needs Si, but the campaign has only H, Li'),
        ({'geometry': {'constraints': ['coordination(Li,H)=x']}}, '`x` is not a value'),
        ({'geometry': {'constraints': ['coordination(Li,H)=4']}, 'external': PYXTAL}, 'not for PyXtal'),
        ({'mask': 'kagome(Si)', **NOISE}, r'`generate\.mask`: the mask holds Si, which the campaign does not have'),
        ({'mask': 'kagome(Li)'}, r'sampled from noise, but `motif_fraction` is 0\.5: set 0'),
        ({'mask': 'kagome(Li)', **NOISE, 'max_atoms': 2}, '`mask` holds 3 atoms, but `max_atoms` is 2'),
        ({'mask': 'kagome(Li)', **NOISE, 'external': PYXTAL}, 'not for PyXtal'),
        ({'mask': 'kagom(Li)', **NOISE}, 'did you mean `kagome`'),
    ],
)
def test_orders_that_cannot_act_are_refused_at_once(common, generate, expected):
    with pytest.raises(InvalidInputError, match=expected):
        CampaignWorkChain.get_builder_from_protocol(**common, overrides={'generate': generate})

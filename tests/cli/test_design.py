"""`aiida-qagenai design`: rounds of inverse design in a folder without a profile, and as nodes."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from aiida.common.links import LinkType
from aiida.orm import CalcFunctionNode, Dict, StructureData, WorkChainNode
from ase.build import bulk
from ase.io import read
from click.testing import CliRunner
from plumpy.process_states import ProcessState

from aiida_qagenai.cli.design import design
from aiida_qagenai.cli.design_files import design_files, parse_systems
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import QUANTITIES
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.data.energy import EnergyData


@pytest.mark.slow
def test_rounds_leave_a_table_and_the_crystals(tmp_path):
    """A row for every crystal; given again, the command writes the same."""
    pytest.importorskip('chgnet')
    arguments = ['Ti-C', 'V-N', '--target', 'bulk_modulus=250', '--output', str(tmp_path), '--rounds', '1']
    arguments += ['--per-round', '2', '--per-system', '3', '--max-atoms', '2', '--format', 'csv']
    result = CliRunner().invoke(design_files, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    text = (tmp_path / 'designed.csv').read_text()
    table, images = pd.read_csv(tmp_path / 'designed.csv'), read(tmp_path / 'designed.extxyz', ':')
    assert len(table) == len(images) == 2
    assert [image.info['formula'] for image in images] == table['formula'].tolist()
    assert {image.info['potential'] for image in images} == {'chgnet'}
    CliRunner().invoke(design_files, arguments, catch_exceptions=False)
    assert (tmp_path / 'designed.csv').read_text() == text


@pytest.mark.parametrize('arguments', [['files'], []])
def test_a_folder_needs_no_profile_and_no_name_of_a_command(arguments, tmp_path, monkeypatch):
    """The first form of the command, without `files`, still works."""
    asked = []
    monkeypatch.setattr('aiida_qagenai.api.inverse_design.design', lambda plan, *_: asked.append(plan) or [])
    command = [*arguments, 'Ti-C', '--target', 'bulk_modulus=250', '--output', str(tmp_path), '--rounds', '2']
    result = CliRunner().invoke(design, command, catch_exceptions=False)
    assert result.exit_code == 0 and '0 of 0 crystals are hits' in result.output
    assert asked[0].rounds == 2 and asked[0].systems == [('Ti', 'C')]


def test_what_is_wrong_is_said_before_anything_is_computed(tmp_path):
    arguments = ['Ti-C', '--target', 'bulk_modulus=250', '--output', str(tmp_path / 'out')]
    with pytest.raises(InvalidInputError, match='unknown potential `sevenet`: did you mean `sevennet`'):
        CliRunner().invoke(design, [*arguments, '--judge', 'sevenet'], catch_exceptions=False)
    with pytest.raises(InvalidInputError, match='unknown potential `foo`: it is chgnet, sevennet, validator, emt'):
        CliRunner().invoke(design, [*arguments, '--potential', 'foo'], catch_exceptions=False)
    assert not (tmp_path / 'out').exists()
    result = CliRunner().invoke(design, arguments[:3])
    assert result.exit_code == 2 and "Missing option '--output'" in result.output


def test_a_misspelt_command_is_not_taken_for_a_chemical_system():
    result = CliRunner().invoke(design, ['shw', '12'])
    assert result.exit_code == 2 and 'No such command' in result.output


def test_chemical_systems_are_checked():
    assert parse_systems(['Re-W', 'C']) == [('Re', 'W'), ('C',)]
    with pytest.raises(InvalidInputError, match="'Xx'"):
        parse_systems(['Re-Xx'])
    with pytest.raises(InvalidInputError, match='an element stands twice in the chemical system W-W'):
        parse_systems(['W-W'])


def test_a_run_gets_what_was_asked_for(run, python_code, monkeypatch):
    """The generator of the package is stored, and options and settings reach the work chain."""
    builders = []

    def launch(builder, family, *, label, watch):
        builders.append((builder, family, label))
        return WorkChainNode().store()

    monkeypatch.setattr('aiida_qagenai.cli.design.launch', launch)
    code = python_code('ml', 'qagenai.generate')
    arguments = ['design', 'run', 'Re-W', 'Os-Re', '--code', code.pk, '--label', 'hard', '--target']
    options = ['--rounds', 2, '--potential', 'emt', '--judge', 'chgnet', '--set', 'per_round=3', '--protocol', 'fast']
    assert 'next: aiida-qagenai design show' in run(*arguments, 'bulk_modulus=350', *options).stdout
    builder, family, label = builders[0]
    settings = builder.parameters.get_dict()
    assert (family, label, builder.generator.label) == ('design', 'hard', 'foundation')
    assert settings['systems'] == [['Re', 'W'], ['Os', 'Re']] and settings['target'] == 'bulk_modulus=350'
    assert (settings['rounds'], settings['per_round'], settings['per_system']) == (2, 3, 10)
    assert settings['elastic']['potential']['name'] == 'emt' and settings['judge']['name'] == 'chgnet'
    assert 'no potential computes band gaps' in run(*arguments, 'band_gap=1', *options, status=1).output


@pytest.fixture
def rounds(aiida_profile_clean):
    """Return a running process with a round of two crystals, one of which is unstable."""
    node = WorkChainNode()
    node.set_process_label('InverseDesignWorkChain')
    potentials = {'elastic': {'potential': {'name': 'chgnet'}}, 'judge': {'name': 'sevennet'}}
    parameters = Dict({'target': 'bulk_modulus=350', **potentials}).store()
    node.base.links.add_incoming(parameters, link_type=LinkType.INPUT_WORK, link_label='parameters')
    node.store()
    node.set_process_state(ProcessState.WAITING)
    about = {'structure_uuid': 'x', 'num_atoms': 2, 'potential': 'emt'}
    numbers = {'bulk_modulus_vrh': 342.0, 'mechanically_stable': True, 'tensor': [[1.0] * 6] * 6}
    inputs = {
        'chosen': Dict({'rows': [4, 2], 'predicted': [351.0, 333.0]}),
        'r0n000': ElasticData(formula='ReW', chemical_system='Re-W', has_tensor=True, **numbers, **about),
        'r0n001': ElasticData(formula='OsRe', chemical_system='Os-Re', has_tensor=False, reason='exploded', **about),
    }
    summed = {'computed': {'r0n000': 342.0, 'r0n001': None}, 'stable': 1, 'within': ['r0n000'], 'hits': ['r0n000']}
    errors = {'error_target': 0.023, 'error_predicted': 0.026}
    hull = {'e_above_hull': {'r0n000': 0.04, 'r0n001': None}, 'hull': {'r0n000': 'complete, 9 phases', 'r0n001': ''}}
    called(node, 'summary0', inputs, {**summed, **errors, **hull})
    judged = {'computed': {'r0n000': 301.0}, 'stable': 1, 'error_target': 0.14, 'within': [], 'hits': []}
    called(node, 'judgement0', {}, judged)
    return node


def called(node, label, inputs, result):
    """Let a process have called a function that has ended."""
    call = CalcFunctionNode()
    for name, value in inputs.items():
        call.base.links.add_incoming(value.store(), link_type=LinkType.INPUT_CALC, link_label=name)
    call.base.links.add_incoming(node, link_type=LinkType.CALL_CALC, link_label=label)
    call.store()
    result = Dict(result)
    result.base.links.add_incoming(call, link_type=LinkType.CREATE, link_label='result')
    result.store()
    call.set_process_state(ProcessState.FINISHED)
    call.set_exit_status(0)


def test_before_the_first_prediction_there_is_no_map(rounds, run, tmp_path):
    result = run('design', 'show', rounds.pk, '--plot', str(tmp_path / 'map.svg'), status=1)
    assert f'process {rounds.pk} has no predictions yet' in result.output


def test_dft_needs_to_be_asked_for(run, python_code):
    code = python_code('ml', 'qagenai.generate')
    arguments = ['design', 'run', 'Re-W', '--code', code.pk, '--target', 'bulk_modulus=350', '--dft-protocol', 'fast']
    assert '--dft-set need --dft' in run(*arguments, status=2).output


def test_rounds_of_a_run_are_shown_while_it_runs(rounds, run):
    shown = run('design', 'show', rounds.pk).stdout
    assert '351.000' in shown and '342.000' in shown and 'exploded' in shown
    assert 'bulk_modulus=350 GPa, chgnet, judged by sevennet' in shown and 'complete, 9 phases' in shown
    assert '1 of 2 within the window, 1 stable, 1 hit, 0 by the judge, mean error 2 %, by the judge 14 %' in shown
    assert f'process {rounds.pk}: waiting' in shown
    (first,) = json.loads(run('design', 'show', rounds.pk, '--format', 'json').stdout)
    assert (first['error_target'], first['judged_error']) == (0.023, 0.14)
    assert [each['within'] for each in first['crystals']] == [True, False]


def test_hits_per_dft_call_are_those_of_the_judge(rounds, run):
    """The only hit by the potential is none by the judge."""
    about = {'formula': 'ReW', 'chemical_system': 'Re-W', 'num_atoms': 2, 'structure_uuid': 'x', 'converged': True}
    level = {'fidelity': 'PBE', 'level_tag': 'fast:toy', 'protocol': 'fast', 'scientific': True}
    formation = {'formation_energy_per_atom': -0.12, 'formation_scheme': 'self_consistent'}
    energy = EnergyData(total_energy=-10.0, **about, **level, **formation).store()
    energy.base.links.add_incoming(rounds, link_type=LinkType.RETURN, link_label='energies__r0n000pbe')
    shown = run('design', 'show', rounds.pk).stdout
    assert 'hits per DFT call: 0.00 (round 0 0 of 1)' in shown and '-0.120' in shown


def test_all_targets_are_listed(run):
    listed = {row['name']: row for row in json.loads(run('design', 'targets', '--format', 'json').stdout)}
    assert set(listed) == set(QUANTITIES) and listed['density']['window'] == '± 5 %'


def test_the_best_hit_by_the_judge_may_have_no_value_by_the_potential(rounds, run):
    """Of two, the second is unstable by the potential, and has the modulus by the judge."""
    crystal = StructureData(ase=bulk('W')).store()
    crystal.base.links.add_incoming(rounds, link_type=LinkType.RETURN, link_label='relaxed__r0n001')
    called(rounds, 'judgement0again', {}, {'computed': {'r0n001': 350.0}, 'error_target': 0.0, 'hits': ['r0n001']})
    shown = run('design', 'show', rounds.pk).stdout
    assert f'to strain the best hit by DFT: aiida-qagenai elastic dft {crystal.pk}' in shown

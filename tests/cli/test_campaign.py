"""Settings on the command line, and bad input before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiida.orm import WorkChainNode
from click.testing import CliRunner

from aiida_qagenai.cli.constraining import ordered_generation
from aiida_qagenai.cli.params import parse_settings, read_options
from aiida_qagenai.cli.root import main
from aiida_qagenai.common.errors import InvalidInputError

QUICK = ['Li', 'H', '--protocol', 'machinery']


def test_settings_are_nested_and_typed():
    """Dots nest, values are read as YAML."""
    settings = parse_settings(('budget=80', 'generate.steps=20', 'seed_set.labels={SCAN: 3}'))
    assert settings == {'budget': 80, 'generate': {'steps': 20}, 'seed_set': {'labels': {'SCAN': 3}}}


@pytest.mark.parametrize('text', ['budget', '=3', 'budget=[1'])
def test_what_is_no_setting_is_refused(text):
    """The message shows how to write one."""
    with pytest.raises(InvalidInputError):
        parse_settings((text,))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['Xx', 'H'], 'unknown element'),
        (['Li', 'H', '--set', 'budget=-1'], 'budget'),
        (['Li', 'H', '--set', 'bugdet=1'], 'bugdet'),
        (['Li', 'H', '--protocol', 'fats'], 'unknown protocol `fats` of campaigns'),
        (['U', 'H'], 'no pseudopotential gth-pbe with a basis for U'),
        (
            [*QUICK, '--set', 'relax.engine=espresso', '--relax-code', 'ml@localhost'],
            'needs a code of quantumespresso.pw',
        ),
        ([*QUICK, '--set', 'relax.engine=pyscf', '--relax-code', 'ml@localhost'], 'ml is of qagenai.train'),
        ([*QUICK, '--relax-code', 'pyscf@localhost'], '`relax_code` is given, but `relax` is not'),
        ([*QUICK, '--relax-code', 'pw@localhost'], 'no code `pw@localhost`'),
        ([*QUICK, '--generator-code', 'ml@localhost'], '`generator_code` is given, but `generate.external` is not'),
        ([*QUICK, '--mask', 'kagome(Si)'], 'the mask holds Si, which the campaign does not have'),
        ([*QUICK, '--mask', 'square(Li)', '--set', 'generate.motif_fraction=0.5'], 'are sampled from noise'),
        ([*QUICK, '--constrain', 'coordination(Li,Si)=4'], 'needs Si, but the campaign has only H, Li'),
        ([*QUICK, '--generator-file', __file__], '`generator_files` is given, but `generate.external` is not'),
    ],
)
def test_bad_campaigns_are_refused_before_anything_is_computed(pyscf_code, ml_code, arguments, message):
    """One line that says what is wrong, exit status 1, and no process in the profile."""
    from aiida.orm import ProcessNode, QueryBuilder

    codes = ['--pyscf-code', 'pyscf@localhost', '--ml-code', 'ml@localhost']
    result = CliRunner().invoke(main, ['campaign', 'run', *arguments, *codes])
    assert result.exit_code == 1, result.output
    assert message in result.output
    assert QueryBuilder().append(ProcessNode).count() == 0


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('program: x\noutputs: [a.cif]', '`generate.external` needs `generator_code`, the code that runs x'),
        ('program: x\noutput: [a.cif]', 'unknown key `generate.external.output`: did you mean `outputs`?'),
        ('program: [', 'cannot be read'),
        ('program', 'must hold the parameters of a program by their names'),
    ],
)
def test_bad_parameters_of_a_program_are_refused(pyscf_code, ml_code, tmp_path, content, message):
    """The message names the file or the parameter."""
    file = tmp_path / 'program.yaml'
    file.write_text(content)
    codes = ['--pyscf-code', 'pyscf@localhost', '--ml-code', 'ml@localhost']
    result = CliRunner().invoke(main, ['campaign', 'run', *QUICK, *codes, '--generator-parameters', str(file)])
    assert result.exit_code == 1, result.output
    assert message in ' '.join(result.output.split())


def test_parameters_of_a_program(pyscf_code, ml_code, tmp_path, monkeypatch):
    """The campaign gets the code, the file and the parameters, which `--set` may change."""
    builders = []

    def launch(builder, label):
        builders.append(builder)
        return WorkChainNode()

    monkeypatch.setattr('aiida_qagenai.workchains.campaign.launch.launch_campaign', launch)
    file = tmp_path / 'program.yaml'
    file.write_text('program: x\noutputs: [a.cif]\n')
    codes = ['--pyscf-code', 'pyscf@localhost', '--ml-code', 'ml@localhost', '--generator-code', 'ml@localhost']
    program = ['--generator-parameters', str(file), '--generator-file', __file__]
    changes = ['--set', 'generate.external.min_structures=3', '--no-follow']
    result = CliRunner().invoke(main, ['campaign', 'run', *QUICK, *codes, *program, *changes])
    assert result.exit_code == 0, result.output
    (builder,) = builders
    external = builder.parameters['generate']['external']
    assert (external['program'], external['outputs'], external['min_structures']) == ('x', ['a.cif'], 3)
    assert builder.generator_code.label == 'ml'
    assert [node.filename for node in builder.generator_files.values()] == ['test_campaign.py']


def test_unknown_campaign_is_one_line(aiida_profile_clean):
    """Continuing what does not exist names the command that lists what does."""
    result = CliRunner().invoke(main, ['campaign', 'continue', '123456'])
    assert result.exit_code == 1
    assert 'aiida-qagenai campaign list' in result.output


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('pyscf: {queue: cpu}', 'unknown scheduler options in section `pyscf`'),
        ('gpu: {}', 'any of pyscf, models, relax'),
        ('relax: {queue: cpu}', 'unknown scheduler options in section `relax`'),
        ('relax: {queue_name: cpu}', '`relax_options` is given, but `relax` is not'),
        ('pyscf: [', 'cannot be read'),
        (None, 'cannot be read'),
    ],
)
def test_bad_options_of_the_scheduler_are_refused(pyscf_code, ml_code, tmp_path, content, message):
    """A misspelt option is found now, not when the first job is submitted."""
    path = tmp_path / 'options.yaml'
    if content:
        path.write_text(content)
    codes = ['--pyscf-code', 'pyscf@localhost', '--ml-code', 'ml@localhost', '--options', str(path)]
    result = CliRunner().invoke(main, ['campaign', 'run', *QUICK, *codes])
    assert result.exit_code == 1, result.output
    assert message in ' '.join(result.output.split())


def test_the_example_of_scheduler_options_is_read():
    """The template of the how-to holds what AiiDA knows."""
    options = read_options(Path(__file__).parents[2] / 'examples' / 'cluster' / 'options.yaml')
    assert options['ml_options']['custom_scheduler_commands'] == '#SBATCH --gpus=1'
    assert options['pyscf_options']['queue_name'] == 'cpu'


def test_a_dry_run_shows_the_scripts_of_the_jobs(run, pyscf_code, ml_code):
    """Nothing is started; options that the scheduler refuses are an error."""
    from aiida.orm import ProcessNode, QueryBuilder

    codes = ['--pyscf-code', 'pyscf@localhost', '--ml-code', 'ml@localhost']
    output = run('campaign', 'run', *QUICK, *codes, '--dry-run').output
    assert 'jobs of PySCF on localhost, by core.direct' in output and "'script.py'" in output
    assert "'aiida_qagenai.ml' 'train'" in output and 'nothing was started' in output
    assert QueryBuilder().append(ProcessNode).count() == 0


def test_a_dry_run_refuses_what_the_scheduler_does(run, pyscf_code, ml_code, tmp_path):
    """A memory that is no number is refused before anything is started."""
    options = tmp_path / 'options.yaml'
    options.write_text('pyscf:\n  max_memory_kb: much\n')
    codes = ['--pyscf-code', 'pyscf@localhost', '--ml-code', 'ml@localhost', '--options', str(options)]
    result = run('campaign', 'run', *QUICK, *codes, '--dry-run', status=1)
    assert 'the jobs of PySCF were refused' in result.output


def test_an_order_becomes_settings_of_the_generation():
    """Around held atoms is sampled from noise."""
    settings = ordered_generation(('coordination(Li,H)=6',), 'square(Li)')['generate']
    assert settings['geometry'] == {'constraints': ['coordination(Li,H)=6']}
    assert settings['mask']['species'] == ['Li'] and settings['motif_fraction'] == 0
    assert ordered_generation((), None) == {}

"""The divergence of proposed crystals by a trained validator."""

import json

import pytest
from click.testing import CliRunner
from untrained import write_untrained_generator, write_untrained_validator

from aiida_qagenai.cli.generate import generate
from aiida_qagenai.common.errors import QagenaiError


@pytest.fixture(scope='module')
def validator(tmp_path_factory):
    """Return the folder of a validator of two elements that has learned nothing."""
    folder = tmp_path_factory.mktemp('untrained') / 'validator'
    write_untrained_validator(folder, ('Na', 'Cl'))
    return folder


def run(*arguments):
    """Run the command without refinement."""
    return CliRunner().invoke(
        generate, [str(argument) for argument in (*arguments, '--no-refine')], catch_exceptions=False
    )


def test_the_divergence_and_its_uncertainty_stand_in_the_table(validator):
    records = json.loads(run('NaCl', '--count', 2, '--validator', validator, '--format', 'json').stdout)
    assert all(record['divergence'] >= 0 and record['divergence_sigma'] > 0 for record in records)
    assert len({record['divergence'] for record in records}) == 2


def test_an_element_that_the_validator_does_not_know_is_marked(validator):
    result = run('KCl', '--count', 1, '--validator', validator, '--format', 'table')
    assert 'σ(D)' in result.stdout and '1 are unlike all that it was trained on' in result.stdout


def test_another_checkpoint_is_refused_with_its_role(tmp_path):
    write_untrained_generator(tmp_path / 'generator', ('Na', 'Cl'))
    with pytest.raises(QagenaiError, match='validator'):
        run('NaCl', '--count', 1, '--validator', tmp_path / 'generator')

"""Checkpoints taken into the profile."""

from __future__ import annotations

import pytest
from aiida.orm import QueryBuilder
from click.testing import CliRunner

from aiida_qagenai.cli.root import main
from aiida_qagenai.data.checkpoint import CheckpointData


@pytest.mark.parametrize('given', ['foundation', 'folder'])
def test_import_says_what_a_checkpoint_is_and_stores_it_once(aiida_profile_clean, foundation, given):
    """By its name or its folder, it is the same node."""
    arguments = ['model', 'import', given if given == 'foundation' else str(foundation)]
    first, second = (CliRunner().invoke(main, arguments) for _ in range(2))
    assert first.exit_code == second.exit_code == 0, first.output + second.output
    node = QueryBuilder().append(CheckpointData).one()[0]
    assert node.label == 'foundation'
    what = f'generator crystal-diffusion-base, {node.info.num_parameters:,} parameters, 8 elements'
    assert first.output.strip() == f'checkpoint {node.pk} stored: {what}'
    assert second.output.strip() == f'checkpoint {node.pk} is stored: {what}'


def test_what_is_not_a_checkpoint(aiida_profile_clean, tmp_path):
    """A folder that does not exist, and one without the files, are named."""
    for folder, message in (('nowhere', 'there is no folder `nowhere`'), (str(tmp_path), 'is not a checkpoint')):
        result = CliRunner().invoke(main, ['model', 'import', folder])
        assert result.exit_code == 1 and message in ' '.join(result.output.split())

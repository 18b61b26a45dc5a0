"""`aiida-qagenai elastic`: tensors of files without a profile, and those of the profile."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from aiida.common.links import LinkType
from aiida.orm import WorkChainNode
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from click.testing import CliRunner
from plumpy.process_states import ProcessState

from aiida_qagenai.cli.elastic_files import elastic_files
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.elastic import ElasticData


def compute(*arguments):
    return CliRunner().invoke(elastic_files, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def crystals(tmp_path):
    """Return a file with copper, overlapping atoms and sodium, which EMT does not know."""
    path = tmp_path / 'crystals.extxyz'
    double = Atoms('Cu2', positions=[(0, 0, 0), (0.001, 0, 0)], cell=[3, 3, 3], pbc=True)
    write(path, [bulk('Cu'), double, bulk('Na', 'fcc', a=4.0)])
    return path


@pytest.mark.slow
def test_tensors_of_files(crystals, tmp_path):
    output = tmp_path / 'results'
    result = compute(crystals, '--potential', 'emt', '--output', output)
    assert result.exit_code == 0 and '1 of 3 crystals have a tensor' in result.stdout
    table = pd.read_csv(output / 'elastic.csv')
    assert table['bulk_modulus_vrh'][0] == pytest.approx(134.5, abs=1) and bool(table['mechanically_stable'][0])
    assert table['reason'].notna().tolist() == [False, True, True]
    tensors = json.loads((output / 'tensors.json').read_text())
    assert tensors[0]['formula'] == 'Cu' and tensors[0]['tensor_ieee'][0][0] == pytest.approx(172.5, abs=1)
    assert read(output / 'relaxed.extxyz', 0).info['potential'] == 'emt'
    assert compute(crystals, '--potential', 'emt', '--output', output).exit_code == 0
    with pytest.raises(InvalidInputError, match='the results of another command'):
        compute(crystals, '--potential', 'emt', '--output', output, '--strain', '0.005')


@pytest.fixture(scope='module')
def node(toy):
    """Return a finished run with a tensor and a failure."""
    node = WorkChainNode()
    node.set_process_label('ElasticWorkChain')
    node.store()
    about = {'structure_uuid': 'x', 'num_atoms': 1, 'potential': 'emt'}
    numbers = {'bulk_modulus_vrh': 134.5, 'mechanically_stable': True, 'tensor': [[1.0] * 6] * 6}
    outputs = {
        'cu': ElasticData(formula='Cu', chemical_system='Cu', has_tensor=True, **about, **numbers),
        'na': ElasticData(formula='Na', chemical_system='Na', has_tensor=False, reason='unknown to emt', **about),
    }
    for name, output in outputs.items():
        output.store().base.links.add_incoming(node, link_type=LinkType.RETURN, link_label=f'elastic__{name}')
    node.set_exit_status(0)
    node.set_process_state(ProcessState.FINISHED)
    node.seal()
    return node


def test_tensors_of_a_run(node, run):
    shown = run('elastic', 'show', node.pk).stdout
    assert '134.500' in shown and 'unknown to emt' in shown and '2 structures' in shown
    (copper, _) = json.loads(run('elastic', 'show', node.pk, '--format', 'json').stdout)
    assert copper['tensor'][5][5] == 1.0


def test_tensors_are_searched(node, run):
    found = json.loads(run('elastic', 'list', '--min-bulk-modulus', 100, '--stable', '--format', 'json').stdout)
    assert [each['formula'] for each in found] == ['Cu']
    assert '0 elastic tensors' in run('elastic', 'list', '--max-bulk-modulus', 100).stdout


def test_a_record_has_a_tensor_or_a_reason():
    about = {'structure_uuid': 'x', 'formula': 'Cu', 'chemical_system': 'Cu', 'num_atoms': 1, 'potential': 'emt'}
    with pytest.raises(InvalidInputError, match='either a tensor or the reason'):
        ElasticData(has_tensor=True, **about)

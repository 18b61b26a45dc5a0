"""The parser of PySCF calculations: every ending has its exit code, and nothing partial becomes a result."""

from __future__ import annotations

import json

import pytest
from aiida.common.links import LinkType
from aiida.orm import CalcJobNode, Dict, FolderData

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.parsers.pyscf_cell import EXIT_LABELS, PyscfCellParser

FINISHED = {
    'status': 'finished',
    'message': '',
    'fidelity': 'PBE',
    'scf_converged': True,
    'total_energy': -219.1,
    'components': {'one_electron': -219.1},
    'wall_seconds': 3.6,
    'core_hours': 0.001,
    'warnings': [],
}


@pytest.fixture
def parse(localhost):
    """Return a function that parses a calculation with the given retrieved files."""

    def run(files: dict[str, str], *, exit_status: int | None = None, temporary=None, inputs=None):
        node = CalcJobNode(computer=localhost, process_type='aiida.calculations:qagenai.pyscf_cell')
        node.set_option('resources', {'num_machines': 1, 'num_mpiprocs_per_machine': 1})
        node.set_option('scheduler_stderr', '_scheduler-stderr.txt')
        for label, value in (inputs or {}).items():
            node.base.links.add_incoming(value.store(), link_type=LinkType.INPUT_CALC, link_label=label)
        node.store()
        if exit_status is not None:
            node.set_exit_status(exit_status)
            node.set_exit_message('from the scheduler')
        retrieved = FolderData()
        for name, content in files.items():
            retrieved.base.repository.put_object_from_bytes(content.encode(), name)
        retrieved.base.links.add_incoming(node, link_type=LinkType.CREATE, link_label='retrieved')
        retrieved.store()
        arguments = {} if temporary is None else {'retrieved_temporary_folder': str(temporary)}
        parser = PyscfCellParser(node)
        exit_code = parser.parse(**arguments)
        return exit_code, parser.outputs

    return run


def status_of(label: str) -> int:
    """Return the number of an exit code."""
    return getattr(PyscfCellCalculation.exit_codes, label).status


def test_finished(parse):
    """A finished calculation gives its results."""
    exit_code, outputs = parse({'results.json': json.dumps(FINISHED), 'aiida.out': ''})
    assert exit_code is None
    assert outputs['results']['total_energy'] == -219.1
    assert 'descriptors' not in outputs


def test_descriptors_are_an_output_of_their_own(parse):
    """Only known fields that could be computed are kept."""
    results = {**FINISHED, 'descriptors': {'band_gap': 3.1, 'elf_0': 0.4, 'chi0_q_min': None, 'unknown': 1.0}}
    _, outputs = parse({'results.json': json.dumps(results)})
    assert outputs['descriptors'].get_dict() == {'band_gap': 3.1, 'elf_0': 0.4}
    assert 'descriptors' not in outputs['results'].get_dict()


@pytest.mark.parametrize(('status', 'label'), EXIT_LABELS.items())
def test_each_ending_has_its_exit_code(parse, status, label):
    """A failure keeps what is known of it, its cost above all, and ends in its own exit code."""
    exit_code, outputs = parse({'results.json': json.dumps({'status': status, 'message': 'why', 'core_hours': 0.2})})
    assert exit_code.status == status_of(label)
    assert outputs['results']['core_hours'] == 0.2
    assert 'total_energy' not in outputs['results'].get_dict()


@pytest.mark.parametrize('status', ['running', 'killed', 'out_of_walltime', 'exception'])
def test_energy_of_an_unfinished_calculation_is_not_kept(parse, status):
    """Killed in the descriptors, after the energy: nothing partial is stored."""
    results = {**FINISHED, 'status': status, 'total_energy_hartree': -8.05, 'components': {'ewald': 1.0}}
    _, outputs = parse({'results.json': json.dumps(results)})
    assert set(outputs['results'].get_dict()) == {*FINISHED, 'stage'} - {'total_energy', 'components'}


@pytest.mark.parametrize(
    'content',
    [
        '',
        '{"status": "finished", "total_energy": -2',
        '[]',
        '{"status": "great"}',
        '{"status": "running", "timings": 1}',
    ],
)
def test_damaged_results_are_no_results(parse, content):
    """A truncated or foreign file gives an error and no output."""
    exit_code, outputs = parse({'results.json': content, 'aiida.out': ''})
    assert exit_code.status == status_of('ERROR_OUTPUT_RESULTS_UNREADABLE')
    assert not outputs


@pytest.mark.parametrize('energy', ['NaN', 'Infinity', 'null', '"-8.05"'])
def test_energy_must_be_finite(parse, energy):
    """`finished` with an energy that is not a number is a failure of its own."""
    content = json.dumps(FINISHED).replace('-219.1', energy)
    exit_code, outputs = parse({'results.json': content})
    assert exit_code.status == status_of('ERROR_ENERGY_NOT_FINITE')
    assert 'total_energy' not in outputs['results'].get_dict()


@pytest.mark.parametrize(
    ('files', 'label'),
    [
        ({}, 'ERROR_OUTPUT_STDOUT_MISSING'),
        ({'aiida.out': ''}, 'ERROR_OUTPUT_RESULTS_MISSING'),
        ({'_scheduler-stderr.txt': 'slurmstepd: error: Detected 1 oom-kill event(s)'}, 'ERROR_OUT_OF_MEMORY'),
    ],
)
def test_missing_results(parse, files, label):
    """What is missing says why."""
    exit_code, outputs = parse(files)
    assert exit_code.status == status_of(label)
    assert not outputs


def test_killed_for_memory(parse):
    """Results left unfinished and a scheduler that tells of memory: out of memory, with the cost so far."""
    running = {'status': 'running', 'core_hours': 1.5}
    exit_code, outputs = parse({'results.json': json.dumps(running), '_scheduler-stderr.txt': 'Out Of Memory'})
    assert exit_code.status == status_of('ERROR_OUT_OF_MEMORY')
    assert outputs['results']['core_hours'] == 1.5


@pytest.mark.parametrize('content', [json.dumps({'status': 'running'}), json.dumps(FINISHED), ''])
def test_exit_code_of_the_scheduler_stays(parse, content):
    """The scheduler knows that the walltime was exceeded; a missing or partial file does not override it."""
    exit_code, _ = parse({'results.json': content}, exit_status=120)
    assert (exit_code.status, exit_code.message) == (120, 'from the scheduler')


def test_checkpoint_of_a_failure_is_kept(parse, tmp_path):
    """An SCF that did not converge can be continued."""
    (tmp_path / 'checkpoint.chk').write_bytes(b'density')
    _, outputs = parse({'results.json': json.dumps({'status': 'scf_not_converged'})}, temporary=tmp_path)
    assert outputs['checkpoint'].get_content(mode='rb') == b'density'
    _, outputs = parse({'results.json': json.dumps(FINISHED)}, temporary=tmp_path)
    assert 'checkpoint' not in outputs


@pytest.mark.parametrize(('status', 'name'), [('finished', 'relaxed'), ('out_of_walltime', 'last_geometry')])
def test_geometry_of_a_relaxation(parse, lithium_hydride, status, name):
    """Only the end of a finished relaxation is the relaxed structure; what was reached before can be continued."""
    cell = [[0.0, 2.1, 2.1], [2.1, 0.0, 2.1], [2.1, 2.1, 0.0]]
    geometry = {'cell': cell, 'positions': [[0, 0, 0], [2.1, 2.1, 2.2]], 'ionic_steps': 3}
    relaxation = {'energies': [-219.0, -219.1], 'max_forces': [0.1, 0.01]}
    forces = {'forces': [[0.0, 0.0, 0.01]] * 2, 'relaxation': relaxation}
    content = {**FINISHED, **forces, 'status': status, 'geometry': geometry}
    inputs = {'structure': lithium_hydride, 'parameters': Dict({'relax': {'freedom': 'cell'}})}
    _, outputs = parse({'results.json': json.dumps(content), 'aiida.out': ''}, inputs=inputs)
    assert {'relaxed', 'last_geometry'} & set(outputs) == {name}
    assert outputs[name].cell == cell
    assert [site.kind_name for site in outputs[name].sites] == ['Li', 'H']
    assert outputs[name].sites[1].position == (2.1, 2.1, 2.2)
    assert ('forces' in outputs['results']) == (status == 'finished')

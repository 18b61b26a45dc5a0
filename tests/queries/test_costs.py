"""What processes cost: every job under them counts once, whatever became of it."""

from __future__ import annotations

import pytest
from aiida.common.links import LinkType
from aiida.orm import CalcJobNode, Dict, WorkChainNode

from aiida_qagenai.cli.root import main
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.queries.costs import core_hours, costs, count_cores, sum_costs

ENERGY = {'core_hours': 0.5, 'wall_seconds': 900.0, 'memory_mb': 2000.0, 'method': 'CCSD', 'fidelity': 'CCSD(T)'}
TRAINING = {'timings': {'wall_seconds': 60.0, 'cpu_seconds': 72.0}, 'peak_memory_mb': 500.0, 'task': 'train'}


@pytest.fixture
def tree(aiida_profile_clean, localhost):
    """Return a work chain that called a training, and another one with two energies: one failed, one was cached."""

    def job(caller, label: str, process: str, status: int, results: dict | None):
        node = CalcJobNode(computer=localhost)
        node.set_option('resources', {'num_machines': 1})
        node.set_process_label(process)
        node.set_exit_status(status)
        node.base.links.add_incoming(caller, LinkType.CALL_CALC, label)
        node.store()
        if results is not None:
            output = Dict(results)
            output.base.links.add_incoming(node, LinkType.CREATE, 'results')
            output.store()
        return node

    root = WorkChainNode().store()
    ladder = WorkChainNode()
    ladder.base.links.add_incoming(root, LinkType.CALL_WORK, 'energies')
    ladder.store()
    job(root, 'train', 'TrainCalculation', 0, TRAINING)
    job(ladder, 'a', 'PyscfCellCalculation', 401, ENERGY)
    job(ladder, 'b', 'PyscfCellCalculation', 0, {**ENERGY, 'memory_mb': 3000.0})
    job(ladder, 'c', 'PyscfCellCalculation', 303, None)
    cached = job(ladder, 'd', 'PyscfCellCalculation', 0, ENERGY)
    cached.base.extras.set('_aiida_cached_from', 'somewhere')
    return root, ladder


def test_every_job_is_listed_once(tree):
    """With the path of its calls; what came from the cache costs nothing, what left no results is not known."""
    table = costs(tree[0].pk).set_index('path')
    assert set(table.index) == {'train', 'energies/a', 'energies/b', 'energies/c', 'energies/d'}
    assert table['core_hours'].fillna(-1).to_dict() == {
        'train': pytest.approx(0.02),
        'energies/a': 0.5,
        'energies/b': 0.5,
        'energies/c': -1,
        'energies/d': 0.0,
    }
    assert table.loc['train', 'memory_mb'] == 500.0 and table.loc['train', 'what'] == 'train'


def test_the_ledger_counts_the_same(tree):
    """By what was run: energies, relaxations by pw.x, of which there are none, and models."""
    assert core_hours(tree[0].pk) == {'pyscf': 1.0, 'espresso': 0.0, 'potential': 0.0, 'ml': pytest.approx(0.02)}


def test_sums(tree):
    """Hours add up, failed jobs count, memory is the largest."""
    sums = sum_costs(costs(tree[1].pk)).set_index('what').loc['CCSD']
    assert (sums['jobs'], sums['failed'], sums['core_hours'], sums['memory_mb']) == (3, 1, 1.0, 3000.0)


def test_a_job_has_a_cost_of_its_own(tree):
    """A single calculation is a process as well."""
    pk = int(costs(tree[0].pk).query('path == "train"')['pk'].iloc[0])
    assert costs(pk)['core_hours'].tolist() == [pytest.approx(0.02)]


@pytest.mark.parametrize(
    ('resources', 'cores'),
    [
        ({'num_machines': 1}, 1),
        ({'num_machines': 2, 'num_mpiprocs_per_machine': 8}, 16),
        ({'num_machines': 2, 'num_mpiprocs_per_machine': 4, 'num_cores_per_mpiproc': 3}, 24),
        ({'num_machines': 2, 'num_mpiprocs_per_machine': 4, 'num_cores_per_machine': 16}, 32),
        ({'num_machines': 2, 'tot_num_mpiprocs': 12}, 12),
        ({'parallel_env': 'mpi', 'tot_num_mpiprocs': 6}, 6),
    ],
)
def test_cores_of_a_job(resources, cores):
    """As schedulers count them: machines, processes on each, cores for each."""
    assert count_cores(resources) == cores


def test_nothing_but_processes_costs(tree):
    """A node that computed nothing is refused, and one that is not there."""
    with pytest.raises(InvalidInputError, match='only processes cost'):
        costs(Dict({}).store().pk)
    with pytest.raises(InvalidInputError, match='no node'):
        costs(10**9)


def test_command(tree):
    """The table of sums ends with the total."""
    from click.testing import CliRunner

    result = CliRunner().invoke(main, ['cost', str(tree[0].pk)])
    assert result.exit_code == 0, result.output
    assert result.output.endswith('5 jobs, 1.020 core hours\n')

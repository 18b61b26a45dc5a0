"""The restarts of PySCF calculations: every handler changes what the next attempt does, and says so."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.common import AttributeDict
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from plumpy import ProcessState

from aiida_qagenai.calculations.functions.energy import cost_fields
from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.calculations.pyscf.results import PyscfResults
from aiida_qagenai.workchains.energy.base import CC_DAMPING, MOMENT_AIDS, SCF_AIDS, SPIN_AIDS, PyscfCellBaseWorkChain

EXIT_CODES = PyscfCellCalculation.exit_codes


@pytest.fixture
def start(pyscf_code, lithium_hydride, pyscf_parameters):
    """Return a factory of work chains that were set up and have not run anything."""

    def create(fidelity: str = 'PBE', options: dict | None = None, separate_triples: bool = False, **changes):
        inputs = {
            'code': pyscf_code,
            'structure': lithium_hydride,
            'parameters': orm.Dict(pyscf_parameters(fidelity, **changes)),
            'metadata': {'options': {'max_wallclock_seconds': 100, **(options or {})}},
        }
        runner, more = get_manager().get_runner(), {'separate_triples': orm.Bool(separate_triples)}
        process = instantiate_process(runner, PyscfCellBaseWorkChain, pyscf=inputs, **more)
        process.setup()
        return process

    return create


@pytest.fixture
def fail(pyscf_code):
    """Return a factory of calculations that failed with an exit code."""

    def create(exit_code, *, saved: bool = False, checkpoint: bool = False, **results):
        node = orm.CalcJobNode(computer=pyscf_code.computer, process_type='aiida.calculations:qagenai.pyscf_cell')
        node.set_option('resources', {'num_machines': 1, 'num_mpiprocs_per_machine': 1})
        node.set_process_state(ProcessState.FINISHED)
        node.set_exit_status(exit_code.status)
        node.set_exit_message(exit_code.message)
        node.store()
        outputs = {
            'remote_folder': orm.RemoteData(remote_path='/tmp/none', computer=pyscf_code.computer),
            'results': orm.Dict({'status': 'failed', 'amplitudes_saved': saved, **results}),
        }
        if checkpoint:
            outputs['checkpoint'] = orm.SinglefileData.from_string('density', filename='checkpoint.chk')
        for label, output in outputs.items():
            output.base.links.add_incoming(node, link_type=LinkType.CREATE, link_label=label)
            output.store()
        return node

    return create


def parameters_of(process) -> dict:
    """Return the parameters of the next attempt."""
    parameters = process.ctx.inputs.parameters
    return parameters.get_dict() if isinstance(parameters, orm.Dict) else parameters


def test_scf_aids_follow_each_other(start, fail):
    """Damping, level shift, second order; then the failure is final."""
    process, seen = start(), []
    for _ in SCF_AIDS:
        report = process.handle_scf_not_converged(
            fail(EXIT_CODES.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED, checkpoint=True)
        )
        assert report.do_break and report.exit_code.status == 0
        assert process.ctx.inputs.checkpoint.get_content() == 'density'
        seen.append({key: parameters_of(process)['scf'].get(key) for key in ('damping', 'level_shift', 'second_order')})
    assert seen == [
        {'damping': 0.5, 'level_shift': None, 'second_order': None},
        {'damping': 0.0, 'level_shift': 0.3, 'second_order': None},
        {'damping': 0.0, 'level_shift': 0.0, 'second_order': True},
    ]
    last = process.handle_scf_not_converged(fail(EXIT_CODES.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED))
    assert last.exit_code.status == EXIT_CODES.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED.status


def test_aids_of_two_spins_are_stronger(start, fail):
    """They are damped from the beginning."""
    process, seen = start(spin_polarized=True, scf={'damping': 0.5}), []
    for _ in SPIN_AIDS:
        process.handle_scf_not_converged(fail(EXIT_CODES.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED))
        seen.append({key: parameters_of(process)['scf'].get(key) for key in ('damping', 'level_shift', 'second_order')})
    assert [one['damping'] for one in seen] == [0.8, 0.5, 0.0]
    assert [one['level_shift'] for one in seen] == [None, 0.5, 0.0] and seen[-1]['second_order']


def test_no_second_order_with_fractional_occupations(start, fail):
    """With smearing the last aid is a stronger mixture, and the width stays: it decides the energy."""
    process = start(scf={'smearing': 0.005})
    for _ in SCF_AIDS:
        process.handle_scf_not_converged(fail(EXIT_CODES.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED))
    scf = parameters_of(process)['scf']
    assert not scf.get('second_order') and scf['smearing'] == 0.005
    assert (scf['damping'], scf['level_shift']) == (0.7, 0.5)


def test_lost_moments_begin_larger(start, fail):
    """Not from the density that lost them, and with the spin of the cell that the first moments had."""
    process, seen = start(spin_polarized=True, moments=[1.0, -0.5]), []
    for _ in MOMENT_AIDS:
        node = fail(EXIT_CODES.ERROR_MAGNETIC_COLLAPSE, checkpoint=True, spin=0)
        assert process.handle_magnetic_collapse(node).exit_code.status == 0
        values = parameters_of(process)
        seen.append((values['moments'], values['spin'], values['scf']['damping'], values['scf']['level_shift']))
        assert 'checkpoint' not in process.ctx.inputs
    assert seen == [([1.5, -0.75], 0, 0.5, 0.5), ([2.0, -1.0], 0, 0.8, 0.0)]
    last = process.handle_magnetic_collapse(fail(EXIT_CODES.ERROR_MAGNETIC_COLLAPSE))
    assert last.exit_code.status == EXIT_CODES.ERROR_MAGNETIC_COLLAPSE.status


def test_coupled_cluster_continues_from_amplitudes(start, fail):
    """Smaller steps and more of them, from where it stopped; then the failure is final."""
    process = start('CCSD(T)', cc={'max_cycle': 10})
    for attempt, damping in enumerate(CC_DAMPING, start=1):
        node = fail(EXIT_CODES.ERROR_COUPLED_CLUSTER_NOT_CONVERGED, saved=True)
        process.handle_cc_not_converged(node)
        cc = parameters_of(process)['cc']
        assert (cc['damping'], cc['max_cycle']) == (damping, 10 * 2**attempt)
        assert process.ctx.inputs.restart_folder.uuid == node.outputs.remote_folder.uuid
    last = process.handle_cc_not_converged(fail(EXIT_CODES.ERROR_COUPLED_CLUSTER_NOT_CONVERGED))
    assert last.exit_code.status == EXIT_CODES.ERROR_COUPLED_CLUSTER_NOT_CONVERGED.status


def test_memory(start, fail):
    """First nothing is kept on the grid, then the memory doubles twice, in the script and at the scheduler."""
    process, seen = start(options={'max_memory_kb': 1000}, max_memory_mb=500), []
    for _ in range(3):
        process.handle_out_of_memory(fail(EXIT_CODES.ERROR_OUT_OF_MEMORY))
        values = parameters_of(process)
        options = process.ctx.inputs.metadata.options
        seen.append((values['cache_orbitals'], values['max_memory_mb'], options['max_memory_kb']))
    assert seen == [(False, 500, 1000), (False, 1000, 2000), (False, 2000, 4000)]
    last = process.handle_out_of_memory(fail(EXIT_CODES.ERROR_SCHEDULER_OUT_OF_MEMORY))
    assert last.exit_code.status == EXIT_CODES.ERROR_SCHEDULER_OUT_OF_MEMORY.status


def test_walltime(start, fail):
    """What was saved is continued; where nothing was, the time doubles."""
    process = start('CCSD(T)')
    process.handle_out_of_walltime(fail(EXIT_CODES.ERROR_SCHEDULER_OUT_OF_WALLTIME))
    assert process.ctx.inputs.metadata.options['max_wallclock_seconds'] == 200
    node = fail(EXIT_CODES.ERROR_OUT_OF_WALLTIME, saved=True)
    process.handle_out_of_walltime(node)
    assert process.ctx.inputs.restart_folder.uuid == node.outputs.remote_folder.uuid
    assert process.ctx.inputs.metadata.options['max_wallclock_seconds'] == 200


@pytest.mark.parametrize(
    ('results', 'seconds'),
    [
        # 95 s of 100 are gone and 20 s of them in (T): continued from the amplitudes the rest fits into 100 s.
        ({'stage': '(T)', 'walltime_needed_seconds': 130.0, 'timings': {'HF': 20.0, 'CCSD': 55.0}}, 100),
        ({'stage': '(T)', 'walltime_needed_seconds': 400.0, 'timings': {'HF': 20.0, 'CCSD': 55.0}}, 390),
        # The amplitudes were used already: the same again would end at the same place.
        ({'stage': '(T)', 'restarted_from_amplitudes': True}, 200),
        ({'stage': 'integrals', 'restarted_from_amplitudes': True}, 200),
        ({'stage': 'CCSD', 'restarted_from_amplitudes': True, 'cycles_before_walltime': 9}, 100),
        ({'stage': 'CCSD', 'restarted_from_amplitudes': True, 'cycles_before_walltime': 1}, 200),
        # Local CCSD(T): a job has to finish one fragment at least, if it begins with them.
        ({'stage': 'fragments', 'num_new_fragments': 0}, 100),
        ({'stage': 'fragments', 'restarted_from_fragments': 0, 'num_new_fragments': 0}, 200),
        ({'stage': 'fragments', 'restarted_from_fragments': 1, 'num_new_fragments': 1}, 100),
    ],
)
def test_walltime_grows_where_as_much_again_would_not_do(start, fail, results, seconds):
    """(T) and the integrals have to fit into one job, and every job has to get somewhere."""
    process = start('CCSD(T)')
    process.handle_out_of_walltime(fail(EXIT_CODES.ERROR_OUT_OF_WALLTIME, saved=True, **results))
    assert process.ctx.inputs.metadata.options['max_wallclock_seconds'] == seconds


def test_a_relaxation_continues_where_it_got(start, fail, lithium_hydride):
    """The last geometry becomes the structure of the next attempt."""
    process = start(relax={'max_force': 0.01})
    node = fail(EXIT_CODES.ERROR_OUT_OF_WALLTIME, cycles_before_walltime=4)
    reached = lithium_hydride.clone()
    reached.base.links.add_incoming(node, link_type=LinkType.CREATE, link_label='last_geometry')
    reached.store()
    assert process.handle_out_of_walltime(node).do_break
    assert process.ctx.inputs.structure.uuid == reached.uuid


@pytest.mark.parametrize('label', ['ERROR_KILLED', 'ERROR_SCHEDULER_NODE_FAILURE'])
def test_killed_continues_from_the_checkpoint(start, fail, label):
    """A lost node or process costs what was not saved; the third time it is given up."""
    process = start()
    for _ in range(2):
        node = fail(EXIT_CODES[label], checkpoint=True)
        assert process.handle_killed(node).exit_code.status == 0
        assert process.ctx.inputs.checkpoint.uuid == node.outputs.checkpoint.uuid
    assert process.handle_killed(fail(EXIT_CODES[label])).exit_code.status == EXIT_CODES[label].status


@pytest.mark.parametrize(
    'label',
    [
        'ERROR_INVALID_INPUT',
        'ERROR_OUTPUT_RESULTS_UNREADABLE',
        'ERROR_SCRIPT_EXCEPTION',
        'ERROR_MEMORY_ESTIMATE',
        'ERROR_ENERGY_NOT_FINITE',
        'ERROR_METALLIC',
        'ERROR_VARYING_OCCUPATION',
        'ERROR_COMPLEX_TRIPLES',
        'ERROR_OPEN_SHELL',
    ],
)
def test_unrecoverable_failures_end_at_once(start, fail, label):
    """The work chain ends with the exit code of the calculation after one attempt."""
    process = start()
    process.ctx.iteration = 1
    process.ctx.children = [fail(EXIT_CODES[label])]
    assert process.inspect_process().status == EXIT_CODES[label].status


@pytest.mark.parametrize(
    'label',
    [
        'ERROR_SCHEDULER_OUT_OF_WALLTIME',
        'ERROR_SCHEDULER_OUT_OF_MEMORY',
        'ERROR_SCHEDULER_NODE_FAILURE',
        'ERROR_KILLED',
    ],
)
def test_failures_of_the_machine_are_recoverable(start, fail, label):
    """What the scheduler ended is tried again."""
    process = start()
    process.ctx.iteration = 1
    process.ctx.children = [fail(EXIT_CODES[label])]
    assert process.inspect_process().status == 0
    assert not process.ctx.is_finished


def test_a_grid_that_loses_electrons_is_refined(start, fail):
    """Twice, from what was asked for; then the calculation is given up."""
    process = start()
    meshes = []
    for _ in range(2):
        assert process.handle_coarse_grid(fail(EXIT_CODES.ERROR_INTEGRATION)).exit_code.status == 0
        meshes.append(list(process.parameters.grid_mesh))
    assert meshes == [[29, 29, 29], [35, 35, 35]]
    report = process.handle_coarse_grid(fail(EXIT_CODES.ERROR_INTEGRATION))
    assert report.exit_code.status == EXIT_CODES.ERROR_INTEGRATION.status


@pytest.mark.slow
def test_a_coarse_grid_is_refined_for_real(pyscf_code, lithium_hydride, pyscf_parameters):
    """The second calculation integrates all electrons."""
    parameters = orm.Dict(pyscf_parameters('PBE', grid_mesh=[13, 13, 13]))
    inputs = {'code': pyscf_code, 'structure': lithium_hydride, 'parameters': parameters}
    outputs, node = run_get_node(PyscfCellBaseWorkChain, pyscf=inputs)
    assert node.is_finished_ok, node.exit_message
    first, *others = sorted(node.called_descendants, key=lambda child: child.ctime)
    assert first.exit_status == EXIT_CODES.ERROR_INTEGRATION.status and others
    assert abs(outputs['results']['integration_error']) <= 1e-4


def test_given_parameters_are_not_touched(start, fail):
    """The inputs of the work chain stay what they were."""
    process = start()
    before = dict(process.inputs.pyscf.parameters.get_dict())
    process.handle_scf_not_converged(fail(EXIT_CODES.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED))
    assert process.inputs.pyscf.parameters.get_dict() == before
    assert isinstance(process.ctx.inputs, AttributeDict)


def test_recovery_for_real(pyscf_code, lithium_hydride, pyscf_parameters):
    """CCSD that needs more iterations than allowed finishes in a second calculation, from the amplitudes."""
    parameters = orm.Dict(pyscf_parameters('CCSD(T)', kmesh=[1, 1, 2], cc={'max_cycle': 4}))
    inputs = {'code': pyscf_code, 'structure': lithium_hydride, 'parameters': parameters}
    outputs, node = run_get_node(PyscfCellBaseWorkChain, pyscf=inputs)
    assert node.is_finished_ok, node.exit_message
    first, *_, last = sorted(node.called_descendants, key=lambda child: child.ctime)
    assert first.exit_status == EXIT_CODES.ERROR_COUPLED_CLUSTER_NOT_CONVERGED.status
    assert last.inputs.restart_folder.creator.exit_status == first.exit_status
    assert outputs['results']['restarted_from_amplitudes'] and outputs['results']['cc_converged']


@pytest.mark.slow
def test_triples_in_a_calculation_of_their_own(python_code, lithium_hydride, pyscf_parameters):
    """CCSD, then (T) from its amplitudes: the energy of one calculation, and the cost of both."""
    code = python_code('pyscf', 'qagenai.pyscf_cell')
    parameters = orm.Dict(pyscf_parameters('CCSD(T)', kmesh=[1, 1, 2]))
    whole = compute(code, lithium_hydride, parameters)[-1].outputs.results
    first, last = compute(code, lithium_hydride, parameters, separate_triples=orm.Bool(True))
    ccsd, triples = first.outputs.results, last.outputs.results
    assert [one['method'] for one in (ccsd, triples)] == ['CCSD', '(T)']
    assert triples['total_energy'] == pytest.approx(whole['total_energy'], abs=1e-7)
    assert set(triples['components']) == set(whole['components'])
    # Written with the amplitudes, before the job of CCSD ended.
    assert 0.5 * ccsd['core_hours'] < triples['earlier']['core_hours'] <= ccsd['core_hours']
    cost = cost_fields([PyscfResults.parse(triples.get_dict())])
    assert cost['core_hours'] == triples['core_hours'] + triples['earlier']['core_hours']
    assert cost['memory_mb'] == max(triples['memory_mb'], triples['earlier']['memory_mb'])


def test_lost_amplitudes_are_made_again_once(start, fail):
    """A scratch folder was cleaned between CCSD and (T): all of it in one go, then the failure is final."""
    process = start('CCSD(T)', separate_triples=True)
    assert parameters_of(process)['method'] == 'CCSD'
    process.ctx.inputs.restart_folder = fail(EXIT_CODES.ERROR_KILLED).outputs.remote_folder
    lost = fail(EXIT_CODES.ERROR_AMPLITUDES_LOST)
    assert process.handle_amplitudes_lost(lost).exit_code.status == 0
    assert parameters_of(process)['method'] == 'CCSD(T)' and 'restart_folder' not in process.ctx.inputs
    assert process.handle_amplitudes_lost(lost).exit_code.status == EXIT_CODES.ERROR_AMPLITUDES_LOST.status


def test_only_what_has_triples_is_split(start):
    """A functional is refused before anything runs."""
    with pytest.raises(ValueError, match='not for PBE of a crystal'):
        start('PBE', separate_triples=True)


DEATHS = {
    'HF': """
from pyscf.pbc.scf import khf
dump, calls = khf.KSCF.dump_chk, []
def dump_chk(self, *args):
    dump(self, *args)
    calls.append(1)
    len(calls) == 3 and die()
khf.KSCF.dump_chk = dump_chk
""",
    'CCSD': """
replace, calls = os.replace, []
def replace_and_die(source, target):
    replace(source, target)
    calls.extend([1] * (target == 'amplitudes.h5'))
    len(calls) == 3 and die()
os.replace = replace_and_die
""",
    '(T)': """
from pyscf.pbc.cc import kccsd_t_rhf
slices, calls = kccsd_t_rhf.get_data_slices, []
def get_data_slices(*args):
    calls.append(1)
    len(calls) == 2 and die()
    return slices(*args)
kccsd_t_rhf.get_data_slices = get_data_slices
""",
}
"""What kills the process, once, in the middle of each stage."""


@pytest.mark.slow
def test_killed_at_any_stage(python_code, lithium_hydride, pyscf_parameters, tmp_path):
    """Killed in the SCF, in CCSD and in (T), the work chain resumes each time: same energy, no stage done twice."""
    tight = {'conv_tol': 1e-11, 'conv_tol_normt': 1e-8}
    changes = {'kmesh': [1, 1, 2], 'kmesh_shift': [0.5] * 3, 'scf': {'conv_tol': 1e-11}, 'cc': tight}
    parameters = orm.Dict(pyscf_parameters('CCSD(T)', checkpoint_interval_seconds=0, **changes))
    expected = compute(python_code('undisturbed', 'qagenai.pyscf_cell'), lithium_hydride, parameters)[-1]

    for stage, code in DEATHS.items():
        folder = tmp_path / stage
        folder.mkdir()
        marker = f'{str(folder / "done")!r}'
        die = f'def die():\n    os.path.exists({marker}) or (open({marker}, "w").close(), os.kill(os.getpid(), 9))\n'
        (folder / 'sitecustomize.py').write_text(f'import os\n{die}{code}', encoding='utf-8')
        prepend = f'export OMP_NUM_THREADS=1 PYTHONPATH={folder!s:}'.replace('(', r'\(').replace(')', r'\)')
        killer = python_code(f'killed-in-{stage[:3]}'.replace('(', ''), 'qagenai.pyscf_cell', prepend)
        first, last = compute(killer, lithium_hydride, parameters)
        assert first.exit_status == EXIT_CODES.ERROR_KILLED.status
        assert first.outputs.results['stage'] == stage and 'total_energy' not in first.outputs.results.get_dict()
        found = last.outputs.results.get_dict()
        difference = found['total_energy_hartree'] - expected.outputs.results['total_energy_hartree']
        assert abs(difference) < 1e-8
        assert found.get('restarted_from_checkpoint', False) == (stage == 'HF')
        assert found.get('restarted_from_amplitudes', False) == (stage != 'HF')
        assert ('CCSD' in found['timings']) == (stage != '(T)')


def compute(code, structure, parameters, **more) -> list:
    """Run the work chain to a good end and return its calculations in their order."""
    inputs = {'code': code, 'structure': structure, 'parameters': parameters}
    node = run_get_node(PyscfCellBaseWorkChain, pyscf=inputs, **more)[1]
    assert node.is_finished_ok, node.exit_message
    children = [child for child in node.called_descendants if isinstance(child, orm.CalcJobNode)]
    return sorted(children, key=lambda child: child.ctime)

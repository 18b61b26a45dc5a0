"""Free energies and barriers from the command line: what is chosen, what is shown, what is refused."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from aiida.common.links import LinkType
from aiida.orm import ArrayData, CalcJobNode, Computer, Dict, InstalledCode, QueryBuilder, StructureData, WorkChainNode
from ase.build import bulk
from plumpy.process_states import ProcessState

from aiida_qagenai.cli.progress import count_jobs
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.finite_temperature import CURVES, BarrierData, FreeEnergyData, GibbsHullData

KELVIN = [0.0, 100.0, 200.0, 300.0]


def finished(label: str, outputs: dict[str, object]) -> WorkChainNode:
    """Return a finished work chain with outputs."""
    node = WorkChainNode()
    node.set_process_label(label)
    node.store()
    for name, output in outputs.items():
        output.base.links.add_incoming(node, link_type=LinkType.RETURN, link_label=name)
    node.set_exit_status(0)
    node.set_process_state(ProcessState.FINISHED)
    node.seal()
    return node


def free_energy(formula: str, stable: bool = True) -> FreeEnergyData:
    """Return a free energy; without curves where modes are imaginary."""
    curves = {name: [0.5 - 1e-4 * kelvin for kelvin in KELVIN] if stable else [] for name in CURVES}
    return FreeEnergyData(
        formula=formula,
        chemical_system=formula,
        num_atoms=1,
        potential='emt',
        level_tag='emt:0',
        static_energy_per_atom=0.47,
        dynamically_stable=stable,
        lowest_frequency=0.0 if stable else -1.2,
        imaginary_fraction=0.0 if stable else 0.1,
        max_force=0.0,
        max_stress=0.0,
        expansion_300k=4.5e-5 if stable else None,
        temperatures=KELVIN if stable else [],
        remarks=[] if stable else ['dynamically unstable'],
        **curves,
    )


@pytest.fixture(scope='module')
def runs(toy):
    """Return a run of free energies and one of barriers."""
    bands = ArrayData()
    frequencies = np.linspace(-1.0, 5.0, 12).reshape(4, 3)
    for name, values in {
        'band_distances': np.array([0.0, 0.5, 0.5, 1.0]),
        'band_frequencies': frequencies,
        'band_ticks': np.array([0.0, 0.5, 1.0]),
        'dos_frequencies': np.linspace(-1, 5, 9),
        'dos': np.ones(9),
    }.items():
        bands.set_array(name, values)
    bands.base.attributes.set('band_labels', ['Γ', 'X|L', 'W'])
    hull = GibbsHullData(
        formula='Cu',
        chemical_system='Cu',
        level_tag='emt:0',
        temperatures=KELVIN,
        e_above_hull=[0.02, 0.01, 0.0, 0.0],
        decomposition_energy=[0.02, 0.01, -0.01, -0.02],
        decomposition=[{'Cu': 1.0}] * 4,
        stability=['metastable', 'metastable', 'stable', 'stable'],
        complete=True,
        e_above_hull_0k=0.02,
        e_above_hull_300k=0.0,
        stable_at=[200.0, 300.0],
    )
    outputs = {
        'free_energies__s000Cu': free_energy('Cu'),
        'free_energies__s001Al': free_energy('Al', stable=False),
        'phonons__s001Al': bands,
        'hulls__s000Cu': hull,
    }
    barrier = BarrierData(
        formula='Al31',
        chemical_system='Al',
        num_atoms=31,
        potential='emt',
        barrier_forward=0.4,
        barrier_reverse=0.4,
        reaction_energy=0.0,
        path_length=3.0,
        saddle=1,
        max_force=0.01,
        steps=20,
        single_barrier=True,
        energies=[0.0, 0.4, 0.0],
        distances=[0.0, 1.5, 3.0],
    )
    hops = Dict({'hop00': {'length': 2.82, 'multiplicity': 12, 'num_atoms': 31}})
    for node in (*outputs.values(), barrier, hops):
        node.store()
    return (
        finished('FreeEnergyWorkChain', outputs),
        finished('BarrierWorkChain', {'barriers__hop00': barrier, 'hops': hops}),
    )


@pytest.fixture(scope='module')
def code(toy):
    """Return the name of a code that nothing runs here."""
    code = InstalledCode(
        label='atoms',
        computer=QueryBuilder().append(Computer).first(flat=True),
        filepath_executable=sys.executable,
        default_calc_job_plugin='qagenai.free_energy',
    ).store()
    return code.full_label


def test_free_energies_are_shown(runs, run):
    result = run('free-energy', 'show', runs[0].pk)
    assert 'dynamically unstable' in result.stdout
    rows = {row['label']: row for row in json.loads(run('free-energy', 'show', runs[0].pk, '--format', 'json').stdout)}
    assert rows['s000Cu']['e_above_hull_0k'] == 0.02
    assert rows['s000Cu']['expansion_linear_300k'] == pytest.approx(15)
    assert rows['s001Al']['dynamically_stable'] is False
    assert rows['s001Al']['e_above_hull_0k'] is None


def test_pictures(runs, run, tmp_path):
    """All four are images of a size that holds something, and the imaginary branch is drawn in red."""
    from matplotlib.image import imread

    run('free-energy', 'show', runs[0].pk, '--plot-gibbs', tmp_path / 'gibbs.png', '--plot-hull', tmp_path / 'hull.png')
    run('free-energy', 'show', runs[0].pk, '--plot-phonons', tmp_path / 'phonons.png')
    run('barrier', 'show', runs[1].pk, '--plot', tmp_path / 'path.png')
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ['gibbs.png', 'hull.png', 'path.png', 'phonons-s001Al.png']
    for name in names:
        assert imread(tmp_path / name).std() > 0.01
    image = imread(tmp_path / 'phonons-s001Al.png')
    red = (image[..., 0] > 0.7) & (image[..., 1] < 0.35) & (image[..., 2] < 0.25)
    assert red.sum() > 20
    assert 'ends in' in run('barrier', 'show', runs[1].pk, '--plot', tmp_path / 'path.gif', status=1).output


def test_phonons_are_a_figure_of_their_own(runs, run, tmp_path):
    """The phonons of the only structure that has some are written as named; a run without any is refused."""
    path = tmp_path / 'bands.svg'
    assert f'written: {path}' in run('plot', 'phonons', runs[0].pk, '--output', path).stdout
    assert '<svg' in path.read_text()
    page, numbers = tmp_path / 'bands.html', tmp_path / 'bands.csv'
    run('plot', 'phonons', runs[0].pk, '--output', page)
    run('plot', 'phonons', runs[0].pk, '--output', numbers)
    assert '<svg' in page.read_text() and 'lowest (THz)' in page.read_text()
    assert numbers.read_text().startswith('distance,branch,frequency\n')
    empty = finished('FreeEnergyWorkChain', {})
    assert 'has no phonons' in run('plot', 'phonons', empty.pk, '--output', path, status=1).output


def test_barriers_are_shown(runs, run):
    assert 'Al31' in run('barrier', 'list').stdout
    (row,) = json.loads(run('barrier', 'show', runs[1].pk, '--format', 'json').stdout)
    assert (row['barrier_forward'], row['length'], row['multiplicity']) == (0.4, 2.82, 12)


def test_continuing_what_has_ended_says_how(runs, run):
    assert 'exit status 0' in run('free-energy', 'continue', runs[0].pk).stdout
    assert 'exit status 0' in run('barrier', 'continue', runs[1].pk).stdout
    assert 'not a BarrierWorkChain' in run('barrier', 'continue', runs[0].pk, status=1).output


def test_lists(runs, run):
    assert len(json.loads(run('free-energy', 'list', '--format', 'json').stdout)) == 2
    (row,) = json.loads(run('free-energy', 'list', '--unstable', '--format', 'json').stdout)
    assert row['formula'] == 'Al'
    assert json.loads(run('barrier', 'list', '--chemical-system', 'Li-H', '--format', 'json').stdout) == []
    assert 'precise' in run('free-energy', 'protocols').stdout


def test_progress(toy):
    """Jobs that are done, failed and wanted, and the time that is left."""
    node = WorkChainNode()
    for name in ('structures__a', 'structures__b', 'competing__c', 'competing__d'):
        node.base.links.add_incoming(
            StructureData(ase=bulk('Cu')).store(), link_type=LinkType.INPUT_WORK, link_label=name
        )
    node.store()
    assert count_jobs(node, 60) == '0 of 4 jobs done'
    for label, status in (('a', 0), ('b', 430)):
        job = CalcJobNode(computer=QueryBuilder().append(Computer).first(flat=True))
        job.base.links.add_incoming(node, link_type=LinkType.CALL_CALC, link_label=label)
        job.store()
        job.set_exit_status(status)
        job.set_process_state(ProcessState.FINISHED)
    assert count_jobs(node, 600) == '2 of 4 jobs done (1 failed), about 10 min left'


def test_progress_counts_jobs_of_children(toy):
    """A relaxation leaves its job to a work chain that restarts it."""
    node, child = WorkChainNode().store(), WorkChainNode()
    child.base.links.add_incoming(node, link_type=LinkType.CALL_WORK, link_label='relax')
    child.store()
    job = CalcJobNode(computer=QueryBuilder().append(Computer).first(flat=True))
    job.base.links.add_incoming(child, link_type=LinkType.CALL_CALC, link_label='iteration_01')
    job.store()
    assert count_jobs(node, 60) == '0 of 1 jobs done'


def test_promising_candidates_of_a_campaign(toy):
    """Those within 0.1 eV/atom, the boundary included, nearest first; the computed rest of the system competes."""
    from aiida_qagenai.queries.candidates import candidates
    from aiida_qagenai.queries.finite_temperature import competing_phases, promising_candidates

    chosen = promising_candidates('toy')
    table = candidates('toy', max_e_above_hull=0.1, sort_by='e_above_hull')
    assert [node.uuid for node in chosen.values()] == table['candidate_uuid'].tolist()
    assert 0 < len(chosen) < len(candidates('toy'))
    assert all(label.isalnum() for label in chosen)
    assert len(promising_candidates('toy', limit=1)) == 1
    phases = competing_phases('toy', chosen)
    assert phases
    assert not {node.uuid for node in phases.values()} & {node.uuid for node in chosen.values()}
    computed = set(candidates('toy', computed=True)['candidate_uuid'])
    assert {node.uuid for node in phases.values()} <= computed
    with pytest.raises(InvalidInputError, match='no candidate within'):
        promising_candidates('toy', max_e_above_hull=-1)


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['free-energy', 'run', '--potential', 'emt'], 'either structures or --campaign'),
        (['free-energy', 'run', '--potential', 'emt', '--campaign', 'toy'], 'does not cover H, Li'),
        (['free-energy', 'run', '--potential', 'emt', '--campaign', 'none'], 'no campaign'),
        (['free-energy', 'run', '--potential', 'magic', '{cu}'], 'potential'),
        (['free-energy', 'run', '--potential', 'validator', '{cu}'], 'needs a checkpoint'),
        (
            ['free-energy', 'run', '--potential', 'emt', '--checkpoint', '999999', '{cu}'],
            'no checkpoint `999999`, expected',
        ),
        (['free-energy', 'run', '--potential', 'emt', '--set', 'phonons.lenght=2', '{cu}'], 'lenght'),
        (['barrier', 'run', '--potential', 'emt', '{cu}'], '`hops` with the species belong'),
        (['barrier', 'run', '--potential', 'emt', '--species', 'Li', '{cu}'], 'contains no Li'),
        (['barrier', 'run', '--potential', 'emt', '--initial', '{cu}'], 'both `initial` and `final`'),
        (['barrier', 'show', '999999'], 'no BarrierWorkChain `999999`, expected exactly one'),
    ],
)
def test_what_cannot_work_is_one_line(code, run, tmp_path, arguments, text):
    """Nothing is started."""
    file = tmp_path / 'cu.extxyz'
    bulk('Cu').write(file)
    arguments = [argument.replace('{cu}', str(file)) for argument in arguments]
    options = ['--code', code, '--no-follow'] if 'run' in arguments else []
    result = run(*arguments, *options, status=1)
    assert text in result.output
    assert 'Traceback' not in result.output

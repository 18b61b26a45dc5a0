"""Barriers through the engine, with a real path on effective-medium theory."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_qagenai.calculations.atomistic.barrier import BarrierCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.workchains.barrier import BarrierWorkChain

CHEAP = {'hops': {'max_length': 3.0, 'min_supercell': 5.5}, 'band': {'num_images': 1, 'max_force': 0.05}}


def crystal(atoms) -> orm.StructureData:
    """Return a node."""
    return orm.StructureData(ase=atoms)


@pytest.fixture
def code(python_code):
    """Return the code that runs the jobs."""
    return python_code('atoms', 'qagenai.barrier')


def vacancy_hop() -> tuple[orm.StructureData, orm.StructureData]:
    """Return the two ends of a hop in Al, unrelaxed."""
    initial = bulk('Al', cubic=True).repeat(2)
    final = initial.copy()
    final.positions[1] = initial.positions[0]
    del initial[0], final[0]
    return crystal(initial), crystal(final)


@pytest.mark.slow
def test_hop_of_a_vacancy(code):
    """The crystal is relaxed, its one hop found, and the barrier and the path are nodes."""
    builder = BarrierWorkChain.get_builder_from_protocol(
        code, crystal(bulk('Al', cubic=True)), potential='emt', protocol='fast', species='Al', overrides=CHEAP
    )
    node = run_get_node(builder)[1]
    assert node.is_finished_ok, node.exit_message
    outputs = node.outputs
    assert outputs.relaxed.cell_lengths == pytest.approx([3.994] * 3, abs=0.01)
    assert outputs.hops.get_dict()['hop00']['multiplicity'] == 12
    (label,) = outputs.barriers
    barrier = outputs.barriers[label].content
    assert barrier.formula == 'Al31'
    assert barrier.potential == 'emt'
    assert barrier.single_barrier
    assert 0.3 < barrier.barrier_forward < 0.5
    assert barrier.barrier_forward == pytest.approx(barrier.barrier_reverse, abs=0.01)
    assert barrier.max_force <= 0.05
    path = outputs.paths[label]
    assert path.numsteps == 3 == len(barrier.energies)
    assert path.get_step_structure(2).get_formula() == 'Al31'
    assert sorted(child.process_label for child in node.called) == [
        'BarrierCalculation',
        'RelaxCalculation',
        'make_hops',
    ]


def test_a_path_that_does_not_converge_is_a_failure_with_numbers(code):
    """The exit message names the force reached and wanted."""
    initial, final = vacancy_hop()
    builder = BarrierWorkChain.get_builder_from_protocol(
        code,
        initial=initial,
        final=final,
        potential='emt',
        protocol='fast',
        overrides={'band': {'num_images': 1, 'max_force': 0.05, 'max_steps': 8}},
    )
    node = run_get_node(builder)[1]
    assert node.exit_status == BarrierWorkChain.exit_codes.ERROR_ALL_FAILED.status
    assert 'eV/Å' in node.exit_message
    (child,) = node.called
    assert child.exit_status == BarrierCalculation.exit_codes.ERROR_BAND_NOT_CONVERGED.status
    assert 'barrier' not in child.outputs
    assert child.outputs.results['history']['band_force']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({}, 'either `structure`, or both'),
        ({'structure': bulk('Al')}, 'belong to a `structure`'),
        ({'structure': bulk('Al'), 'species': 'Cu'}, 'contains no Cu'),
        ({'structure': bulk('Al'), 'species': 'Al', 'initial': bulk('Al')}, 'either'),
        ({'initial': bulk('Al')}, 'either'),
        ({'initial': bulk('Al'), 'final': bulk('Cu')}, 'same atoms'),
        ({'initial': bulk('Al'), 'final': bulk('Al'), 'overrides': {'band': {'images': 1}}}, 'images'),
        ({'initial': bulk('Si'), 'final': bulk('Si')}, 'does not cover Si'),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(code, arguments, message):
    """The message names what is wrong."""
    nodes = {'structure', 'initial', 'final'}
    inputs = {name: crystal(value) if name in nodes else value for name, value in arguments.items()}
    with pytest.raises(InvalidInputError, match=message):
        BarrierWorkChain.get_builder_from_protocol(code, potential='emt', **inputs)

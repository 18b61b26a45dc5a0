"""Free energies and the hull of Gibbs energies through the engine, with real phonons on effective-medium theory."""

from __future__ import annotations

import json

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from ase import Atoms
from ase.build import bulk

from aiida_qagenai.calculations.atomistic.free_energy import FreeEnergyCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.workchains.free_energy import FreeEnergyWorkChain

CHEAP = {
    'phonons': {'min_length': 5.0, 'mesh_length': 20.0},
    'volumes': {'min_strain': -0.02, 'max_strain': 0.03, 'count': 5},
    'temperatures': {'maximum': 600.0, 'step': 100.0},
}


def crystal(atoms: Atoms) -> orm.StructureData:
    """Return a node."""
    return orm.StructureData(ase=atoms)


def ordered_alloy(first: str, second: str, edge: float) -> Atoms:
    """Return AB3 in the structure of ordered Cu3Au."""
    positions = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    return Atoms([first, second, second, second], scaled_positions=positions, cell=[edge] * 3, pbc=True)


@pytest.fixture
def code(python_code):
    """Return the code that runs the jobs."""
    return python_code('atoms', 'qagenai.free_energy')


@pytest.fixture
def build(code):
    """Return a factory of builders at the cheapest settings."""

    def create(structures, competing=None, overrides=None, **arguments):
        settings = {**CHEAP, **(overrides or {})}
        return FreeEnergyWorkChain.get_builder_from_protocol(
            code, structures, potential='emt', protocol='fast', overrides=settings, competing=competing, **arguments
        )

    return create


@pytest.mark.slow
def test_gibbs_hull_of_an_ordered_alloy(build):
    """AuCu3 against Cu and Au; bcc Cu is left out with a remark, nothing fails, and a repeated job is not run."""
    builder = build(
        {'alloy': crystal(ordered_alloy('Au', 'Cu', 3.75)), 'bcc': crystal(bulk('Cu', 'bcc', a=2.85))},
        competing={'cu': crystal(bulk('Cu')), 'au': crystal(bulk('Au'))},
    )
    node = run_get_node(builder)[1]
    assert node.is_finished_ok, node.exit_message
    outputs = node.outputs
    assert sorted(outputs.free_energies) == ['alloy', 'au', 'bcc', 'cu']

    alloy, copper = outputs.free_energies.alloy.content, outputs.free_energies.cu.content
    assert alloy.formula == 'Cu3Au'
    assert alloy.chemical_system == 'Au-Cu'
    assert alloy.level_tag == copper.level_tag
    assert alloy.dynamically_stable
    assert alloy.temperatures[0] == 0
    assert np.all(np.diff(alloy.gibbs) < 0)
    assert alloy.zero_point_energy > 0
    assert 2.5 < alloy.heat_capacity_300k < 3.3
    assert outputs.relaxed.alloy.get_formula() == 'AuCu3'
    assert outputs.phonons.alloy.get_array('band_frequencies').shape[1] == 12

    unstable = outputs.free_energies.bcc.content
    assert not unstable.dynamically_stable
    assert unstable.lowest_frequency < -0.5
    assert unstable.gibbs == []
    assert 'dynamically unstable' in unstable.remarks[0]

    assert sorted(outputs.hulls) == ['alloy']
    hull = outputs.hulls.alloy.content
    assert hull.missing == ['Au-Cu']
    assert hull.temperatures == alloy.temperatures
    assert set(hull.decomposition[0]) == {'Cu', 'Au'}
    gold = outputs.free_energies.au.content
    expected = alloy.gibbs[3] - 0.75 * copper.gibbs[3] - 0.25 * gold.gibbs[3]
    assert hull.decomposition_energy[3] == pytest.approx(expected, abs=1e-9)
    assert hull.e_above_hull[3] == pytest.approx(max(0.0, expected), abs=1e-9)
    assert hull.e_above_hull_300k == hull.e_above_hull[3]

    job = next(child for child in node.called if child.base.links.get_incoming(link_label_filter='cu').all())
    results = job.outputs.results.get_dict()
    assert {'ase', 'phonopy', 'spglib'} <= set(results['library_versions'])
    assert results['timings']['free_energy_seconds'] > 0
    inputs = {'code': job.inputs.code, 'structure': crystal(bulk('Cu')), 'parameters': job.inputs.parameters}
    with enable_caching():
        again = run_get_node(FreeEnergyCalculation, **inputs)[1]
    assert again.base.caching.get_cache_source() == job.uuid
    assert again.outputs.free_energy.content.gibbs == copper.gibbs


def test_an_unrelaxed_crystal_is_a_failure_with_numbers(build):
    """The exit message gives force and stress reached and wanted; the other phase is computed."""
    relaxation = {'max_force': 1e-3, 'max_stress': 1e-5, 'max_steps': 1}
    builder = build({'far': crystal(bulk('Cu', a=4.2))}, overrides={'relaxation': relaxation})
    node = run_get_node(builder)[1]
    assert node.exit_status == FreeEnergyWorkChain.exit_codes.ERROR_ALL_FAILED.status
    child = node.called[0]
    assert child.exit_status == FreeEnergyCalculation.exit_codes.ERROR_RELAXATION_NOT_CONVERGED.status
    assert 'stress of' in child.exit_message
    assert '1e-05' in child.exit_message
    assert 'free_energy' not in child.outputs


def test_settings_are_in_the_job(build, code):
    """The parameters of the job are those of the protocol with the overrides, and valid for the task."""
    builder = build({'cu': crystal(bulk('Cu'))})
    settings = builder.parameters.get_dict()
    assert settings['phonons']['min_length'] == 5.0
    assert settings['phonons']['imaginary_tolerance'] == 0.2
    assert json.loads(json.dumps(settings)) == settings


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'potential': 'emt', 'structures': {'si': bulk('Si')}}, 'does not cover Si'),
        ({'potential': 'validator'}, 'needs a checkpoint'),
        ({'potential': 'magic'}, 'potential'),
        ({'potential': 'emt:fine'}, 'takes no option'),
        ({'potential': 'chgnet:9'}, 'model'),
        ({'protocol': 'quick'}, 'unknown protocol `quick`'),
        ({'overrides': {'phonon': {}}}, 'phonon'),
        ({'overrides': {'phonons': {'min_lenght': 1}}}, 'min_lenght'),
        ({'overrides': {'hops': {'species': 'Cu'}}}, 'hops'),
        ({'overrides': {'volumes': {'count': 3}}}, 'count'),
        ({'structures': {}}, 'no structure'),
        ({'structures': {'a': bulk('Cu')}, 'competing': {'a': bulk('Cu')}}, 'both in'),
        ({'structures': {'slab': Atoms('Cu', cell=[5, 5, 20], pbc=(True, True, False))}}, 'not periodic'),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(code, arguments, message):
    """The message names what is wrong."""
    inputs = {'structures': {'cu': bulk('Cu')}, 'potential': 'emt', **arguments}
    for name in ('structures', 'competing'):
        if name in inputs:
            inputs[name] = {label: crystal(atoms) for label, atoms in inputs[name].items()}
    with pytest.raises(InvalidInputError, match=message):
        FreeEnergyWorkChain.get_builder_from_protocol(code, **inputs)

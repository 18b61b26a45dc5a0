"""Quantum descriptors of a crystal that pw.x computes, with the real programs."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from pw_runs import needs_espresso

from aiida_qagenai.calculations.espresso.describe import PwDescribeCalculation
from aiida_qagenai.calculations.espresso.gth import install_gth_family
from aiida_qagenai.common.descriptors import FIELDS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain

pytestmark = needs_espresso

CHEAP = {'ecutwfc': 14, 'ecutrho': 56, 'meshes': {'PBE': {'spacing': 1.4}, 'HSE06': {'spacing': 1.8}}}


@pytest.fixture
def build(pw_code, make_structure):
    """Return a factory of builders of silicon at the pipeline level."""
    half = 2.73
    cell = [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]
    silicon = make_structure(['Si', 'Si'], [(0, 0, 0), (half / 2, half / 2, half / 2)], cell)

    def create(descriptors, fidelity='PBE', pseudos='gth', **overrides):
        return EnergyWorkChain.get_builder_from_protocol(
            pw_code,
            silicon,
            fidelity,
            'pipeline',
            engine='espresso',
            pseudos=pseudos,
            overrides={**CHEAP, **overrides},
            descriptors=descriptors,
        )

    return create


def test_a_calculation_has_descriptors_where_they_are_asked_for(build, pyscf_code):
    install_gth_family('gth', ['Si'])
    outputs, node = run_get_node(build(pyscf_code))
    assert node.is_finished_ok, node.exit_message
    found = outputs['descriptors'].get_dict()
    assert set(FIELDS) <= set(found)
    assert found['band_gap'] == pytest.approx(outputs['energy'].content.band_gap, abs=1e-3)
    job = next(child for child in node.called if child.process_label == 'PwDescribeCalculation')
    assert set(job.base.repository.list_object_names()) >= {'wave_functions.py', 'inputs.json'}
    assert job.outputs.descriptors.uuid == outputs['descriptors'].uuid


def test_an_energy_is_kept_where_its_orbitals_cannot_be_described(build, python_code):
    install_gth_family('gth', ['Si'])
    outputs, node = run_get_node(build(python_code('broken', 'qagenai.pyscf_cell', executable='/bin/false')))
    assert node.is_finished_ok
    assert outputs['energy'].content.band_gap > 0
    assert 'descriptors' not in outputs
    job = next(child for child in node.called if child.process_label == 'PwDescribeCalculation')
    assert (job.exit_status, job.exit_message) == (303, 'There are no results: it wrote nothing')


def test_what_cannot_be_described_is_refused_before_anything_runs(build, family, pyscf_code):
    install_gth_family('gth', ['Si'])
    family('Si.pbe-nl-rrkjus_psl.1.0.0.UPF')
    with pytest.raises(InvalidInputError, match=r'needs a code of qagenai\.pyscf_cell'):
        build(descriptors=True)
    with pytest.raises(InvalidInputError, match='descriptors need norm-conserving pseudopotentials'):
        build(pyscf_code, pseudos='local')
    with pytest.raises(InvalidInputError, match='descriptors are those of crystals at PBE'):
        build(pyscf_code, fidelity='HSE06')


def test_orbitals_on_another_computer_are_refused(aiida_computer_local, pyscf_code, make_structure):
    elsewhere = aiida_computer_local(label='elsewhere')
    folder = orm.RemoteData(computer=elsewhere, remote_path='/scratch').store()
    inputs = {'structure': make_structure(['Si'], [(0, 0, 0)]), 'parent_folder': folder, 'code': pyscf_code}
    with pytest.raises(ValueError, match=r'pw\.x ran on elsewhere, the code is on localhost'):
        run_get_node(PwDescribeCalculation, parameters=orm.Dict({'valence': {'Si': 4}}), **inputs)


def test_more_levels_are_computed_for_the_response(build, pyscf_code):
    install_gth_family('gth', ['Si'])
    with_it, without = build(pyscf_code), build(None)
    assert with_it.espresso.parameters['empty_levels'] == 0.5
    assert without.espresso.parameters['empty_levels'] is None

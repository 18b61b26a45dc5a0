"""Refining mesh and basis until the energy stops changing."""

from __future__ import annotations

import numpy as np
import pytest
from aiida.engine import run_get_node
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.basis import install_families
from aiida_qagenai.workchains.energy.convergence import ConvergenceWorkChain, refined_meshes
from aiida_qagenai.workchains.energy.references import reference_structure

CHEAP = {'meshes': {'PBE': {'fixed': [1, 1, 1]}}, 'grid_spacing': 0.15, 'precision': 1e-5}


@pytest.fixture
def build(pyscf_code):
    """Return a factory of builders at the pipeline level."""

    def create(structure, **arguments):
        return ConvergenceWorkChain.get_builder_from_protocol(
            pyscf_code, structure, 'PBE', 'pipeline', overrides=CHEAP, **arguments
        )

    return create


@given(
    lengths=st.lists(st.floats(2, 15), min_size=3, max_size=3),
    mesh=st.lists(st.integers(1, 4), min_size=3, max_size=3),
)
def test_every_mesh_is_finer_where_it_was_coarsest(lengths, mesh):
    """And along no axis coarser than the one before."""
    meshes = np.array(refined_meshes(np.diag(lengths), mesh, 5))
    spacings = (2 * np.pi / np.array(lengths) / meshes).max(axis=1)
    assert (np.diff(meshes, axis=0) >= 0).all() and (np.diff(spacings) < 0).all() and list(meshes[0]) == mesh


def test_impossible_tests_are_refused(build, lithium_hydride):
    """Too few steps, the same step twice, a molecule."""
    for arguments, text in (
        ({'max_steps': 1}, 'two or more steps, got 1'),
        ({'quantity': 'basis', 'bases': ['gth-szv']}, 'two or more steps, got 1'),
        ({'quantity': 'basis', 'bases': ['gth-szv', 'gth-szv']}, 'are the same'),
    ):
        with pytest.raises(InvalidInputError, match=text):
            build(lithium_hydride, **arguments)
    with pytest.raises(InvalidInputError, match='on crystals'):
        build(reference_structure('H'))
    with pytest.raises(ValueError, match='must be positive'):
        build(lithium_hydride, threshold=-1.0)


@pytest.mark.slow
def test_converged_in_the_mesh_for_real(build, lithium_hydride):
    """Stops as soon as the change is below a generous threshold, and says what it did."""
    outputs, node = run_get_node(build(lithium_hydride, threshold=20.0, max_steps=4))
    assert node.is_finished_ok, node.exit_message
    report = outputs['report'].get_dict()
    assert len(outputs['energies']) == 2 and report['converged'] and len(report['changes_per_atom']) == 1
    assert outputs['energy'].uuid == outputs['energies']['step01'].uuid
    assert [tag.split(':')[3] for tag in report['level_tags']] == ['k1x1x1+0.5', 'k2x2x2+0.5']


@pytest.mark.slow
def test_not_converged_in_the_basis_for_real(build, lithium_hydride, toy_basis):
    """Ends with the number, keeps what was computed and names no converged energy."""
    install_families(*toy_basis())
    outputs, node = run_get_node(build(lithium_hydride, quantity='basis', bases=['toy/dz', 'toy/tz'], threshold=1e-5))
    assert node.exit_status == 410 and 'still changes by' in node.exit_message and 'after 2 steps' in node.exit_message
    assert set(outputs['energies']) == {'step00', 'step01'} and 'energy' not in outputs
    report = outputs['report'].get_dict()
    energies = [outputs['energies'][label].content.energy_per_atom for label in ('step00', 'step01')]
    assert report['energies_per_atom'] == pytest.approx(energies) and not report['converged']
    assert report['changes_per_atom'] == pytest.approx([abs(energies[1] - energies[0])])

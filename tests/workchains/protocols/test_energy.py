"""The protocols of single energies against PySCF, and the rules for meshes and labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.workchains.protocols.energy import available_protocols, energy_settings
from aiida_qagenai.workchains.protocols.energy_parts import MeshRule, atoms_of

CELL = [[0.0, 2.04, 2.04], [2.04, 0.0, 2.04], [2.04, 2.04, 0.0]]


def own_bases():
    """Yield every basis of PySCF that a protocol names, with the sizes it gives and the pseudopotentials."""
    for protocol in available_protocols():
        settings = energy_settings(protocol)
        pseudos = {settings.pseudo.functional, settings.pseudo.coupled_cluster}
        if settings.basis_sizes:
            yield pytest.param(settings.basis, settings.basis_sizes, pseudos, id=protocol)
        if settings.fallback is not None:
            yield pytest.param(
                settings.fallback.basis, settings.fallback.basis_sizes, pseudos, id=f'{protocol}-fallback'
            )


@pytest.mark.parametrize(('basis', 'elements', 'pseudos'), own_bases())
def test_basis_functions_and_electrons_are_those_of_pyscf(basis, elements, pseudos):
    """The table that refuses structures tells the truth about the bundled bases and pseudopotentials."""
    from pyscf.pbc import gto

    atoms = [(symbol, (0.0, 0.0, 5.0 * index)) for index, symbol in enumerate(elements)]
    for pseudo in pseudos:
        cell = gto.M(a=np.eye(3) * 99, atom=atoms, basis=basis, pseudo=pseudo, spin=None, verbose=0, precision=1e-5)
        functions = cell.aoslice_by_atom()[:, 3] - cell.aoslice_by_atom()[:, 2]
        found = {cell.atom_symbol(i): (functions[i], cell.atom_charge(i)) for i in range(cell.natm)}
        assert found == {symbol: (entry.functions, entry.valence) for symbol, entry in elements.items()}


def resolved(protocol, fidelity):
    """Return the settings with a basis of PySCF in the place of a family."""
    settings = energy_settings(protocol)
    name = settings.basis_of(fidelity)
    return settings.model_copy(update={'basis': name.replace('/', '-1-'), 'coupled_cluster_basis': None})


@pytest.mark.parametrize('protocol', available_protocols())
@pytest.mark.parametrize('fidelity', LADDER)
def test_parameters_are_complete(protocol, fidelity):
    """Crystals and atoms get parameters that the calculation accepts, at every level."""
    settings = resolved(protocol, fidelity)
    if protocol == 'all_electron' and fidelity is not Fidelity.CCSD_T:
        with pytest.raises(InvalidInputError, match='`pseudo` is needed for a functional of a crystal'):
            settings.crystal_parameters(fidelity, CELL)
        return
    crystal = PyscfCellParameters.parse(settings.crystal_parameters(fidelity, CELL))
    assert crystal.is_crystal and crystal.fidelity is fidelity
    assert (crystal.scf.smearing is None) == (fidelity is Fidelity.CCSD_T)
    atom = PyscfCellParameters.parse(settings.atom_parameters(fidelity, spin=1))
    assert not atom.is_crystal and atom.spin == 1 and atom.basis == crystal.basis and atom.pseudo == crystal.pseudo


def test_fast_is_composite():
    """Hartree-Fock on a denser mesh than the correlation energy."""
    parameters = resolved('fast', Fidelity.CCSD_T).crystal_parameters(Fidelity.CCSD_T, CELL)
    assert parameters['kmesh'] == [3, 3, 3] and parameters['cc']['kmesh'] == [2, 2, 2]
    assert energy_settings('fast').tag(Fidelity.CCSD_T).split(':')[3] == 'k0.9-cc2x2x2'


def test_tags_tell_levels_apart():
    """Basis, pseudopotential, mesh, and any override that moves an energy; not what does not."""
    settings = energy_settings('pipeline')
    tag = settings.tag(Fidelity.PBE)
    assert tag.split(':')[:4] == ['pipeline', 'gth-szv', 'gth-pbe', 'k2x2x2+0.5']
    assert energy_settings('pipeline', {'max_memory_mb': 1}).tag(Fidelity.PBE) == tag
    for overrides in ({'grid_spacing': 0.1}, {'smearing': None}, {'scf': {'conv_tol': 1e-9}}):
        assert energy_settings('pipeline', overrides).tag(Fidelity.PBE) != tag
    on_grid = energy_settings('pipeline', {'coulomb': 'grid'})
    assert [on_grid.tag(level) == settings.tag(level) for level in LADDER] == [False, False, False, True]
    assert settings.tag(Fidelity.CCSD_T).split(':')[2] == 'gth-hf-rev'


@given(
    lengths=st.lists(st.floats(1.5, 30), min_size=3, max_size=3),
    spacing=st.floats(0.2, 3),
)
def test_spacing_bounds_the_distance_of_k_points(lengths, spacing):
    """No two neighbours are farther apart than the spacing, and no axis has a point more than it needs."""
    mesh = np.array(MeshRule(spacing=spacing).mesh(np.diag(lengths)))
    reciprocal = 2 * np.pi / np.array(lengths)
    assert (reciprocal / mesh <= spacing * (1 + 1e-5)).all()
    assert (mesh == 1).any() or (reciprocal / (mesh - 1) > spacing * (1 - 1e-5)).all()


@given(lengths=st.lists(st.floats(1.5, 12), min_size=3, max_size=3))
def test_grid_is_odd_and_dense_enough(lengths):
    """Uniform grids are odd along each vector and no coarser than the spacing."""
    settings = energy_settings('pipeline')
    grid = np.array(settings.crystal_parameters(Fidelity.PBE, np.diag(lengths))['grid_mesh'])
    assert (grid % 2 == 1).all() and (np.array(lengths) / grid <= settings.grid_spacing + 1e-9).all()


def test_a_mesh_has_one_rule():
    """Either fixed or by spacing."""
    with pytest.raises(InvalidInputError, match='either `fixed` or `spacing`'):
        energy_settings('pipeline', {'meshes': {'PBE': {'spacing': 0.5}}})


def test_mean_value_points_are_those_of_the_crystal(lithium_hydride):
    """Mesh and displacement depend on the crystal, the tag on the rule; moments make kinds."""
    settings = energy_settings('pipeline', {'meshes': {'PBE': {'fixed': [2, 2, 2], 'shift': 'mean-value'}}})
    parameters = settings.parameters(Fidelity.PBE, lithium_hydride)
    assert parameters['kmesh'] == [2, 2, 2] and any(value % 0.5 for value in parameters['kmesh_shift'])
    assert settings.tag(Fidelity.PBE).split(':')[3] == 'k2x2x2+mv'
    assert atoms_of(lithium_hydride)[1] == [1, 2] and atoms_of(lithium_hydride, [1.0, -1.0])[1] == [1, 2]
    np.testing.assert_allclose(atoms_of(lithium_hydride)[0][1] % 1, 0.5)

"""Test Hartree potential and screened exchange on the uniform grid, in place of fitted integrals."""

from __future__ import annotations

import itertools
import types

import numpy as np
import pytest
import scipy.linalg
from pyscf import lib
from pyscf.pbc.scf import chkfile

from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.common.errors import InvalidInputError


@pytest.fixture(params=[0.5, 0.25], ids=['opposite', 'alone'])
def hybrid(request, load_script, lithium_hydride, pyscf_parameters):
    """Return the script, its cell, the mean field of HSE06 on the grid, and a density at two k-points.

    They are opposite to each other, or the mesh has the opposite of none.
    """
    script = load_script(lithium_hydride, {**pyscf_parameters('HSE06'), 'coulomb': 'grid'})
    cell = script.build_cell()
    mf = script.mean_field(cell, script.make_kpts(cell, [2, 1, 1], [request.param, 0.5, 0.5]), 'HSE06')
    mf.grids.build()
    density = np.array(mf.get_init_guess(key='1e'))
    return script, cell, mf, density


def reference(script, cell, mf, density):
    """Return exchange by PySCF's own transforms: full less long range, with the Ewald correction of each."""
    plain = script.df.FFTDF(cell, mf.kpts)
    plain.mesh = mf.exchange_on_grid.mesh
    full, long = (
        plain.get_jk(density, kpts=mf.kpts, with_j=False, omega=omega, exxdiv='ewald')[1] for omega in (None, 0.11)
    )
    return full - long


def test_whole_operator_is_that_of_pyscf(hybrid):
    """All elements, those between empty levels included."""
    script, cell, mf, density = hybrid
    states = [scipy.linalg.eigh(overlap, overlap)[1] for overlap in mf.exchange_on_grid.overlaps]
    matrices = mf.exchange_on_grid.exchange(density, states)
    assert np.allclose(matrices, reference(script, cell, mf, density), atol=1e-8)


def test_compressed_operator_is_exact_for_occupied_orbitals(hybrid):
    """Its energy and its action on the density are those of the whole operator."""
    script, cell, mf, density = hybrid
    compressed, whole = mf.exchange_on_grid.exchange(density), reference(script, cell, mf, density)
    assert np.allclose(compressed @ density, whole @ density, atol=1e-8)
    assert not np.allclose(compressed, whole, atol=1e-3)


@pytest.mark.parametrize(('broken', 'count'), [(False, 2), (True, 8)])
def test_symmetry_gives_the_other_kpoints(load_script, lithium_hydride, pyscf_parameters, broken, count):
    """Of eight k-points of rock salt two are computed; all of a density that has less symmetry."""
    script = load_script(lithium_hydride, {**pyscf_parameters('HSE06'), 'coulomb': 'grid'})
    cell = script.build_cell()
    mf = script.mean_field(cell, script.make_kpts(cell, [2, 2, 2], [0.5, 0.5, 0.5]), 'HSE06')
    density, computed = np.array(mf.get_init_guess(key='1e')), []
    if broken:
        density[0] *= 1.01
    compute = mf.exchange_on_grid.between
    mf.exchange_on_grid.between = lambda k, *rest: computed.append(k) or compute(k, *rest)
    found, whole = mf.exchange_on_grid.exchange(density), reference(script, cell, mf, density)
    assert len(computed) == count
    assert np.allclose(found @ density, whole @ density, atol=1e-7)


def test_matrices_have_the_symmetry_of_the_crystal_on_any_grid(load_script, lithium_hydride, pyscf_parameters):
    """Plane waves up to the corners of a skewed cell have not, which breaks that of a nearly dependent basis (MgO)."""
    parameters = {**pyscf_parameters('HSE06'), 'coulomb': 'grid', 'grid_mesh': [12, 12, 12]}
    script = load_script(lithium_hydride, parameters)
    cell = script.build_cell()
    mf = script.mean_field(cell, script.make_kpts(cell, [2, 2, 2], [0.5, 0.5, 0.5]), 'HSE06')
    exchange = mf.exchange_on_grid.exchange(
        script.averaged(mf.kpoint_symmetry.candidates[0], mf.get_init_guess(key='1e'))
    )
    for matrices, symmetry in itertools.product((mf.get_hcore(), exchange), mf.kpoint_symmetry.candidates):
        assert np.allclose(script.expanded(symmetry, matrices[symmetry.ibz2bz]), matrices, rtol=0, atol=1e-10)


def test_an_earlier_density_has_the_symmetry_again(load_script, lithium_hydride, pyscf_parameters, tmp_path):
    script = load_script(lithium_hydride, {**pyscf_parameters('HSE06'), 'coulomb': 'grid'})
    cell = script.build_cell()
    mf = script.mean_field(cell, script.make_kpts(cell, [2, 2, 2], [0.5, 0.5, 0.5]), 'HSE06')
    energies, orbitals = mf.eig(mf.get_hcore(), mf.get_ovlp())
    occupations = mf.get_occ(energies, orbitals)
    occupations[0] = occupations[0] * 0.9
    path = str(tmp_path / 'earlier.chk')
    chkfile.dump_scf(cell, path, 0.0, energies, orbitals, occupations)
    lib.chkfile.save(path, 'scf/kpts', mf.kpts)
    assert mf.kpoint_symmetry.of(mf.make_rdm1(orbitals, occupations)) is None
    assert mf.kpoint_symmetry.of(mf.from_chk(path)) is mf.kpoint_symmetry.candidates[0]


def test_gradient_is_the_energy_that_can_be_gained(load_script, lithium_hydride, pyscf_parameters):
    """Its square is what a small rotation of orbitals has cost, per cell, however far the empty level lies."""
    script = load_script(lithium_hydride, {**pyscf_parameters('HSE06'), 'coulomb': 'grid'})
    mf = types.SimpleNamespace()
    script.weigh_gradient(mf)
    levels, occupations = np.array([-1.0, -0.5, 1.0, 40.0]), np.array([2.0, 2.0, 0.0, 0.0])
    rng = np.random.default_rng(0)
    turns = [1e-3 * (a - a.T) for a in rng.standard_normal((3, 4, 4))]
    orbitals = [scipy.linalg.expm(turn) for turn in turns]
    costs = [((levels[:, None] * mo**2).sum(0) - levels) @ occupations for mo in orbitals]
    gradient = mf.get_grad(orbitals, [occupations] * 3, [np.diag(levels)] * 3)
    assert np.linalg.norm(gradient) ** 2 == pytest.approx(np.mean(costs), rel=0.02)


def test_levels_at_the_gap_need_few_empty_states(hybrid, monkeypatch):
    """Two of the four empty states give the gap of all within 0.01 eV; without them it is that of the SCF, far off."""
    script, cell, mf, _ = hybrid
    mf.kernel()
    gaps, levels, coefficients = [script.analyse_bands(cell, mf)], mf.mo_energy, mf.mo_coeff
    for number in (2, 4):
        monkeypatch.setattr(script, 'NUM_EMPTY', number)
        mf.mo_energy, mf.mo_coeff = levels, coefficients
        mf.exchange_on_grid.rebuild_bands()
        gaps.append(script.analyse_bands(cell, mf))
        mf.exchange_on_grid.states = None
    assert gaps[1] == pytest.approx(gaps[2], abs=4e-4) and abs(gaps[0] - gaps[2]) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize('fidelity', ['PBE', 'HSE06'])
def test_energy_is_that_of_fitted_integrals(load_script, lithium_hydride, pyscf_parameters, fidelity):
    """What differs is the error of the fit, 0.1 mHa and 0.01 eV of the gap with a double-zeta basis."""
    energies, gaps = [], []
    for coulomb in ('fitted', 'grid'):
        changes = {'basis': 'gth-cc-dzvp', 'kmesh_shift': [0.5, 0.5, 0.5], 'grid_mesh': [31, 31, 31], 'precision': 1e-6}
        script = load_script(lithium_hydride, {**pyscf_parameters(fidelity), **changes, 'coulomb': coulomb})
        script.run()
        energies.append(script.RESULTS['total_energy_hartree'])
        gaps.append(script.RESULTS['band_gap'])
    assert energies[0] == pytest.approx(energies[1], abs=2e-4)
    assert gaps[0] == pytest.approx(gaps[1], abs=0.02)


def test_only_functionals_of_crystals(pyscf_parameters):
    """There is no grid of a molecule, and coupled cluster has fitted integrals."""
    with pytest.raises(InvalidInputError, match='`coulomb`'):
        PyscfCellParameters.parse({**pyscf_parameters('CCSD(T)'), 'coulomb': 'grid'})


def test_fitted_parameters_are_as_they_were(pyscf_parameters):
    """What was computed before there was a choice is found in the cache."""
    assert 'coulomb' not in PyscfCellParameters.parse(pyscf_parameters('PBE')).dump()

"""Test what symmetry spares functionals on the uniform grid: potentials at k-points that others give."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def crystal(load_script, lithium_hydride, pyscf_parameters):
    """Return a function: the script of a functional on 2×2×2 displaced k-points, its cell and its mean field."""

    def make(fidelity='PBE', **changes):
        script = load_script(lithium_hydride, {**pyscf_parameters(fidelity), 'coulomb': 'grid', **changes})
        cell = script.build_cell()
        mf = script.mean_field(cell, script.make_kpts(cell, [2, 2, 2], [0.5, 0.5, 0.5]), script.INPUTS['functional'])
        mf.grids.build()
        return script, cell, mf

    return make


@pytest.mark.parametrize('fidelity', ['PBE', 'SCAN'])
@pytest.mark.parametrize('polarized', [False, True])
def test_potentials_are_those_of_all_kpoints(crystal, monkeypatch, fidelity, polarized):
    """Of Hartree, exchange and correlation, of one spin and of two; they are computed at two k-points of eight."""
    script, _, mf = crystal(fidelity, spin_polarized=polarized)
    density, computed = np.array(mf.get_init_guess(key='1e')), []
    found = mf.get_veff(mf.cell, density)
    original = script.KpointSymmetry.of
    monkeypatch.setattr(script.KpointSymmetry, 'of', lambda *args: computed.append(original(*args)))
    whole = mf.get_veff(mf.cell, density)
    assert [symmetry.nkpts_ibz for symmetry in computed] == [2, 2]
    assert np.allclose(found, whole, atol=1e-8)
    assert found.exc == pytest.approx(whole.exc, abs=1e-8) and found.ecoul == pytest.approx(whole.ecoul, abs=1e-8)


def test_density_decides_about_its_symmetry(crystal):
    """One that differs at a k-point has none, one that differs at two opposite ones has time reversal."""
    script, cell, mf = crystal()
    symmetry = script.KpointSymmetry(cell, mf.kpts)
    density = np.array(mf.get_init_guess(key='1e'))
    assert symmetry.of(density).nkpts_ibz == 2
    opposite = np.flatnonzero(~(cell.get_scaled_kpts(mf.kpts + mf.kpts[1]).round(6) % 1).any(axis=1))
    density[1] *= 1.001
    assert symmetry.of(density) is None
    density[opposite] *= 1.001
    assert symmetry.of(density).nkpts_ibz == 4


@pytest.mark.parametrize('system', ['functional', 'Hartree-Fock'])
def test_scf_begins_with_the_symmetry_of_the_crystal(crystal, system):
    """The density of free atoms, as PySCF makes it, misses it."""
    script, cell, mf = crystal()
    if system == 'Hartree-Fock':
        mf = script.mean_field(cell, mf.kpts)
    guess = np.array(type(mf).get_init_guess(mf))
    assert mf.kpoint_symmetry.of(guess) is None or mf.kpoint_symmetry.of(guess).nkpts_ibz > 2
    assert mf.kpoint_symmetry.of(mf.get_init_guess()).nkpts_ibz == 2
    electrons = [
        np.einsum('kij,kji', density, mf.get_ovlp()).real / len(mf.kpts) for density in (guess, mf.get_init_guess())
    ]
    assert electrons[1] == pytest.approx(electrons[0], abs=1e-8)


def test_gap_needs_irreducible_kpoints_between_the_mesh(crystal):
    """Of the k-points halfway between those of the mesh, around Γ here, three of eight have all bands."""
    script, cell, _ = crystal()
    script.INPUTS.update(kmesh=[2, 2, 2], kmesh_shift=[0.5, 0.5, 0.5])
    kpts = script.complementary_kpts(cell)
    steps = 2 * cell.get_scaled_kpts(kpts)
    assert len(kpts) == 3 and np.allclose(steps, steps.round())
    script.INPUTS['spin_polarized'] = True
    assert len(script.complementary_kpts(cell)) == 8


def test_unusual_cell_has_time_reversal_alone(crystal):
    """There PySCF fails to tell the class of the crystal, which is no reason to fail."""
    script, _, _ = crystal()
    change = np.array([[-1, -1, -1], [-1, -1, 0], [-1, 0, -1]])
    script.INPUTS['cell'] = (change @ script.INPUTS['cell']).tolist()
    cell = script.build_cell()
    with pytest.raises(AssertionError):
        cell.copy().build(False, False, space_group_symmetry=True, symmorphic=True)
    mf = script.mean_field(cell, script.make_kpts(cell, [2, 2, 2], [0.5, 0.5, 0.5]), 'PBE')
    symmetry = script.KpointSymmetry(cell, mf.kpts)
    assert [one.nkpts_ibz for one in symmetry.candidates] == [4, 4]
    assert symmetry.of(np.array(mf.get_init_guess(key='1e'))).nkpts_ibz == 4

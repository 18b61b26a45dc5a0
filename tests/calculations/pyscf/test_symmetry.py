"""Tests of what the script makes of the symmetry of a crystal in coupled cluster."""

from __future__ import annotations

import numpy as np
import pytest
from pyscf.pbc.cc import kccsd_t_rhf
from pyscf.pbc.lib import kpts_helper


@pytest.fixture
def crystal(load_script, lithium_hydride, pyscf_parameters):
    """Return a function: the script, its cell and the k-points of a mesh around Γ."""

    def make(mesh):
        script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)'))
        script.INPUTS['cc'].update(kmesh=list(mesh), kmesh_shift=[0, 0, 0])
        cell = script.build_cell()
        return script, cell, script.make_kpts(cell, list(mesh), [0, 0, 0])

    return make


def bands(kpts):
    """Return bands that have every symmetry."""
    return np.zeros((len(kpts), 2))


@pytest.mark.parametrize(('mesh', 'count'), [((2, 2, 2), 24), ((3, 3, 3), 48), ((2, 2, 1), 2)])
def test_symmetry_of_a_mesh(crystal, mesh, count):
    """Of 48 operations of rock salt 24 differ for k-points that are their own opposite, and few leave a flat mesh."""
    script, cell, kpts = crystal(mesh)
    images = script.kpoint_images(cell, kpts, bands(kpts))
    assert len(images) == count or (mesh == (2, 2, 1) and 1 < len(images) < 24)
    assert all(sorted(image) == list(range(len(kpts))) for image in images.tolist())


def test_broken_symmetry_is_not_used(crystal):
    """Where a mean field lacks the symmetry of the crystal, no block stands for others."""
    script, cell, kpts = crystal([2, 2, 2])
    energies = bands(kpts)
    energies[3] += 1e-3
    assert script.kpoint_images(cell, kpts, energies).tolist() == [list(range(8))]


def test_high_bands_of_a_nearly_dependent_basis_keep_the_symmetry(crystal):
    """The last digits of their energies are not those of the crystal (rock-salt BeO: 2e-5 Ha)."""
    script, cell, kpts = crystal([2, 2, 2])
    energies = bands(kpts)
    energies[3, -1] += 2e-5
    assert len(script.kpoint_images(cell, kpts, energies)) == 24


@pytest.mark.parametrize('symmetric', [True, pytest.param(False, marks=pytest.mark.slow)])
def test_energies_do_not_depend_on_symmetry(crystal, monkeypatch, symmetric):
    """CCSD and (T) are those of the solver at all k-points, and so are the amplitudes."""
    for owner, name in ((kpts_helper, 'get_kconserv3'), (kccsd_t_rhf, 'create_t3_eris'), (kccsd_t_rhf, 'einsum')):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    script, _, _ = crystal([2, 2, 2])
    script.INPUTS.update(kmesh=[2, 2, 2], kmesh_shift=[0, 0, 0])
    script.INPUTS['cc'].update(conv_tol=1e-9, conv_tol_normt=1e-7)
    if not symmetric:
        monkeypatch.setattr(script, 'symmetric_solver', lambda *_: None)
    script.run()
    found = script.RESULTS
    assert found.get('num_irreducible_kpoints') == (3 if symmetric else None)
    # Of that solver; integrals are precise to 1e-5 here.
    expected = {'mp2_correlation': -0.050045888, 'ccsd_correlation': -0.064816563, 'triples': -4.177483e-4}
    for name, energy in expected.items():
        assert found['components'][name] == pytest.approx(energy, rel=1e-5), name
    assert found['t1_diagnostic'] == pytest.approx(3.0194e-3, rel=1e-3)


@pytest.mark.slow
def test_amplitudes_of_symmetry_are_continued_from(crystal, monkeypatch):
    """A job that the walltime ended goes on at all k-points, from the amplitudes that symmetry gave."""
    for owner, name in ((kpts_helper, 'get_kconserv3'), (kccsd_t_rhf, 'create_t3_eris'), (kccsd_t_rhf, 'einsum')):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    script, _, _ = crystal([2, 2, 2])
    script.INPUTS.update(kmesh=[2, 2, 2], kmesh_shift=[0, 0, 0], method='CCSD')
    script.INPUTS['cc'].update(conv_tol=1e-9, conv_tol_normt=1e-7)
    solve = script.solve_ccsd

    def stopped(*arguments):
        script.INPUTS['walltime_seconds'] = 0.0
        solve(*arguments)

    monkeypatch.setattr(script, 'solve_ccsd', stopped)
    with pytest.raises(script.Stop, match='during the CCSD after 1 cycles'):
        script.run()
    assert script.RESULTS['num_irreducible_kpoints'] == 3
    monkeypatch.setattr(script, 'solve_ccsd', solve)
    script.INPUTS['walltime_seconds'] = None
    script.INPUTS['files']['restart_amplitudes'] = script.INPUTS['files']['amplitudes']
    script.run()
    assert script.RESULTS['restarted_from_amplitudes']
    assert script.RESULTS['components']['ccsd_correlation'] == pytest.approx(-0.064816563, rel=1e-5)

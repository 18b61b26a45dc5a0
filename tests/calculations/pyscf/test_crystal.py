"""The mean field of a crystal in the script, beside PySCF's own."""

from __future__ import annotations

import types

import numpy as np
import pytest
from pymatgen.core import Element

from aiida_qagenai.calculations.espresso import wave_functions


@pytest.mark.parametrize('mesh', [[1, 1, 1], [2, 1, 1]])
def test_pseudopotentials_without_a_local_polynomial(load_script, make_structure, pyscf_parameters, mesh):
    """That of germanium has none; with density fitting PySCF 2.3 adds a list of zeros to matrices then."""
    half = 2.83
    cell = [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]
    germanium = make_structure(['Ge', 'Ge'], [(0, 0, 0), (half / 2, half / 2, half / 2)], cell)
    hamiltonians = []
    for coulomb in ('fitted', 'grid'):
        changes = {'basis': 'gth-szv-molopt-sr', 'grid_mesh': [33, 33, 33], 'coulomb': coulomb}
        script = load_script(germanium, pyscf_parameters('PBE', kmesh=mesh, **changes))
        crystal = script.build_cell()
        kpts = script.make_kpts(crystal, mesh, [0, 0, 0])
        hamiltonians.append(script.mean_field(crystal, kpts, 'PBE').get_hcore())
    assert np.abs(hamiltonians[0] - hamiltonians[1]).max() < 1e-3


@pytest.mark.parametrize(('symbol', 'charge'), [('Li', 3), ('Na', 9), ('Mg', 10), ('Si', 4), ('Ti', 12), ('Ga', 13)])
def test_the_frozen_core_is_that_of_the_descriptors_of_pw(
    load_script, lithium_hydride, pyscf_parameters, symbol, charge
):
    script = load_script(lithium_hydride, pyscf_parameters('PBE'))
    number = Element(symbol).Z
    assert wave_functions.num_frozen_core([symbol], {symbol: charge}) == script.num_frozen_core([(number, charge)])


@pytest.mark.parametrize('shift', [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.25, 0.0, 0.0]])
def test_orbitals_that_are_kept_are_those_of_every_k_point(load_script, lithium_hydride, pyscf_parameters, shift):
    """Half of the k-points of a mesh give the others, if it has them."""
    script = load_script(lithium_hydride, {**pyscf_parameters('PBE'), 'coulomb': 'grid', 'grid_mesh': [9, 9, 9]})
    cell = script.build_cell()
    kpts = script.make_kpts(cell, [3, 1, 2], shift)
    numint = script.mean_field(cell, kpts, 'PBE')._numint
    coords = cell.get_uniform_grids([3, 3, 3])
    for deriv in (1, 0):
        whole = numint.eval_ao_once(cell, coords, kpts=kpts, deriv=deriv)
        for each, wanted in zip(numint.eval_ao(cell, coords, kpts=kpts, deriv=deriv), whole, strict=True):
            assert np.allclose(each, wanted, atol=1e-7)
    distinct = {script.representative(cell, k)[0] for k in kpts}
    assert len(distinct) == {0.0: 4, 0.5: 3, 0.25: 6}[shift[0]]


def test_lost_electrons_are_noticed_in_the_third_cycle(load_script, lithium_hydride, pyscf_parameters):
    """A grid that is too coarse is not converged on."""
    script = load_script(lithium_hydride, pyscf_parameters())
    mol = types.SimpleNamespace(nelectron=4)
    for integrated in (4.00001, 3.9):
        watch = script.Watch('PBE SCF')
        mf = types.SimpleNamespace(mol=mol, _numint=types.SimpleNamespace(num_integrated=integrated))
        watch({'mf': mf})
        watch({'mf': mf})
        if integrated > 4:
            watch({'mf': mf})
        else:
            with pytest.raises(script.Stop, match=r'3\.9'):
                watch({'mf': mf})
    for _ in range(3):
        watch({'mf': types.SimpleNamespace()})

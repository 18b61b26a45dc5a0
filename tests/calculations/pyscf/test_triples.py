"""Tests of (T) as the script lets PySCF compute it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pyscf.pbc.cc import kccsd_t_rhf
from pyscf.pbc.lib import kpts_helper


@pytest.fixture(autouse=True)
def library(monkeypatch):
    """Give the library back what the script replaces in its own process."""
    for owner, name in ((kpts_helper, 'get_kconserv3'), (kccsd_t_rhf, 'create_t3_eris'), (kccsd_t_rhf, 'einsum')):
        monkeypatch.setattr(owner, name, getattr(owner, name))


@pytest.fixture
def crystal(load_script, lithium_hydride, pyscf_parameters):
    """Return a function: the script, its cell and the k-points of a mesh."""

    def make(mesh, shift=(0, 0, 0)):
        script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)'))
        script.INPUTS['cc'].update(kmesh=list(mesh), kmesh_shift=list(shift))
        cell = script.build_cell()
        return script, cell, script.make_kpts(cell, list(mesh), list(shift))

    return make


def bands(kpts):
    """Return bands that have every symmetry."""
    return np.zeros((len(kpts), 2))


def test_momentum_is_that_of_the_library(crystal):
    """The table says the same as the library's search, on a displaced mesh; what is left out lies beyond."""
    script, cell, kpts = crystal([2, 3, 2], [0.5, 0.5, 0.5])
    search = kpts_helper.get_kconserv3
    script.feed_triples(cell, kpts, bands(kpts))
    found = []
    for indices in np.random.default_rng(0).integers(0, len(kpts), size=(200, 5)).tolist():
        kc = kpts_helper.get_kconserv3(cell, kpts, indices)
        found.append(kc < len(kpts))
        assert kc in (search(cell, kpts, indices), len(kpts))
    assert 0 < sum(found) < len(found)


@pytest.mark.parametrize(
    ('mesh', 'shift'),
    [([2, 1, 1], [0.5, 0.5, 0.5]), pytest.param([2, 2, 2], [0, 0, 0], marks=pytest.mark.slow)],
)
def test_energy_is_that_of_the_library(crystal, mesh, shift):
    """What symmetry repeats, and memory instead of files, change no digit that the integrals have, 1e-5 here."""
    script, cell, kpts = crystal(mesh, shift)
    mf = script.run_scf(script.mean_field(cell, kpts), 'HF')
    mycc = script.make_solver(mf, 1)
    eris = mycc.ao2mo()
    script.solve_ccsd(mf, mycc, eris, mf.e_tot, {})
    whole = mycc.ccsd_t(eris=eris)
    assert script.solve_triples(mycc, eris, cell, kpts) == pytest.approx(whole, rel=1e-6)
    assert whole < -1e-6


@pytest.mark.parametrize('mesh', [(2, 2, 1), (3, 1, 2), (2, 2, 2)])
def test_every_block_is_counted(crystal, mesh):
    """The blocks, each as often as symmetry repeats it, are those that the loops of the library visit."""
    script, cell, kpts = crystal(mesh)
    kconserv = kpts_helper.get_kconserv(cell, kpts)
    weights = script.triples_weights(kconserv, script.kpoint_images(cell, kpts, bands(kpts)))
    number, visited = range(len(kconserv)), 0
    for ka, kb in ((a, b) for a in number for b in range(a + 1)):
        kcs = [kconserv[kconserv[ki, ka, kj], kb, kk] for ki, kj, kk in itertools.product(number, repeat=3)]
        visited += sum(kc <= kb for kc in kcs)
    orders = [len(set(itertools.permutations(key[3:]))) for key in weights]
    assert sum(count * number for count, number in zip(weights.values(), orders, strict=True)) == visited
    assert sum(script.triples_work(weights).values()) == sum(orders) < visited
    if mesh == (2, 2, 2):
        assert (sum(orders), visited) == (649, 7680)


@pytest.mark.parametrize(('value', 'status', 'codes'), [(1e-7, None, []), (1e-5, None, [708]), (1e-3, 'complex', [])])
def test_imaginary_triples(load_script, lithium_hydride, pyscf_parameters, value, status, codes):  # noqa: PLR0917
    """The library drops the imaginary part of (T): rounding passes, more is said, much more is an error."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)'))
    if status is None:
        script.check_imaginary(value)
    else:
        with pytest.raises(script.Stop, match=r'imaginary part of 1.0e-03 Ha') as caught:
            script.check_imaginary(value)
        assert caught.value.status == 'complex_triples'
    assert script.RESULTS['warning_codes'] == codes


def test_walltime_of_the_triples_is_foreseen(load_script, lithium_hydride, pyscf_parameters):
    """The pace so far tells what the rest takes: stopped at once, with the time it would need."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)'))
    script.INPUTS['walltime_seconds'] = 1000.0
    script.check_walltime('(T)', 100.0)
    with pytest.raises(script.Stop, match=r'the \(T\) needs 5\d\d\d s, the walltime is 1000 s') as caught:
        script.check_walltime('(T)', 5000.0)
    assert caught.value.status == 'out_of_walltime' and script.RESULTS['walltime_needed_seconds'] > 5000

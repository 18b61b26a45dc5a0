"""Test Hartree-Fock from integrals of the differences of k-points that symmetry does not give."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def hartree_fock(load_script, lithium_hydride, pyscf_parameters):
    """Return a function: the script, its cell, and Hartree-Fock on 3×3×3 k-points, by symmetry or by PySCF alone."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)'))
    script.INPUTS['method'] = 'HF'

    def make(by_symmetry):
        cell = script.build_cell()
        kpts = script.make_kpts(cell, [3, 3, 3], [0, 0, 0])
        return (script.mean_field_alone if by_symmetry else script.mean_field)(cell, kpts)

    return script, make


def count_fits(script, monkeypatch):
    """Return a list that gets the number of differences of k-points of each fit."""
    counts, fit = [], script.FittedExchange.fit_irreducible
    builder = script.rsdf_builder._RSGDFBuilder
    solve = builder.weighted_ft_ao
    monkeypatch.setattr(script.FittedExchange, 'fit_irreducible', lambda *args: (counts.append(0), fit(*args)))
    monkeypatch.setattr(builder, 'weighted_ft_ao', lambda *args: (counts.append(counts.pop() + 1), solve(*args))[1])
    return counts


def test_exchange_is_that_of_all_differences(hartree_fock, monkeypatch):
    """Of 27 differences PySCF fits 14 and the opposite ones, of which 4 make up stars; energies agree."""
    script, make = hartree_fock
    counts = count_fits(script, monkeypatch)
    by_symmetry, plain = make(True), make(False)
    density = np.array(by_symmetry.get_init_guess(key='1e'))
    found = by_symmetry.get_veff(by_symmetry.cell, density)
    # One, and three pairs of opposite ones.
    assert counts == [7]
    whole = plain.get_veff(plain.cell, density)
    assert np.allclose(found, whole, atol=1e-5)
    assert by_symmetry.energy_tot(density) == pytest.approx(plain.energy_tot(density), abs=1e-7)


def test_negative_occupation_numbers_count_as_such(hartree_fock):
    """A guess may have them, and rounding where basis functions are nearly dependent."""
    _, make = hartree_fock
    by_symmetry, plain = make(True), make(False)
    density = np.array(by_symmetry.get_init_guess(key='1e'))
    density -= 1e-3 * np.linalg.inv(by_symmetry.get_ovlp())
    found, whole = (mf.get_veff(mf.cell, density) for mf in (by_symmetry, plain))
    assert np.allclose(found, whole, atol=1e-5)


def test_density_without_symmetry_has_all_integrals(hartree_fock):
    """Where an SCF loses the symmetry, everything is fitted and PySCF builds exchange."""
    _, make = hartree_fock
    by_symmetry, plain = make(True), make(False)
    density = np.array(by_symmetry.get_init_guess(key='1e'))
    by_symmetry.get_veff(by_symmetry.cell, density)
    density[1] *= 1.01
    found, whole = (mf.get_veff(mf.cell, density) for mf in (by_symmetry, plain))
    assert np.allclose(found, whole, atol=1e-8)

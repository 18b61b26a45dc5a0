"""Isolated atoms with an open d shell: several starts, of which the lowest counts."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_qagenai.calculations.pyscf.results import EnergyResults


@pytest.fixture
def solve_atom(load_script, make_structure):
    """Return a function that runs the script of an atom by PBE in the minimal basis and returns its typed results."""

    def run(symbol: str, spin: int):
        values = {
            'fidelity': 'PBE',
            'system': 'molecule',
            'basis': 'gth-szv-molopt-sr',
            'pseudo': 'gth-pbe',
            'spin': spin,
            'grid_level': 1,
            'scf': {'conv_tol': 1e-7, 'max_cycle': 60, 'second_order': True},
        }
        script = load_script(make_structure([symbol], [(10.0, 10.0, 10.0)]), values)
        script.main(script.run)
        return EnergyResults.parse(script.clean(script.RESULTS))

    return run


@pytest.mark.slow
def test_the_lowest_of_several_starts_counts(solve_atom):
    """Titanium: the starts end in different occupations, and the lowest is no pure 3F, which a warning says."""
    results = solve_atom('Ti', 2)
    assert len(results.start_energies) > 1
    assert results.total_energy == pytest.approx(min(results.start_energies))
    assert max(results.start_energies) - min(results.start_energies) > 1e-3
    assert results.scf_converged and results.spin_contamination > 0.1 and 706 in results.warning_codes


def test_atoms_without_an_open_d_shell_have_one_start(solve_atom):
    """Calcium has closed shells, potassium one s electron: nothing of them has changed."""
    for symbol, spin in (('Ca', 0), ('K', 1)):
        results = solve_atom(symbol, spin)
        assert results.start_energies == [] and results.spin_contamination is None


def script_of_lithium(load_script, make_structure, fidelity):
    """Return the script of a lithium atom."""
    values = {
        'fidelity': fidelity,
        'system': 'molecule',
        'basis': 'gth-dzvp-molopt-sr',
        'pseudo': 'gth-pbe',
        'spin': 1,
        'grid_level': 1,
        'scf': {'conv_tol': 1e-7, 'max_cycle': 60, 'second_order': True},
    }
    return load_script(make_structure(['Li'], [(10.0, 10.0, 10.0)]), values)


@pytest.mark.parametrize('fidelity', ['SCAN', 'HSE06'])
def test_tails_of_the_density_decide_nothing(load_script, make_structure, fidelity):
    """The energy of an atom does not change with the threshold below which there is none."""
    script = script_of_lithium(load_script, make_structure, fidelity)
    energies = []
    for script.TAIL in (1e-7, 1e-9):
        script.run()
        energies.append(script.RESULTS['total_energy_hartree'])
    assert energies[0] != energies[1] or fidelity == 'HSE06'
    assert energies[0] == pytest.approx(energies[1], abs=2e-6)


@pytest.mark.parametrize('fidelity', ['PBE', 'SCAN', 'HSE06'])
def test_dense_contractions_give_the_energy_of_sparse_ones(load_script, make_structure, monkeypatch, fidelity):
    """Of an atom with the functions of a neighbour."""
    script = script_of_lithium(load_script, make_structure, fidelity)
    script.INPUTS['ghosts'] = [{'symbol': 'Li', 'position': [10.0, 10.0, 13.0]}]
    script.run()
    dense = script.RESULTS['total_energy_hartree']
    monkeypatch.setattr(script, 'contract_densely', lambda mf: None)
    script.run()
    assert script.RESULTS['num_ghosts'] == 1
    assert dense == pytest.approx(script.RESULTS['total_energy_hartree'], abs=1e-8)


def test_screened_integrals_are_computed_once(load_script, make_structure, monkeypatch):
    """And give the energy that PySCF finds where they do not fit into memory."""
    script, computed = script_of_lithium(load_script, make_structure, 'HSE06'), []
    intor = script.molecular.Mole.intor

    def count(mol, name, *args, **kwargs):
        computed.extend([mol.omega] if name == 'int2e' else [])
        return intor(mol, name, *args, **kwargs)

    monkeypatch.setattr(script.molecular.Mole, 'intor', count)
    script.run()
    kept, calls = script.RESULTS['total_energy_hartree'], list(computed)
    monkeypatch.setattr(script, 'keep_screened_integrals', lambda mf: None)
    script.run()
    assert sorted(calls) == [0.0, 0.11] and computed[len(calls) :] == [0.0]
    assert kept == pytest.approx(script.RESULTS['total_energy_hartree'], abs=1e-9)


@pytest.mark.parametrize('polarized', [True, False])
def test_functional_is_zero_in_tails(load_script, make_structure, polarized):
    """Energy, potential and kernel; elsewhere they are those of PySCF."""
    script = script_of_lithium(load_script, make_structure, 'SCAN')
    mf = script.dft.UKS(script.build_molecule())
    plain = script.dft.numint.NumInt()
    script.leave_out_tails(mf)
    # Density, its gradient and the kinetic energy density: of an atom at 2 and at 20 bohr, as it were.
    rho = np.array([[1e-2, 1e-12], [1e-3, 1e-13], [0, 0], [0, 0], [1e-3, 1e-13]])
    rho = np.array([rho, rho / 2]) if polarized else rho
    exc, vxc, fxc, _ = mf._numint.eval_xc_eff('SCAN', rho, deriv=2, xctype='MGGA')
    expected = plain.eval_xc_eff('SCAN', rho, deriv=2, xctype='MGGA')
    for found, whole in zip((exc, vxc, fxc), expected[:3], strict=True):
        assert np.all(found[..., 1] == 0) and np.any(whole[..., 1] != 0)
        assert np.array_equal(found[..., 0], whole[..., 0])

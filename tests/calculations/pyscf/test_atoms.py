"""Isolated atoms with an open d shell: several starts, of which the lowest counts."""

from __future__ import annotations

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

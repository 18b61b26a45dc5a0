"""CCSD of spin-polarised crystals: what must equal restricted CCSD, and that of molecules."""

from __future__ import annotations

import pytest
from pyscf.data import elements

from aiida_qagenai.calculations.pyscf.memory import num_frozen_core
from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf.results import EnergyResults, PyscfResults
from aiida_qagenai.common.errors import InvalidInputError

BOX = [[8.0, 0, 0], [0, 8.0, 0], [0, 0, 8.0]]


@pytest.fixture
def solve(load_script, make_structure, pyscf_parameters):
    """Return a function that computes CCSD of a row of hydrogen atoms in a box and returns its typed results."""

    def run(number: int = 2, **changes):
        structure = make_structure(['H'] * number, [(0, 0, 1.2 * index) for index in range(number)], BOX)
        values = {'method': 'CCSD', 'kmesh': [1, 1, 1], 'basis': 'gth-dzv', 'scf': {'conv_tol': 1e-9}, **changes}
        script = load_script(structure, pyscf_parameters('CCSD(T)', **values))
        script.main(script.run)
        results = script.clean(script.RESULTS)
        return (EnergyResults if results['status'] == 'finished' else PyscfResults).parse(results)

    return run


def test_closed_shells_agree_with_restricted_ccsd(solve):
    """Energy, T1 and D1, on a mesh."""
    mesh = {'kmesh': [1, 1, 2]}
    restricted, unrestricted = solve(**mesh), solve(**mesh, spin_polarized=True, spin=0)
    assert unrestricted.total_energy == pytest.approx(restricted.total_energy, abs=2e-5)
    assert unrestricted.t1_diagnostic == pytest.approx(restricted.t1_diagnostic, abs=1e-5)
    assert unrestricted.t1_diagnostic_up == pytest.approx(restricted.t1_diagnostic, abs=1e-5)
    assert unrestricted.d1_diagnostic == pytest.approx(restricted.d1_diagnostic, abs=1e-5)
    assert 'triples' not in unrestricted.components


def test_an_open_shell_agrees_with_the_molecule(solve):
    """The doublet of three atoms in a box, whose electrons are odd."""
    common = {'number': 3, 'basis': 'gth-szv'}
    found = solve(**common, spin_polarized=True, moments=[1.0, -1.0, 1.0])
    molecule = solve(**common, system='molecule', spin=1, kmesh=None)
    energies = [results.components['ccsd_correlation'] for results in (found, molecule)]
    assert energies[0] == pytest.approx(energies[1], rel=0.05)
    assert found.total_moment == pytest.approx(1.0, abs=1e-6)
    assert found.t1_diagnostic == pytest.approx(molecule.t1_diagnostic, rel=0.1)


def test_a_spin_without_electrons_is_refused(solve):
    """PySCF would end in an assertion."""
    found = solve(spin_polarized=True, moments=[1.0, 1.0])
    assert (found.status, 'both' in found.message) == ('invalid_input', True)


def test_there_is_no_perturbative_triples(pyscf_parameters):
    """The inherited method of PySCF would call a molecular one."""
    with pytest.raises(InvalidInputError, match=r'has no \(T\) for it'):
        PyscfCellParameters.parse(pyscf_parameters('CCSD(T)', spin_polarized=True, kmesh=[1, 1, 1]))


@pytest.mark.parametrize('symbol', ['K', 'Mn', 'Ga', 'Y', 'I', 'La', 'W', 'Pb'])
def test_the_core_beyond_argon_is_that_of_pyscf(symbol):
    """With all electrons; the pseudopotentials leave nothing of it in the valence."""
    number = elements.charge(symbol)
    assert num_frozen_core({symbol: 2}, {symbol: number}) == 2 * elements.chemcore_atm[number]


def test_pseudopotentials_keep_no_core_beyond_argon():
    """Semi-core electrons (3s 3p of Mn, 3d of Ga) are correlated."""
    assert num_frozen_core({'Mn': 1, 'Ga': 1, 'O': 2}, {'Mn': 15, 'Ga': 13, 'O': 6}) == 0
    assert num_frozen_core({'Li': 1, 'Mg': 1}, {'Li': 3, 'Mg': 10}) == 1 + 4


def test_memory_of_both_spins(load_script, make_structure, pyscf_parameters):
    """It is more than that of closed shells, and what does not fit is refused before anything runs."""
    structure = make_structure(['H', 'H'], [(0, 0, 0), (0, 0, 1.2)], BOX)
    values = {'method': 'CCSD', 'spin_polarized': True, 'moments': [1.0, -1.0], 'max_memory_mb': 1e-4}
    script = load_script(structure, pyscf_parameters('CCSD(T)', **values))
    script.main(script.run)
    assert script.RESULTS['status'] == 'memory_estimate'

"""Spin-polarised crystals: moments, orderings and gaps of small things that PySCF computes in seconds."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf.results import EnergyResults, PyscfResults
from aiida_qagenai.common.errors import InvalidInputError

CHAIN = [[5.0, 0, 0], [0, 5.0, 0], [0, 0, 5.0]]


@pytest.fixture
def hydrogen(make_structure):
    """Return a factory of cells of two hydrogen atoms along z, so many Å apart."""

    def create(distance: float = 2.5):
        return make_structure(['H', 'H'], [(0, 0, 0), (0, 0, distance)], CHAIN)

    return create


@pytest.fixture
def spin_script(load_script, hydrogen, pyscf_parameters):
    """Return a factory of imported scripts of a spin-polarised crystal."""
    return lambda **given: load_script(hydrogen(), pyscf_parameters(spin_polarized=True, **given))


@pytest.fixture
def solve(load_script, pyscf_parameters):
    """Return a function that runs the script of a spin-polarised crystal and returns its typed results."""

    def run(structure, fidelity: str = 'PBE', **changes):
        values = {'kmesh': [1, 1, 2], 'scf': {'conv_tol': 1e-8}, 'spin_polarized': True, **changes}
        if fidelity != 'CCSD(T)':
            values = {'grid_mesh': [35, 35, 35], **values}
        script = load_script(structure, pyscf_parameters(fidelity, **values))
        script.main(script.run)
        results = script.clean(script.RESULTS)
        return (EnergyResults if results['status'] == 'finished' else PyscfResults).parse(results)

    return run


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'moments': [1.0, -1.0]}, '`moments` need `spin_polarized`'),
        ({'spin': 2}, '`spin` of a crystal needs `spin_polarized`'),
        ({'spin_polarized': True, 'free_moment': True}, '`free_moment` needs'),
        ({'spin_polarized': True, 'fidelity': 'CCSD(T)', 'grid_mesh': None}, 'the `method` HF'),
        ({'spin_polarized': True, 'forces': True}, 'go without `spin_polarized`'),
        ({'system': 'molecule', 'kmesh': None, 'spin_polarized': True}, 'is for crystals'),
        ({'system': 'molecule', 'kmesh': None, 'spin': -1}, 'not negative'),
    ],
)
def test_wrong_parameters(pyscf_parameters, changes, text):
    """What does not go together is one line, before anything runs."""
    with pytest.raises(InvalidInputError, match=text):
        PyscfCellParameters.parse(pyscf_parameters(**changes))


def test_parameters_without_spin_are_as_before(pyscf_parameters):
    """Calculations that were stored keep the inputs, and the hash, that they had."""
    values = PyscfCellParameters.parse(pyscf_parameters()).dump()
    assert values['spin'] == 0
    assert not {'spin_polarized', 'moments', 'free_moment'} & values.keys()


@pytest.mark.parametrize(
    ('electrons', 'given', 'expected'),
    [
        (42, {'moments': [5, -5, 0, 0]}, 0),
        (42, {'moments': [4.6, 4.6]}, 10),
        (42, {'moments': [-4.6, -4.6]}, -10),
        (42, {'moments': [1]}, 2),
        (43, {}, 1),
        (43, {'moments': [2.2]}, 3),
        (42, {'moments': [5, 5], 'spin': 8}, 8),
    ],
)
def test_spin_of_the_cell(spin_script, electrons, given, expected):
    """The sum of the moments, as near as the parity of the electrons allows, unless it is given."""
    cell = type('Cell', (), {'nelectron': electrons, 'nao': 78})
    assert spin_script(**given).choose_spin(cell) == expected


def test_spin_against_the_parity(solve, hydrogen):
    """An odd spin of two electrons is refused by the job, which is the first to know their number."""
    results = solve(hydrogen(), spin=1)
    assert results.status == 'invalid_input' and 'a spin of 1 does not go with an even number' in results.message


def test_odd_number_of_electrons(solve, make_structure):
    """An open shell without spin polarisation is refused; with it the electron has a moment."""
    atom = make_structure(['H'], [(0, 0, 0)], CHAIN)
    refused = solve(atom, spin_polarized=False)
    assert refused.status == 'invalid_input' and '1 electrons per cell are an open shell' in refused.message
    free = solve(atom, spin=1, free_moment=True, scf={'conv_tol': 1e-8, 'smearing': 0.005, 'damping': 0.5})
    assert free.total_moment == pytest.approx(1.0, abs=1e-3) and free.magnetic_ordering == 'ferromagnetic'


def test_antiferromagnetic_chain(solve, hydrogen):
    """Distant hydrogen atoms hold one electron each, alternately up and down; that is lower than all up."""
    alternating = solve(hydrogen(), moments=[1.0, -1.0])
    assert alternating.magnetic_ordering == 'antiferromagnetic' and alternating.spin == 0
    assert alternating.site_moments == pytest.approx([0.95, -0.95], abs=0.05)
    assert alternating.total_moment == pytest.approx(0.0, abs=1e-8)
    assert 1.7 < alternating.absolute_moment < 2.0
    # Two atoms with one unpaired electron each, not coupled to a singlet: ⟨S²⟩ = 1.
    assert 0.8 < alternating.spin_squared < 1.0
    assert alternating.band_gap == pytest.approx(min(alternating.band_gap_up, alternating.band_gap_down), abs=0.01)
    parallel = solve(hydrogen(), moments=[1.0, 1.0])
    assert parallel.magnetic_ordering == 'ferromagnetic' and parallel.spin == 2
    assert parallel.total_moment == pytest.approx(2.0) and parallel.spin_squared == pytest.approx(2.0)
    assert alternating.total_energy < parallel.total_energy - 0.1


@pytest.mark.parametrize('fidelity', ['SCAN', 'HSE06', 'CCSD(T)'])
def test_every_mean_field_breaks_the_symmetry(solve, hydrogen, fidelity):
    """SCAN, HSE06 and Hartree-Fock keep the moments that the density began with."""
    results = solve(hydrogen(), fidelity, moments=[1.0, -1.0], method='HF' if fidelity == 'CCSD(T)' else None)
    assert results.site_moments == pytest.approx([0.97, -0.97], abs=0.04)
    assert results.magnetic_ordering == 'antiferromagnetic' and results.band_gap > 5


def test_turning_all_moments_keeps_the_energy(solve, hydrogen):
    """Up and down are names."""
    options = {'scf': {'conv_tol': 1e-8, 'damping': 0.5}}
    results = [solve(hydrogen(), moments=[sign * 1.0, -0.5 * sign], **options) for sign in (1, -1)]
    assert results[0].total_energy_hartree == pytest.approx(results[1].total_energy_hartree, abs=1e-8)
    assert np.allclose(results[0].site_moments, np.negative(results[1].site_moments), atol=1e-4)
    assert results[0].band_gap_up == pytest.approx(results[1].band_gap_down, abs=1e-4)


def test_collapse_is_not_an_energy(solve, hydrogen):
    """Moments on the atoms of a molecule do not last: the result is not passed off as the magnetic one."""
    results = solve(hydrogen(0.75), moments=[1.0, -1.0])
    assert results.status == 'magnetic_collapse' and 'are lost' in results.message
    assert results.initial_moments == [1.0, -1.0] and results.magnetic_ordering == 'nonmagnetic'


@pytest.mark.parametrize(('moment', 'expected'), [(0.5, 0.5), (3.0, 0.98)])
def test_first_density_holds_the_moments(spin_script, moment, expected):
    """As far as the electrons of the shell allow, and with all electrons of the cell."""
    script = spin_script(moments=[moment, -moment], grid_mesh=[35, 35, 35])
    cell = script.build_cell()
    mf = script.mean_field(cell, script.make_kpts(cell, [1, 1, 2], [0, 0, 0]), 'PBE')
    density, overlaps = mf.get_init_guess(), np.array(mf.get_ovlp())
    assert script.lowdin_moments(cell, density, overlaps) == pytest.approx([expected, -expected], abs=0.05)
    assert np.einsum('skij,kji->s', density, overlaps).real == pytest.approx(np.array([2.0, 2.0]))


def test_restart_from_a_checkpoint(load_script, hydrogen, pyscf_parameters):
    """An unfinished run is continued as it was; the density of a run without spin is given the moments."""
    options = {'kmesh': [1, 1, 2], 'grid_mesh': [35, 35, 35], 'scf': {'conv_tol': 1e-8, 'damping': 0.5}}
    ended = []
    for changes, restart in (
        ({'spin_polarized': True, 'moments': [1.0, -1.0], 'scf': {**options['scf'], 'max_cycle': 2}}, None),
        ({'spin_polarized': True, 'moments': [1.0, -1.0]}, 'checkpoint.chk'),
        ({'scf': {'conv_tol': 1e-2}}, None),
        ({'spin_polarized': True, 'moments': [1.0, -1.0]}, 'checkpoint.chk'),
    ):
        script = load_script(hydrogen(), pyscf_parameters(**{**options, **changes}))
        script.INPUTS['files']['restart_checkpoint'] = restart
        script.main(script.run)
        ended.append(script.RESULTS)
    stopped, continued, _, given = ended
    assert stopped['status'] == 'scf_not_converged' and continued['restarted_from_checkpoint']
    assert continued['total_energy_hartree'] == pytest.approx(given['total_energy_hartree'], abs=1e-6)
    assert given['restarted_from_checkpoint'] and given['magnetic_ordering'] == 'antiferromagnetic'


@pytest.mark.slow
def test_oxygen_molecule_in_a_box(load_script, make_structure):
    """The triplet of a box of 7 Å is that of the molecule, computed without one, up to its images."""
    box = [[7.0, 0, 0], [0, 7.0, 0], [0, 0, 7.0]]
    common = {'fidelity': 'PBE', 'basis': 'gth-szv', 'pseudo': 'gth-pbe', 'scf': {'conv_tol': 1e-7}}
    crystal = {'kmesh': [1, 1, 1], 'grid_mesh': [65, 65, 65], 'spin_polarized': True, 'moments': [1.0, 1.0]}
    energies = []
    for changes in (crystal, {'system': 'molecule', 'spin': 2}):
        script = load_script(make_structure(['O', 'O'], [(0, 0, 0), (0, 0, 1.21)], box), {**common, **changes})
        script.main(script.run)
        energies.append(script.RESULTS['total_energy_hartree'])
    assert energies[0] == pytest.approx(energies[1], abs=1e-3)


@pytest.mark.slow
def test_moment_of_manganese(solve, make_structure):
    """Distant atoms find the five unpaired electrons of Hund's rule from a moment of three."""
    atom = make_structure(['Mn'], [(0, 0, 0)], [[6.0, 0, 0], [0, 6.0, 0], [0, 0, 6.0]])
    options = {'basis': 'gth-szv-molopt-sr', 'kmesh': [1, 1, 1], 'grid_mesh': [51, 51, 51], 'free_moment': True}
    scf = {'conv_tol': 1e-6, 'smearing': 0.005, 'damping': 0.5}
    results = solve(atom, moments=[3.0], scf=scf, **options)
    assert results.total_moment == pytest.approx(5.0, abs=0.05) and results.site_moments[0] > 4.9


@pytest.mark.slow
def test_second_order_of_two_spins(solve, hydrogen):
    """The last aid to convergence ends at the same energy."""
    first, second = (
        solve(hydrogen(), moments=[1.0, -1.0], scf={'conv_tol': 1e-8, **aid}) for aid in ({}, {'second_order': True})
    )
    assert second.total_energy_hartree == pytest.approx(first.total_energy_hartree, abs=1e-7)
    assert second.site_moments == pytest.approx(first.site_moments, abs=1e-3)


@pytest.mark.parametrize('free', [False, True])
def test_smearing_of_two_spins(solve, hydrogen, free):
    """Fractional occupations leave the gap of an insulator alone, also where one spin has no electron."""
    sharp = solve(hydrogen(), moments=[1.0, 1.0])
    options = {'scf': {'conv_tol': 1e-8, 'smearing': 0.005}, 'free_moment': free}
    smeared = solve(hydrogen(), moments=[1.0, 1.0] if not free else [1.0, -1.0], **options)
    if free:
        # Of both spins one Fermi level: the moment of the cell stays zero by itself.
        assert smeared.total_moment == pytest.approx(0.0, abs=1e-6)
        sharp = solve(hydrogen(), moments=[1.0, -1.0])
    assert smeared.total_energy_hartree == pytest.approx(sharp.total_energy_hartree, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('fidelity', ['PBE', 'SCAN', 'HSE06'])
def test_closed_shell_is_the_same_with_spin(solve, lithium_hydride, fidelity):
    """A crystal without moments has the same energy and gap in both calculations."""
    common = {'kmesh': [2, 1, 1], 'grid_mesh': [27, 27, 27]}
    polarized = solve(lithium_hydride, fidelity, **common)
    restricted = solve(lithium_hydride, fidelity, spin_polarized=False, **common)
    assert polarized.total_energy_hartree == pytest.approx(restricted.total_energy_hartree, abs=1e-6)
    assert polarized.band_gap == pytest.approx(restricted.band_gap, abs=1e-3)
    assert polarized.band_gap_up == pytest.approx(polarized.band_gap_down, abs=1e-3)
    assert polarized.magnetic_ordering == 'nonmagnetic' and polarized.spin_squared == pytest.approx(0.0, abs=1e-6)
    assert restricted.spin_polarized is False and restricted.site_moments is None


def test_names_of_orderings(spin_script):
    """Small moments on ligands do not make a ferromagnet a ferrimagnet."""
    name = spin_script().name_ordering
    assert name([4.5, 4.5, -0.1, -0.1], 10.0) == 'ferromagnetic'
    assert name([4.5, -4.5, 0.0, 0.0], 0.0) == 'antiferromagnetic'
    assert name([4.5, -2.5, 0.0], 2.0) == 'ferrimagnetic'
    assert name([0.02, -0.02], 0.0) == 'nonmagnetic'


def test_another_ordering_is_said(spin_script):
    """A sign that turned, or a site that lost its moment, is a warning with its numbers."""
    script = spin_script(moments=[1.0, -1.0])
    script.RESULTS['magnetic_ordering'] = 'ferromagnetic'
    script.check_moments([0.9, 0.9])
    script.check_moments([0.9, 0.01])
    script.check_moments([-0.9, 0.9])
    assert script.RESULTS['warning_codes'] == [710, 711]
    assert 'from 1.00, -1.00 to 0.90, 0.90' in script.RESULTS['warnings'][0]


@pytest.mark.slow
def test_descriptors_and_bands_of_both_spins(load_script, hydrogen, lithium_hydride, pyscf_parameters):
    """Without moments they are those of one density; with moments there are bands of each spin."""
    found = []
    for polarized in (False, True):
        changes = {'descriptors': True, 'band_path_spacing': 2.0, 'spin_polarized': polarized}
        script = load_script(lithium_hydride, pyscf_parameters(grid_mesh=[27, 27, 27], **changes))
        script.main(script.run)
        found.append(EnergyResults.parse(script.clean(script.RESULTS)))
    restricted, both = found
    assert both.descriptors == pytest.approx(restricted.descriptors, abs=1e-4)
    assert np.allclose(both.band_structure.energies, [restricted.band_structure.energies] * 2, atol=1e-3)

"""The script that runs PySCF: its traps, one by one, in this interpreter."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Element

from aiida_qagenai.calculations.pyscf.memory import least_memory, num_frozen_core
from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf.script import as_literal
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.warning_codes import WARNING_CODES


@pytest.mark.parametrize(
    'text',
    [
        "'''); __import__('os').system('touch pwned') #",
        'back\\slash\\',
        'quote\'"""\'',
        'new\nline\r\x00\x1b',
        'Ångström 🧪 \ud83d',
        '\\u0027\\',
        '{{ jinja }}{% raw %}',
    ],
)
def test_literal_survives_any_string(text):
    """Whatever a string holds, it reaches the script as that string and as nothing else."""
    values = {'basis': text, text: [text]}
    tree = ast.parse(f"INPUTS = json.loads('''\n{as_literal(values)}\n''')")
    assert len(tree.body) == 1
    assert json.loads(tree.body[0].value.args[0].value) == values


def test_hostile_basis_stays_data(render, lithium_hydride, pyscf_parameters):
    """A basis that is code does not become code: what PySCF would evaluate is refused, comments stay strings."""
    hostile = "x'''\nimport os\nos.remove('everything')\n'''"
    for basis in (hostile, {'Li': 'gth-szv', 'H': {'format': 'nwchem', 'text': f'H S\n1.0 {hostile}'}}):
        with pytest.raises(InvalidInputError, match='basis'):
            render(lithium_hydride, pyscf_parameters(basis=basis))
    text = f'#{hostile.splitlines()[0]}\nH S\n1.0 1.0'
    tree = ast.parse(render(lithium_hydride, pyscf_parameters(basis={'H': {'format': 'nwchem', 'text': text}})))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    inputs = next(node for node in assigned if ast.unparse(node.targets[0]) == 'INPUTS')
    assert json.loads(ast.literal_eval(inputs.value.args[0]))['basis']['H']['text'] == text


@pytest.mark.parametrize('fidelity', ['PBE', 'CCSD(T)'])
def test_script_is_free_of_known_traps(render, lithium_hydride, pyscf_parameters, fidelity):
    """Nothing is pickled, and no primitive is taken out of a contracted function."""
    script = render(lithium_hydride, pyscf_parameters(fidelity))
    assert not [word for word in ('pickle', 'dill', 'exp_to_discard', 'KUCCSD') if word in script]


def test_script_holds_only_its_level(render, lithium_hydride, pyscf_parameters):
    """A density functional does not carry the code of coupled cluster."""
    assert 'KRCCSD' not in render(lithium_hydride, pyscf_parameters('PBE'))


def test_grid_is_uniform_after_density_fitting(load_script, lithium_hydride, pyscf_parameters):
    """Density fitting switches to Becke grids, which lose electrons: the grid is set after it."""
    script = load_script(lithium_hydride, pyscf_parameters('PBE'))
    cell = script.build_cell()
    mf = script.mean_field(cell, script.make_kpts(cell, [1, 1, 1], [0, 0, 0]), 'PBE')
    assert isinstance(mf.grids, script.dft.gen_grid.UniformGrids)
    assert list(mf.grids.mesh) == [21, 21, 21]


@pytest.mark.parametrize('fidelity', ['PBE', 'SCAN'])
def test_gamma_alone(load_script, lithium_hydride, pyscf_parameters, fidelity):
    """The mesh of large cells, where PySCF takes the orbitals to be real, is not a special case."""
    script = load_script(lithium_hydride, pyscf_parameters(fidelity))
    cell = script.build_cell()
    energies = [
        script.run_scf(script.mean_field(cell, script.make_kpts(cell, [1, 1, 1], shift), fidelity), fidelity).e_tot
        for shift in ([0, 0, 0], [1e-6, 0, 0])
    ]
    assert energies[0] == pytest.approx(energies[1], abs=1e-6)


def test_integrals_of_hybrids_hold_exchange(load_script, lithium_hydride, pyscf_parameters):
    """The functional is set before density fitting: integrals for a pure functional would lack exchange."""
    script = load_script(lithium_hydride, pyscf_parameters('HSE06'))
    cell = script.build_cell()
    kpts = script.make_kpts(cell, [2, 1, 1], [0, 0, 0])
    assert [script.mean_field(cell, kpts, name).with_df._j_only for name in ('PBE', 'HSE06')] == [True, False]


def test_auxiliary_basis_is_even_tempered(load_script, lithium_hydride, pyscf_parameters):
    """Fitted auxiliary bases are wrong by millihartrees with these pseudopotentials."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)'))
    cell = script.build_cell()
    exponents = [shell[1][0] for shell in script.mean_field(cell, np.zeros((1, 3))).with_df.auxbasis['Li']]
    assert np.allclose(np.array(exponents[:-1]) / np.array(exponents[1:]), 2.0)


def test_potential_of_scan_is_the_derivative_of_its_energy(load_script, lithium_hydride, pyscf_parameters):
    """PySCF before 2.7 counts the kinetic part twice in crystals, which raises the energy of LiH by 0.8 mHa."""
    script = load_script(lithium_hydride, pyscf_parameters('SCAN'))
    cell = script.build_cell()
    kpts = script.make_kpts(cell, [1, 1, 1], [0.5, 0.5, 0.5])
    mf = script.mean_field(cell, kpts, 'SCAN')
    rng = np.random.default_rng(0)
    density = mf.get_init_guess(key='1e')
    change = 1e-4 * rng.normal(size=density.shape)
    change += change.swapaxes(1, 2)
    energies = [mf._numint.nr_rks(cell, mf.grids, 'SCAN', density + x, kpts=kpts)[1] for x in (change, -change)]
    potential = mf._numint.nr_rks(cell, mf.grids, 'SCAN', density, kpts=kpts)[2]
    expected = np.einsum('kij,kji', potential, change).real
    assert (energies[0] - energies[1]) / 2 == pytest.approx(expected, rel=1e-4)


def test_short_range_exchange_is_a_difference(load_script, lithium_hydride, pyscf_parameters):
    """The same in every version of PySCF: full less long range; other ranges are passed on."""
    script = load_script(lithium_hydride, pyscf_parameters('HSE06'))
    exchange = {None: 10.0, 0.11: 4.0, -0.11: 7.0}

    def get_jk(*args, omega=None, exxdiv=None):
        return None, exchange[omega]

    wrapped = script.short_range_by_difference(get_jk)
    assert wrapped('density', with_j=False, omega=-0.11) == (None, 6.0)
    assert wrapped('density', omega=0.11) == (None, 4.0) and wrapped('density') == (None, 10.0)


@pytest.mark.parametrize(('integrated', 'passes'), [(4.00009, True), (3.998, False), (float('nan'), False)])
def test_lost_electrons_stop_the_calculation(load_script, lithium_hydride, pyscf_parameters, integrated, passes):
    """|N_int − N_el| < 1e-4, or there is no result."""
    script = load_script(lithium_hydride, pyscf_parameters())
    if passes:
        script.check_integration(integrated, 4)
    else:
        with pytest.raises(script.Stop, match='of 4 electrons') as caught:
            script.check_integration(integrated, 4)
        assert caught.value.status == 'integration_error'


def test_frozen_core(load_script, lithium_hydride, pyscf_parameters):
    """Li q3 1, Be q4 1, Na q9 4, Mg q10 4, and 0 where the pseudopotential holds the core."""
    script = load_script(lithium_hydride, pyscf_parameters())
    expected = {
        **{(1, 1): 0, (2, 2): 0, (3, 3): 1, (3, 1): 0, (4, 4): 1, (6, 4): 0},
        **{(11, 9): 4, (12, 10): 4, (12, 2): 0, (14, 4): 0},
    }
    assert {atom: script.num_frozen_core([atom]) for atom in expected} == expected
    assert script.num_frozen_core([(3, 3), (1, 1), (3, 3)]) == 2


def test_memory_is_estimated_before_it_is_used(load_script, lithium_hydride, pyscf_parameters):
    """A refusal names the estimate: the integrals on disk where they do not fit, the amplitudes always in memory."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)', basis='gth-cc-dzvp', max_memory_mb=50))
    with pytest.raises(script.Stop, match='1 occupied and 16 virtual bands needs about 57 MB') as caught:
        script.check_memory(script.build_cell(), num_kpts=8, num_frozen=1, num_aux=100)
    assert caught.value.status == 'memory_estimate'
    amplitudes, fitted = 16e-6 * 512 * 14 * 16**2, 16e-6 * 64 * 100 * 17 * 16
    triples = 16e-6 * 512 * (2 * 16**2 + 16**2 * 17 + 16 + 2 * 4**3)
    assert script.RESULTS['memory_estimate_mb'] == pytest.approx(max(amplitudes + fitted, triples), rel=1e-9)
    assert script.RESULTS['disk_estimate_mb'] == pytest.approx(16e-6 * 512 * 17**3, rel=1e-9)
    # In memory: where four times the integrals fit.
    memory, disk = script.estimate_memory('CCSD', 8, 1, 16, 100, 4000)
    assert (memory, disk) == (pytest.approx(amplitudes + 16e-6 * 512 * (17**4 + 16**4)), 0.0)
    assert script.estimate_memory('MP2', 8, 1, 16, 100, 4000)[0] < memory / 10


@pytest.mark.parametrize('method', ['HF', 'MP2', 'CCSD', 'CCSD(T)', 'LNO-CCSD(T)'])
def test_work_chain_and_script_estimate_the_same_memory(load_script, lithium_hydride, pyscf_parameters, method):
    """Without the fitted integrals, which only PySCF can count, and with the integrals on disk."""
    values = pyscf_parameters('CCSD(T)', basis='gth-cc-dzvp', kmesh=[2, 2, 1], method=method)
    script, parameters = load_script(lithium_hydride, values), PyscfCellParameters.parse(values)
    found = least_memory(parameters, {'Li': 1, 'H': 1}, {'Li': 13, 'H': 5}, {'Li': 3, 'H': 1})
    expected = 0.0 if method == 'HF' else script.estimate_memory(method, 4, 1, 16, 0, 0.0)[0]
    assert found == pytest.approx(expected, rel=1e-12)
    for atoms in ({'Li': 2, 'H': 2}, {'Mg': 1, 'O': 3}, {'Na': 1, 'Si': 1}):
        valence = {'Li': 3, 'H': 1, 'Mg': 10, 'O': 6, 'Na': 9, 'Si': 4}
        pairs = [(Element(symbol).Z, valence[symbol]) for symbol, count in atoms.items() for _ in range(count)]
        assert num_frozen_core(atoms, valence) == script.num_frozen_core(pairs)


def test_amplitudes_are_saved_before_the_walltime_ends(load_script, lithium_hydride, pyscf_parameters):
    """CCSD stops while there is still time, and its amplitudes can be read back with the orbitals they belong to."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)'))
    script.INPUTS['cc'].update(kmesh=[1, 1, 1], kmesh_shift=[0.5, 0.5, 0.5])
    cell = script.build_cell()
    kpts = script.make_kpts(cell, [1, 1, 1], [0.5, 0.5, 0.5])
    mf = script.run_scf(script.mean_field(cell, kpts), 'HF')
    mycc = script.make_solver(mf, 1)
    eris = mycc.ao2mo()
    script.INPUTS['walltime_seconds'] = 0.0
    with pytest.raises(script.Stop, match='during the CCSD after 1 cycles') as caught:
        script.solve_ccsd(mf, mycc, eris, -8.5, {})
    assert caught.value.status == 'out_of_walltime' and script.RESULTS['amplitudes_saved']

    script.INPUTS['files']['restart_amplitudes'] = script.INPUTS['files']['amplitudes']
    fresh = script.mean_field(cell, kpts)
    saved = script.load_amplitudes(fresh)
    assert (saved['hf_energy'], fresh.e_tot) == (-8.5, mf.e_tot)
    assert saved['t1'].shape == (1, 1, 1) and saved['t2'].shape == (1, 1, 1, 1, 1, 1, 1)
    assert saved['mp2_correlation'] == mycc.emp2 and 'ccsd_correlation' not in saved
    assert np.array_equal(fresh.mo_coeff[0], mf.mo_coeff[0])
    script.INPUTS['method'] = '(T)'
    with pytest.raises(script.Stop, match='not converged to the thresholds'):
        script.load_amplitudes(fresh)
    script.INPUTS['basis'] = 'gth-dzvp'
    with pytest.raises(script.Stop, match='another system or level'):
        script.load_amplitudes(fresh)


def test_every_warning_has_a_meaning(render, lithium_hydride, make_structure, pyscf_parameters):
    """The codes in the scripts are those that searches know."""
    molecule = {'fidelity': 'CCSD(T)', 'system': 'molecule', 'basis': 'gth-szv', 'pseudo': 'gth-hf-rev', 'spin': 1}
    scripts = [render(lithium_hydride, pyscf_parameters(fidelity)) for fidelity in ('PBE', 'CCSD(T)')]
    scripts.append(render(lithium_hydride, pyscf_parameters(relax={})))
    scripts.append(render(lithium_hydride, pyscf_parameters(spin_polarized=True)))
    scripts.append(render(make_structure(['H'], [(0, 0, 0)]), molecule))
    calls = [node for script in scripts for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Call)]
    codes = {call.args[0].value for call in calls if ast.unparse(call.func) == 'warn'}
    # 700, 712 and 713 are given to a stored energy, 721 to 723 to the outcome of a relaxation, not to a calculation.
    assert codes | {700, 712, 713, 721, 722, 723} == set(WARNING_CODES)


def test_varying_occupation_is_a_metal(load_script, lithium_hydride, pyscf_parameters, monkeypatch):
    """KRCCSD converges silently with occupations that depend on k: refused before it starts."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)'))
    cell = script.build_cell()
    bands = type('Bands', (), {})()
    bands.mo_energy = [np.array([-2.0, -1.0, 1.0]), np.array([-2.0, -0.5, 0.5])]
    bands.mo_occ = [np.array([2.0, 2.0, 2.0]), np.array([2.0, 0.0, 0.0])]
    with pytest.raises(script.Stop) as caught:
        script.check_insulator(cell, bands, np.zeros((2, 3)))
    assert caught.value.status == 'varying_occupation'


def test_gap_must_not_come_from_the_finite_size_correction(load_script, lithium_hydride, pyscf_parameters):
    """The Madelung energy of a coarse mesh opens a gap of several eV in anything: it does not count."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)'))
    cell = script.build_cell()
    bands = type('Bands', (), {'mo_occ': [np.array([2.0, 2.0, 0.0])] * 2})
    bands.mo_energy = [np.array([-2.0, -0.2, 0.0])] * 2
    with pytest.raises(script.Stop, match='gap is -') as caught:
        script.check_insulator(cell, bands, script.make_kpts(cell, [2, 1, 1], [0, 0, 0]))
    assert caught.value.status == 'metallic'
    assert script.RESULTS['band_gap'] == pytest.approx(0.2 * script.HARTREE_TO_EV)


def test_bands_of_the_density_on_the_grid(load_script, lithium_hydride, pyscf_parameters):
    """At the points of the mesh itself they are the bands of the SCF, within the error of its density fitting."""
    script = load_script(lithium_hydride, pyscf_parameters('PBE', kmesh=[2, 1, 1], scf={'smearing': 0.005}))
    cell = script.build_cell()
    kpts = script.make_kpts(cell, [2, 1, 1], [0, 0, 0])
    mf = script.run_scf(script.mean_field(cell, kpts, 'PBE', kpts), 'PBE')
    for found, expected in zip(script.complementary_bands(cell, mf, kpts, kpts), mf.mo_energy, strict=True):
        assert found[:2] == pytest.approx(expected[:2], abs=2e-3)
        assert found[2] == pytest.approx(expected[2], abs=1e-2)


def test_gap_of_an_odd_number_of_electrons_is_zero(load_script, make_structure, pyscf_parameters):
    """Half a band is filled, wherever the levels lie."""
    lithium = make_structure(['Li'], [(0, 0, 0)], [[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]])
    script = load_script(lithium, pyscf_parameters())
    bands = type('Bands', (), {'mo_energy': [np.array([-2.0, 0.0])], 'mo_occ': [np.array([2.0, 1.0])]})
    assert script.analyse_bands(script.build_cell(), bands) == 0.0


def test_numbers_that_are_not_finite_never_reach_the_results(load_script, lithium_hydride, pyscf_parameters):
    """An energy that is not a number is an error; elsewhere it becomes null, which JSON has."""
    script = load_script(lithium_hydride, pyscf_parameters())
    with pytest.raises(script.Stop) as caught:
        script.store_energies(-8.0, {'coulomb': float('nan')})
    assert caught.value.status == 'not_finite'
    assert script.clean({'a': [np.float64('inf'), np.int64(3), True]}) == {'a': [None, 3, True]}


def test_localization_function_of_one_orbital_is_one(load_script, make_structure, pyscf_parameters):
    """One doubly occupied orbital: its kinetic energy density is von Weizsäcker's and ELF is 1 everywhere."""
    helium = make_structure(['He'], [(0, 0, 0)], [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]])
    script = load_script(helium, pyscf_parameters('PBE', kmesh=[1, 1, 1], grid_mesh=[31, 31, 31], descriptors=True))
    cell = script.build_cell()
    kpts = script.make_kpts(cell, [1, 1, 1], [0, 0, 0])
    mf = script.run_scf(script.mean_field(cell, kpts, 'PBE'), 'PBE')
    values = script.describe_density(cell, mf, kpts)
    assert values['elf_9'] == pytest.approx(1.0, abs=1e-9)
    assert script.describe_response(cell, mf, kpts) == {}


def test_time_reversal_leaves_half_of_a_displaced_mesh(load_script, lithium_hydride, pyscf_parameters):
    """Each k-point of the density stands for itself and its opposite."""
    script = load_script(lithium_hydride, pyscf_parameters('PBE', descriptors=True))
    cell = script.build_cell()
    assert script.independent_kpts(cell, script.make_kpts(cell, [2, 2, 2], [0.5] * 3))[1] == [2] * 4
    assert script.independent_kpts(cell, script.make_kpts(cell, [2, 2, 2], [0.0] * 3))[1] == [1] * 8
    assert script.independent_kpts(cell, script.make_kpts(cell, [3, 1, 1], [0.0] * 3))[1] == [1, 2]


@pytest.mark.parametrize(
    ('exception', 'status', 'text'),
    [
        (MemoryError('64 GiB'), 'out_of_memory', '64 GiB'),
        (np.linalg.LinAlgError('singular'), 'exception', 'LinAlgError: singular'),
        (OSError(28, 'No space left on device'), 'exception', 'No space left'),
    ],
)
def test_every_exception_has_an_ending(  # noqa: PLR0917
    load_script, lithium_hydride, pyscf_parameters, monkeypatch, exception, status, text
):
    """Whatever is raised, the results file says how it ended and what it cost, and the process fails."""
    script = load_script(lithium_hydride, pyscf_parameters())

    def run():
        raise exception

    monkeypatch.setattr(script.signal, 'signal', lambda *_: None)
    assert script.main(run) == 1
    results = json.loads(Path('results.json').read_text(encoding='utf-8'))
    assert results['status'] == status and text in results['message'] and results['core_hours'] > 0


def test_damaged_restart_files_cost_only_what_they_held(load_script, lithium_hydride, pyscf_parameters):
    """A checkpoint or amplitudes cut off by a crash: everything is computed again; (T) alone cannot be."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)'))
    Path('damaged').write_bytes(b'\x89HDF\r\n\x1a\n' + 100 * b'\0')
    script.INPUTS['files'].update(restart_checkpoint='damaged', restart_amplitudes='damaged')
    cell = script.build_cell()
    mf = script.scf.KRHF(cell, np.zeros((1, 3)))
    assert script.restart_density(mf) is None and 'restarted_from_checkpoint' not in script.RESULTS
    # What a job leaves that was killed in its first cycle: the system, and no orbitals.
    script.lib.chkfile.save_mol(mf.mol, 'early')
    script.INPUTS['files']['restart_checkpoint'] = 'early'
    assert script.restart_density(mf) is None and 'restarted_from_checkpoint' not in script.RESULTS
    assert script.find_amplitudes(mf) == {}
    for name in ('damaged', 'missing'):
        script.INPUTS.update(method='(T)')
        script.INPUTS['files'].update(restart_amplitudes=name)
        with pytest.raises(script.Stop, match='cannot be read'):
            script.find_amplitudes(mf)


def test_projected_moments(load_script, make_structure, pyscf_parameters):
    """In solid neon the 2s band lies far below 2p and holds a quarter of the electrons."""
    neon = make_structure(['Ne'], [(0, 0, 0)], [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]])
    script = load_script(neon, pyscf_parameters('PBE', kmesh=[1, 1, 1], descriptors=True))
    cell = script.build_cell()
    kpts = script.make_kpts(cell, [1, 1, 1], [0, 0, 0])
    mf = script.run_scf(script.mean_field(cell, kpts, 'PBE'), 'PBE')
    script.analyse_bands(cell, mf)
    values = script.describe_states(cell, mf, kpts, 0)
    assert (values['dos_s_fraction'], values['dos_p_fraction']) == (pytest.approx(0.25), pytest.approx(0.75))
    assert values['dos_d_fraction'] == 0.0 and 'dos_d_mean' not in values
    assert values['dos_s_mean'] < -20 < -1 < values['dos_p_mean'] <= 0
    assert values['dos_mean'] == pytest.approx(0.25 * values['dos_s_mean'] + 0.75 * values['dos_p_mean'])


@pytest.mark.parametrize('shift', [[0.5, 0.5, 0.5], [0.0, 0.25, 0.5]])
def test_gaps_are_looked_for_at_gamma(load_script, lithium_hydride, pyscf_parameters, shift):
    """Where a displaced mesh has no Γ, the further k-points of the bands do."""
    script = load_script(lithium_hydride, pyscf_parameters('PBE', kmesh=[2, 2, 2], kmesh_shift=shift))
    cell = script.build_cell()
    scaled = cell.get_scaled_kpts(script.complementary_kpts(cell))
    assert np.abs(scaled - scaled.round()).sum(axis=1).min() < 1e-9


def test_an_insulator_does_not_stay_in_an_excited_state(load_script, lithium_hydride, pyscf_parameters):
    """Where k-points differ in the number of occupied bands, equal numbers are tried, and the lower state is kept."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)'))
    cell = script.build_cell()
    kpts = script.make_kpts(cell, [2, 1, 1], [0.5, 0.5, 0.5])
    ground = script.run_scf(script.mean_field(cell, kpts), 'HF').e_tot
    mf = script.mean_field(cell, kpts)
    # Two electrons are moved from one k-point to the other.
    mf.get_occ = lambda *_: [2.0 * (np.arange(cell.nao) < count) for count in (1, 3)]
    found = script.converge_hartree_fock(cell, mf, 'HF')
    assert [int((one > 1).sum()) for one in found.mo_occ] == [2, 2]
    assert found.e_tot == pytest.approx(ground, abs=1e-6)


@pytest.mark.parametrize(
    ('flags', 'kernels'),
    [
        ('fpu avx avx2 fma avx512f avx512cd avx512bw avx512dq avx512vl', 'SkylakeX'),
        ('fpu avx avx2 fma avx512f', 'Haswell'),
        ('fpu sse4_2', None),
    ],
)
def test_blas_has_the_kernels_of_the_processor(load_script, lithium_hydride, pyscf_parameters, flags, kernels):
    """What the library in PySCF's wheel is told, since it does not know newer processors."""
    script = load_script(lithium_hydride, pyscf_parameters('PBE'))
    Path('cpuinfo').write_text(f'processor : 0\nflags\t\t: {flags}\n', encoding='utf-8')
    assert script.kernels_of_blas('cpuinfo') == kernels
    assert script.kernels_of_blas('missing') is None

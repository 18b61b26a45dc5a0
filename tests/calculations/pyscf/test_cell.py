"""The PySCF calculation through the engine: real energies, failures and restarts."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.validators import problem_of
from aiida_qagenai.common.descriptors import FIELDS
from aiida_qagenai.common.units import HARTREE_TO_EV


@pytest.fixture
def compute(pyscf_code):
    """Return a function that runs a calculation and returns its node."""

    def run(structure, parameters: dict, seconds: int = 600, **inputs):
        return run_get_node(
            PyscfCellCalculation,
            code=pyscf_code,
            structure=structure,
            parameters=orm.Dict(parameters),
            metadata={'options': {'max_wallclock_seconds': seconds}},
            **inputs,
        )[1]

    return run


def molecule_parameters(fidelity: str, spin: int = 0, pseudo: str = 'gth-hf-rev') -> dict:
    """Return the parameters of the molecules in the table of reference values."""
    return {
        'fidelity': fidelity,
        'system': 'molecule',
        'basis': 'gth-dzvp',
        'pseudo': pseudo,
        'spin': spin,
        'scf': {'conv_tol': 1e-9},
        'cc': {'conv_tol': 1e-8, 'conv_tol_normt': 1e-6},
    }


def by_hand(node, folder: Path) -> dict:
    """Run the stored script outside AiiDA and return what it wrote."""
    (folder / 'script.py').write_text(node.base.repository.get_object_content('script.py'), encoding='utf-8')
    subprocess.run([sys.executable, 'script.py'], cwd=folder, check=True, capture_output=True)
    return json.loads((folder / 'results.json').read_text(encoding='utf-8'))


@pytest.mark.slow
def test_lithium_hydride(compute, make_structure):
    """PBE of LiH in gth-cc-dzvp on the Γ-centred 2×2×2 mesh reproduces the reference value, Ha."""
    half = 4.0834 / 2
    cell = [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]
    parameters = {
        'fidelity': 'PBE',
        'basis': 'gth-cc-dzvp',
        'pseudo': 'gth-pbe',
        'kmesh': [2, 2, 2],
        'grid_mesh': [31, 31, 31],
        'scf': {'conv_tol': 1e-8},
    }
    node = compute(make_structure(['Li', 'H'], [(0, 0, 0), (half, half, half)], cell), parameters)
    assert node.outputs.results['total_energy_hartree'] == pytest.approx(-8.057228, abs=1e-6)


def test_termination_leaves_the_cost(compute, lithium_hydride, pyscf_parameters, tmp_path):
    """A process that is asked to end says so, with its cost."""
    script = compute(lithium_hydride, pyscf_parameters(scf={'max_cycle': 1}))
    (tmp_path / 'script.py').write_text(script.base.repository.get_object_content('script.py'), encoding='utf-8')
    process = subprocess.Popen([sys.executable, 'script.py'], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=-3)
    deadline = time.monotonic() + 60
    while not (tmp_path / 'results.json').exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()
    assert process.wait(timeout=60) == 1
    results = json.loads((tmp_path / 'results.json').read_text(encoding='utf-8'))
    assert results['status'] == 'killed' and results['core_hours'] > 0


def test_one_electron_has_descriptors(compute, make_structure, pyscf_parameters):
    """Half of the lowest band is filled: a metal, whose states are measured from the top of that band."""
    structure = make_structure(['H'], [(0, 0, 0)], [[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]])
    node = compute(structure, pyscf_parameters('PBE', scf={'smearing': 0.005}, descriptors=True))
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.results['band_gap'] == 0 and node.outputs.results['valence_band_maximum'] is not None
    assert node.outputs.descriptors['dos_mean'] < 0


@pytest.mark.slow
def test_density_functional_and_its_script_by_hand(compute, lithium_hydride, pyscf_parameters, tmp_path):
    """A crystal gives an energy with all that describes it; the stored script gives the same energy by hand."""
    parameters = pyscf_parameters('PBE', scf={'smearing': 0.005}, descriptors=True, band_path_spacing=1.5)
    node = compute(lithium_hydride, parameters)
    assert node.is_finished_ok, node.exit_message
    results = node.outputs.results.get_dict()
    assert sum(results['components'].values()) == pytest.approx(results['total_energy'], abs=1e-6)
    assert results['total_energy'] == pytest.approx(results['total_energy_hartree'] * HARTREE_TO_EV)
    assert abs(results['integration_error']) < 1e-5
    assert results['num_occupied_per_k'] == [2, 2]
    assert results['core_hours'] == pytest.approx(results['wall_seconds'] / 3600)
    assert results['grid_mesh'] == [21, 21, 21] and results['scf_converged'] and results['band_gap'] > 1

    descriptors = node.outputs.descriptors.get_dict()
    assert set(descriptors) == {*FIELDS, 'dos_d_fraction', 'dos_s_mean', 'dos_s_std'}
    # Nothing but s functions in this basis: the projection is the whole.
    assert descriptors['dos_s_mean'] == pytest.approx(descriptors['dos_mean'])
    assert sum(descriptors[f'elf_{index}'] for index in range(10)) == pytest.approx(1, abs=1e-9)
    assert descriptors['dos_s_fraction'] + descriptors['dos_p_fraction'] == pytest.approx(1, abs=1e-6)
    assert descriptors['band_gap'] == results['band_gap']
    assert descriptors['chi0_q_min'] > 0 and descriptors['dos_mean'] < 0

    bands = node.outputs.bands
    assert bands.units == 'eV' and bands.get_bands().shape == (len(bands.get_kpoints()), results['num_basis_functions'])
    assert bands.labels[0] == (0, 'GAMMA') and 'X' in {name for _, name in bands.labels}
    gaps = bands.get_bands()[:, 2] - bands.get_bands()[:, 1]
    assert gaps.min() > 0.8 * results['band_gap'] and 'band_structure' not in results

    assert by_hand(node, tmp_path)['total_energy'] == pytest.approx(results['total_energy'], abs=1e-8)
    assert sorted(node.outputs.retrieved.list_object_names()) == [
        '_scheduler-stderr.txt',
        '_scheduler-stdout.txt',
        'aiida.out',
        'results.json',
    ]


@pytest.mark.slow
def test_coupled_cluster_restarts_from_amplitudes(compute, lithium_hydride, pyscf_parameters):
    """An unfinished CCSD is continued without a new SCF and ends at the same energy within 1e-10 Ha."""
    tight = {'conv_tol': 1e-12, 'conv_tol_normt': 1e-9}
    parameters = pyscf_parameters('CCSD(T)', kmesh_shift=[0.5, 0.5, 0.5], scf={'conv_tol': 1e-11}, cc=tight)
    straight = compute(lithium_hydride, parameters)
    assert straight.is_finished_ok, straight.exit_message
    unfinished = compute(lithium_hydride, {**parameters, 'cc': {**tight, 'max_cycle': 2}})
    assert unfinished.exit_status == PyscfCellCalculation.exit_codes.ERROR_COUPLED_CLUSTER_NOT_CONVERGED.status
    assert unfinished.outputs.results['amplitudes_saved'] and 'total_energy' not in unfinished.outputs.results

    restarted = compute(lithium_hydride, parameters, restart_folder=unfinished.outputs.remote_folder)
    assert restarted.is_finished_ok, restarted.exit_message
    expected, found = straight.outputs.results.get_dict(), restarted.outputs.results.get_dict()
    assert found['scf_cycles'] == 0 and found['restarted_from_amplitudes']
    assert found['total_energy_hartree'] == pytest.approx(expected['total_energy_hartree'], abs=1e-10)

    check_coupled_cluster(straight)
    check_parts(compute, lithium_hydride, parameters, straight)
    foreign = compute(
        lithium_hydride, {**parameters, 'kmesh': [1, 2, 1]}, restart_folder=straight.outputs.remote_folder
    )
    assert foreign.exit_status == PyscfCellCalculation.exit_codes.ERROR_INVALID_INPUT.status


def check_parts(compute, structure, parameters, straight) -> None:
    """Check that HF, MP2, CCSD and (T) from the amplitudes of CCSD are the parts of CCSD(T) in one go."""
    expected = straight.outputs.results['components']
    ccsd = compute(structure, {**parameters, 'method': 'CCSD'})
    nodes = {method: compute(structure, {**parameters, 'method': method}) for method in ('HF', 'MP2')}
    amplitudes = ccsd.outputs.remote_folder
    nodes |= {'CCSD': ccsd, '(T)': compute(structure, {**parameters, 'method': '(T)'}, restart_folder=amplitudes)}
    names = ['hartree_fock', 'mp2_correlation', 'ccsd_correlation', 'triples']
    for number, (method, node) in enumerate(nodes.items(), start=1):
        results = node.outputs.results.get_dict()
        assert results['method'] == method and sorted(results['components']) == sorted(names[:number])
        for name, value in results['components'].items():
            assert value == pytest.approx(expected[name], abs=2e-7), (method, name)
        correlation = 0.0 if method == 'HF' else sum(expected[n] for n in names[1:number] if n != 'mp2_correlation')
        correlation = expected['mp2_correlation'] if method == 'MP2' else correlation
        assert results['total_energy'] == pytest.approx(expected['hartree_fock'] + correlation, abs=4e-7)
    assert 'CCSD' not in nodes['(T)'].outputs.results['timings'] and 'cc_converged' not in nodes['MP2'].outputs.results


def check_coupled_cluster(node) -> None:
    """Check T1 = ‖t1‖/√(2·n_occ·N_k) against the saved amplitudes, and that (T) left no file behind."""
    folder = Path(node.outputs.remote_folder.get_remote_path())
    with h5py.File(folder / 'amplitudes.h5') as handle:
        t1 = handle['t1'][()]
    num_kpts, num_occ, _ = t1.shape
    results = node.outputs.results.get_dict()
    assert (num_kpts, num_occ) == (2, 1) and results['num_frozen_core'] == 1
    assert results['t1_diagnostic'] == pytest.approx(np.linalg.norm(t1) / math.sqrt(2 * num_occ * num_kpts))
    assert results['largest_t1'][0] == pytest.approx(np.abs(t1).max())
    assert set(results['components']) == {'hartree_fock', 'mp2_correlation', 'ccsd_correlation', 'triples'}
    assert not (folder / 'tmp_t3_eris.h5').exists()
    assert 'amplitudes.h5' not in node.outputs.retrieved.list_object_names()


@pytest.mark.slow
def test_hartree_fock_on_a_denser_mesh(compute, lithium_hydride, pyscf_parameters):
    """The composite energy is Hartree-Fock of one mesh plus the correlation energy of another."""
    coarse = {'cc': {'kmesh': [1, 1, 1], 'kmesh_shift': [0, 0, 0]}}
    cases = {'composite': coarse, 'dense': {}, 'coarse': {**coarse, 'kmesh': [1, 1, 1]}}
    parts = {
        name: compute(lithium_hydride, pyscf_parameters('CCSD(T)', **changes)).outputs.results['components']
        for name, changes in cases.items()
    }
    assert parts['composite']['hartree_fock'] == pytest.approx(parts['dense']['hartree_fock'], abs=1e-5)
    assert parts['composite']['ccsd_correlation'] == pytest.approx(parts['coarse']['ccsd_correlation'], abs=1e-5)
    assert abs(parts['dense']['ccsd_correlation'] - parts['coarse']['ccsd_correlation']) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ('element', 'distance', 'spin', 'energies'),
    [
        ('H', 0.7414, 0, (-1.129270, -1.164885, -1.159975)),
        ('N', 1.0977, 0, (-19.438556, -19.751419, -19.867936)),
        ('O', 1.2075, 2, (-31.342846, -31.690577, -31.894806)),
    ],
)
def test_molecules(compute, make_structure, element, distance, spin, energies):  # noqa: PLR0917
    """H2, N2 and triplet O2 in gth-dzvp reproduce reference values (Ha; HF, CCSD(T), PBE)."""
    hartree_fock, coupled_cluster, pbe = energies
    structure = make_structure([element] * 2, [(0, 0, 0), (0, 0, distance)])
    results = compute(structure, molecule_parameters('CCSD(T)', spin)).outputs.results.get_dict()
    assert results['components']['hartree_fock'] / HARTREE_TO_EV == pytest.approx(hartree_fock, abs=2e-6)
    assert results['total_energy_hartree'] == pytest.approx(coupled_cluster, abs=2e-6)
    functional = compute(structure, molecule_parameters('PBE', spin)).outputs.results.get_dict()
    assert functional['total_energy_hartree'] == pytest.approx(pbe, abs=1e-5)
    assert abs(functional['integration_error']) < 1e-4


def test_unconverged_scf_keeps_cost_and_checkpoint(compute, lithium_hydride, pyscf_parameters):
    """No energy, but the cost, the cycles and a density to go on from; continuing takes fewer cycles."""
    node = compute(lithium_hydride, pyscf_parameters(scf={'max_cycle': 2}))
    assert node.exit_status == PyscfCellCalculation.exit_codes.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED.status
    results = node.outputs.results.get_dict()
    assert results['core_hours'] > 0 and results['scf_cycles'] == 2 and 'total_energy' not in results
    restarted = compute(lithium_hydride, pyscf_parameters(), checkpoint=node.outputs.checkpoint)
    assert restarted.is_finished_ok and restarted.outputs.results['scf_cycles'] <= 4


def test_walltime_stops_in_time(compute, lithium_hydride, pyscf_parameters):
    """With too little walltime the script stops by itself and leaves a density."""
    node = compute(lithium_hydride, pyscf_parameters(), seconds=1)
    assert node.exit_status == PyscfCellCalculation.exit_codes.ERROR_OUT_OF_WALLTIME.status
    assert 'checkpoint' in node.outputs


def test_out_of_memory(python_code, lithium_hydride, pyscf_parameters):
    """Given less memory than it needs, PySCF crashes in its C code: no energy, but the cost, and its own exit code."""
    limited = python_code('limited', 'qagenai.pyscf_cell', 'export OMP_NUM_THREADS=1; ulimit -v 700000')
    inputs = {'structure': lithium_hydride, 'parameters': orm.Dict(pyscf_parameters(grid_mesh=[41, 41, 41]))}
    node = run_get_node(PyscfCellCalculation, code=limited, **inputs)[1]
    assert node.exit_status == PyscfCellCalculation.exit_codes.ERROR_OUT_OF_MEMORY.status, node.exit_message
    assert node.outputs.results['core_hours'] > 0 and 'total_energy' not in node.outputs.results.get_dict()


def test_failures_of_the_machine_are_not_cached():
    """Missing output and running out of time or memory say nothing about the calculation; not converging does."""
    codes = {code.status: code.invalidates_cache for code in PyscfCellCalculation.exit_codes.values()}
    assert all(codes[status] for status in (210, 220, 302, 303, 304, 310, 400, 401, 420))
    assert not any(codes[status] for status in (410, 411, 501, 510, 520, 521))


@pytest.mark.parametrize(
    ('changes', 'label'),
    [({'basis': 'no-such-basis'}, 'ERROR_INVALID_INPUT'), ({'max_memory_mb': 0.001}, 'ERROR_MEMORY_ESTIMATE')],
)
def test_refused_by_the_script(compute, lithium_hydride, pyscf_parameters, changes, label):
    """What only PySCF can know is refused before anything expensive."""
    node = compute(lithium_hydride, pyscf_parameters('CCSD(T)', **changes))
    assert node.exit_status == getattr(PyscfCellCalculation.exit_codes, label).status
    assert node.outputs.results['wall_seconds'] < 30


@pytest.mark.slow
def test_gap_between_the_points_of_the_mesh(compute, make_structure, pyscf_parameters):
    """On the displaced 2×2×2 mesh alone bcc lithium has a gap of 8 eV: the bands between tell that it is a metal."""
    edge = 3.45
    cell = [[edge, 0, 0], [0, edge, 0], [0, 0, edge]]
    lithium = make_structure(['Li', 'Li'], [(0, 0, 0), (edge / 2, edge / 2, edge / 2)], cell)
    parameters = pyscf_parameters(kmesh=[2, 2, 2], kmesh_shift=[0.5, 0.5, 0.5], scf={'smearing': 0.005})
    results = compute(lithium, parameters).outputs.results.get_dict()
    assert results['num_occupied_per_k'] == [3] * 8
    assert results['band_gap'] == 0.0


@pytest.mark.slow
def test_metal_is_refused(compute, make_structure, pyscf_parameters):
    """CCSD(T) of bcc lithium is refused after Hartree-Fock, before the expensive step."""
    edge = 3.45
    cell = [[edge, 0, 0], [0, edge, 0], [0, 0, edge]]
    lithium = make_structure(['Li', 'Li'], [(0, 0, 0), (edge / 2, edge / 2, edge / 2)], cell)
    node = compute(lithium, pyscf_parameters('CCSD(T)', kmesh=[2, 2, 2]))
    assert node.exit_status == PyscfCellCalculation.exit_codes.ERROR_VARYING_OCCUPATION.status
    assert 'CCSD' not in node.outputs.results['timings']


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'kmesh_': [1, 1, 1]}, 'did you mean `kmesh`'),
        ({'scf': {'tolerance': 1e-9}}, 'scf.tolerance'),
        ({'fidelity': 'MP2'}, 'fidelity'),
        ({'kmesh': None}, '`kmesh` is needed'),
        ({'kmesh': [0, 1, 1]}, 'kmesh'),
        ({'grid_mesh': None}, '`grid_mesh` is needed'),
        ({'spin': 1}, 'needs `spin_polarized`'),
        ({'scf': {'max_cycle': 200}}, 'scf.max_cycle'),
        ({'scf': {'smearing': 0.01, 'second_order': True}}, 'does not work with'),
        ({'fidelity': 'SCAN', 'descriptors': True}, '`descriptors` need PBE'),
        ({'fidelity': 'CCSD(T)', 'scf': {'smearing': 0.01}}, 'density functionals'),
        ({'precision': float('nan')}, 'precision'),
        ({'method': 'MP2'}, '`method` is for the fidelity CCSD(T)'),
        ({'fidelity': 'CCSD(T)', 'method': 'CISD'}, 'method'),
        ({'fidelity': 'CCSD(T)', 'local': {}}, '`local` is for the `method` LNO-CCSD(T)'),
        ({'fidelity': 'CCSD(T)', 'method': 'LNO-CCSD(T)', 'local': {'threshold': 1e-5}}, 'local.threshold'),
        ({'fidelity': 'CCSD(T)', 'method': 'LNO-CCSD(T)', 'kmesh_shift': [0.5, 0, 0]}, 'needs a mesh with Γ'),
        ({'fidelity': 'CCSD(T)', 'relativity': 'sfx2c1e'}, 'scalar relativity is part of a pseudopotential'),
        ({'pseudo': None}, 'uniform grids do not resolve core'),
        ({'basis': {'H': {'format': 'nwchem', 'text': '__import__("os")'}}}, 'only element symbols'),
        ({'basis': 'exec(x)\n'}, 'basis'),
    ],
)
def test_wrong_parameters_are_named(pyscf_parameters, aiida_profile, changes, text):
    """Every wrong key or value is refused by name, before anything is computed."""
    problem = problem_of(PyscfCellParameters.parse, pyscf_parameters(**changes))
    assert problem is not None and text in problem


def test_crystal_must_be_periodic(compute, make_structure, pyscf_parameters):
    """A structure without periodicity is not computed as a crystal."""
    with pytest.raises(ValueError, match='periodic in three directions'):
        compute(make_structure(['H'], [(0, 0, 0)]), pyscf_parameters())


def test_amplitudes_belong_to_coupled_cluster(compute, lithium_hydride, pyscf_parameters, pyscf_code):
    """(T) without amplitudes, and amplitudes for what has none, are refused before anything runs."""
    with pytest.raises(ValueError, match='needs the amplitudes'):
        compute(lithium_hydride, pyscf_parameters('CCSD(T)', method='(T)'))
    folder = orm.RemoteData(remote_path='/tmp', computer=pyscf_code.computer)
    for parameters in (pyscf_parameters(), pyscf_parameters('CCSD(T)', method='MP2')):
        with pytest.raises(ValueError, match='continues CCSD'):
            compute(lithium_hydride, parameters, restart_folder=folder)


def test_open_shell_crystal_is_refused(compute, make_structure, pyscf_parameters):
    """There is no periodic CCSD(T) of an odd number of electrons."""
    lithium = make_structure(['Li'], [(0, 0, 0)], [[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]])
    node = compute(lithium, pyscf_parameters('CCSD(T)'))
    assert node.exit_status == PyscfCellCalculation.exit_codes.ERROR_OPEN_SHELL.status


HYDROGEN_TEXT = """
#BASIS SET: (3s) -> [2s]
H    S
      3.42525091             0.15432897
      0.62391373             0.53532814
      0.16885540             0.44463454
H    S
      0.10000000             1.00000000
END
"""


@pytest.mark.slow
def test_all_electrons_with_relativity_and_a_basis_as_text(compute, make_structure):
    """A basis of one's own without a pseudopotential; spin-free X2C lowers H2 by the 0.01 mHa it should."""
    hydrogen = make_structure(['H', 'H'], [(0, 0, 0), (0, 0, 0.7414)], [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]])
    parameters = {
        'fidelity': 'CCSD(T)',
        'method': 'MP2',
        'basis': {'H': {'format': 'nwchem', 'text': HYDROGEN_TEXT}},
        'kmesh': [1, 1, 1],
        'precision': 1e-6,
    }
    energies = []
    for relativity in (None, 'sfx2c1e'):
        node = compute(hydrogen, {**parameters, 'relativity': relativity})
        assert node.is_finished_ok, node.exit_message
        results = node.outputs.results.get_dict()
        assert results['basis'] == {'H': 'sha256:' + hashlib.sha256(HYDROGEN_TEXT.encode()).hexdigest()}
        assert results['relativity'] == relativity and results['num_basis_functions'] == 4
        energies.append(results['total_energy_hartree'])
    # Exact: the relativistic correction of the hydrogen atom is -6.66e-6 Ha; a minimal basis has half to twice of it.
    assert -4e-5 < energies[1] - energies[0] < -4e-6

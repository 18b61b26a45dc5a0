"""The script of local CCSD(T), for real in the Python that has pyscf-forge, and what needs no fragments in this one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

TIGHT = {
    'precision': 1e-6,
    'scf': {'conv_tol': 1e-11},
    'cc': {'conv_tol': 1e-11, 'conv_tol_normt': 1e-8},
}


@pytest.fixture
def compute(render, lithium_hydride, pyscf_parameters, lno_python, tmp_path):
    """Return a function that runs a script of LiH and returns its results."""

    def run(name: str, **changes) -> dict:
        folder = tmp_path / name
        folder.mkdir()
        (folder / 'script.py').write_text(render(lithium_hydride, pyscf_parameters('CCSD(T)', **changes)), 'utf-8')
        with (folder / 'out').open('w', encoding='utf-8') as out:
            subprocess.run([lno_python, 'script.py'], cwd=folder, check=True, stdout=out, stderr=out)
        results: dict = json.loads((folder / 'results.json').read_text(encoding='utf-8'))
        return results

    return run


@pytest.mark.slow
def test_untruncated_spaces_give_the_canonical_energy(compute):
    """With all natural orbitals kept it is k-point CCSD(T), part by part, to 1e-8 Ha; MP2 then lacks nothing."""
    canonical = compute('canonical', **TIGHT)
    local = compute('local', method='LNO-CCSD(T)', local={'occupied_threshold': 0, 'virtual_threshold': 0}, **TIGHT)
    assert local['total_energy_hartree'] == pytest.approx(canonical['total_energy_hartree'], abs=1e-8)
    assert local['components'] == pytest.approx(canonical['components'], abs=2.7e-7)
    assert local['components']['triples'] < -1e-4 and abs(local['mp2_correction']) < 2.7e-7
    assert local['t1_diagnostic'] == pytest.approx(canonical['t1_diagnostic'], abs=1e-6)
    assert local['num_fragments'] == 2 and local['largest_fragment'] == [2, 2]
    assert local['versions']['pyscf-forge'] and local['cc_converged'] and local['num_frozen_core'] == 1


@pytest.mark.slow
def test_truncated_spaces_are_corrected_at_mp2(compute):
    """What large thresholds drop is added at MP2: the energy is that of the fragments plus E_MP2 − E_LNO-MP2."""
    local = {'occupied_threshold': 1e-5, 'virtual_threshold': 1e-4}
    results = compute('coarse', method='LNO-CCSD(T)', basis='gth-cc-dzvp', kmesh=[1, 1, 1], local=local)
    parts, fragments = results['components'], results['fragments']
    assert results['largest_fragment'][1] < 16 and results['mp2_correction'] < -1e-4
    lacking = parts['mp2_correlation'] - sum(one['mp2'] for one in fragments)
    assert results['mp2_correction'] == pytest.approx(lacking)
    ccsd, triples = (sum(one[name] for one in fragments) for name in ('ccsd', 'triples'))
    assert parts['ccsd_correlation'] == pytest.approx(ccsd + lacking) and parts['triples'] == pytest.approx(triples)
    total = parts['hartree_fock'] + parts['ccsd_correlation'] + parts['triples']
    assert results['total_energy'] == pytest.approx(total)


def test_large_fragments_are_refused(load_script, lithium_hydride, pyscf_parameters):
    """As soon as its size is known, with the thresholds to change."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)', method='LNO-CCSD(T)', max_memory_mb=100))
    script.check_fragment(10, 90)
    with pytest.raises(script.Stop, match='20 occupied and 90 virtual orbitals needs about 363 MB') as caught:
        script.check_fragment(20, 90)
    assert caught.value.status == 'memory_estimate'


def test_finished_fragments_are_read_back(load_script, lithium_hydride, pyscf_parameters):
    """With the orbitals they belong to; those of other thresholds are refused, a damaged file costs what it held."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)', method='LNO-CCSD(T)'))
    bands = type('Bands', (), {'e_tot': -8.0, 'mo_coeff': [np.eye(3)] * 2, 'mo_energy': [np.arange(3.0)] * 2})
    bands.mo_occ = [np.array([2.0, 2.0, 0.0])] * 2
    state = {'hf_energy': -8.5, 'mp2_correlation': -0.1, 'fragments': [{'mp2': -1 / 3}]}
    assert script.load_state(bands) is None
    script.save_state(bands, state)
    script.INPUTS['files']['restart_amplitudes'] = 'fragments.h5'
    fresh = type('Bands', (), {})()
    assert script.load_state(fresh) == state and fresh.e_tot == -8.0 and len(fresh.mo_coeff) == 2
    assert script.RESULTS['restarted_from_fragments'] == 1 and script.RESULTS['fragments_saved']
    script.INPUTS['local']['virtual_threshold'] = 1e-7
    with pytest.raises(script.Stop, match='another system or level'):
        script.load_state(fresh)
    Path('fragments.h5').write_bytes(b'\x89HDF\r\n\x1a\n' + 100 * b'\0')
    assert script.load_state(fresh) is None


def test_time_for_the_next_fragment(load_script, lithium_hydride, pyscf_parameters):
    """What the longest took is what the next will: without that much left the job stops, to be continued."""
    script = load_script(lithium_hydride, pyscf_parameters('CCSD(T)', method='LNO-CCSD(T)'))
    script.INPUTS['walltime_seconds'] = 1000.0
    script.make_local_solver = lambda *_: (type('Solver', (), {'ao2mo': lambda _: None})(), [[0], [1], [2]], {})
    saved = {'wall_seconds': 5000.0}
    with pytest.raises(script.Stop, match='the next fragment needs 50') as caught:
        script.solve_fragments(None, None, None, 1, {'fragments': [saved]})
    assert caught.value.status == 'out_of_walltime' and script.RESULTS['num_new_fragments'] == 0

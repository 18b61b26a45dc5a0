"""Forces of PySCF and the relaxation in its script: checked against energies, stopped in time, or refused."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf.script import write_script
from aiida_qagenai.common.errors import InvalidInputError

CELL = np.diag([3.5, 3.5, 3.5]).tolist()
PARAMETERS = {
    'fidelity': 'PBE',
    'basis': 'gth-szv',
    'pseudo': 'gth-pbe',
    'kmesh': [1, 1, 1],
    'grid_mesh': [35, 35, 35],
    'precision': 1e-6,
    'scf': {'conv_tol': 1e-10},
}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a factory of imported scripts for H2 with a bond of the given components, Å."""
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.chdir(tmp_path)

    def create(x: float = 0.1, z: float = 0.8, walltime: float | None = None, **changes):
        parameters = PyscfCellParameters.parse({**PARAMETERS, **changes})
        sites = [('H', (0, 0, 0)), ('H', (x, 0, z))]
        path = tmp_path / 'script.py'
        path.write_text(write_script(parameters, CELL, sites, walltime_seconds=walltime), encoding='utf-8')
        spec = importlib.util.spec_from_file_location('qagenai_geometry', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return create


def test_forces_are_the_derivative_of_the_energy(load):
    """Central differences in two directions; nothing is left over on the crystal as a whole."""
    script = load(forces=True)
    assert script.main(script.run) == 0, script.RESULTS['message']
    forces = np.array(script.RESULTS['forces'])
    for axis, x, z in ((0, 0.002, 0.0), (2, 0.0, 0.002)):
        energies = []
        for sign in (1, -1):
            moved = load(x=0.1 + sign * x, z=0.8 + sign * z, forces=True)
            assert moved.main(moved.run) == 0
            energies.append(moved.RESULTS['total_energy'])
        assert forces[1, axis] == pytest.approx(-(energies[0] - energies[1]) / 0.004, abs=1e-3)
    assert script.RESULTS['net_force'] < 1e-5
    assert script.RESULTS['max_force'] == pytest.approx(np.linalg.norm(forces[1]))


def test_a_relaxation_that_does_not_end_keeps_where_it_got(load, tmp_path):
    """The file of results, written after every step, has the last geometry and what it cost."""
    script = load(z=1.0, relax={'max_force': 0.001, 'max_steps': 1})
    assert script.main(script.run) == 1
    results = json.loads((tmp_path / 'results.json').read_text())
    assert results['status'] == 'relaxation_not_converged'
    assert 'are left after 1 ionic steps' in results['message']
    assert results['geometry']['ionic_steps'] == len(results['relaxation']['energies']) == 2
    assert results['relaxation']['energies'][1] < results['relaxation']['energies'][0]
    bond = np.subtract(*results['geometry']['positions'])
    assert np.linalg.norm(bond) < np.hypot(0.1, 1.0)


def test_a_relaxation_stops_before_a_step_that_the_walltime_would_cut(load):
    """What was reached can then be continued."""
    script = load(walltime=1000.0, relax={})
    geometry = script.Geometry(with_stress=False)
    geometry.steps, geometry.longest = 3, 900.0
    with pytest.raises(script.Stop, match='ends after 3 ionic steps') as caught:
        geometry.compute(CELL, [(0, 0, 0), (0, 0, 0.8)])
    assert caught.value.status == 'out_of_walltime'
    assert script.RESULTS['cycles_before_walltime'] == 3


def test_the_cell_needs_the_stress_of_a_later_version(load):
    """The message names the version that is needed and the one that is here."""
    script = load(relax={'freedom': 'cell'})
    script.HAS_STRESS = False
    with pytest.raises(script.Stop, match=r'PySCF >= 2\.14, here is 2') as caught:
        script.run()
    assert caught.value.status == 'not_supported'


def test_a_relaxation_needs_ase(load):
    """Forces alone do without."""
    script = load(relax={})
    script.Calculator = object
    with pytest.raises(script.Stop, match='pip install ase') as caught:
        script.run()
    assert caught.value.status == 'not_supported'


@pytest.mark.parametrize('fidelity', ['SCAN', 'HSE06', 'CCSD(T)'])
@pytest.mark.parametrize('request_', [{'forces': True}, {'relax': {}}])
def test_levels_without_forces_are_refused(fidelity, request_):
    """SCAN and CCSD(T) have none in any version, HSE06 not in every one."""
    with pytest.raises(InvalidInputError, match='no forces at'):
        PyscfCellParameters.parse({**PARAMETERS, 'fidelity': fidelity, **request_})

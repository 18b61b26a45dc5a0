"""Run the real programs and store what they leave, for the tests of the parsers: python make_fixtures.py [NAME …]

Every case becomes a folder `fixtures/CALCULATION/CASE` with the retrieved files, and in `temporary/` those that are
retrieved for the parser only. `inputs.json` holds what the parser reads of the inputs. A NAME limits the run to one
calculation (`pyscf_cell`) or one case (`pyscf_cell/scan`). Afterwards write the expected outputs anew:

    pytest tests/parsers/test_stored_outputs.py --force-regen

`pyscf_cell/lno` and `pyscf_cell/stress` need the Python of `make lno`, `pw` needs `.ci/espresso`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import numpy as np
import psutil
from ase import Atoms
from ase.build import bulk

from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf.script import write_script
from aiida_qagenai.exchange.structures import StructureBatch

sys.path.insert(0, str(Path(__file__).parents[1] / 'fixtures'))
from generators import PYXTAL_SCRIPT, VERSION
from toy_crystals import toy_dataset

FIXTURES = Path(__file__).parent / 'fixtures'
RETRIEVED = ('results.json', 'aiida.out', '_scheduler-stderr.txt')
PSEUDOS = Path('/usr/share/espresso/pseudo')

LIH = Atoms('LiH', positions=[(0, 0, 0), (2.04, 2.04, 2.04)], cell=2.04 * (1 - np.eye(3)), pbc=True)
OFF_SITE = Atoms('LiH', positions=[(0, 0, 0), (2.04, 2.04, 2.15)], cell=2.04 * (1 - np.eye(3)), pbc=True)
H2 = Atoms('H2', positions=[(0, 0, 0), (0, 0, 0.74)], cell=np.eye(3) * 20)
LITHIUM = Atoms('Li', positions=[(0, 0, 0)], cell=np.eye(3) * 20)

CRYSTAL = {'basis': 'gth-szv', 'kmesh': [2, 1, 1], 'precision': 1e-5}
FUNCTIONAL = {**CRYSTAL, 'pseudo': 'gth-pbe', 'grid_mesh': [21, 21, 21]}
CORRELATED = {**CRYSTAL, 'fidelity': 'CCSD(T)', 'pseudo': 'gth-hf-rev', 'kmesh': [1, 1, 2]}
MOLECULE = {'system': 'molecule', 'fidelity': 'CCSD(T)', 'basis': 'gth-dzvp', 'pseudo': 'gth-hf-rev'}

# case → structure, parameters, what happens to the job
PYSCF: dict[str, tuple[Atoms, dict[str, t.Any], dict[str, t.Any]]] = {
    'pbe': (LIH, {**FUNCTIONAL, 'fidelity': 'PBE'}, {}),
    'descriptors': (LIH, {**FUNCTIONAL, 'fidelity': 'PBE', 'descriptors': True, 'band_path_spacing': 0.8}, {}),
    'scan': (LIH, {**FUNCTIONAL, 'fidelity': 'SCAN'}, {}),
    'hse06': (LIH, {**FUNCTIONAL, 'fidelity': 'HSE06'}, {}),
    'hartree_fock': (LIH, {**CORRELATED, 'method': 'HF'}, {}),
    'mp2': (LIH, {**CORRELATED, 'method': 'MP2'}, {}),
    'ccsdt': (LIH, CORRELATED, {}),
    'lno': (LIH, {**CORRELATED, 'kmesh': [1, 1, 1], 'method': 'LNO-CCSD(T)'}, {'needs_lno': True}),
    'molecule': (H2, MOLECULE, {}),
    'open_shell_atom': (LITHIUM, {**MOLECULE, 'spin': 1}, {}),
    'relax': (OFF_SITE, {**FUNCTIONAL, 'fidelity': 'PBE', 'kmesh': [1, 1, 1], 'relax': {'max_force': 0.05}}, {}),
    'unfinished_relax': (
        OFF_SITE,
        {**FUNCTIONAL, 'fidelity': 'PBE', 'kmesh': [1, 1, 1], 'relax': {'max_force': 0.001, 'max_steps': 1}},
        {},
    ),
    'stress': (LIH, {**FUNCTIONAL, 'fidelity': 'PBE', 'kmesh': [1, 1, 1], 'forces': True}, {'needs_lno': True}),
    'scf_not_converged': (LIH, {**FUNCTIONAL, 'fidelity': 'PBE', 'scf': {'max_cycle': 2}}, {}),
    'cc_not_converged': (LIH, {**CORRELATED, 'cc': {'max_cycle': 2}}, {}),
    'out_of_walltime': (LIH, CORRELATED, {'walltime_seconds': 0.01}),
    'memory_estimate': (LIH, {**CORRELATED, 'max_memory_mb': 0.0001}, {}),
    'unknown_basis': (LIH, {**FUNCTIONAL, 'fidelity': 'PBE', 'basis': 'gth-none'}, {}),
    'out_of_memory': (LIH, {**FUNCTIONAL, 'fidelity': 'PBE', 'grid_mesh': [81] * 3}, {'address_space_mb': 900}),
    'killed': (LIH, CORRELATED, {'kill_at': 'results.json'}),
    'killed_at_start': (LIH, CORRELATED, {'kill_at': 'aiida.out'}),
    'truncated': (LIH, {**FUNCTIONAL, 'fidelity': 'PBE'}, {'keep_bytes': 700}),
}

CU, AL = bulk('Cu'), bulk('Al', cubic=True).repeat(2)
VACANCY, HOPPED = AL.copy(), AL.copy()
HOPPED.positions[1] = AL.positions[0]
del VACANCY[0], HOPPED[0]
EMT = {'potential': {'name': 'emt'}}

# calculation → case → structures, parameters
ATOMISTIC: dict[str, dict[str, tuple[list[Atoms], dict[str, t.Any]]]] = {
    'relax': {
        'copper': ([CU], EMT),
        'unfinished': ([CU], {**EMT, 'relaxation': {'max_steps': 1}}),
    },
    'free_energy': {
        'copper': (
            [CU],
            {
                **EMT,
                'phonons': {'min_length': 5.0, 'mesh_length': 10.0},
                'volumes': {'min_strain': -0.02, 'max_strain': 0.03, 'count': 5},
                'temperatures': {'maximum': 400.0, 'step': 100.0},
            },
        ),
        'unstable': ([bulk('Cu', 'bcc', a=2.85)], {**EMT, 'phonons': {'min_length': 5.0, 'mesh_length': 10.0}}),
    },
    'barrier': {'vacancy': ([VACANCY, HOPPED], {**EMT, 'band': {'num_images': 1, 'max_force': 0.05}})},
}

# case → composition, bytes of the output that are kept
EXTERNAL: dict[str, tuple[dict[str, int], int]] = {
    'pyxtal': ({'Li': 1, 'H': 1}, 0),
    'truncated': ({'Li': 1, 'H': 1}, 700),
    'failed': ({'Xx': 1}, 0),
}

PW_INPUT = """&CONTROL
  calculation = 'vc-relax', outdir = './out/', prefix = 'aiida', pseudo_dir = '{pseudos}'
  tprnfor = .true., tstress = .true., nstep = 30, forc_conv_thr = 3.0d-3, etot_conv_thr = 2.0d-4
/
&SYSTEM
  ibrav = 0, nat = 2, ntyp = 1, ecutwfc = 16, ecutrho = 64, occupations = 'smearing', smearing = 'cold', degauss = 0.01
/
&ELECTRONS
  conv_thr = 1.0d-8, electron_maxstep = {cycles}, mixing_beta = 0.4
/
&IONS
/
&CELL
  press_conv_thr = 10.0
/
ATOMIC_SPECIES
Si 28.0855 Si.pbe-rrkj.UPF
ATOMIC_POSITIONS angstrom
Si 0.0 0.0 0.0
Si 1.375 1.325 1.325
K_POINTS automatic
2 2 2 0 0 0
CELL_PARAMETERS angstrom
0.0 2.65 2.65
2.65 0.0 2.65
2.65 2.65 0.0
"""


def write_case(
    name: str,
    run: Path,
    inputs: dict[str, t.Any],
    temporary: t.Sequence[str] = (),
    retrieved: t.Sequence[str] = RETRIEVED,
) -> None:
    """Store the files of one job."""
    folder = FIXTURES / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in [path for path in folder.rglob('*') if path.is_file() and path.name != 'parsed.yml']:
        old.unlink()
    for file in retrieved:
        if (run / file).exists():
            shutil.copy(run / file, folder / file)
    # The parsers ask whether it is there, and people read its end.
    if (folder / 'aiida.out').exists():
        lines = (folder / 'aiida.out').read_text().splitlines(keepends=True)
        (folder / 'aiida.out').write_text(''.join(lines[-15:]))
    for file in temporary:
        if (run / file).exists():
            (folder / 'temporary' / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(run / file, folder / 'temporary' / file)
    (folder / 'inputs.json').write_text(json.dumps(inputs, indent=1) + '\n')
    print(name, sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()), 'bytes', flush=True)


def describe(atoms: Atoms) -> dict[str, t.Any]:
    """Return a structure as JSON."""
    return {
        'cell': atoms.cell.array.tolist(),
        'pbc': atoms.pbc.tolist(),
        'symbols': atoms.get_chemical_symbols(),
        'positions': atoms.positions.tolist(),
    }


def run_pyscf(case: str) -> None:
    """Run one script as the scheduler would, and do to it what the case asks for."""
    atoms, values, happens = PYSCF[case]
    python = os.environ['QAGENAI_LNO_PYTHON'] if happens.get('needs_lno') else sys.executable
    sites = list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True))
    walltime = happens.get('walltime_seconds')
    script = write_script(
        PyscfCellParameters.parse(values), atoms.cell.array.tolist(), sites, walltime_seconds=walltime
    )
    lines = ['$PYTHON -u script.py > aiida.out']
    if 'address_space_mb' in happens:
        lines.insert(0, f'ulimit -v {1024 * happens["address_space_mb"]}')
    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        (run / 'script.py').write_text(script, encoding='utf-8')
        (run / '_aiidasubmit.sh').write_text('\n'.join(lines) + '\n', encoding='utf-8')
        environment = {**os.environ, 'PYTHON': python}
        with (
            (run / '_scheduler-stderr.txt').open('w') as stderr,
            subprocess.Popen(['bash', '_aiidasubmit.sh'], cwd=run, stderr=stderr, env=environment) as job,
        ):
            while happens.get('kill_at') and not (run / happens['kill_at']).exists():
                time.sleep(0.01)
            if 'kill_at' in happens:
                psutil.Process(job.pid).children()[0].kill()
        if 'keep_bytes' in happens:
            content = (run / 'results.json').read_bytes()
            (run / 'results.json').write_bytes(content[: happens['keep_bytes']])
        write_case(f'pyscf_cell/{case}', run, {'structure': describe(atoms), 'parameters': values})


def run_task(task: str, config: dict[str, t.Any], run: Path) -> None:
    """Run one command of the models in ``run``."""
    (run / 'config.json').write_text(json.dumps(config))
    command = [sys.executable, '-m', 'aiida_qagenai.ml', task, '--config', 'config.json']
    with (run / 'aiida.out').open('w') as stdout, (run / '_scheduler-stderr.txt').open('w') as stderr:
        subprocess.run(command, cwd=run, stdout=stdout, stderr=stderr, check=False)


def run_models() -> None:
    """Train, sample and predict at the smallest size; then fail at reading the training set."""
    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        toy_dataset().save(run / 'dataset.npz')
        weights = [f'checkpoint/{file}' for file in ('model.safetensors', 'config.json')]
        for role in ('descriptor', 'generator', 'validator'):
            options = {'options': {'num_members': 2}} if role == 'validator' else {}
            parameters = {'role': role, 'steps': 4, 'seed': 1, **options}
            run_task('train', {**parameters, 'dataset': 'dataset.npz', 'output': 'checkpoint'}, run)
            if role == 'descriptor':
                write_case('train/descriptor', run, {'parameters': parameters}, weights)
            shutil.move(run / 'checkpoint', run / role)
        requests = [{'mode': 'composition', 'composition': {'Li': 1, 'H': 1}, 'count': 3}]
        parameters = {'requests': requests, 'steps': 10, 'seed': 4}
        files = {'generator': 'generator', 'descriptor': 'descriptor', 'output': 'candidates.npz'}
        run_task('generate', {**parameters, **files}, run)
        write_case('generate/three', run, {'parameters': parameters, 'cycle': 2}, ['candidates.npz'])
        candidates = StructureBatch.load(run / 'candidates.npz')
        known = toy_dataset().structures.structures()[:2]
        packed = StructureBatch.from_structures(
            [*candidates.structures(), *known], [*(f'002-{index:05d}' for index in range(3)), 'a', 'b']
        )
        packed.save(run / 'structures.npz')
        files = {'validator': 'validator', 'structures': 'structures.npz', 'output': 'predictions.npz'}
        run_task('predict', {'seed': 1, **files}, run)
        temporary = ['structures.npz', 'predictions.npz']
        write_case('predict/three', run, {'parameters': {'seed': 1}, 'num_candidates': 3}, temporary)
        content = (run / 'dataset.npz').read_bytes()
        (run / 'dataset.npz').write_bytes(content[: len(content) // 2])
        parameters = {'role': 'descriptor', 'steps': 4, 'seed': 1}
        run_task('train', {**parameters, 'dataset': 'dataset.npz', 'output': 'checkpoint'}, run)
        write_case('train/truncated_dataset', run, {'parameters': parameters})


def run_atomistic(task: str, case: str) -> None:
    """Move atoms on effective-medium theory."""
    atoms, parameters = ATOMISTIC[task][case]
    key = 'structures' if task == 'barrier' else 'structure'
    output = {'relax': 'relaxed.npz'}.get(task, f'{task}.npz')
    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        write_structures(atoms, run / 'structures.npz')
        run_task(task, {**parameters, key: 'structures.npz', 'output': output}, run)
        write_case(f'{task}/{case}', run, {'parameters': parameters}, [output])


def write_structures(atoms: t.Sequence[Atoms], path: Path) -> None:
    """Pack structures as the jobs do."""
    from pymatgen.io.ase import AseAtomsAdaptor

    structures = [AseAtomsAdaptor.get_structure(one) for one in atoms]
    StructureBatch.from_structures(structures, [str(index) for index in range(len(atoms))]).save(path)


def run_external(case: str) -> None:
    """Draw random crystals by PyXtal, and do to the output what the case asks for."""
    composition, keep_bytes = EXTERNAL[case]
    options = ['--composition', json.dumps(composition), '--count', '4', '--seed', '5', '--output', 'crystals.extxyz']
    parameters = {
        'program': 'PyXtal',
        'arguments': [PYXTAL_SCRIPT.name, *options],
        'outputs': ['crystals.extxyz'],
        'version_arguments': ['-c', VERSION],
    }
    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        with (run / 'aiida.version').open('w') as stdout:
            subprocess.run([sys.executable, '-c', VERSION], cwd=run, stdout=stdout, check=True)
        with (run / 'aiida.out').open('w') as stdout, (run / 'aiida.err').open('w') as stderr:
            command = [sys.executable, str(PYXTAL_SCRIPT), *options]
            subprocess.run(command, cwd=run, stdout=stdout, stderr=stderr, check=False)
        if keep_bytes:
            content = (run / 'crystals.extxyz').read_bytes()
            (run / 'crystals.extxyz').write_bytes(content[:keep_bytes])
        lines = (run / 'aiida.err').read_text().splitlines(keepends=True)
        (run / 'aiida.err').write_text(''.join(lines[-1:]))
        files = ('aiida.out', 'aiida.err', 'aiida.version', 'crystals.extxyz')
        write_case(f'external_generate/{case}', run, {'parameters': parameters, 'cycle': 2}, retrieved=files)


def run_pw(case: str, cycles: int) -> None:
    """Relax silicon by pw.x; with too few cycles the density does not converge."""
    with tempfile.TemporaryDirectory() as name:
        run, folder = Path(name), FIXTURES / 'pw' / case
        (run / 'aiida.in').write_text(PW_INPUT.format(pseudos=PSEUDOS, cycles=cycles))
        with (run / 'aiida.out').open('w') as stdout:
            subprocess.run(['pw.x', '-in', 'aiida.in'], cwd=run, stdout=stdout, check=False)
        folder.mkdir(parents=True, exist_ok=True)
        for path in (run / 'aiida.in', run / 'aiida.out', run / 'out' / 'aiida.save' / 'data-file-schema.xml'):
            shutil.copy(path, folder)
        print('pw', case, sum(path.stat().st_size for path in folder.iterdir()), 'bytes', flush=True)


def main(names: t.Sequence[str]) -> None:
    """Make the cases that are named, or all."""

    def wanted(name: str) -> bool:
        return not names or name in names or name.split('/', maxsplit=1)[0] in names

    for case in PYSCF:
        if wanted(f'pyscf_cell/{case}'):
            run_pyscf(case)
    if any(wanted(name) for name in ('train', 'generate', 'predict')):
        run_models()
    for task, cases in ATOMISTIC.items():
        for case in cases:
            if wanted(f'{task}/{case}'):
                run_atomistic(task, case)
    for case in EXTERNAL:
        if wanted(f'external_generate/{case}'):
            run_external(case)
    for case, cycles in (('silicon', 80), ('not_converged', 2)):
        if wanted(f'pw/{case}'):
            run_pw(case, cycles)


if __name__ == '__main__':
    main(sys.argv[1:])

"""Fixtures shared by all tests: an isolated profile and codes that run this interpreter."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy import Engine, event

pytest_plugins = ['aiida.tools.pytest_fixtures', 'cpu_durations']

# Modules that several folders of tests share; the engine finds the process classes among them by this path.
sys.path.insert(0, str(Path(__file__).parent / 'fixtures'))

# Examples of tests that do not state their own number; `make test` asks for the quick profile.
hypothesis.settings.register_profile('quick', max_examples=25, deadline=None)
hypothesis.settings.register_profile('all', max_examples=200, deadline=None)
hypothesis.settings.load_profile('all')


@pytest.fixture(scope='session')
def new_machine(tmp_path_factory):
    """Return a factory of machines with an empty profile and the codes set up; all are shut down at the end.

    It takes options of `aiida-qagenai setup`, and variables of the environment.
    """
    from machines import Machine

    machines = []

    def create(name: str, *options: str, **variables: str) -> Machine:
        machine = Machine(tmp_path_factory.mktemp(name), **variables)
        machines.append(machine)
        machine.run('aiida-qagenai', 'setup', *options)
        return machine

    yield create
    for machine in machines:
        machine.kill()


@event.listens_for(Engine, 'connect')
def leave_syncing_to_the_system(connection, _):
    """Do not wait for the disk after every commit: what a test stores need not outlive a power failure."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute('PRAGMA synchronous=OFF')


@pytest.fixture(scope='session', autouse=True)
def aiida_profile(aiida_config, aiida_profile_factory, tmp_path_factory):
    """Return the profile of the tests: on SQLite, or in the empty PostgreSQL database at QAGENAI_TEST_POSTGRESQL."""
    url = os.environ.get('QAGENAI_TEST_POSTGRESQL')
    storage: dict[str, object] = {}
    if url:
        from aiida_qagenai.engine.profile import postgresql_config

        repository = tmp_path_factory.mktemp('repository').as_uri()
        config = {**postgresql_config(url, 'test'), 'repository_uri': repository}
        storage = {'storage_backend': 'core.psql_dos', 'storage_config': config}
    with aiida_profile_factory(aiida_config, **storage) as profile:
        yield profile


@pytest.fixture
def localhost(aiida_profile_clean, aiida_computer_local):
    """Return the computer this machine, polled without delay."""
    computer = aiida_computer_local(label='localhost')
    computer.set_minimum_job_poll_interval(0)
    computer.configure(safe_interval=0, use_login_shell=False)
    return computer


@pytest.fixture
def python_code(localhost):
    """Return a factory of codes that run this interpreter with ``arguments`` put before the job's own."""
    from aiida.orm import InstalledCode

    def create(
        label: str, plugin: str, prepend_text: str = 'export OMP_NUM_THREADS=1', executable: str = sys.executable
    ) -> InstalledCode:
        code = InstalledCode(
            label=label,
            computer=localhost,
            filepath_executable=executable,
            default_calc_job_plugin=plugin,
            prepend_text=prepend_text,
        )
        return code.store()

    return create


@pytest.fixture
def pyscf_code(python_code):
    """Return the code that runs PySCF scripts."""
    return python_code('pyscf', 'qagenai.pyscf_cell')


@pytest.fixture
def pw_code(localhost):
    """Return the code pw.x of Debian's package."""
    from aiida.orm import InstalledCode

    code = InstalledCode(
        label='pw',
        computer=localhost,
        filepath_executable=shutil.which('pw.x') or '/usr/bin/pw.x',
        default_calc_job_plugin='quantumespresso.pw',
        prepend_text='export OMP_NUM_THREADS=1',
    )
    return code.store()


@pytest.fixture
def family(aiida_profile_clean, tmp_path):
    """Return a factory of the family `local`, of Debian's UPF files, by the command that the documentation gives."""
    from aiida_pseudo.cli.root import cmd_root
    from click.testing import CliRunner
    from pw_runs import PSEUDOS

    def create(*names: str | Path) -> str:
        folder = tmp_path / 'upf'
        folder.mkdir()
        for name in names:
            shutil.copy(PSEUDOS / name, folder)
        command = ['install', 'family', str(folder), 'local', '-P', 'pseudo.upf', '-F', 'pseudo.family.cutoffs']
        result = CliRunner().invoke(cmd_root, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return 'local'

    return create


@pytest.fixture(scope='session')
def lno_python():
    """Return the interpreter that has pyscf-forge, as `make lno` builds it and `make test` names it."""
    usual = Path(__file__).parents[1] / '.venv-lno' / 'bin' / 'python'
    if 'QAGENAI_LNO_PYTHON' not in os.environ and not usual.exists():
        pytest.skip('no Python with pyscf-forge: run `make lno`, or set QAGENAI_LNO_PYTHON')
    return os.environ.get('QAGENAI_LNO_PYTHON', str(usual))


@pytest.fixture
def ml_code(python_code, foundation):
    """Return the code that trains and samples."""
    return python_code('ml', 'qagenai.train')


@pytest.fixture(scope='session')
def foundation_folder(tmp_path_factory):
    """Return the folder of an untrained generator of the size of the shipped one."""
    from untrained import write_untrained_generator

    folder = tmp_path_factory.mktemp('foundation') / 'foundation'
    write_untrained_generator(folder, ('H', 'Li', 'C', 'O', 'F', 'Na', 'Mg', 'Cl'), size='base')
    return folder


@pytest.fixture
def foundation(foundation_folder, monkeypatch):
    """Put an untrained generator in the place of the shipped one and return its folder."""
    monkeypatch.setattr('aiida_qagenai.data.checkpoint.FOUNDATION', foundation_folder)
    return foundation_folder


@pytest.fixture(scope='session')
def toy_labels():
    """Return a small training set: Li–H prototypes with energies of a made-up pair potential, shifted per level."""
    import numpy as np

    from aiida_qagenai.chemistry.prototypes import seed_structures
    from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
    from aiida_qagenai.exchange.dataset import LabelledBatch
    from aiida_qagenai.exchange.structures import StructureBatch

    structures = [seed.structure for seed in seed_structures(['Li', 'H'], max_atoms=4, num_structures=24, seed=3)]
    rng = np.random.default_rng(0)

    def pair_energy(structure) -> float:
        distances = structure.get_neighbor_list(5.0)[3]
        return float(np.sum(0.5 * np.exp(-distances) - 2.0 / distances**3) / len(structure))

    base = np.array([pair_energy(structure) for structure in structures])
    energies = np.stack([base, base - 0.1, base * 1.05, base * 1.1 - 0.2], axis=1)
    energies[8:, 1:] = np.nan
    return LabelledBatch(
        structures=StructureBatch.from_structures(structures, [f'000-{i:05d}' for i in range(len(structures))]),
        energies=energies,
        descriptors=rng.random((len(structures), NUM_DESCRIPTORS)),
        groups=np.array([structure.composition.reduced_formula for structure in structures]),
        split=np.array([0, 0, 0, 0, 0, 1, 0, 2] * 3, dtype=np.int8),
    )


@pytest.fixture
def make_structure(aiida_profile):
    """Return a factory of structures from symbols and positions (Å); without a cell, isolated in a box."""
    from aiida.orm import StructureData

    def create(symbols: list[str], positions: list, cell: list | None = None) -> StructureData:
        box = [[20.0, 0.0, 0.0], [0.0, 20.0, 0.0], [0.0, 0.0, 20.0]]
        structure = StructureData(cell=cell or box, pbc=[cell is not None] * 3)
        for symbol, position in zip(symbols, positions, strict=True):
            structure.append_atom(symbols=symbol, position=position)
        return structure

    return create


@pytest.fixture
def toy_basis(tmp_path):
    """Return a factory of a family of two small bases of H and Li: its description and the folder of its files.

    Even-tempered functions, with polarisation in the larger set: enough for real calculations in a test.
    """
    import hashlib

    from aiida_qagenai.exchange.basis import BasisSource

    def element(symbol: str, exponents: dict[str, list[float]], scale: float) -> str:
        shells = [(shell, value) for shell, values in exponents.items() for value in values]
        return ''.join(f'{symbol}  {shell}\n    {scale * value:.6f}    1.000000\n' for shell, value in shells)

    def create(version: int = 1, scale: float = 1.0) -> tuple:
        folder = tmp_path / f'toy-{version}-{scale}'
        folder.mkdir(exist_ok=True)
        sets = {}
        for cardinal, name in ((2, 'dz'), (3, 'tz')):
            hydrogen = {'S': [1.6, 0.4, 0.12][: cardinal + 1], **({'P': [0.8]} if cardinal > 2 else {})}
            lithium = {'S': [6.0, 1.6, 0.45, 0.1], 'P': [0.3, 0.12][: cardinal - 1]}
            text = element('H', hydrogen, scale) + element('Li', lithium, 1.0)
            (folder / f'{name}.dat').write_text(text, encoding='utf-8')
            digest = hashlib.sha256(text.encode()).hexdigest()
            file = {'path': f'{name}.dat', 'sha256': digest, 'elements': ['H', 'Li']}
            sets[name] = {'cardinal': cardinal, 'basis': [file]}
        source = BasisSource(
            name='toy',
            version=version,
            description='Two small bases',
            url='https://127.0.0.1:9/{path}',
            homepage='https://example.org',
            licence='CC0-1.0',
            citation='nobody',
            pseudo='gth-hf-rev',
            valence={'H': 1, 'Li': 3},
            sets=sets,
        )
        return source, folder

    return create


@pytest.fixture
def lithium_hydride(make_structure):
    """Return the primitive cell of LiH in the structure of rock salt."""
    half = 2.04
    cell = [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]
    return make_structure(['Li', 'H'], [(0, 0, 0), (half, half, half)], cell)


@pytest.fixture
def pyscf_parameters():
    """Return a factory of the cheapest parameters that are still a real calculation of LiH."""

    def create(fidelity: str = 'PBE', **changes) -> dict:
        values = {
            'fidelity': fidelity,
            'basis': 'gth-szv',
            'pseudo': 'gth-hf-rev' if fidelity == 'CCSD(T)' else 'gth-pbe',
            'kmesh': [2, 1, 1],
            'precision': 1e-5,
            'scf': {'conv_tol': 1e-7},
            **({} if fidelity == 'CCSD(T)' else {'grid_mesh': [21, 21, 21]}),
        }
        for key, value in changes.items():
            values[key] = {**values[key], **value} if isinstance(values.get(key), dict) else value
        return {key: value for key, value in values.items() if value is not None}

    return create


@pytest.fixture
def running(localhost):
    """Return a factory of calculation nodes that run: stored and not sealed."""
    from aiida.orm import CalcFunctionNode, CalcJobNode

    def create(kind: str = 'job'):
        if kind == 'function':
            return CalcFunctionNode().store()
        node = CalcJobNode(computer=localhost, process_type='aiida.calculations:core.arithmetic.add')
        node.set_option('resources', {'num_machines': 1})
        return node.store()

    return create


@pytest.fixture
def candidates():
    """Return a factory of ``n`` unstored candidates, rock salt with growing lattice constant, by output label."""
    from batch_processes import make_candidates

    return make_candidates


@pytest.fixture
def batch_codes(localhost, entry_points):
    """Register the two batch calculations of this folder and return a code that runs them."""
    from aiida.orm import InstalledCode
    from batch_processes import GenerateParser, GenerateToy, PredictParser, PredictToy

    entry_points.add(GenerateToy, 'aiida.calculations:qagenai.toy_generate')
    entry_points.add(PredictToy, 'aiida.calculations:qagenai.toy_predict')
    entry_points.add(GenerateParser, 'aiida.parsers:qagenai.toy_generate')
    entry_points.add(PredictParser, 'aiida.parsers:qagenai.toy_predict')
    return InstalledCode(label='true', computer=localhost, filepath_executable='/bin/true').store()


@pytest.fixture
def run():
    """Return a function that runs ``aiida-qagenai`` in this process."""
    from click.testing import CliRunner

    from aiida_qagenai.cli import main

    def invoke(*arguments: str, status: int = 0):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return invoke

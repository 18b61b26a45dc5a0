"""Memory, disk, GPU and PySCF, with programs that answer as broken ones do."""

from __future__ import annotations

import shutil
import sys

import pytest

from aiida_qagenai.cli.setup.machine import (
    Driver,
    ask_driver,
    ask_torch,
    check_gpu,
    check_local_cc,
    check_pw,
    check_pyscf,
    check_resources,
    run_probe,
)
from aiida_qagenai.cli.setup.rows import State

CPU = {'version': '2.13.0+cpu', 'cuda': None, 'gpus': []}
CUDA = {'version': '2.13.0+cu130', 'cuda': '13.0', 'gpus': []}


@pytest.fixture
def program(tmp_path):
    """Return a factory of executable shell scripts."""

    def create(script: str, name: str = 'program') -> str:
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\n{script}\n')
        path.chmod(0o755)
        return str(path)

    return create


def test_pyscf_computes_helium_here():
    row = check_pyscf()
    assert row.state is State.OK and '-2.855160' in row.found


def test_illegal_instruction_is_a_row_and_no_crash(program):
    row = check_pyscf(program('kill -ILL $$'))
    assert row.state is State.PROBLEM
    assert 'SIGILL, an instruction that this processor does not have' in row.found
    assert 'pip install' in row.advice


def test_python_without_pyscf_is_a_note(program):
    row = check_pyscf(program(f'exec {sys.executable} -S "$@"'))
    assert row.state is State.NOTE and row.found.startswith('not installed')


def test_blas_that_cannot_be_loaded_is_told_in_one_line(program):
    error = 'ImportError: libopenblas.so.0: cannot open shared object file'
    row = check_pyscf(program(f'echo Traceback >&2; echo "{error}" >&2; exit 1'))
    assert row.state is State.PROBLEM and row.found.endswith(error)


def test_wrong_energy_is_a_problem(program):
    row = check_pyscf(program("""echo '{"version": "2.3.0", "energy": -2.8}'"""))
    assert row.state is State.PROBLEM and 'expected -2.85516' in row.found


def test_probe_that_hangs_is_ended(program):
    assert run_probe(program('exec sleep 60'), '', patience=0.2) == 'no answer within 0 s'


def test_interpreter_that_is_gone_is_named(tmp_path):
    assert str(tmp_path / 'python') in check_pyscf(str(tmp_path / 'python')).found


def test_no_driver_and_no_gpu_is_fine():
    assert ask_driver('no-such-program') is None
    assert check_gpu(None, ask_torch()).state is State.OK


SMI = """case "$*" in
*query-gpu*) echo 'NVIDIA H200, 143771';;
*) echo '| Driver Version: 570.1   CUDA Version: {} |';;
esac"""


@pytest.mark.parametrize(('cuda', 'index'), [('12.8', 'cu126'), ('13.0', 'cu130'), ('14.1', 'cu130')])
def test_gpu_that_torch_cannot_use_names_the_index(program, cuda, index):
    """The index of the driver, for a build without CUDA and for one that the driver is too old for."""
    driver = ask_driver(program(SMI.format(cuda)))
    assert driver is not None and driver.gpus == (('NVIDIA H200', 143771.0),)
    for torch in (CPU, CUDA):
        row = check_gpu(driver, torch)
        assert row.state is State.NOTE and 'NVIDIA H200 (140 GiB)' in row.found
        assert row.advice.endswith(f'--index-url https://download.pytorch.org/whl/{index}')


def test_driver_that_is_too_old_or_broken_is_told(program):
    assert 'update the driver' in check_gpu(ask_driver(program(SMI.format('11.4'))), CPU).advice
    broken = check_gpu(ask_driver(program('echo failed >&2; exit 9')), CUDA)
    assert broken.state is State.NOTE and 'driver' in broken.advice


def test_gpu_in_use_shows_its_memory():
    row = check_gpu(Driver((('NVIDIA H200', 143771.0),), (13, 0)), {**CUDA, 'gpus': [['NVIDIA H200', 150_000_000_000]]})
    assert row.state is State.OK and 'NVIDIA H200 (140 GiB)' in row.found


def test_torch_that_cannot_be_imported_is_a_problem(program):
    torch = ask_torch(program("echo 'OSError: libcudart.so.13: cannot open' >&2; exit 1"))
    row = check_gpu(None, torch)
    assert row.state is State.PROBLEM and 'libcudart.so.13' in row.found


def test_torch_that_is_not_installed_is_no_problem_of_the_gpu(program):
    row = check_gpu(None, ask_torch(program(f'exec {sys.executable} -S "$@"')))
    assert row.state is State.NOTE and 'torch is not installed' in row.found


def test_resources_of_this_machine(tmp_path):
    rows = {row.name: row for row in check_resources(tmp_path / 'not' / 'yet')}
    assert set(rows) == {'memory', 'cores', 'disk'}
    assert int(rows['cores'].found) >= 1
    assert rows['disk'].found.endswith(str(tmp_path))


def test_full_disk_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: shutil._ntuple_diskusage(10**12, 10**12 - 10**8, 10**8))
    row = check_resources(tmp_path)[-1]
    assert row.state is State.PROBLEM and 'AIIDA_PATH' in row.advice


def test_optional_programs(program):
    assert check_pw(program('true', 'pw.x')).state is State.OK
    missing = check_pw('no-such-pw.x')
    assert missing.state is State.NOTE and 'quantum-espresso' in missing.advice


def test_local_cc_is_looked_for_in_every_python(program):
    """PySCF 2.3 of this Python has no LNO module."""
    has = program("""echo '{"lno": true}'""")
    assert check_local_cc([sys.executable, has]).found.endswith(has)
    assert check_local_cc([sys.executable]).state is State.NOTE

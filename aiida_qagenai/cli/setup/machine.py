"""The machine: memory, cores, disk, GPU, and whether PySCF computes here."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import typing as t
from pathlib import Path

from aiida_qagenai.cli.setup.rows import Row, State
from aiida_qagenai.common.installing import install_pyscf

__all__ = (
    'Driver',
    'ask_driver',
    'ask_torch',
    'check_gpu',
    'check_local_cc',
    'check_pw',
    'check_pyscf',
    'check_resources',
)

GIB = 1024**3
LITTLE_MEMORY = 4.0
"""GiB in all below which a machine is called small."""
LITTLE_DISK = 5.0
"""GiB free below which there is a note."""
NO_DISK = 0.5
"""GiB free below which the checkpoint of a single job may not find its place."""
PATIENCE = 180.0
"""Seconds for a probe in a process of its own."""

PYSCF_PROBE = """import json, pyscf
from pyscf import gto, scf
mol = gto.M(atom='He', basis='cc-pvdz', verbose=0)
print(json.dumps({'version': pyscf.__version__, 'energy': float(scf.RHF(mol).kernel())}))"""
HELIUM = -2.8551605
"""Restricted Hartree–Fock energy of the helium atom in cc-pVDZ, Ha, to the digits that are compared."""

LNO_PROBE = """import importlib.util, json
print(json.dumps({'lno': importlib.util.find_spec('pyscf.lno') is not None}))"""

TORCH_PROBE = """import json, torch
seen = torch.cuda.is_available()
count = torch.cuda.device_count() if seen else 0
gpus = [(p.name, p.total_memory) for p in map(torch.cuda.get_device_properties, range(count))]
print(json.dumps({'version': str(torch.__version__), 'cuda': torch.version.cuda, 'gpus': gpus}))"""

WHEEL_INDICES = {13: 'cu130', 12: 'cu126'}
"""Major version of CUDA that a driver supports → index of torch; within a major version every driver will do."""


@dataclasses.dataclass(frozen=True)
class Driver:
    """What the driver says of the GPUs.

    :param gpus: name and memory in MiB of each.
    :param cuda: highest version of CUDA that the driver supports.
    :param error: why it cannot say.
    """

    gpus: tuple[tuple[str, float], ...] = ()
    cuda: tuple[int, int] | None = None
    error: str = ''


def check_resources(folder: Path) -> list[Row]:
    """Return the rows of memory, cores and the free space where ``folder`` is, or will be."""
    import psutil

    memory = psutil.virtual_memory()
    total, available = memory.total / GIB, memory.available / GIB
    small = total < LITTLE_MEMORY
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GIB
    state = State.OK if free >= LITTLE_DISK else State.NOTE if free >= NO_DISK else State.PROBLEM
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return [
        Row(
            'machine',
            'memory',
            State.NOTE if small else State.OK,
            f'{total:.1f} GiB, of which {available:.1f} GiB are available',
            'compute energies on another computer: see the how-to page on clusters' if small else '',
        ),
        Row('machine', 'cores', State.OK, str(cores)),
        Row(
            'machine',
            'disk',
            state,
            f'{free:.1f} GiB free at {folder}',
            '' if state is State.OK else 'free some space, or set AIIDA_PATH to a folder on another disk',
        ),
    ]


def ask_driver(program: str = 'nvidia-smi') -> Driver | None:
    """Return what the driver of NVIDIA says; None if there is no such program, and so no driver."""
    if shutil.which(program) is None:
        return None
    query = [program, '--query-gpu=name,memory.total', '--format=csv,noheader,nounits']
    listed, about = _output(query), _output([program])
    if listed is None:
        return Driver(error=f'{program} fails')
    rows = [line.rsplit(',', 1) for line in listed.splitlines() if ',' in line]
    found = re.search(r'CUDA(?: \w+)? Version: *(\d+)\.(\d+)', about or '')
    gpus = tuple((name.strip(), float(size) if size.strip().isdigit() else math.nan) for name, size in rows)
    return Driver(gpus, (int(found[1]), int(found[2])) if found else None)


def ask_torch(python: str = sys.executable) -> dict[str, t.Any] | str:
    """Return version, CUDA version and GPUs (name, bytes) of the torch of a Python, or why it cannot be used."""
    return run_probe(python, TORCH_PROBE)


def check_gpu(driver: Driver | None, torch: dict[str, t.Any] | str) -> Row:
    """Return the row of the GPUs, from what the driver and torch say of them."""
    if isinstance(torch, str):
        row = _torch_fails(torch)
        return row if driver is None or not driver.gpus else dataclasses.replace(row, advice=_wheel(driver))
    build = f'torch {torch["version"]} ({"CUDA " + torch["cuda"] if torch["cuda"] else "for the CPU"})'
    if torch['gpus']:
        gpus = ', '.join(f'{name} ({size / GIB:.0f} GiB)' for name, size in torch['gpus'])
        return Row('machine', 'GPU', State.OK, f'{gpus}; {build}; --set run.device=cuda uses it')
    if driver is None:
        return Row('machine', 'GPU', State.OK, f'none; the models run on the CPU; {build}')
    if driver.error or not driver.gpus:
        advice = 'repair the driver of NVIDIA (`nvidia-smi` says why), or go on with the CPU'
        return Row('machine', 'GPU', State.NOTE, f'{driver.error or "the driver sees none"}; {build}', advice)
    gpus = ', '.join(f'{name} ({size / 1024:.0f} GiB)' for name, size in driver.gpus)
    return Row('machine', 'GPU', State.NOTE, f'{gpus}, which {build} cannot use', _wheel(driver))


def _wheel(driver: Driver) -> str:
    """Return how to install a torch that a driver can run."""
    version = driver.cuda[0] if driver.cuda else 12
    index = WHEEL_INDICES.get(min(version, max(WHEEL_INDICES)))
    if index is None:
        return f'update the driver: it supports CUDA {version}, and torch needs {min(WHEEL_INDICES)} or newer'
    return (
        f'{sys.executable} -m pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/{index}'
    )


def _torch_fails(reason: str) -> Row:
    if 'No module named' in reason:
        return Row('machine', 'GPU', State.NOTE, 'not looked for: torch is not installed', '')
    advice = f'{sys.executable} -m pip install --force-reinstall torch'
    return Row('machine', 'GPU', State.PROBLEM, f'torch cannot be imported: {reason}', advice)


def check_pyscf(python: str = sys.executable) -> Row:
    """Return the row of PySCF: the helium atom, computed by the given Python in a process of its own."""
    answer = run_probe(python, PYSCF_PROBE)
    if isinstance(answer, dict):
        text = f'version {answer["version"]} computes He: {answer["energy"]:.6f} Ha'
        if abs(answer['energy'] - HELIUM) < 1e-6:
            return Row('machine', 'PySCF', State.OK, text)
        return Row('machine', 'PySCF', State.PROBLEM, f'{text}, expected {HELIUM:.6f} Ha', _other_pyscf(python))
    if "No module named 'pyscf'" in answer:
        found = f'not installed for {python}: no energies on this machine'
        return Row('machine', 'PySCF', State.NOTE, found, install_pyscf())
    if answer.startswith('no answer'):
        return Row('machine', 'PySCF', State.NOTE, f'{answer} from {python}', 'try again when the machine is less busy')
    return Row('machine', 'PySCF', State.PROBLEM, f'{python} cannot compute He: {answer}', _other_pyscf(python))


def _other_pyscf(python: str) -> str:
    return f'{python} -m pip install --force-reinstall --no-cache-dir pyscf, or PySCF of conda-forge as another code'


def check_pw(program: str = 'pw.x') -> Row:
    """Return the row of pw.x of Quantum ESPRESSO, which may also be a code on another computer."""
    path = shutil.which(program)
    if path is not None:
        return Row('optional', program, State.OK, path)
    found = f'{program} is not on the path: no relaxations by Quantum ESPRESSO on this machine'
    return Row('optional', program, State.NOTE, found, 'apt-get install quantum-espresso, or conda-forge: qe')


def check_local_cc(pythons: t.Sequence[str]) -> Row:
    """Return the row of local CCSD(T): the first of some Pythons that has PySCF's LNO module of pyscf-forge."""
    for python in pythons:
        answer = run_probe(python, LNO_PROBE)
        if isinstance(answer, dict) and answer['lno']:
            return Row('optional', 'local CCSD(T)', State.OK, f'pyscf-forge of {python}')
    found = 'no Python with pyscf-forge is known: no LNO-CCSD(T) on this machine'
    advice = 'make lno in a checkout, or the how-to page on local CCSD(T); then a code pyscf-forge@localhost'
    return Row('optional', 'local CCSD(T)', State.NOTE, found, advice)


def run_probe(python: str, script: str, patience: float = PATIENCE) -> dict[str, t.Any] | str:
    """Run a script in another Python and return the JSON on its last line, or in one line why there is none."""
    try:
        done = subprocess.run(
            [python, '-W', 'ignore', '-c', script], capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        return f'no answer within {patience:.0f} s'
    except OSError as exception:
        return f'{exception.strerror or exception}: {python}'
    if done.returncode < 0:
        names = {signal.SIGILL: 'an instruction that this processor does not have', signal.SIGSEGV: 'a wrong address'}
        with_name = signal.Signals(-done.returncode)
        return f'ended by {with_name.name}' + (f', {names[with_name]}' if with_name in names else '')
    try:
        content: dict[str, t.Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        lines = done.stderr.strip().splitlines() or [f'exit status {done.returncode}']
        return lines[-1]
    return content


def _output(command: list[str]) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None

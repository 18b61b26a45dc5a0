"""Crystals by pw.x of Quantum ESPRESSO with the pseudopotential gth-pbe of PySCF, converted to UPF.

For ``quantum_chemistry.py --only pseudopotential``. Not Mg: the shell 2s 2p, which its pseudopotential keeps, needs
more than 500 Ry.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import tempfile
import typing as t
from pathlib import Path

from plane_waves import RYDBERG_TO_EV
from pyscf_runs import Structure, kept

from aiida_qagenai.calculations.espresso.gth import MEASURED_CUTOFFS, gth_to_upf

COARSE = 2
"""The mesh on which the cutoff is raised to that from half of it."""

LOADER = 'import json, sys; from pyscf.pbc.gto.pseudo import load; print(json.dumps(load("gth-pbe", sys.argv[1])))'

INPUT = """&control
 calculation='scf', outdir='./out', pseudo_dir='.', disk_io='none'
/
&system
 ibrav=0, nat={atoms}, ntyp={kinds}, ecutwfc={cutoff}, input_dft='PBE', nosym={nosym}
/
&electrons
 conv_thr=1e-8, startingwfc='random'
/
ATOMIC_SPECIES
{species}
CELL_PARAMETERS angstrom
{cell}
ATOMIC_POSITIONS angstrom
{sites}
K_POINTS {kpoints}
"""


@functools.cache
def parameters(python: str, symbol: str) -> list[t.Any]:
    """Return the pseudopotential as PySCF reads it.

    :param python: interpreter with PySCF.
    """
    command = [python, '-W', 'ignore', '-c', LOADER, symbol]
    with tempfile.TemporaryDirectory() as folder:
        output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return t.cast('list[t.Any]', json.loads(output))


def converged_energy(python: str, cache: Path | None, structure: Structure, mesh: int) -> float:
    """Return the energy of a crystal by PBE, eV per cell: on the mesh with half the cutoff, the rest on a coarse mesh.

    :param python: interpreter with PySCF.
    :param cache: folder of finished calculations.
    """
    cutoff = max(MEASURED_CUTOFFS[symbol] for symbol, _ in structure[1])
    soft, coarse_soft, coarse_hard = (
        crystal_energy(python, cache, structure, f'automatic\n{number} {number} {number} 0 0 0', ecut)
        for number, ecut in ((mesh, cutoff / 2), (COARSE, cutoff / 2), (COARSE, cutoff))
    )
    return soft + coarse_hard - coarse_soft


def crystal_energy(
    python: str, cache: Path | None, structure: Structure, kpoints: str, cutoff: float, *, symmetric: bool = True
) -> float:
    """Return the energy of a crystal by PBE, eV per cell.

    :param kpoints: the card K_POINTS of pw.x.
    :param cutoff: of the wave functions, Ry.
    :param symmetric: whether the density gets the symmetry of the crystal, which the k-points alone may not give it.
    """
    cell, sites = structure
    symbols = sorted({symbol for symbol, _ in sites})
    files = {f'{symbol}.upf': gth_to_upf(symbol, parameters(python, symbol)) for symbol in symbols}
    text = INPUT.format(
        atoms=len(sites),
        kinds=len(symbols),
        cutoff=cutoff,
        species='\n'.join(f'{symbol} 1.0 {symbol}.upf' for symbol in symbols),
        cell='\n'.join(' '.join(f'{value:.10f}' for value in row) for row in cell),
        sites='\n'.join(f'{symbol} ' + ' '.join(f'{value:.10f}' for value in place) for symbol, place in sites),
        kpoints=kpoints,
        nosym='.false.' if symmetric else '.true.',
    )
    return kept(cache, '\n'.join([text, *files.values()]), lambda: run(text, files))['total_energy']


def run(text: str, files: dict[str, str]) -> dict[str, float]:
    """Run pw.x and return the energy, eV.

    :param files: text of each pseudopotential by its name.
    :raises SystemExit: if it does not converge.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_text(content, encoding='utf-8')
        done = subprocess.run(['pw.x'], input=text, cwd=folder, check=False, capture_output=True, text=True)
    found = re.findall(r'^!+ +total energy += +(\S+) Ry', done.stdout, re.MULTILINE)
    if not found:
        raise SystemExit(f'pw.x failed: {done.stdout[-2000:]}')
    return {'total_energy': float(found[-1]) * RYDBERG_TO_EV}

"""Crystals by pw.x of Quantum ESPRESSO with the pseudopotential gth-pbe of PySCF, converted to UPF.

For ``quantum_chemistry.py --only pseudopotential``. The formulas are those of Goedecker, Teter and Hutter, Phys. Rev. B
54, 1703 (1996), with the projectors of Hartwigsen, Goedecker and Hutter, Phys. Rev. B 58, 3641 (1998).
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import tempfile
import typing as t
from pathlib import Path

import numpy as np
from plane_waves import RYDBERG_TO_EV
from pyscf_runs import Structure, kept
from scipy.special import erf, gamma

POINTS, SMALLEST, LARGEST, PROJECTOR_END = 2001, 1e-5, 40.0, 8.0
"""The logarithmic radial mesh (bohr) and the radius beyond which the projectors are zero."""

CUTOFFS = {'H': 260, 'Li': 150, 'B': 150, 'C': 200, 'N': 260, 'O': 340, 'F': 420, 'Al': 80, 'Si': 80}
"""Of the wave functions, Ry. The absolute energies have to converge, for the atoms are others.

The last step tried moves Si, diamond and BN by 0.003 eV/atom and LiF by 0.02; H and N were not tried beyond 260 Ry.
Not Mg: the shell 2s 2p, which its pseudopotential keeps, needs more than 500 Ry.
"""

COARSE = 2
"""The mesh on which the cutoff is raised to that from half of it."""

LOADER = 'import json, sys; from pyscf.pbc.gto.pseudo import load; print(json.dumps(load("gth-pbe", sys.argv[1])))'

UPF = """<UPF version="2.0.1">
<PP_INFO>gth-pbe of PySCF</PP_INFO>
<PP_HEADER generated="" author="" date="" comment="" element="{symbol}" pseudo_type="NC" relativistic="scalar"
 is_ultrasoft="F" is_paw="F" is_coulomb="F" has_so="F" has_wfc="F" has_gipaw="F" core_correction="F" functional="PBE"
 z_valence="{valence:.2f}" total_psenergy="0.0" wfc_cutoff="0.0" rho_cutoff="0.0" l_max="{largest_momentum}"
 l_local="-3" mesh_size="{points}" number_of_wfc="0" number_of_proj="{number}"/>
<PP_MESH mesh="{points}">
{radii}
{weights}
</PP_MESH>
{local}
<PP_NONLOCAL>
{projectors}
</PP_NONLOCAL>
<PP_PSWFC>
</PP_PSWFC>
{density}
</UPF>
"""

INPUT = """&control
 calculation='scf', outdir='./out', pseudo_dir='.', disk_io='none'
/
&system
 ibrav=0, nat={atoms}, ntyp={kinds}, ecutwfc={cutoff}, input_dft='PBE'
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
K_POINTS automatic
{mesh} {mesh} {mesh} 0 0 0
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


def local_potential(r: np.ndarray, valence: int, radius: float, coefficients: list[float]) -> np.ndarray:
    """Return the local part, Ha, at the radii r (bohr): equation 1 of Goedecker 1996."""
    x = r / radius
    polynomial = sum(c * x ** (2 * power) for power, c in enumerate(coefficients))
    return np.asarray(-valence / r * erf(x / np.sqrt(2)) + np.exp(-(x**2) / 2) * polynomial)


def projector(r: np.ndarray, momentum: int, number: int, radius: float) -> np.ndarray:
    """Return the projector p_i^l(r), i = 1, 2, …: equation 3 of Hartwigsen 1998."""
    power = momentum + (4 * number - 1) / 2
    norm = np.sqrt(2) / (radius**power * np.sqrt(gamma(power)))
    return np.asarray(norm * r ** (momentum + 2 * (number - 1)) * np.exp(-(r**2) / (2 * radius**2)))


def field(name: str, values: np.ndarray, attributes: str = '') -> str:
    """Return numbers as an element of UPF."""
    lines = (' '.join(f'{value:.14E}' for value in values[at : at + 4]) for at in range(0, len(values), 4))
    return f'<{name} type="real" size="{len(values)}" columns="4"{attributes}>\n' + '\n'.join(lines) + f'\n</{name}>'


def upf(symbol: str, values: list[t.Any]) -> str:
    """Return a pseudopotential as UPF: radial functions times r, energies in Ry.

    :param values: electrons by angular momentum; radius, number and coefficients of the local part; number of angular
        momenta; and for each the radius, the number of projectors and their matrix.
    """
    electrons, local_radius, _, coefficients, _, *channels = values
    valence, step = sum(electrons), np.log(LARGEST / SMALLEST) / (POINTS - 1)
    r = SMALLEST * np.exp(step * np.arange(POINTS))
    projectors = [
        (momentum, r * projector(r, momentum, index, radius))
        for momentum, (radius, number, _) in enumerate(channels)
        for index in range(1, number + 1)
    ]
    matrix, start = np.zeros((len(projectors), len(projectors))), 0
    for _, number, block in channels:
        if number:
            matrix[start : start + number, start : start + number] = 2 * np.array(block, float)
            start += number
    last = int(np.searchsorted(r, PROJECTOR_END)) | 1
    end = f' cutoff_radius_index="{last}" cutoff_radius="{PROJECTOR_END}"'
    texts = [
        field(f'PP_BETA.{index}', values, f' index="{index}" angular_momentum="{momentum}"{end}')
        for index, (momentum, values) in enumerate(projectors, 1)
    ]
    # Where the density starts from; it does not matter which.
    density = r**2 * np.exp(-((r / 1.2) ** 2))
    return UPF.format(
        symbol=symbol,
        valence=valence,
        largest_momentum=max((momentum for momentum, _ in projectors), default=0),
        points=POINTS,
        number=len(projectors),
        radii=field('PP_R', r),
        weights=field('PP_RAB', r * step),
        local=field('PP_LOCAL', 2 * local_potential(r, valence, local_radius, coefficients)),
        projectors='\n'.join([*texts, *([field('PP_DIJ', matrix.ravel())] if projectors else [])]),
        density=field('PP_RHOATOM', density * valence / np.sum(density * r * step)),
    )


def converged_energy(python: str, cache: Path | None, structure: Structure, mesh: int) -> float:
    """Return the energy of a crystal by PBE, eV per cell: on the mesh with half the cutoff, the rest on a coarse mesh.

    :param python: interpreter with PySCF.
    :param cache: folder of finished calculations.
    """
    cutoff = max(CUTOFFS[symbol] for symbol, _ in structure[1])
    soft, coarse_soft, coarse_hard = (
        crystal_energy(python, cache, structure, number, ecut)
        for number, ecut in ((mesh, cutoff / 2), (COARSE, cutoff / 2), (COARSE, cutoff))
    )
    return soft + coarse_hard - coarse_soft


def crystal_energy(python: str, cache: Path | None, structure: Structure, mesh: int, cutoff: float) -> float:
    """Return the energy of a crystal by PBE, eV per cell.

    :param cutoff: of the wave functions, Ry.
    """
    cell, sites = structure
    symbols = sorted({symbol for symbol, _ in sites})
    files = {f'{symbol}.upf': upf(symbol, parameters(python, symbol)) for symbol in symbols}
    text = INPUT.format(
        atoms=len(sites),
        kinds=len(symbols),
        cutoff=cutoff,
        species='\n'.join(f'{symbol} 1.0 {symbol}.upf' for symbol in symbols),
        cell='\n'.join(' '.join(f'{value:.10f}' for value in row) for row in cell),
        sites='\n'.join(f'{symbol} ' + ' '.join(f'{value:.10f}' for value in place) for symbol, place in sites),
        mesh=mesh,
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

"""LiH polymorphs by pw.x of Quantum ESPRESSO: an independent check of Hartree-Fock in Gaussians.

Run by ``quantum_chemistry.py --only plane-waves``; needs Debian's packages quantum-espresso and quantum-espresso-data.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from figures import figure

PSEUDOS = Path('/usr/share/espresso/pseudo')
LITHIUM, HYDROGEN = 'Li.pbesol-s-kjpaw_psl.0.2.1.UPF', 'H.pbe-kjpaw.UPF'
"""With the 1s electrons of Li in the valence; for PBE and, for want of others, for Hartree-Fock."""

RYDBERG_TO_EV = 13.605693122994
BOHR_TO_ANGSTROM = 0.529177210903
CUTOFF = 50.0
"""Of the wave functions, Ry; four times as much for exchange, eight times for the density."""

POLYMORPHS = {'rock salt': (4.0834, 0.5), 'zinc blende': (4.4, 0.25)}
"""Lattice constant (Å) and the place of H along the diagonal, as in the polymorphs of Gaussians."""

TEMPLATE = """&control
 calculation='scf', outdir='./out', pseudo_dir='{pseudos}', disk_io='low'
/
&system
 ibrav=2, celldm(1)={lattice}, nat=2, ntyp=2, nbnd=2, ecutwfc={cutoff}, ecutrho={density}, input_dft='{functional}'
 {exchange}
/
&electrons
 conv_thr=1e-8
/
ATOMIC_SPECIES
Li 6.94 {lithium}
H 1.008 {hydrogen}
ATOMIC_POSITIONS crystal
Li 0 0 0
H {place} {place} {place}
K_POINTS automatic
{mesh} {mesh} {mesh} 0 0 0
"""
EXCHANGE = (
    "nqx1={mesh}, nqx2={mesh}, nqx3={mesh}, exxdiv_treatment='gygi-baldereschi', x_gamma_extrapolation=.true., "
    'ecutfock={cutoff}'
)


def plane_waves() -> None:
    """Print ΔE(zinc blende − rock salt) of LiH by PBE and by Hartree-Fock in plane waves: three minutes.

    :raises SystemExit: if pw.x or its pseudopotentials are not installed.
    """
    if shutil.which('pw.x') is None or not (PSEUDOS / LITHIUM).exists():
        raise SystemExit('plane-waves needs pw.x: apt-get install quantum-espresso quantum-espresso-data')
    # Every point of an even mesh has its exchange with every other, which x_gamma_extrapolation needs.
    for functional, mesh in (('PBE', 6), ('HF', 2), ('HF', 4)):
        low, high = (total_energy(kind, functional, mesh) for kind in POLYMORPHS)
        name = f'lih-zb-rs-{functional.lower()}-plane-waves-{mesh}x{mesh}x{mesh}'
        figure(name, high - low, 'eV/f.u.', 'composite CCSD(T), 0.27 ± 0.05', 0.27)


def total_energy(kind: str, functional: str, mesh: int) -> float:
    """Return the energy of a polymorph, eV per formula unit."""
    lattice, place = POLYMORPHS[kind]
    text = TEMPLATE.format(
        pseudos=PSEUDOS,
        lattice=lattice / BOHR_TO_ANGSTROM,
        place=place,
        cutoff=CUTOFF,
        density=8 * CUTOFF,
        functional=functional,
        exchange='' if functional == 'PBE' else EXCHANGE.format(mesh=mesh, cutoff=4 * CUTOFF),
        lithium=LITHIUM,
        hydrogen=HYDROGEN,
        mesh=mesh,
    )
    with tempfile.TemporaryDirectory() as folder:
        output = subprocess.run(['pw.x'], input=text, cwd=folder, check=True, capture_output=True, text=True).stdout
    return float(re.findall(r'^!+ +total energy += +(\S+) Ry', output, re.MULTILINE)[-1]) * RYDBERG_TO_EV

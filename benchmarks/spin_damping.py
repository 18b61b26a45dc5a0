"""Cycles of the SCF of antiferromagnetic transition-metal oxides with and without damping of the first ones.

    python benchmarks/spin_damping.py [--quick] [--metals Mn Ni]

One k-point without symmetry and a minimal basis, PBE with the smearing of the protocols: minutes per oxide. It prints
cycles and moments, and whether the SCF converged within 50 cycles with the moments that it began with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

from figures import figure

from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf.script import write_script
from aiida_qagenai.workchains.protocols.energy_parts import SPIN_DAMPING

OXIDES = {'Mn': (4.445, 5.0), 'Fe': (4.33, 4.0), 'Co': (4.26, 3.0), 'Ni': (4.177, 2.0)}
"""Lattice constant of the rock salt (Å) and moment of the ion with high spin (μB)."""


def compute(metal: str, damping: float, grid: int) -> dict[str, t.Any]:
    """Return the results of the antiferromagnetic cell of four atoms, spins alternating along [111]."""
    lattice, moment = OXIDES[metal]
    cell = [[lattice / 2 * number for number in row] for row in ([2, 1, 1], [1, 2, 1], [1, 1, 2])]
    sites = [
        (symbol, [2 * part * lattice] * 3) for symbol, part in ((metal, 0), (metal, 0.5), ('O', 0.25), ('O', 0.75))
    ]
    parameters = {
        'fidelity': 'PBE',
        'basis': 'gth-szv-molopt-sr',
        'pseudo': 'gth-pbe',
        'kmesh': [1, 1, 1],
        'kmesh_shift': [0.25, 0.25, 0.25],
        'grid_mesh': [grid] * 3,
        'precision': 1e-5,
        'spin_polarized': True,
        'moments': [moment, -moment, 0.0, 0.0],
        'scf': {'conv_tol': 1e-6, 'max_cycle': 50, 'smearing': 0.005, 'damping': damping},
    }
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / 'script.py'
        script.write_text(write_script(PyscfCellParameters.parse(parameters), cell, sites), encoding='utf-8')
        subprocess.run([sys.executable, script.name], cwd=folder, check=False, capture_output=True)
        return dict(json.loads((Path(folder) / 'results.json').read_text(encoding='utf-8')))


def main() -> int:
    """Print a line per oxide and fraction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='MnO with damping only')
    parser.add_argument('--metals', nargs='+', choices=OXIDES, default=['Mn', 'Ni'])
    options = parser.parse_args()
    fractions = [SPIN_DAMPING] if options.quick else [0.0, SPIN_DAMPING]
    for metal in ['Mn'] if options.quick else options.metals:
        for damping in fractions:
            results = compute(metal, damping, 41 if options.quick else 45)
            where = f'{metal.lower()}o-damping-{damping:g}'
            figure(f'{where}-cycles', results['scf_cycles'], 'cycles', 'limit', 50)
            figure(f'{where}-finished', float(results['status'] == 'finished'), '1', 'converged with its moments', 1.0)
            moments = results.get('site_moments')
            figure(f'{where}-moment', max(moments) if moments else None, 'μB', 'start', OXIDES[metal][1])
    return 0


if __name__ == '__main__':
    raise SystemExit(main())

"""Elements beyond argon: the error of gth-dzvp-molopt-sr against plane waves, and of the grid, as JSON lines.

    python benchmarks/heavier_elements.py [--quick] [--only NAME] [--python PYTHON] [--cache FOLDER]

``basis`` computes crystals by PBE in that basis, without density fitting, and by pw.x with the same pseudopotentials on
the same k-mesh: what differs is the basis. One compound of each block, CaO (s), GaAs (p) and ZnO (d): lattice
constants, the order of structures, and reactions of the kind that formation energies against reference compounds are.
Half an hour of a core.

``molecules`` compares it with an uncontracted even-tempered basis, close to the limit, in exchange reactions of halides
of an element of each block: K (s), Ga (p), Cu (d). A few minutes.

``grid`` moves a nickel atom against the uniform grid, on which the energy must not depend. Two minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import numpy as np
from figures import figure
from gth_plane_waves import crystal_energy
from pyscf_runs import Runner, Structure, face_centred, kept

CUTOFF = 200.0
"""Of the wave functions, Ry: not enough for absolute energies, which cancel in what is compared."""

MESH = 2
"""Γ-centred, in both programs."""

SPACING = 0.08
"""Of the uniform grid of the Gaussian basis, Å, as in `fast`."""

STRAIN = 0.03
"""Of the lattice constants on both sides of the minimum."""

CRYSTALS: dict[str, tuple[float, tuple[str, str], str]] = {
    'CaO': (4.8105, ('Ca', 'O'), 'rock salt'),
    'CaO zinc blende': (5.21, ('Ca', 'O'), 'zinc blende'),
    'CaS': (5.6948, ('Ca', 'S'), 'rock salt'),
    'ZnO': (4.58, ('Zn', 'O'), 'zinc blende'),
    'ZnO rock salt': (4.283, ('Zn', 'O'), 'rock salt'),
    'ZnS': (5.4093, ('Zn', 'S'), 'zinc blende'),
    'GaAs': (5.6533, ('Ga', 'As'), 'zinc blende'),
    'GaP': (5.4512, ('Ga', 'P'), 'zinc blende'),
    'AlAs': (5.6605, ('Al', 'As'), 'zinc blende'),
    'AlP': (5.4635, ('Al', 'P'), 'zinc blende'),
}
"""Lattice constant of the cubic cell (Å), the elements and the structure."""

REACTIONS = {
    'ZnO rock salt - zinc blende': {'ZnO rock salt': 1, 'ZnO': -1},
    'CaO zinc blende - rock salt': {'CaO zinc blende': 1, 'CaO': -1},
    'GaP + AlAs = GaAs + AlP': {'GaAs': 1, 'AlP': 1, 'GaP': -1, 'AlAs': -1},
    'ZnO + CaS = ZnS + CaO': {'ZnS': 1, 'CaO': 1, 'ZnO': -1, 'CaS': -1},
}
"""Products count as 1, reactants as -1."""

STRAINED = ('CaO', 'GaAs', 'ZnO')

CRYSTAL_SCRIPT = """
import json, sys
import numpy as np
from pyscf.pbc import dft, gto
given = json.loads(sys.argv[1])
cell = gto.Cell(unit='A', a=np.array(given['cell']), atom=[(s, tuple(x)) for s, x in given['sites']], verbose=0)
cell.basis, cell.pseudo, cell.precision, cell.space_group_symmetry = 'gth-dzvp-molopt-sr', 'gth-pbe', 1e-8, True
cell.mesh = [int(np.ceil(np.linalg.norm(vector) / given['spacing'])) | 1 for vector in cell.a]
cell.build()
mf = dft.KRKS(cell, cell.make_kpts([given['mesh']] * 3, space_group_symmetry=True))
# The orbitals on the grid are most of the cost, and the same in each cycle.
evaluate, kept = dft.numint.KNumInt.eval_ao, {}
def eval_ao(self, cell, coords, kpts=np.zeros((1, 3)), deriv=0, **options):
    key = deriv, coords.shape, coords[0].tobytes(), np.asarray(kpts).tobytes()
    if key not in kept:
        kept[key] = evaluate(cell, coords, kpts, deriv=deriv, **options)
    return kept[key]
dft.numint.KNumInt.eval_ao = eval_ao
mf.xc, mf.conv_tol = 'PBE', 1e-7
mf.kernel()
assert mf.converged
print(json.dumps({'total_energy': mf.e_tot * 27.211386245988}))
"""

GRID_SCRIPT = """
import json, sys
import numpy as np
from pyscf.pbc import dft, gto
spacing, edge, energies, lost = float(sys.argv[1]), 4.4, [], []
for place in ((0.0, 0.0, 0.0), (0.031, 0.017, 0.043)):
    cell = gto.M(a=np.eye(3) * edge, atom=[('Ni', place)], basis='gth-dzvp-molopt-sr', pseudo='gth-pbe', verbose=0)
    grids = dft.gen_grid.UniformGrids(cell)
    grids.mesh = np.array([int(np.ceil(edge / spacing)) | 1] * 3)
    density = dft.RKS(cell).get_init_guess(key='minao')
    count, energy, _ = dft.numint.NumInt().nr_rks(cell, grids, 'PBE', density)
    energies.append(energy)
    lost.append(count - float(np.einsum('ij,ji', density, cell.pbc_intor('int1e_ovlp'))))
print(json.dumps([abs(energies[0] - energies[1]) * 27.211386, max(map(abs, lost))]))
"""


EXCHANGES = {'s': 'K', 'p': 'Ga', 'd': 'Cu'}
"""Element of each block in MF + HCl = MCl + HF, all of closed shells."""

BONDS = {
    **{'KF': 2.1715, 'KCl': 2.6668, 'GaF': 1.7744, 'GaCl': 2.2017, 'CuF': 1.7449, 'CuCl': 2.0512},
    **{'HF': 0.9168, 'HCl': 1.2746},
}
"""Å: Huber and Herzberg, Constants of Diatomic Molecules (1979)."""

MOLECULE_SCRIPT = """
import json, sys
import numpy as np
from pyscf import dft
from pyscf.pbc import gto
given = json.loads(sys.argv[1])
cell = gto.Cell(unit='A', a=np.eye(3) * 20, pseudo='gth-pbe', verbose=0)
cell.atom = [(s, (0, 0, z)) for s, z in given['sites']]
cell.basis = 'gth-dzvp-molopt-sr'
if given['limit']:
    ranges = ((0, 9), (1, 9), (2, 8), (3, 4))
    light = ((0, 9), (1, 6), (2, 4))
    cell.basis = {
        s: [[l, [0.04 * (4.0 if l > 2 else 2.0 if s == 'H' and l else 1.0) * 2.2**i, 1.0]]
            for l, number in (light if s == 'H' else ranges) for i in range(number)]
        for s, _ in given['sites']
    }
cell.build()
mf = dft.RKS(cell.to_mol(), xc='PBE').density_fit()
mf.grids.level, mf.conv_tol = 4, 1e-7
mf.kernel()
assert mf.converged
print(json.dumps({'total_energy': mf.e_tot * 27.211386245988, 'functions': int(mf.mol.nao)}))
"""


def molecules(runner: Runner) -> None:
    """Print the energies of exchange reactions in both bases."""

    def energy(first: str, second: str, *, limit: bool) -> float:
        sites = [[first, 0.0], [second, BONDS[first + second]]]
        text = json.dumps({'sites': sites, 'limit': limit})
        key = f'{runner.version}\n{MOLECULE_SCRIPT}\n{text}'
        found = kept(runner.cache, key, lambda: run_script(runner.python, MOLECULE_SCRIPT, text))
        return float(found['total_energy'])

    for block, metal in EXCHANGES.items():
        values = [
            energy(metal, 'Cl', limit=limit)
            + energy('H', 'F', limit=limit)
            - energy(metal, 'F', limit=limit)
            - energy('H', 'Cl', limit=limit)
            for limit in (False, True)
        ]
        name = f'{block}-block: {metal}F + HCl = {metal}Cl + HF'
        figure(name, values[0], 'eV', 'uncontracted even-tempered basis', values[1])


def run_script(python: str, script: str, argument: str) -> t.Any:
    """Return what a script of PySCF prints as JSON on its last line."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, '-W', 'ignore', '-c', script, argument]
        output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def strained(name: str, factor: float) -> Structure:
    """Return a crystal with its lattice constant scaled."""
    lattice, symbols, kind = CRYSTALS[name]
    return face_centred(lattice * factor, symbols, kind)


def gaussian_energy(runner: Runner, structure: Structure, label: str) -> float:
    """Return the energy in the Gaussian basis, eV per cell."""
    text = json.dumps({'cell': structure[0], 'sites': structure[1], 'mesh': MESH, 'spacing': SPACING})

    def compute() -> dict[str, t.Any]:
        print(f'{label} …', file=sys.stderr, flush=True)
        return t.cast('dict[str, t.Any]', run_script(runner.python, CRYSTAL_SCRIPT, text))

    return float(kept(runner.cache, f'{runner.version}\n{CRYSTAL_SCRIPT}\n{text}', compute)['total_energy'])


def lattice_constant(name: str, energies: t.Sequence[float]) -> float:
    """Return the lattice constant (Å) of the parabola through the energies at -STRAIN, 0 and STRAIN."""
    scales = 1 + STRAIN * np.array([-1, 0, 1])
    curvature, slope, _ = np.polyfit(scales, energies, 2)
    return float(CRYSTALS[name][0] * -slope / (2 * curvature))


def basis(runner: Runner) -> None:
    """Print energies of reactions and lattice constants by both programs."""

    def both(name: str, factor: float = 1.0) -> tuple[float, float]:
        structure = strained(name, factor)
        waves = crystal_energy(runner.python, runner.cache, structure, MESH, CUTOFF)
        return gaussian_energy(runner, structure, f'{name} {factor:g}'), waves

    for text, coefficients in REACTIONS.items():
        energies = [(count, both(name)) for name, count in coefficients.items()]
        gaussian, waves = (sum(count * pair[which] for count, pair in energies) for which in (0, 1))
        figure(text, gaussian, 'eV per formula unit', 'pw.x, same pseudopotentials', waves)
    for name in STRAINED:
        points = [both(name, 1 + step * STRAIN) for step in (-1, 0, 1)]
        gaussian, waves = (lattice_constant(name, energies) for energies in zip(*points, strict=True))
        figure(f'lattice-constant-{name}', gaussian, 'Å', 'pw.x, same pseudopotentials', waves)


def grid(runner: Runner) -> None:
    """Print by how much the exchange-correlation energy of nickel depends on its place on the grid."""
    for spacing in (0.12, 0.1, 0.08, 0.07):
        energy, lost = run_script(runner.python, GRID_SCRIPT, str(spacing))
        figure(f'nickel-on-the-grid-{spacing:g}', energy, 'eV', 'electrons lost', lost)


PARTS = {'basis': basis, 'molecules': molecules, 'grid': grid}


def main() -> None:
    """Run one part, or both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='the grid only')
    parser.add_argument('--only', choices=list(PARTS))
    parser.add_argument('--python', default=sys.executable, help='interpreter with PySCF')
    parser.add_argument('--cache', type=Path, help='folder of finished calculations, which are not run again')
    arguments = parser.parse_args()
    runner = Runner(arguments.python, arguments.cache)
    chosen = [arguments.only] if arguments.only else ['grid'] if arguments.quick else list(PARTS)
    for name in chosen:
        PARTS[name](runner)


if __name__ == '__main__':
    main()

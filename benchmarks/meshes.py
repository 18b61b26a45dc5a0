"""How far the energy of a crystal is from that of a dense mesh, by where its k-points lie.

``python benchmarks/meshes.py [--cutoff RY] [--quick]`` computes BeO by PBE with pw.x, which has to be installed, and
the pseudopotential gth-pbe: zinc blende in two primitive cells, and wurtzite with the same bonds. Each mesh is centred
at Γ, displaced by half a step along every axis, and at the mean-value point of the crystal. One JSON line per mesh, eV
per atom above a dense one, and one for wurtzite less zinc blende. ``--quick`` takes a cutoff at which the energies
themselves mean nothing.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import typing as t

import numpy as np
from figures import figure
from gth_plane_waves import crystal_energy
from pyscf_runs import Structure, face_centred

from aiida_qagenai.chemistry.kpoints import mean_value_shift

LATTICE, HEXAGONAL = 3.826, (2.713, 4.396)
"""Edge of the cubic cell of zinc blende, and edges of the cell of wurtzite, Å."""

MESHES = {
    'zinc blende': [(2, 2, 2), (3, 3, 3)],
    'zinc blende, other cell': [(2, 2, 2)],
    'wurtzite': [(2, 2, 1), (2, 2, 2), (3, 3, 2)],
}
DENSE = {'zinc blende': (4, 4, 4), 'zinc blende, other cell': (4, 4, 4), 'wurtzite': (4, 4, 3)}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cutoff', type=float, default=160.0, help='of the orbitals, Ry')
    parser.add_argument('--python', default=sys.executable, help='interpreter with PySCF')
    parser.add_argument('--quick', action='store_true', help='40 Ry: ten seconds, and energies without meaning')
    arguments = parser.parse_args()
    cutoff = 40.0 if arguments.quick else arguments.cutoff
    dense = {}
    for name, structure in crystals().items():
        shift = mean_value_point(structure, DENSE[name])
        dense[name] = energy(arguments.python, structure, DENSE[name], shift, cutoff)
        for mesh in MESHES[name]:
            shifts = {'gamma': (0.0,) * 3, 'half': (0.5,) * 3, 'mean-value': mean_value_point(structure, mesh)}
            for rule, each in shifts.items():
                above = energy(arguments.python, structure, mesh, each, cutoff) - dense[name]
                figure(f'{name} {"x".join(map(str, mesh))} {rule}', round(above, 4), 'eV/atom')
    figure('wurtzite less zinc blende', round(dense['wurtzite'] - dense['zinc blende'], 4), 'eV/atom')


def crystals() -> dict[str, Structure]:
    """Return the crystals by name."""
    usual = face_centred(LATTICE, ('Be', 'O'), 'zinc blende')
    cell = np.array([[1, 0, 0], [-1, 1, 0], [0, -1, 1]]) @ np.array(usual[0])
    edge, height = HEXAGONAL
    hexagonal = np.array([[edge, 0, 0], [edge / 2, edge * 3**0.5 / 2, 0], [0, 0, height]])
    fractions = [(2 / 3, 2 / 3, 0.4982), (1 / 3, 1 / 3, 0.9982), (2 / 3, 2 / 3, 0.1215), (1 / 3, 1 / 3, 0.6215)]
    sites = [(symbol, (np.array(place) @ hexagonal).tolist()) for symbol, place in zip('BBOO', fractions, strict=True)]
    return {
        'zinc blende': usual,
        'zinc blende, other cell': (cell.tolist(), usual[1]),
        'wurtzite': (hexagonal.tolist(), [('Be' if symbol == 'B' else symbol, place) for symbol, place in sites]),
    }


def mean_value_point(structure: Structure, mesh: t.Sequence[int]) -> tuple[float, float, float]:
    """Return the displacement of a mesh in its steps."""
    cell, sites = structure
    positions = np.array([place for _, place in sites]) @ np.linalg.inv(np.array(cell))
    return mean_value_shift(cell, positions, [ord(symbol[0]) for symbol, _ in sites], mesh)


def energy(python: str, structure: Structure, mesh: t.Sequence[int], shift: t.Sequence[float], cutoff: float) -> float:
    """Return the energy on a mesh, eV per atom; the density is that of the k-points, as PySCF has it."""
    points = [(np.array(steps) + shift) / mesh for steps in itertools.product(*map(range, mesh))]
    lines = [' '.join(f'{value:.10f}' for value in (*point, 1.0)) for point in points]
    card = '\n'.join(['crystal', str(len(lines)), *lines])
    return crystal_energy(python, None, structure, card, cutoff, symmetric=False) / len(structure[1])


if __name__ == '__main__':
    main()

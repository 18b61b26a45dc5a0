"""How much the divergence changes when nothing but the representation of a crystal does.

    python benchmarks/repeats.py [--crystals N] [--repeats N] [--cache FOLDER] [--quick]

Crystals of the ladder (`examples/ladder/crystals.yaml`) are computed at PBE, SCAN, HSE06 and CCSD(T) with the accuracy
of its settings (grids, fitting, thresholds), but in `gth-szv` on 2×2×2 k-points, so that a crystal takes half a minute.
Each one is then computed again as the same crystal in another form: turned in space, moved against the uniform grid,
described by another primitive cell, its atoms in another order. The energies should not change. What they do change is
the noise that the divergence has for reasons other than physics.

`noise-LEVEL` is the standard deviation of the energies of one crystal, pooled over the crystals. That of E_PBE −
E_LEVEL is `noise-LEVEL-divergence`, beside the standard deviation of this difference between the crystals: the signal.
With `--cache`, calculations that are there are not run again. Six times ten crystals take about 40 minutes of a core;
`--quick` takes one crystal twice at PBE and HSE06.
"""

from __future__ import annotations

import argparse
import math
import sys
import typing as t
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from figures import figure
from numpy.typing import NDArray
from pyscf_runs import Runner, Structure, face_centred
from scipy.spatial.transform import Rotation

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.workchains.protocols.energy import EnergySettings, energy_settings

EXAMPLE = Path(__file__).resolve().parents[1] / 'examples' / 'ladder'
BASIS = 'gth-szv'
KEPT = ('coulomb', 'grid_spacing', 'grid_level', 'precision', 'scf', 'cc')
"""Settings of the ladder that decide about numerical noise."""

Energies = NDArray[np.float64]
"""Of one level, eV/atom: crystals × repeats."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--crystals', type=int, default=10, help='of the list, the first ones')
    parser.add_argument('--repeats', type=int, default=6, help='of each crystal, the first as the list has it')
    parser.add_argument('--cache', type=Path, help='folder of finished calculations')
    parser.add_argument('--python', default=sys.executable, help='interpreter with PySCF')
    parser.add_argument('--quick', action='store_true', help='one crystal twice at PBE and HSE06')
    arguments = parser.parse_args()
    levels: Sequence[Fidelity] = (Fidelity.PBE, Fidelity.HSE06) if arguments.quick else LADDER
    crystals, repeats = (1, 2) if arguments.quick else (arguments.crystals, arguments.repeats)
    run, settings = Runner(arguments.python, arguments.cache), ladder_settings()
    forms = {name: forms_of(structure, repeats) for name, structure in list(listed().items())[:crystals]}
    energies: dict[Fidelity, Energies] = {
        level: np.array([[energy(run, settings, level, f, name) for f in each] for name, each in forms.items()])
        for level in levels
    }
    report(energies)


def listed() -> dict[str, Structure]:
    """Return the ground states of the list by name."""
    crystals: dict[str, dict[str, t.Any]] = yaml.safe_load((EXAMPLE / 'crystals.yaml').read_text(encoding='utf-8'))
    return {
        name: face_centred(content['lattice'], content['elements'], content['kind'])
        for name, content in crystals.items()
        if 'of' not in content
    }


def ladder_settings() -> EnergySettings:
    """Return the settings of the ladder in a small basis on a small mesh."""
    changes: dict[str, t.Any] = yaml.safe_load((EXAMPLE / 'settings.yaml').read_text(encoding='utf-8'))
    mesh = {'fixed': [2, 2, 2], 'spacing': None}
    levels = [level.value for level in LADDER]
    kept = {name: changes[name] for name in KEPT}
    small = {'basis': 'given', 'coupled_cluster_basis': None, 'meshes': dict.fromkeys([*levels, 'HF'], mesh)}
    return energy_settings('fast', {**kept, **small})


def forms_of(structure: Structure, number: int) -> list[Structure]:
    """Return a crystal and further forms of it, each turned, moved, in another cell and with its atoms reversed."""
    rng = np.random.default_rng(0)
    return [structure, *(another_form(structure, rng) for _ in range(number - 1))]


def another_form(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the same crystal in another form; a mesh around Γ has the same k-points in it."""
    cell, positions = np.array(structure[0]), np.array([place for _, place in structure[1]])
    # Adding one vector to another keeps the volume, and the cell one of the primitive ones.
    change = np.eye(3, dtype=int)
    first, second = rng.permutation(3)[:2]
    change[first, second] = -1
    turned = Rotation.random(random_state=rng).as_matrix()
    moved = (positions + rng.random(3) @ cell) @ turned.T
    sites = [(symbol, place.tolist()) for (symbol, _), place in zip(structure[1], moved, strict=True)]
    return (change @ cell @ turned.T).tolist(), sites[::-1]


def energy(run: Runner, settings: EnergySettings, level: Fidelity, structure: Structure, name: str) -> float:
    """Return the energy of a crystal, eV/atom."""
    values = {**settings.crystal_parameters(level, structure[0]), 'basis': BASIS}
    return float(run(values, structure, f'{name} {level.value}')['total_energy']) / len(structure[1])


def report(energies: dict[Fidelity, Energies]) -> None:
    """Print the noise of the levels and of the divergences."""
    for level, values in energies.items():
        figure(f'noise-{level.label}', 1000 * pooled(values), 'meV/atom')
        if level is not Fidelity.PBE:
            divergence = energies[Fidelity.PBE] - values
            signal = float(divergence.mean(axis=1).std(ddof=1)) if len(divergence) > 1 else math.nan
            reference = (None, None) if math.isnan(signal) else ('between the crystals', 1000 * signal)
            figure(f'noise-{level.label}-divergence', 1000 * pooled(divergence), 'meV/atom', *reference)
    repeats = sum(values.size for values in energies.values()) - sum(len(values) for values in energies.values())
    figure('repeats', float(repeats), '1')


def pooled(values: Energies) -> float:
    """Return the standard deviation about the means of the rows."""
    return float(np.sqrt(values.var(axis=1, ddof=1).mean()))


if __name__ == '__main__':
    main()

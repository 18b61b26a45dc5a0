"""How time grows: generation, prediction, hulls and CCSD(T) over the size of what they work on (Figure 12, Table 15).

    python benchmarks/scaling.py [--quick] [--store]

Seconds of one core: generation by the diffusion model and prediction by the validator over the atoms of a cell of
rock salt, a distance to the hull over the phases of a quaternary system, and CCSD(T) of chains of hydrogen molecules in
6-31G over their atoms, by PySCF. `exponent-NAME` is the power p of seconds = start + factor · size^p, by least squares
of the logarithms, with its 95 % interval: that of these sizes, where the part with the highest power need not be the
largest yet. `--store` writes all seconds; `--quick` leaves the largest sizes out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import typing as t
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from figures import figure

RECORDS = Path(__file__).parent / 'records' / 'scaling.json'
SIZES = {
    'generation': (8, 32, 64, 128),
    'prediction': (8, 128, 256, 512, 1024),
    'hull': (100, 1000, 3000, 10000, 30000),
    'ccsd(t)': (4, 12, 16, 20, 24, 28),
}
"""Atoms of a cell, or phases."""

PAPER = {'generation': 'N log N', 'prediction': 'N', 'hull': 'm log m', 'ccsd(t)': 'N^7, in practice N^4 to N^5'}
REPEATS = 2
Times = dict[str, list[tuple[int, float]]]


def rock_salt(atoms: int) -> t.Any:
    """Return a supercell of rock salt."""
    from pymatgen.core import Lattice, Structure

    cell = Structure.from_spacegroup('Fm-3m', Lattice.cubic(5.64), ['Na', 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    factors = [1, 1, 1]
    while 8 * np.prod(factors) < atoms:
        factors[int(np.argmin(factors))] *= 2
    return cell.make_supercell(factors, in_place=False)


def generation(atoms: int) -> None:
    """Sample one crystal from noise."""
    from sampling import sampled

    from aiida_qagenai.exchange.structures import StructureBatch

    with tempfile.TemporaryDirectory() as folder:
        starts = Path(folder) / 'starts.npz'
        StructureBatch.from_structures([rock_salt(atoms)]).save(starts)
        sampled([{'mode': 'structures', 'structures': starts, 'noise': 1.0, 'symmetry': 'free'}])


def prediction(atoms: int) -> None:
    """Predict energy, forces and stress of one crystal by the shipped ensemble."""
    from aiida_qagenai.exchange.structures import StructureBatch

    validator().evaluate(StructureBatch.from_structures([rock_salt(atoms)]))


def validator() -> t.Any:
    """Return the shipped validator as a potential, loaded once."""
    from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
    from aiida_qagenai.exchange.tasks import LabelConfig
    from aiida_qagenai.ml.potentials import make_potential
    from aiida_qagenai.ml.runtime import setup

    if not hasattr(validator, 'loaded'):
        config = LabelConfig.model_validate(
            {'structures': 'none.npz', 'potential': {'name': 'validator'}, 'checkpoint': VALIDATOR_FOUNDATION}
        )
        validator.loaded = make_potential(config, setup(config))  # type: ignore[attr-defined]
    return validator.loaded  # type: ignore[attr-defined]


def hull(phases: int) -> None:
    """Place one candidate on the hull of a quaternary system."""
    from aiida_qagenai.thermodynamics.hull.convex_hull import distance_to_hull
    from aiida_qagenai.thermodynamics.hull.phases import CompetingPhases, Phase

    rng = np.random.default_rng(phases)
    elements = ('Li', 'Fe', 'P', 'O')
    known = [Phase({element: 1}, 0.0) for element in elements]
    amounts = rng.integers(1, 30, size=(phases, 4))
    known += [
        Phase(dict(zip(elements, row.tolist(), strict=True)), energy)
        for row, energy in zip(amounts, rng.normal(-0.8, 0.6, phases).tolist(), strict=True)
    ]
    distance_to_hull(Phase({'Li': 1, 'Fe': 1, 'P': 1, 'O': 4}, -1.0), CompetingPhases(known))


def coupled_cluster(atoms: int) -> None:
    """Compute CCSD(T) of a chain of hydrogen molecules."""
    from pyscf import cc, gto, scf

    places = [2.0 * (index // 2) + 0.74 * (index % 2) for index in range(atoms)]
    molecule = gto.M(atom=[('H', (0, 0, place)) for place in places], basis='6-31g', verbose=0)
    solver = cc.CCSD(scf.RHF(molecule).run()).run()
    solver.ccsd_t()


class Growth(t.NamedTuple):
    """Seconds = start + factor · size^power, with the 95 % interval of the power."""

    power: float
    lower: float
    upper: float
    start: float
    factor: float


TASKS: Mapping[str, Callable[[int], None]] = {
    'generation': generation,
    'prediction': prediction,
    'hull': hull,
    'ccsd(t)': coupled_cluster,
}


def measured(name: str, sizes: Sequence[int], repeats: int) -> list[tuple[int, float]]:
    """Return size and processor seconds of every run, after one that is not counted."""
    TASKS[name](sizes[0])
    found = []
    for size in sizes:
        for _ in range(repeats):
            start = time.process_time()
            TASKS[name](size)
            found.append((size, round(time.process_time() - start, 5)))
    return found


def exponent(times: Sequence[Sequence[float]]) -> Growth:
    """Return how time grows, by least squares of log seconds.

    :param times: size and seconds of each run; three sizes or more.
    """
    from scipy.optimize import curve_fit
    from scipy.stats import t as student

    sizes, seconds = np.array(times, dtype=float).T

    def curve(size: t.Any, start: float, factor: float, power: float) -> t.Any:
        return np.log(np.exp(start) + np.exp(factor) * (size / sizes.max()) ** power)

    first = (np.log(seconds.min()), np.log(seconds.max()), 1.5)
    found, covariance = curve_fit(curve, sizes, np.log(seconds), p0=first, maxfev=20_000)
    half = float(np.sqrt(covariance[2, 2]) * student.ppf(0.975, len(sizes) - 3))
    power, start = float(found[2]), float(np.exp(found[0]))
    return Growth(power, power - half, power + half, start, float(np.exp(found[1]) / sizes.max() ** power))


def report(times: Times) -> None:
    """Print seconds and exponents."""
    for name, rows in times.items():
        for size in sorted({size for size, _ in rows}):
            mine = [seconds for each, seconds in rows if each == size]
            figure(f'seconds-{name}-{size}', float(np.median(mine)), 's of one core')
        found = exponent(rows)
        figure(f'exponent-{name}', found.power, '1', f'paper: {PAPER[name]}')
        figure(f'exponent-{name}-low', found.lower, '1')
        figure(f'exponent-{name}-high', found.upper, '1')
        figure(f'start-{name}', found.start, 's of one core')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='without the largest sizes')
    parser.add_argument('--store', action='store_true', help='write all seconds')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    times: Times = {}
    for name, sizes in SIZES.items():
        chosen = sizes[:-1] if arguments.quick else sizes
        times[name] = measured(name, chosen, REPEATS)
    report(times)
    if arguments.store:
        text = json.dumps(times).replace('], "', '],\n "')
        RECORDS.write_text(text + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()

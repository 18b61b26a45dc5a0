"""Free energies and barriers on potentials against published values, one figure per line of JSON.

    python benchmarks/finite_temperature.py [--quick]

Cu on ASE's effective-medium theory and, with the extra ``chgnet``, MgO and Si on CHGNet 0.3.0, by the calls that the
jobs make. What a potential gets wrong is not an error of the method: universal potentials trained on relaxations are
known to be soft (Deng et al., npj Comput. Mater. 11, 9 (2025)). The figures ``…-cost`` are CPU seconds.

Published: entropies from CODATA (Cox, Wagman & Medvedev, 1989); heat capacities from NIST-JANAF; expansion of MgO and
Cu from Touloukian (1977, 1975) and of Si from Okada & Tokumaru, J. Appl. Phys. 56, 314 (1984); bulk moduli from
Simmons & Wang (1971); vacancy migration from Ehrhart, Landolt-Börnstein III/25 (1991).
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import time
import typing as t

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa, J, mol
from figures import figure

from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.thermodynamics.vibrations.barriers import find_barrier
from aiida_qagenai.thermodynamics.vibrations.hops import find_hops
from aiida_qagenai.thermodynamics.vibrations.quasi_harmonic import free_energy
from aiida_qagenai.thermodynamics.vibrations.relaxation import relax
from aiida_qagenai.thermodynamics.vibrations.settings import (
    BandSettings,
    HopSettings,
    PhononSettings,
    TemperatureSettings,
)


@dataclasses.dataclass(frozen=True)
class Published:
    """Values at 300 K (entropy and heat capacity at 298.15 K).

    :param edge: of the cube, Å.
    :param expansion: linear, 1e-6/K.
    :param entropy: J/(K mol) per mole of atoms, like ``heat_capacity``.
    :param bulk_modulus: GPa.
    """

    edge: float
    expansion: float
    entropy: float
    heat_capacity: float
    bulk_modulus: float


PUBLISHED = {
    'Cu': Published(3.615, 16.5, 33.15, 24.44, 137.0),
    'MgO': Published(4.2117, 10.4, 26.95 / 2, 37.11 / 2, 162.0),
    'Si': Published(5.431, 2.6, 18.81, 19.79, 97.8),
}
ATOMS_IN_CUBE = {'Cu': 4, 'MgO': 8, 'Si': 8}
ROOM = 300.0
VACANCY_MIGRATION = {'Cu': 0.70, 'Al': 0.61}


def thermal(name: str, atoms: Atoms, calculator: t.Any, potential: str, phonons: PhononSettings) -> None:
    """Print the quasi-harmonic properties of one crystal."""
    start = time.process_time()
    found = free_energy(atoms, calculator, phonons=phonons, temperatures=TemperatureSettings(maximum=600.0, step=12.5))
    seconds = time.process_time() - start
    curves, known = found.quasi_harmonic, PUBLISHED[name]
    label, molar = f'{name.lower()}-{potential}', mol / J
    highest = 0.0 if curves is None else curves.temperatures[-1]
    if curves is None or highest < ROOM:
        # The potential lets the crystal grow without bounds: a result about the potential.
        figure(f'{label}-highest-temperature', highest, 'K', '; '.join(found.remarks), ROOM)
        return

    def at(values: np.ndarray, kelvin: float = 300.0) -> float:
        return float(np.interp(kelvin, curves.temperatures, values))

    figure(f'{label}-edge', (ATOMS_IN_CUBE[name] * at(curves.volume)) ** (1 / 3), 'Å', 'experiment, 300 K', known.edge)
    figure(f'{label}-expansion', at(curves.expansion) / 3e-6, '1e-6/K', 'experiment, 300 K', known.expansion)
    figure(f'{label}-entropy', at(curves.entropy, 298.15) * molar, 'J/(K mol)', 'CODATA, 298 K', known.entropy)
    capacity = at(curves.heat_capacity_p, 298.15) * molar
    figure(f'{label}-heat-capacity', capacity, 'J/(K mol)', 'NIST-JANAF, 298 K', known.heat_capacity)
    figure(f'{label}-bulk-modulus', at(curves.bulk_modulus) / GPa, 'GPa', 'experiment, 300 K', known.bulk_modulus)
    evaluations = found.harmonic.num_displacements * (len(found.points) + 1)
    figure(f'{label}-cost', seconds, 's', f'supercells of {found.harmonic.supercell_atoms} atoms', evaluations)


def vacancy(symbol: str) -> None:
    """Print the barrier of a vacancy on effective-medium theory."""
    start = time.process_time()
    crystal = relax(bulk(symbol, cubic=True), EMT()).atoms
    (hop, *_) = find_hops(crystal, HopSettings(species=symbol, max_length=3.0, min_supercell=10.0))
    path = find_barrier(hop.initial, hop.final, EMT(), BandSettings(num_images=3, max_force=0.02))
    figure(f'{symbol.lower()}-emt-vacancy', path.forward, 'eV', 'experiment', VACANCY_MIGRATION[symbol])
    seconds = time.process_time() - start
    figure(f'{symbol.lower()}-emt-vacancy-cost', seconds, 's', 'steps of the band', path.steps)


def chgnet() -> None:
    """Print MgO and Si on CHGNet."""
    from aiida_qagenai.ml.potentials import make_potential
    from aiida_qagenai.ml.runtime import setup

    config = parse('free_energy', {'potential': {'name': 'chgnet'}, 'structure': 'none'})
    calculator = make_potential(config, setup(config)).calculator()
    # Single precision: displacements well above its rounding.
    phonons = PhononSettings(min_length=8.0, mesh_length=50.0, displacement=0.03)
    thermal('MgO', bulk('MgO', 'rocksalt', a=4.2), calculator, 'chgnet', phonons)
    thermal('Si', bulk('Si'), calculator, 'chgnet', phonons)


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='effective-medium theory only; under a minute')
    arguments = parser.parse_args()
    thermal('Cu', bulk('Cu'), EMT(), 'emt', PhononSettings(min_length=10.0, mesh_length=50.0))
    for symbol in VACANCY_MIGRATION:
        vacancy(symbol)
    if arguments.quick:
        return
    if importlib.util.find_spec('chgnet') is None:
        print('chgnet is not installed: pip install "aiida-qagenai[chgnet]"', flush=True)
        return
    chgnet()


if __name__ == '__main__':
    main()

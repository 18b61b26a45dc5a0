"""Known materials kept, wrong ones rejected, and the throughput of every constraint (paper Table 3).

    python benchmarks/screening.py --data mp20_bi_ternary.csv.gz [--quick] [--between 1e-6 0.02]

The CSV needs the columns ``cif`` and ``e_above_hull`` or ``energy_above_hull``. Perovskites, spinels and layered
chalcogenides on the hull are recognised by topology alone, then screened as they are, with their species shuffled, and
with random positions.
"""

from __future__ import annotations

import argparse
import collections
import time
import typing as t
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from figures import figure
from pymatgen.analysis.dimensionality import get_dimensionality_larsen
from pymatgen.analysis.graphs import StructureGraph
from pymatgen.analysis.local_env import CrystalNN
from pymatgen.core import Structure

from aiida_qagenai.chemistry.constraints import default_constraints, screen
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.chemistry.symmetry import fingerprint, space_group

KEPT_BY_PAPER = {'perovskite': 0.92, 'spinel': 0.90, 'layered chalcogenide': 0.90}
REJECTED_BAR = 0.90
ANIONS = frozenset({'H', 'N', 'O', 'F', 'S', 'Cl', 'Se', 'Br', 'I'})
CHALCOGENS = frozenset({'S', 'Se', 'Te'})
THROUGHPUT_BAR = 200.0


def is_perovskite(structure: Structure) -> bool:
    """Return whether B sits in octahedra of X that share corners only, with A–X bonds longer than B–X."""
    composition = structure.composition
    if composition.anonymized_formula != 'ABC3':
        return False
    anion = max(composition, key=lambda element: composition[element]).symbol
    if anion not in ANIONS:
        return False
    symbols = np.array([site.specie.symbol for site in structure])
    first, second, image, distance = structure.get_neighbor_list(4.0)
    shortest = {}
    for cation in set(symbols) - {anion}:
        bonds = (symbols[first] == cation) & (symbols[second] == anion)
        shortest[cation] = distance[bonds].min() if bonds.any() else np.inf
    octahedral = min(shortest, key=lambda cation: shortest[cation])
    bonds = (symbols[first] == octahedral) & (symbols[second] == anion) & (distance < 1.35 * shortest[octahedral])
    per_atom = np.bincount(first[bonds], minlength=len(symbols)) + np.bincount(second[bonds], minlength=len(symbols))
    wanted = np.select([symbols == octahedral, symbols == anion], [6, 2], 0)
    if not (per_atom == wanted).all():
        return False
    links: collections.Counter[tuple[int, ...]] = collections.Counter()
    for index in np.flatnonzero(symbols == anion):
        one, other = np.flatnonzero(bonds & (second == index))
        shift = [int(x) for x in np.rint(image[one] - image[other])]
        forward = (int(first[one]), int(first[other]), *shift)
        links[min(forward, (forward[1], forward[0], *(-x for x in shift)))] += 1
    return max(links.values()) == 1


def is_spinel(structure: Structure) -> bool:
    """Return whether the structure has the cell, symmetry and formula of a spinel."""
    if len(structure) != 14 or structure.composition.anonymized_formula not in ('AB2C4', 'A3B4'):
        return False
    common = max(structure.composition, key=lambda element: structure.composition[element]).symbol
    return common in ANIONS | CHALCOGENS and space_group(structure).number in (227, 141, 74)


def is_layered_chalcogenide(structure: Structure) -> bool:
    """Return whether metals and chalcogens form sheets."""
    elements = structure.composition.elements
    rest = [element for element in elements if element.symbol not in CHALCOGENS]
    if not rest or len(rest) == len(elements) or not all(element.is_metal for element in rest):
        return False
    try:
        graph = StructureGraph.from_local_env_strategy(structure, CrystalNN())
        return get_dimensionality_larsen(graph) == 2
    except ValueError:  # CrystalNN finds no neighbour of some site
        return False


def shuffled(structure: Structure, rng: np.random.Generator) -> Structure | None:
    """Return the structure with its species permuted into another crystal, or ``None`` if there is none."""
    species = [site.specie for site in structure]
    known = fingerprint(structure)
    for _ in range(20):
        candidate = Structure(
            structure.lattice, [species[int(i)] for i in rng.permutation(len(species))], structure.frac_coords
        )
        if fingerprint(candidate) != known:
            return candidate
    return None


def scrambled(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the structure with random positions."""
    return Structure(structure.lattice, structure.species, rng.random((len(structure), 3)))


def table(rows: dict[str, list[Structure]], label: str) -> dict[str, float]:
    """Print how many of each class pass, overall and by constraint, and return the passing shares."""
    constraints = default_constraints()
    shares = {}
    print(f'# {label}: failed / not applicable per constraint')
    for name, structures in rows.items():
        screenings = [screen(structure, constraints, stage='final') for structure in structures]
        counts: dict[str, list[int]] = {}
        for screening in screenings:
            for verdict in screening.verdicts:
                entry = counts.setdefault(verdict.name, [0, 0])
                entry[0] += verdict.verdict == 'fail'
                entry[1] += verdict.verdict == 'not_applicable'
        passed = sum(screening.passed for screening in screenings)
        shares[name] = passed / len(structures)
        detail = ', '.join(f'{key} {failed}/{absent}' for key, (failed, absent) in counts.items())
        print(f'#   {name:22s} {passed}/{len(structures)} pass ({shares[name]:.1%}); {detail}')
        for structure, screening in zip(structures, screenings, strict=True):
            formula = structure.composition.reduced_formula
            if label == 'known':
                for verdict in screening.verdicts:
                    if verdict.verdict == 'fail':
                        print(f'#       {formula}: {verdict.name} {verdict.value:.3f} {verdict.reason}')
            elif screening.passed:
                print(f'#       {formula} passes')
    return shares


def throughput(structures: list[Structure]) -> None:
    """Print structures per second on one core for every constraint, with and without the shared analysis."""
    for constraint in default_constraints():
        start = time.process_time()
        for structure in structures:
            constraint.check(Crystal(structure), 'final')
        rate = len(structures) / (time.process_time() - start)
        figure(f'screen-{constraint.name}', rate, 'structures/s', 'bar for cheap constraints', THROUGHPUT_BAR)
    start = time.process_time()
    for structure in structures:
        screen(structure, stage='final')
    rate = len(structures) / (time.process_time() - start)
    figure('screen-all', rate, 'structures/s', 'bar for cheap constraints', THROUGHPUT_BAR)


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='CSV with columns cif and e_above_hull')
    parser.add_argument('--quick', action='store_true', help='only 1,200 structures on the hull')
    parser.add_argument(
        '--between', type=float, nargs=2, default=(-1.0, 1e-6), help='distances to the hull, eV/atom; by default on it'
    )
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    if not arguments.data.exists():
        parser.error(f'{arguments.data} does not exist: pass the Materials Project table with --data')
    warnings.simplefilter('ignore')
    rng = np.random.default_rng(arguments.seed)
    frame = pd.read_csv(arguments.data)
    distance = 'e_above_hull' if 'e_above_hull' in frame else 'energy_above_hull'
    low, high = arguments.between
    cifs = t.cast('list[str]', frame[(frame[distance] > low) & (frame[distance] <= high)]['cif'].tolist())
    if arguments.quick:
        cifs = cifs[:1200]
    structures = [Structure.from_str(cif, fmt='cif') for cif in cifs]
    tests = {'perovskite': is_perovskite, 'spinel': is_spinel, 'layered chalcogenide': is_layered_chalcogenide}
    known = {name: [structure for structure in structures if test(structure)] for name, test in tests.items()}
    wrong = {name: [shuffled(structure, rng) for structure in members] for name, members in known.items()}
    moved = {name: [scrambled(structure, rng) for structure in members] for name, members in known.items()}
    kept = table(known, 'known')
    by_species = table({name: [s for s in members if s is not None] for name, members in wrong.items()}, 'shuffled')
    by_position = table(moved, 'random positions')
    for name, bar in KEPT_BY_PAPER.items():
        key = name.replace(' ', '-')
        figure(f'crystals-{key}', len(known[name]), 'crystals')
        figure(f'kept-{key}', kept[name], 'fraction', 'paper Table 3', bar)
        rejected = 1 - (by_species[name] + by_position[name]) / 2
        figure(f'rejected-{key}', rejected, 'fraction', 'bar, shuffled and random half each', REJECTED_BAR)
        figure(f'rejected-shuffled-{key}', 1 - by_species[name], 'fraction', 'bar', REJECTED_BAR)
        figure(f'rejected-random-{key}', 1 - by_position[name], 'fraction', 'bar', REJECTED_BAR)
    throughput(structures[:400])


if __name__ == '__main__':
    main()

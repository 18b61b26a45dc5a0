"""Novelty of 1,000 candidates against a table of known structures, and what the prefilter is worth.

    python benchmarks/duplicates.py --data mpts52.csv.gz [--quick]

Half of the candidates are known structures in another setting with displaced atoms, half are known structures with one
element replaced by its neighbour in the table. The reference is the loop over ``StructureMatcher`` for equal formulas.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from figures import figure
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Structure

from aiida_qagenai.chemistry import duplicates
from aiida_qagenai.chemistry.duplicates import KnownStructures

NOISE = 0.1
"""Standard deviation of the displacements, Å."""


def disguised(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the crystal in another setting with displaced atoms and another volume."""
    other = structure.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]], in_place=False)
    other.translate_sites(range(len(other)), rng.random(3))
    cartesian = other.cart_coords + rng.normal(0, NOISE / 3**0.5, (len(other), 3))
    matrix = other.lattice.matrix * rng.uniform(0.97, 1.03)
    fractional = cartesian @ np.linalg.inv(other.lattice.matrix)
    return Structure(matrix, other.species, fractional)


def transmuted(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the crystal with one element replaced by a neighbour in the table that is not part of it."""
    other = structure.copy()
    present = {element.Z for element in structure.elements}
    old = int(rng.choice(sorted(present)))
    new = next(z for step in range(1, 80) for z in (old + step, old - step) if 1 <= z <= 94 and z not in present)
    other.replace_species({Element.from_Z(old): Element.from_Z(new)})
    return other


def loop(candidate: Structure, known: dict[str, list[Structure]], matcher: StructureMatcher) -> bool:
    """Return whether any known structure of the formula fits, the obvious way."""
    same = known.get(candidate.composition.reduced_formula, [])
    return any(matcher.fit(candidate, other) for other in same)


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='CSV with a column cif')
    parser.add_argument('--quick', action='store_true', help='100 candidates against 1,500 structures')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    if not arguments.data.exists():
        parser.error(f'{arguments.data} does not exist: pass a table of structures with --data')
    warnings.simplefilter('ignore')
    rng = np.random.default_rng(arguments.seed)
    frame = pd.read_csv(arguments.data, nrows=1500 if arguments.quick else None)
    known = [Structure.from_str(cif, fmt='cif') for cif in frame['cif']]
    number = 100 if arguments.quick else 1000
    chosen = rng.choice(len(known), size=number, replace=False)
    candidates = [disguised(known[int(i)], rng) for i in chosen[: number // 2]]
    candidates += [transmuted(known[int(i)], rng) for i in chosen[number // 2 :]]

    start = time.process_time()
    index = KnownStructures(known)
    found = [index.find(candidate) is not None for candidate in candidates]
    seconds = time.process_time() - start

    matcher = StructureMatcher()
    by_formula: dict[str, list[Structure]] = {}
    for structure in known:
        by_formula.setdefault(structure.composition.reduced_formula, []).append(structure)
    start = time.process_time()
    expected = [loop(candidate, by_formula, matcher) for candidate in candidates]
    reference = time.process_time() - start
    differ = sum(a != b for a, b in zip(found, expected, strict=True))
    print(f'# {len(candidates)} candidates, {len(known)} known; {sum(expected)} known ones by the matcher alone')
    figure('novelty', seconds, 's', 'StructureMatcher on equal formulas', reference)
    figure('novelty-disagreement', differ, 'candidates', 'all candidates', len(candidates))

    shifts = []
    for i in chosen[: number // 2]:
        other = disguised(known[int(i)], rng)
        if matcher.fit(known[int(i)], other):
            ours, theirs = duplicates._scaled_fingerprint(known[int(i)]), duplicates._scaled_fingerprint(other)
            shifts.append(float(np.abs(ours - theirs).max()))
    figure('novelty-prefilter-largest-shift', max(shifts), 'spacings', 'limit', duplicates.PREFILTER)


if __name__ == '__main__':
    main()

"""Match rates and validity of made-up predictions, against plain loops over pymatgen and SMACT.

    python benchmarks/evaluation.py --data mp20_bi_ternary.csv.gz [--quick]

The predictions of a structure are its displaced copies and, for two of five, random coordinates in its cell. The
references are the loop that published match rates come from, and ``smact_validity`` for the compositions of the table.
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
from pymatgen.core import Structure
from smact.screening import smact_validity

from aiida_qagenai.evaluation.matching import TOLERANCES, match_rates
from aiida_qagenai.evaluation.validity import CURRENT, LEGACY, composition_is_valid, element_counts

LARGEST_NOISE = 0.3
"""Largest displacement of a copy, Å."""

RANDOM = 0.4
"""Share of the predictions with random coordinates."""


def prediction(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return a displaced copy, or random coordinates in the same cell."""
    if rng.random() < RANDOM:
        return Structure(structure.lattice, structure.species, rng.random((len(structure), 3)))
    moves = rng.normal(size=(len(structure), 3))
    moves *= LARGEST_NOISE * rng.random() / np.linalg.norm(moves, axis=1, keepdims=True)
    return Structure(structure.lattice, structure.species, structure.cart_coords + moves, coords_are_cartesian=True)


def valid(structure: Structure) -> bool:
    """Return whether a structure is valid as the scripts of CDVAE write it, with the rules of SMACT itself."""
    distances = structure.distance_matrix + 10 * np.eye(len(structure))
    if distances.min() < 0.5 or structure.volume < 0.1:
        return False
    return bool(smact_validity(structure.composition, oxidation_states_set=LEGACY))


def loop(samples: dict[str, list[Structure]], references: dict[str, Structure], count: int) -> tuple[float, float]:
    """Return match rate and RMSE the obvious way."""
    matcher = StructureMatcher(**TOLERANCES)
    best = []
    for name, reference in references.items():
        found = []
        for sample in samples[name][:count]:
            if valid(sample) and (count > 1 or valid(reference)):
                pair = matcher.get_rms_dist(sample, reference)
                found += [] if pair is None else [pair[0]]
        best.append(min(found, default=None))
    matched = [distance for distance in best if distance is not None]
    return len(matched) / len(best), float(np.mean(matched))


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='CSV with a column cif')
    parser.add_argument('--quick', action='store_true', help='20 structures with 5 predictions instead of 400 with 20')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    if not arguments.data.exists():
        parser.error(f'{arguments.data} does not exist: pass a table of structures with --data')
    warnings.simplefilter('ignore')
    rng = np.random.default_rng(arguments.seed)
    number, count = (20, 5) if arguments.quick else (400, 20)
    frame = pd.read_csv(arguments.data).sample(number, random_state=arguments.seed)
    references = {str(index): Structure.from_str(cif, fmt='cif') for index, cif in enumerate(frame['cif'])}
    samples = {name: [prediction(structure, rng) for _ in range(count)] for name, structure in references.items()}

    start = time.process_time()
    rates = match_rates(samples, references, (1, count))
    seconds = time.process_time() - start
    start = time.process_time()
    expected = [loop(samples, references, rate.count) for rate in rates]
    figure('evaluate-matching', seconds, 's', 'plain loops for one and all samples', time.process_time() - start)
    for rate, (share, distance) in zip(rates, expected, strict=True):
        figure(f'evaluate-match-rate-{rate.count}', rate.rate.value or 0.0, 'share', 'plain loop', share)
        figure(f'evaluate-rmse-{rate.count}', rate.rmse.value or 0.0, '(V/N)^⅓', 'plain loop', distance)

    for source in (LEGACY, CURRENT):
        start = time.process_time()
        ours = [composition_is_valid(element_counts(structure) or {}, source) for structure in references.values()]
        seconds = time.process_time() - start
        start = time.process_time()
        theirs = [smact_validity(item.composition, oxidation_states_set=source) for item in references.values()]
        figure(f'evaluate-composition-{source}', seconds, 's', 'smact_validity', time.process_time() - start)
        differ = sum(a != b for a, b in zip(ours, theirs, strict=True))
        figure(f'evaluate-composition-disagreement-{source}', differ, 'compositions', 'all of them', number)


if __name__ == '__main__':
    main()

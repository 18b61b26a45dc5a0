"""Choose what the shipped validator carries against forgetting: crystals that are replayed, and a probe set.

    python recipes/validator_memory.py --data /path/to/shared/data --structures structures_PBE.npz \
        --labels labels_*.npz --elements elements_*.npz --output aiida_qagenai/ml/validator/foundation/memory.npz

They are relaxed crystals with energies of formation on all levels of the checkpoint: ``NUM_PROBE`` with formulas that
validated and were not trained on, and ``NUM_REPLAYED`` of the training part. Both begin with crystals that bring
elements that the others lack; the rest follows the hashes of the formulas. Files are those of ``validator.py``.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import validator_data
from numpy.typing import NDArray
from validator_data import ELEMENTS

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.level import Level
from aiida_qagenai.evaluation.held_out import place_of
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION, read_checkpoint
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.elements import composition_fractions, element_numbers

NUM_PROBE, NUM_REPLAYED = 128, 256
MAX_ATOMS = 12
WANTED = 2
"""Crystals with each element that come first."""


def chosen(labels: LabelledBatch, split: str, count: int) -> NDArray[np.int64]:
    """Return the rows of a split that are taken, ascending."""
    rows = np.flatnonzero(labels.split == SPLITS.index(split))
    order = sorted(rows.tolist(), key=lambda row: (place_of(f'memory{labels.groups[row]}'), str(labels.groups[row])))
    species = {row: set(labels.structures.select([row]).species.tolist()) for row in order}
    seen: Counter[int] = Counter()
    first = []
    for row in order:
        if any(seen[number] < WANTED for number in species[row]):
            first.append(row)
            seen.update(species[row])
    taken = dict.fromkeys([*first, *order])
    return np.sort(np.array(list(taken)[:count], dtype=np.int64))


def formation_energies(labels: LabelledBatch, elements: dict[str, dict[int, float]]) -> LabelledBatch:
    """Return the set with the energies of the teachers as energies of formation, NaN where an element lacks one."""
    energies = labels.energies.copy()
    fractions = composition_fractions(labels.structures, ELEMENTS)
    for index, level in enumerate(labels.levels):
        if level.tag in elements:
            zeros = np.array([elements[level.tag].get(number, np.nan) for number in ELEMENTS])
            energies[:, index] -= np.where(fractions > 0, fractions * zeros, 0.0).sum(axis=1)
    return dataclasses.replace(labels, energies=energies)


def main() -> None:
    """Read the arguments and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with mp/, mpts/ and mp_extra/')
    parser.add_argument('--structures', type=Path, required=True, help='structures that the teachers label')
    parser.add_argument('--labels', type=Path, nargs='+', required=True, help='labels of teachers')
    parser.add_argument('--elements', type=Path, nargs='+', required=True, help='their labels of elemental crystals')
    parser.add_argument('--checkpoint', type=Path, default=VALIDATOR_FOUNDATION, help='the shipped validator')
    parser.add_argument('--output', type=Path, required=True, help='file to write')
    arguments = parser.parse_args()
    info = read_checkpoint(arguments.checkpoint, 'validator')[1]
    levels = [Level(entry['tag'], validator_data.Fidelity(entry['rung'])) for entry in info.configuration['levels']]
    structures = StructureBatch.load(arguments.structures)
    relaxed = np.array(['/' not in str(name) for name in structures.identifiers])
    known = np.isin(structures.species, element_numbers(info.elements))
    familiar = np.bincount(structures.owner[~known], minlength=len(structures)) == 0
    labels = validator_data.labelled_batch(structures, arguments.labels, arguments.data)
    labels = formation_energies(labels, validator_data.element_energies(arguments.elements)).on_levels(levels)
    complete = np.isfinite(labels.energies).all(axis=1) & relaxed & familiar & (structures.num_atoms <= MAX_ATOMS)
    labels = labels.select(np.flatnonzero(complete))
    rows = np.concatenate([chosen(labels, 'train', NUM_REPLAYED), chosen(labels, 'validation', NUM_PROBE)])
    found = labels.select(rows)
    memory = dataclasses.replace(
        found,
        descriptors=np.full((len(rows), NUM_DESCRIPTORS), np.nan),
        forces=np.zeros(0),
        stresses=np.zeros(0),
    )
    memory.save(arguments.output)
    elements = len(np.unique(memory.structures.species))
    print(f'{len(memory)} crystals with {elements} elements, {arguments.output.stat().st_size} bytes')


if __name__ == '__main__':
    main()

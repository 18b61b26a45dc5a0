"""The crystals that the recipes train on: read once, split by formula, and grouped by the size of their cells."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import typing as t
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Lattice

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.evaluation.held_out import part_of
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.readers.raw_records import read_raw_records
from aiida_qagenai.exchange.readers.structure_files import structures_of
from aiida_qagenai.exchange.structures import StructureBatch

FILES = ('mp/mp20_bi_ternary.csv.gz', 'mpts/mpts52.csv.gz', 'mp_extra/structures.csv.gz')
MAX_ATOMS = 20


def read_crystals(folder: Path, excluded: set[str], cache: Path) -> tuple[dict[str, LabelledBatch], dict[str, t.Any]]:
    """Return the crystals of each split, every material once, and what stands in the card.

    :param excluded: reduced formulas that belong to no split.
    :param cache: NPZ file that spares reading the files again.
    """
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    labels = read_all(folder, cache)
    parts = np.array(['excluded' if group in excluded else part_of(group) for group in labels.groups])
    splits = {part: labels.select(np.flatnonzero(parts == part)) for part in ('train', 'validation')}
    numbers, counts = np.unique(parts, return_counts=True)
    card = {
        'files': digests,
        'license': 'CC BY 4.0',
        'source': 'Materials Project',
        'max_atoms': MAX_ATOMS,
        'split': 'sha256 of the reduced formula modulo 100: validation below 5, test below 10',
        'num_structures': {str(part): int(count) for part, count in zip(numbers, counts, strict=True)},
        'excluded_formulas': sorted(excluded),
    }
    return splits, card


def read_all(folder: Path, cache: Path) -> LabelledBatch:
    """Return the crystals of all files, every material once.

    :param cache: NPZ file that spares reading the files again.
    """
    if not cache.exists():
        _parse(folder).save(cache)
    return LabelledBatch.load(cache)


def _parse(folder: Path) -> LabelledBatch:
    """Return all readable crystals of at most ``MAX_ATOMS`` atoms."""
    found: dict[str, t.Any] = {}
    for name in FILES:
        with gzip.open(folder / name) as handle:
            for record in read_raw_records(handle, 'csv', name):
                for item in structures_of(record):
                    if item.structure is not None and item.structure.is_ordered and len(item.structure) <= MAX_ATOMS:
                        found.setdefault(item.name, item.structure)
        print(f'{name}: {len(found)} crystals so far', flush=True)
    structures = list(found.values())
    return LabelledBatch(
        structures=StructureBatch.from_structures(structures, list(found)),
        energies=np.full((len(found), 4), np.nan),
        descriptors=np.full((len(found), NUM_DESCRIPTORS), np.nan),
        groups=np.array([structure.composition.reduced_formula for structure in structures]),
        split=np.zeros(len(found), dtype=np.int8),
    )


@dataclasses.dataclass(frozen=True)
class Cells:
    """Crystals with the same number of atoms N.

    :param numbers: atomic numbers, shape (n, N).
    :param fractional: shape (n, N, 3).
    :param lattice: rows are lattice vectors in the orientation of pymatgen, Å, shape (n, 3, 3).
    """

    numbers: torch.Tensor
    fractional: torch.Tensor
    lattice: torch.Tensor

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return some of the crystals."""
        return self.numbers[rows], self.fractional[rows], self.lattice[rows]


def by_size(labels: LabelledBatch, max_atomic_number: int) -> list[Cells]:
    """Return the crystals of the lighter elements with Niggli-reduced cells, by number of atoms."""
    found: dict[int, list[tuple[np.ndarray, ...]]] = {}
    for structure in labels.structures.structures():
        reduced = structure.get_reduced_structure('niggli')
        numbers = np.array(reduced.atomic_numbers)
        if numbers.max() <= max_atomic_number:
            lattice = Lattice.from_parameters(*reduced.lattice.parameters).matrix
            found.setdefault(len(numbers), []).append((numbers, reduced.frac_coords, lattice))
    groups = (zip(*found[size], strict=True) for size in sorted(found))
    return [
        Cells(
            torch.as_tensor(np.array(numbers)),
            torch.as_tensor(np.array(fractional), dtype=torch.float32),
            torch.as_tensor(np.array(lattice), dtype=torch.float32),
        )
        for numbers, fractional, lattice in groups
    ]

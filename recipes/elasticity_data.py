"""Published bulk and shear moduli of the Materials Project, with their crystals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from crystals import read_all
from numpy.typing import NDArray
from validator_data import rows_of, split_of

from aiida_qagenai.exchange.dataset import SPLITS
from aiida_qagenai.exchange.structures import StructureBatch

FILES = ('mp_extra/structures.csv.gz', 'mp_extra/labels_of_mp_and_mpts.csv.gz')
COLUMNS = (('K_VRH_2025', 'K_VRH_2015'), ('G_VRH_2025', 'G_VRH_2015'))
"""Columns of the bulk and the shear modulus; the first that is there counts."""

SMALLEST = 1.0
"""Moduli below this are left out, GPa: those of molecular crystals, whose error is larger than they are."""


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Crystals with a published bulk modulus.

    :param groups: reduced formulas.
    :param moduli: bulk and shear modulus (Voigt–Reuss–Hill), GPa, shape (n, 2).
    """

    structures: StructureBatch
    groups: NDArray[np.str_]
    moduli: NDArray[np.float64]

    @property
    def split(self) -> NDArray[np.int64]:
        """Return the index into ``SPLITS`` of each crystal, by its formula."""
        return np.array([split_of(group) for group in self.groups])

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """Return which crystals are left for tests."""
        return self.split == SPLITS.index('test')


def labelled_crystals(folder: Path, cache: Path) -> Labelled:
    """Return the crystals of at most 20 atoms with a published bulk modulus.

    :param cache: NPZ file that spares reading the crystals again.
    """
    published: dict[str, list[float]] = {}
    for name in FILES:
        for row in rows_of(folder / name):
            texts = [next((row[column] for column in columns if row[column]), '') for columns in COLUMNS]
            if all(texts) and min(map(float, texts)) >= SMALLEST:
                published.setdefault(row['material_id'], [float(text) for text in texts])
    labels = read_all(folder, cache)
    names = labels.structures.identifiers.tolist()
    rows = np.array([row for row, name in enumerate(names) if name in published])
    moduli = np.array([published[names[row]] for row in rows])
    return Labelled(labels.structures.select(rows), labels.groups[rows], moduli)

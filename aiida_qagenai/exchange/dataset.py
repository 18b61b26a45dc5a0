"""Packed training sets: structures with formation energies on every level, descriptors, groups and splits."""

from __future__ import annotations

import dataclasses
import os
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.exchange.structures import StructureBatch, check_shapes, load_arrays, pick_arrays, save_arrays

__all__ = ('SPLITS', 'LabelledBatch')

SPLITS = ('train', 'validation', 'calibration', 'test')
"""Names of the values of ``LabelledBatch.split``."""

LABELS = ('energies', 'descriptors', 'groups', 'split')
"""The arrays of a training set in addition to its structures."""


@dataclasses.dataclass(frozen=True)
class LabelledBatch:
    """Structures with labels.

    :param structures: the n structures.
    :param energies: formation energy on each level of ``LADDER``, shape (n, 4), eV/atom, NaN where not computed.
    :param descriptors: quantum descriptors, shape (n, NUM_DESCRIPTORS), NaN where not computed.
    :param groups: label that a split never separates (the reduced formula), shape (n,), str.
    :param split: index into ``SPLITS``, shape (n,), int8.
    """

    structures: StructureBatch
    energies: NDArray[np.float64]
    descriptors: NDArray[np.float64]
    groups: NDArray[np.str_]
    split: NDArray[np.int8]

    def __post_init__(self) -> None:
        n = len(self.structures)
        columns = {'energies': (n, len(LADDER)), 'descriptors': (n, NUM_DESCRIPTORS), 'groups': (n,), 'split': (n,)}
        check_shapes(self, columns)
        if np.isinf(self.energies).any():
            message = 'energies contain infinities: use NaN for energies that were not computed'
            raise InvalidInputError(message)
        if n and (self.split.min() < 0 or self.split.max() >= len(SPLITS)):
            message = f'split indices must lie in 0–{len(SPLITS) - 1}'
            raise InvalidInputError(message)

    def __len__(self) -> int:
        return len(self.structures)

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of labels per fidelity."""
        return {fidelity.value: int(np.isfinite(self.energies[:, fidelity.rank]).sum()) for fidelity in LADDER}

    def select(self, indices: NDArray[np.int64] | list[int]) -> LabelledBatch:
        """Return the rows at ``indices``."""
        indices = np.asarray(indices, dtype=np.int64)
        return LabelledBatch(self.structures.select(indices), **{name: getattr(self, name)[indices] for name in LABELS})

    def to_arrays(self) -> dict[str, NDArray[t.Any]]:
        """Return the arrays of the file format."""
        return {**self.structures.to_arrays(), **{name: getattr(self, name) for name in LABELS}}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[t.Any]]) -> LabelledBatch:
        """Return the training set held by ``arrays``.

        :raises CorruptFileError: if an array is missing.
        """
        return cls(StructureBatch.from_arrays(arrays), **pick_arrays(arrays, LABELS))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the training set to an NPZ file."""
        save_arrays(path, self.to_arrays())

    @classmethod
    def load(cls, source: str | os.PathLike[str] | t.IO[bytes]) -> LabelledBatch:
        """Read a training set from an NPZ file or an open binary stream."""
        return cls.from_arrays(load_arrays(source))

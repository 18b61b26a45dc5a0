"""The volume of a crystal from its composition, and of a motif after the exchange of its elements."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import CorruptFileError
from aiida_qagenai.exchange.structures import FORMAT_VERSION, load_arrays, save_arrays
from aiida_qagenai.motifs.elements import NUM_ELEMENTS, PROPERTIES, element_properties

__all__ = ('DEFAULT_VOLUMES', 'VolumeModel')

DEFAULT_VOLUMES = Path(__file__).parent / 'volumes.npz'
"""The volume model that comes with the package, fitted to the default library."""


@dataclasses.dataclass(frozen=True)
class VolumeModel:
    """A linear model of the logarithm of the volume per atom (Å3).

    Its variables are the share of each element, the same times the spread of the electronegativities (ions are smaller
    or larger than atoms), that spread, and its product with the mean.

    :param coefficients: shape (2 × (NUM_ELEMENTS + 1) + 2,).
    :param intercept: shape ().
    """

    coefficients: NDArray[np.float64]
    intercept: NDArray[np.float64]

    @classmethod
    def fit(
        cls, compositions: Sequence[Mapping[int, int]], volumes: NDArray[np.float64], regularisation: float = 1.0
    ) -> VolumeModel:
        """Return the ridge regression of volumes per atom.

        :param compositions: atomic number → amount, of each crystal.
        :param volumes: per atom, Å3, shape (n,).
        """
        from sklearn.linear_model import Ridge

        model = Ridge(alpha=regularisation).fit(_variables(compositions), np.log(volumes))
        return cls(np.asarray(model.coef_, dtype=np.float64), np.array(float(model.intercept_)))

    @classmethod
    def load(cls, path: Path) -> VolumeModel:
        """Read a model.

        :raises CorruptFileError: if the file is not one.
        """
        arrays = load_arrays(path)
        if 'coefficients' not in arrays or arrays['coefficients'].shape != (2 * (NUM_ELEMENTS + 1) + 2,):
            raise CorruptFileError(f'`{path}` is not a model of volumes')
        return cls(arrays['coefficients'], arrays['intercept'])

    @classmethod
    @functools.cache
    def default(cls) -> VolumeModel:
        """Return the model that comes with the package."""
        return cls.load(DEFAULT_VOLUMES)

    def save(self, path: Path) -> None:
        """Write the model as NPZ; the same model gives the same bytes."""
        arrays = {'coefficients': self.coefficients, 'intercept': self.intercept}
        save_arrays(path, {**arrays, 'format_version': np.array(FORMAT_VERSION)})

    def volumes(self, compositions: Sequence[Mapping[int, int]]) -> NDArray[np.float64]:
        """Return the expected volume per atom of each composition, Å3, shape (n,)."""
        expected: NDArray[np.float64] = np.exp(_variables(compositions) @ self.coefficients + self.intercept)
        return expected

    def scale(self, before: Mapping[int, int], after: Mapping[int, int]) -> float:
        """Return by how much the volume of a crystal changes when its elements are exchanged."""
        old, new = self.volumes([before, after])
        return float(new / old)


def _variables(compositions: Sequence[Mapping[int, int]]) -> NDArray[np.float64]:
    shares = np.zeros((len(compositions), NUM_ELEMENTS + 1))
    for row, composition in enumerate(compositions):
        for number, amount in composition.items():
            shares[row, number] = amount
    shares /= shares.sum(1, keepdims=True)
    values = element_properties()[:, PROPERTIES.index('electronegativity')]
    mean = shares @ values
    spread = np.sqrt(np.maximum(shares @ values**2 - mean**2, 0.0))
    return np.column_stack([shares, shares * spread[:, None], spread, mean * spread])

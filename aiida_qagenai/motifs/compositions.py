"""Which compositions a chemical system may have: a prior learned on known compounds, and charge neutrality."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import typing as t
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.composition import is_charge_neutral
from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS, SYMBOLS, require_elements
from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.structures import FORMAT_VERSION, load_arrays, save_arrays
from aiida_qagenai.motifs.elements import NUM_ELEMENTS, element_distances
from aiida_qagenai.motifs.library import Family, MotifLibrary

__all__ = ('DEFAULT_PRIOR', 'CompositionPrior', 'RatedComposition', 'compositions_of_system', 'rate_compositions')

DEFAULT_PRIOR = Path(__file__).parent / 'compositions.npz'
"""The prior that comes with the package, fitted to the default library."""

WIDTHS = (0.5, 1.0, 2.0)
NUM_VARIABLES = len(WIDTHS) + 4
NUM_RATED = 400
"""Compositions of a system with the most similar known ones, of which the neutrality is looked at."""


class RatedComposition(t.NamedTuple):
    """A composition and how probable it is that the system has a compound of it.

    :param amounts: atomic number → amount in the reduced formula.
    """

    amounts: dict[int, int]
    probability: float


@dataclasses.dataclass(frozen=True)
class CompositionPrior:
    """A logistic regression: is there a known compound of this composition?

    :param coefficients: shape (NUM_VARIABLES,).
    :param intercept: shape ().
    """

    coefficients: NDArray[np.float64]
    intercept: NDArray[np.float64]

    @classmethod
    def fit(cls, variables: NDArray[np.float64], known: NDArray[np.bool_]) -> CompositionPrior:
        """Return the regression on rows of :func:`rate_compositions`."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(max_iter=2000).fit(variables, known)
        return cls(model.coef_[0].astype(np.float64), np.array(float(model.intercept_[0])))

    @classmethod
    def load(cls, path: Path) -> CompositionPrior:
        """Read a prior.

        :raises CorruptFileError: if the file is not one.
        """
        arrays = load_arrays(path)
        if 'coefficients' not in arrays or arrays['coefficients'].shape != (NUM_VARIABLES,):
            raise CorruptFileError(f'`{path}` is not a prior of compositions')
        return cls(arrays['coefficients'], arrays['intercept'])

    @classmethod
    @functools.cache
    def default(cls) -> CompositionPrior:
        """Return the prior that comes with the package."""
        return cls.load(DEFAULT_PRIOR)

    def save(self, path: Path) -> None:
        """Write the prior as NPZ; the same prior gives the same bytes."""
        arrays = {'coefficients': self.coefficients, 'intercept': self.intercept}
        save_arrays(path, {**arrays, 'format_version': np.array(FORMAT_VERSION)})

    def probabilities(self, variables: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each row, shape (n,)."""
        found: NDArray[np.float64] = 1 / (1 + np.exp(-(variables @ self.coefficients + self.intercept)))
        return found


def compositions_of_system(
    library: MotifLibrary, prior: CompositionPrior, elements: Sequence[str], *, max_atoms: int = 20
) -> list[RatedComposition]:
    """Return compositions with all of ``elements`` that have a known anonymous formula, the most probable first.

    :param max_atoms: largest number of atoms in the reduced formula.
    :raises InvalidInputError: on an unknown element.
    """
    compositions, variables = rate_compositions(library, elements, max_atoms=max_atoms)
    probabilities = prior.probabilities(variables)
    order = np.argsort(-probabilities, kind='stable')
    return [RatedComposition(compositions[i], float(probabilities[i])) for i in order]


def rate_compositions(
    library: MotifLibrary,
    elements: Sequence[str],
    *,
    max_atoms: int = 20,
    limit: int = NUM_RATED,
    leave_out: bool = False,
) -> tuple[list[dict[int, int]], NDArray[np.float64]]:
    """Return compositions with all of ``elements``, those with the most similar known ones, and what the prior sees.

    The variables are the logarithms of the votes of known crystals with the same anonymous formula, the distance of the
    nearest, whether the composition is charge-neutral, atoms per formula unit, and the number of elements.

    :param leave_out: whether known crystals of the composition itself do not count, as for fitting the prior.
    """
    numbers = np.array([ATOMIC_NUMBERS[symbol] for symbol in require_elements(elements)])
    if numbers.max() > NUM_ELEMENTS:
        raise InvalidInputError(f'no crystal of {SYMBOLS[numbers.max() - 1]} is known')
    found: list[tuple[dict[int, int], list[float]]] = []
    for amounts, family in library.families.items():
        if len(amounts) == len(numbers) and sum(amounts) <= max_atoms:
            found.extend(_assignments(family, numbers, leave_out))
    found.sort(key=lambda item: (item[1][0], sorted(item[0].items())))
    del found[limit:]
    rows = [[*values, *_composition_variables(amounts)] for amounts, values in found]
    return [amounts for amounts, _ in found], np.array(rows, dtype=np.float64).reshape(-1, NUM_VARIABLES)


def _assignments(
    family: Family, numbers: NDArray[np.int64], leave_out: bool
) -> list[tuple[dict[int, int], list[float]]]:
    """Return every composition of one anonymous formula: the distance of the nearest known one, and votes."""
    distances = element_distances()[numbers[:, None, None], family.elements[None]]  # element, motif, slot
    slots = np.arange(len(numbers))
    best: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for order in itertools.permutations(range(len(numbers))):
        mean = distances[list(order), :, slots].mean(0)
        key = tuple(family.amounts[order.index(position)] for position in range(len(numbers)))
        if leave_out:
            mean = np.where(mean > 0, mean, np.inf)
        best[key] = np.minimum(best[key], mean) if key in best else mean
    return [
        (
            {int(number): amount for number, amount in zip(numbers, key, strict=True)},
            [float(mean.min()), *(math.log(np.exp(-mean / width).sum() + 1e-12) for width in WIDTHS)],
        )
        for key, mean in best.items()
        if np.isfinite(mean).any()
    ]


def _composition_variables(amounts: dict[int, int]) -> list[float]:
    symbols = {SYMBOLS[number - 1]: amount for number, amount in amounts.items()}
    neutral = len(symbols) == 1 or is_charge_neutral(symbols, mixed_valence=True, polyanions=True)
    return [float(neutral), math.log(sum(amounts.values())), float(len(amounts))]

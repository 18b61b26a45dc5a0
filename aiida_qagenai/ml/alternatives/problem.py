"""What the arms of the contest are given, and what they return.

An arm sees the energies of all levels of a set, NaN where they are unknown or hidden from it: the target of the
crystals that judge it is never among them. It returns a function from rows to energies on the target with error bars.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.level import Level
from aiida_qagenai.exchange.contests import ContestConfig
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('Method', 'Prediction', 'Predictor', 'Problem')


class Prediction(t.NamedTuple):
    """Energies and error bars of some rows.

    :param energies: on the target, shape (m,), eV/atom.
    :param sigma: shape (m,), eV/atom; NaN where the arm has none.
    """

    energies: NDArray[np.float64]
    sigma: NDArray[np.float64]


Predictor = Callable[[NDArray[np.int64]], Prediction]
"""From rows of the set to what a fitted arm says about them."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """What an arm may see.

    :param energies: on the L levels, the target last, shape (n, L), eV/atom, NaN where hidden or unknown.
    :param lower: energies on the levels below the target, shape (n, L − 1): the labels where they are known, else what
        a surrogate says that was fitted to the labels of this fold; NaN on a level that has no surrogate.
    :param lower_sigma: error bars of ``lower``, 0 where it is a label.
    :param fractions: atomic fractions, shape (n, elements).
    :param features: of each structure (or its composition), standardised, shape (n, d).
    :param base: energy of each structure by the shipped validator on the highest rung below the target that it knows,
        shape (n,), eV/atom; None if there are no structures.
    :param labels: the structures, for the arms that train networks; its energies are not to be used.
    :param shared: what arms of one fold share, by name: networks of the level below.
    """

    energies: NDArray[np.float64]
    lower: NDArray[np.float64]
    lower_sigma: NDArray[np.float64]
    levels: tuple[Level, ...]
    fractions: NDArray[np.float64]
    features: NDArray[np.float64]
    base: NDArray[np.float64] | None
    labels: LabelledBatch | None
    config: ContestConfig
    runtime: Runtime
    seed: int
    shared: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    @property
    def target(self) -> NDArray[np.float64]:
        """Return the energies on the target, shape (n,), NaN where hidden."""
        return self.energies[:, -1]

    @property
    def below(self) -> NDArray[np.float64]:
        """Return the energies on the level below the target, shape (n,), labels or the surrogate's."""
        return self.lower[:, -1]

    @functools.cached_property
    def known(self) -> NDArray[np.int64]:
        """Return the rows with a label on the target."""
        return np.flatnonzero(np.isfinite(self.target))

    @functools.cached_property
    def paired(self) -> NDArray[np.int64]:
        """Return the rows with labels on the target and on the level below it."""
        return np.flatnonzero(np.isfinite(self.energies[:, -2:]).all(axis=1))


Method = Callable[[Problem], Predictor]
"""From what may be seen to a fitted arm."""

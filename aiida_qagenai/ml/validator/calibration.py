"""The scales that turn the spread of the ensemble into error bars, and the distance to the training set."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.open_shells import OPEN_SHELLS
from aiida_qagenai.common.fidelity import Fidelity

__all__ = ('LatentReference', 'SigmaModel', 'calibrated_scale', 'with_divergence')

PRIOR_LABELS = 10
"""Labels that a prior scale counts for: 1 for that of all levels, which in turn is the prior of each level."""

PRIOR_DEGREES = 4
"""Degrees of freedom that the typical variance of a level counts for."""

ONE_SIGMA = 0.6827
"""Share of the errors within one σ."""

COVERED = 0.9
"""Share of the errors within an interval."""

NORMAL_QUANTILE = 1.645
"""Multiple of σ within which that share of normal errors is."""

MAX_REFERENCES = 4096
UNSEEN_ELEMENT_INFLATION = 10.0


def with_divergence(energies: NDArray[np.float64], top: Fidelity = Fidelity.CCSD_T) -> NDArray[np.float64]:
    """Return energies of the levels, shape (…, 4), with E_PBE − E_top behind them, shape (…, 5)."""
    difference = energies[..., Fidelity.PBE.rank] - energies[..., top.rank]
    return np.concatenate([energies, difference[..., None]], axis=-1)


@dataclasses.dataclass(frozen=True)
class SigmaModel:
    """From the spread of the members to an error bar: σ² = s² (ν v + ν0 v0) / (ν + ν0).

    With five members the variance v of one structure has ν = 4 degrees of freedom: members agree by accident often
    enough that a bare v would claim errors ten times too small. It is moderated by the typical variance v0 of the level
    (G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3 (2004)), then scaled by the calibrated factor s of the level.

    What has an error bar are the columns of ``with_divergence``: the levels and the difference of PBE and the top rung,
    in which errors cancel that a member makes on both.

    Errors of energies have long tails: scaled by their root mean square, σ would be too large for nearly all crystals.
    Therefore σ is such that the share ``ONE_SIGMA`` of the errors is smaller, and the interval within which the share
    ``COVERED`` is follows from the errors themselves (split conformal prediction: J. Lei et al., J. Am. Stat. Assoc.
    113, 1094 (2018)), not from a normal distribution.

    Where electrons occupy open shells (``chemistry.open_shells``), more is left to what the network does not see than
    the spread of its members says: there σ is larger by a further factor, from the same errors.

    :param scale: s of each column, shape (5,).
    :param pooled: v0, the median of each column, shape (5,), (eV/atom)².
    :param quantile: half the width of that interval in units of σ, shape (5,).
    :param factors: of σ by the shells of a crystal, shape (3,), ≥ 1; 1 for closed ones.
    """

    scale: NDArray[np.float64]
    pooled: NDArray[np.float64]
    quantile: NDArray[np.float64]
    factors: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.ones(len(OPEN_SHELLS)))

    @classmethod
    def fit(
        cls,
        residuals: NDArray[np.float64],
        variances: NDArray[np.float64],
        number: NDArray[np.float64],
        shells: NDArray[np.int64] | None = None,
        inflation: NDArray[np.float64] | None = None,
    ) -> SigmaModel:
        """Return the model that held-out predictions call for.

        With the moderated variances v' and the quantile Q of r²/v', s0² = (n0 + n Q) / (n0 + n) over the labels of all
        columns, and for each one s² = (n0 s0² + n Q) / (n0 + n) over its own: a column with few labels keeps the common
        scale, one with many has its own. So do the intervals, which need nine labels.

        :param residuals: held-out errors r, shape (n, 5), eV/atom, NaN where there is no label.
        :param variances: sample variance of these predictions, shape (n, 5), NaN where fewer than two members count.
        :param number: members behind each variance, shape (n, 1).
        :param shells: of each crystal, shape (n,); without them no factors are fitted.
        :param inflation: factor on σ of each crystal by its distance to the training set, shape (n,).
        """
        finite = np.isfinite(variances)
        columns = [column[each] for column, each in zip(variances.T, finite.T, strict=True)]
        pooled = np.array([np.median(column) if len(column) else 0.0 for column in columns])
        moderated = _moderate(variances, pooled, number)
        if inflation is not None:
            moderated = moderated * inflation[:, None] ** 2
        used = np.isfinite(residuals) & finite
        factors = np.ones(len(OPEN_SHELLS))
        if shells is not None:
            factors = _factors(residuals**2 / np.where(moderated > 0, moderated, np.nan), shells)
            moderated = moderated * factors[shells, None] ** 2
        common = calibrated_scale(residuals[used], moderated[used], prior=1.0)
        levels = [
            calibrated_scale(residuals[use, level], moderated[use, level], prior=common)
            for level, use in enumerate(used.T)
        ]
        scale = np.array(levels)
        scores = np.abs(residuals) / (scale * np.sqrt(moderated))
        rest = _quantile(scores[used], NORMAL_QUANTILE)
        quantile = np.array([_quantile(scores[use, level], rest) for level, use in enumerate(used.T)])
        return cls(scale, pooled, quantile, factors)

    @classmethod
    def restore(
        cls,
        scale: NDArray[np.float64],
        pooled: NDArray[np.float64],
        quantile: NDArray[np.float64] | None = None,
        factors: NDArray[np.float64] | None = None,
    ) -> SigmaModel:
        """Return the model of a checkpoint.

        Older ones have one scale, no column of the difference of levels, intervals of a normal distribution, and no
        factors.
        """
        if scale.ndim == 0:
            pooled = np.append(pooled, pooled[Fidelity.CCSD_T.rank])
        if quantile is None:
            quantile = np.full(pooled.shape, NORMAL_QUANTILE)
        factors = np.ones(len(OPEN_SHELLS)) if factors is None else factors
        return cls(np.broadcast_to(scale, pooled.shape).copy(), pooled, quantile, factors)

    def sigma(
        self,
        energies: NDArray[np.float64],
        shells: NDArray[np.int64] | None = None,
        top: Fidelity = Fidelity.CCSD_T,
    ) -> NDArray[np.float64]:
        """Return σ of the mean of the members' ``energies``, shape (members, n, 4), as shape (n, 5).

        :param shells: of each crystal, shape (n,), see ``chemistry.open_shells.shells_of``; closed if not given.
        :param top: rung of the difference in the fifth column, that which the scales were fitted for.
        """
        number = np.full((1, 1), len(energies))
        variances = with_divergence(energies, top).var(axis=0, ddof=1)
        sigma = self.scale * np.sqrt(_moderate(variances, self.pooled, number))
        return sigma if shells is None else sigma * self.factors[shells, None]


def _factors(squares: NDArray[np.float64], shells: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the factors on σ of open shells, shrunk to 1, from r²/v of each crystal and column, shape (n, 5)."""
    found = np.ones(len(OPEN_SHELLS))
    parts = [squares[shells == kind] for kind in range(len(OPEN_SHELLS))]
    known = [part[np.isfinite(part)] for part in parts]
    if len(known[0]):
        closed = float(np.quantile(known[0], ONE_SIGMA))
        for kind, part in enumerate(known[1:], start=1):
            if len(part) and closed > 0:
                ratio = float(np.quantile(part, ONE_SIGMA)) / closed
                found[kind] = max(1.0, np.sqrt((PRIOR_LABELS + len(part) * ratio) / (PRIOR_LABELS + len(part))))
    return found


def calibrated_scale(residuals: NDArray[np.float64], variances: NDArray[np.float64], *, prior: float) -> float:
    """Return the factor between σ and errors, shrunk to ``prior``."""
    known = variances > 0
    if not known.any():
        return prior
    ratio = np.quantile(residuals[known] ** 2 / variances[known], ONE_SIGMA)
    return float(np.sqrt((PRIOR_LABELS * prior**2 + len(residuals) * ratio) / (PRIOR_LABELS + len(residuals))))


def _quantile(scores: NDArray[np.float64], otherwise: float) -> float:
    """Return the score below which a new one is with probability ``COVERED``, if there are enough scores to tell."""
    finite = np.sort(scores[np.isfinite(scores)])
    place = int(np.ceil((len(finite) + 1) * COVERED))
    return float(finite[place - 1]) if 0 < place <= len(finite) else otherwise


def _moderate(
    variances: NDArray[np.float64], pooled: NDArray[np.float64], number: NDArray[t.Any]
) -> NDArray[np.float64]:
    degrees = number - 1
    return (degrees * variances + PRIOR_DEGREES * pooled) / (degrees + PRIOR_DEGREES)


@dataclasses.dataclass(frozen=True)
class LatentReference:
    """Where the training structures lie in the latent space of the ensemble.

    :param mean: shape (d,).
    :param deviation: shape (d,), never 0.
    :param features: standardised features of training structures, shape (m, d).
    :param threshold: distance beyond which a structure is out of distribution.
    :param onset: distance from which on σ grows, in proportion to it; the threshold if it is 0.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    features: NDArray[np.float64]
    threshold: float
    onset: float = 0.0

    @classmethod
    def fit(cls, features: NDArray[np.float64], seed: int) -> LatentReference:
        """Return the reference of training ``features``, shape (n, d).

        The threshold is the 0.99 quantile of the distances of each training structure to the nearest other one.
        """
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        deviation = np.where(deviation > 1e-6, deviation, 1.0)
        standard = (features - mean) / deviation
        if len(standard) > MAX_REFERENCES:
            chosen = np.random.default_rng(seed).choice(len(standard), MAX_REFERENCES, replace=False)
            standard = standard[np.sort(chosen)]
        distances = _distances(standard, standard, _squares(standard))
        np.fill_diagonal(distances, np.inf)
        nearest = distances.min(axis=1)
        threshold = float(np.quantile(nearest, 0.99)) if len(standard) > 1 else 0.0
        return cls(mean, deviation, standard, threshold)

    def with_onset(self, distances: NDArray[np.float64]) -> LatentReference:
        """Return the reference with σ growing from the median of the ``distances`` of held-out crystals, shape (n,)."""
        return dataclasses.replace(self, onset=min(self.threshold, float(np.median(distances))))

    def distances(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the distance of each row of ``features``, shape (n, d), to the nearest reference: RMS per feature."""
        standard = (features - self.mean) / self.deviation
        chunks = np.array_split(standard, len(standard) // 512 + 1)
        return np.concatenate([_distances(chunk, self.features, self._squares).min(axis=1) for chunk in chunks])

    @functools.cached_property
    def _squares(self) -> NDArray[np.float64]:
        """Squared lengths of the references, shape (m,): to find them takes as long as one crystal's distances."""
        return _squares(self.features)

    def inflation(self, distances: NDArray[np.float64], unseen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the factor on σ of structures at ``distances``, some with ``unseen`` elements, shape (n,) each."""
        onset = self.onset or self.threshold
        factor = np.maximum(1.0, distances / onset) if onset > 0 else np.ones(len(distances))
        return np.where(unseen, np.maximum(factor, UNSEEN_ELEMENT_INFLATION), factor)


def _squares(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared lengths of rows, shape (n,)."""
    squares: NDArray[np.float64] = (rows**2).sum(axis=1)
    return squares


def _distances(
    a: NDArray[np.float64], b: NDArray[np.float64], squares_of_b: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the root mean square difference of all pairs of rows, shape (len(a), len(b))."""
    squares = _squares(a)[:, None] + squares_of_b[None, :] - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0.0) / max(a.shape[1], 1))

"""The scales that turn the spread of the ensemble into error bars, and the distance to the training set."""

from __future__ import annotations

import dataclasses
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.fidelity import Fidelity

__all__ = ('LatentReference', 'SigmaModel', 'with_divergence')

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


def with_divergence(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return energies of the levels, shape (…, 4), with E_PBE − E_CCSD(T) behind them, shape (…, 5)."""
    difference = energies[..., Fidelity.PBE.rank] - energies[..., Fidelity.CCSD_T.rank]
    return np.concatenate([energies, difference[..., None]], axis=-1)


@dataclasses.dataclass(frozen=True)
class SigmaModel:
    """From the spread of the members to an error bar: σ² = s² (ν v + ν0 v0) / (ν + ν0).

    With five members the variance v of one structure has ν = 4 degrees of freedom: members agree by accident often
    enough that a bare v would claim errors ten times too small. It is moderated by the typical variance v0 of the level
    (G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3 (2004)), then scaled by the calibrated factor s of the level.

    What has an error bar are the columns of ``with_divergence``: the levels and the difference of the outer two, in
    which errors cancel that a member makes on both.

    Errors of energies have long tails: scaled by their root mean square, σ would be too large for nearly all crystals.
    Therefore σ is such that the share ``ONE_SIGMA`` of the errors is smaller, and the interval within which the share
    ``COVERED`` is follows from the errors themselves (split conformal prediction: J. Lei et al., J. Am. Stat. Assoc.
    113, 1094 (2018)), not from a normal distribution.

    :param scale: s of each column, shape (5,).
    :param pooled: v0, the median of each column, shape (5,), (eV/atom)².
    :param quantile: half the width of that interval in units of σ, shape (5,).
    """

    scale: NDArray[np.float64]
    pooled: NDArray[np.float64]
    quantile: NDArray[np.float64]

    @classmethod
    def fit(
        cls, residuals: NDArray[np.float64], variances: NDArray[np.float64], number: NDArray[np.float64]
    ) -> SigmaModel:
        """Return the model that held-out predictions call for.

        With the moderated variances v' and the quantile Q of r²/v', s0² = (n0 + n Q) / (n0 + n) over the labels of all
        columns, and for each one s² = (n0 s0² + n Q) / (n0 + n) over its own: a column with few labels keeps the common
        scale, one with many has its own. So do the intervals, which need nine labels.

        :param residuals: held-out errors r, shape (n, 5), eV/atom, NaN where there is no label.
        :param variances: sample variance of these predictions, shape (n, 5), NaN where fewer than two members count.
        :param number: members behind each variance, shape (n, 1).
        """
        finite = np.isfinite(variances)
        columns = [column[each] for column, each in zip(variances.T, finite.T, strict=True)]
        pooled = np.array([np.median(column) if len(column) else 0.0 for column in columns])
        moderated = _moderate(variances, pooled, number)
        used = np.isfinite(residuals) & finite
        common = _scale(residuals[used], moderated[used], prior=1.0)
        levels = [
            _scale(residuals[use, level], moderated[use, level], prior=common) for level, use in enumerate(used.T)
        ]
        scale = np.array(levels)
        scores = np.abs(residuals) / (scale * np.sqrt(moderated))
        rest = _quantile(scores[used], NORMAL_QUANTILE)
        quantile = np.array([_quantile(scores[use, level], rest) for level, use in enumerate(used.T)])
        return cls(scale, pooled, quantile)

    @classmethod
    def restore(
        cls, scale: NDArray[np.float64], pooled: NDArray[np.float64], quantile: NDArray[np.float64] | None = None
    ) -> SigmaModel:
        """Return the model of a checkpoint.

        Older ones have one scale, no column of the difference of levels, and intervals of a normal distribution.
        """
        if scale.ndim == 0:
            pooled = np.append(pooled, pooled[Fidelity.CCSD_T.rank])
        if quantile is None:
            quantile = np.full(pooled.shape, NORMAL_QUANTILE)
        return cls(np.broadcast_to(scale, pooled.shape).copy(), pooled, quantile)

    def sigma(self, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return σ of the mean of the members' ``energies``, shape (members, n, 4), as shape (n, 5)."""
        number = np.full((1, 1), len(energies))
        variances = with_divergence(energies).var(axis=0, ddof=1)
        return self.scale * np.sqrt(_moderate(variances, self.pooled, number))


def _scale(residuals: NDArray[np.float64], variances: NDArray[np.float64], *, prior: float) -> float:
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
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    features: NDArray[np.float64]
    threshold: float

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
        distances = _distances(standard, standard)
        np.fill_diagonal(distances, np.inf)
        nearest = distances.min(axis=1)
        threshold = float(np.quantile(nearest, 0.99)) if len(standard) > 1 else 0.0
        return cls(mean, deviation, standard, threshold)

    def distances(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the distance of each row of ``features``, shape (n, d), to the nearest reference: RMS per feature."""
        standard = (features - self.mean) / self.deviation
        chunks = [
            _distances(chunk, self.features).min(axis=1) for chunk in np.array_split(standard, len(standard) // 512 + 1)
        ]
        return np.concatenate(chunks)

    def inflation(self, distances: NDArray[np.float64], unseen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the factor on σ of structures at ``distances``, some with ``unseen`` elements, shape (n,) each."""
        factor = np.maximum(1.0, distances / self.threshold) if self.threshold > 0 else np.ones(len(distances))
        return np.where(unseen, np.maximum(factor, UNSEEN_ELEMENT_INFLATION), factor)


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the root mean square difference of all pairs of rows, shape (len(a), len(b))."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0.0) / max(a.shape[1], 1))

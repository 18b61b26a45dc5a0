"""What errors of energies do to what is computed from them: the linear formula (paper Eq 16), and Monte Carlo.

Equation 16, σ² = σ_CCSD(T)² + J_MF² σ_DFT² + J_Diff² σ_MF², is the linear law σ² = J C Jᵀ with the Jacobian
(1, J_MF, J_Diff) and independent errors. It is exact for formation energies and signed differences of levels. It is not
for the absolute value of a difference near 0, nor for the distance to the hull of a phase near a facet: both have a
kink there. Draws of the energies show the whole distribution, also of errors that energies share, such as those of the
members of an ensemble.
"""

from __future__ import annotations

import dataclasses
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('Propagated', 'formation_jacobian', 'jacobian', 'linear_sigma', 'propagate')

Values = NDArray[np.float64]

STEP = 1e-4
"""Step of the numerical derivatives, eV or eV/atom."""


@dataclasses.dataclass(frozen=True)
class Propagated:
    """The distribution of m quantities that follow from uncertain energies.

    :param value: at the energies themselves, shape (m,).
    :param linear: σ by the linear law, shape (m,).
    :param mean: of the draws, shape (m,): other than ``value`` where the quantity is not linear.
    :param sigma: of the draws, shape (m,).
    :param interval: 5 % and 95 % quantiles of the draws, shape (2, m).
    """

    value: Values
    linear: Values
    mean: Values
    sigma: Values
    interval: Values


def linear_sigma(derivatives: Values, errors: Values) -> Values:
    """Return σ by the linear law, shape (m,).

    :param derivatives: of the m quantities with respect to the n energies, shape (m, n).
    :param errors: σ of independent energies, shape (n,), or their covariance, shape (n, n).
    :raises InvalidInputError: if the errors are not those of n energies.
    """
    covariance = _covariance(errors, derivatives.shape[-1])
    found: Values = np.sqrt(np.einsum('...i,ij,...j->...', derivatives, covariance, derivatives))
    return found


def jacobian(function: t.Callable[[Values], Values], values: Values) -> Values:
    """Return the derivatives of the m quantities with respect to the n energies, shape (m, n), by central differences.

    :param function: from energies, shape (n,), to the quantities, shape (m,).
    """
    steps = STEP * np.eye(len(values))
    columns = [(function(values + step) - function(values - step)) / (2 * STEP) for step in steps]
    return np.stack([np.atleast_1d(column) for column in columns], axis=1)


def formation_jacobian(fractions: Values) -> Values:
    """Return the derivatives of a formation energy per atom, shape (1, 1 + k): of the energy, then of the k elements.

    :param fractions: of the elements, shape (k,), summing to 1.
    """
    return np.concatenate([[1.0], -np.asarray(fractions, dtype=np.float64)])[None]


def propagate(
    function: t.Callable[[Values], Values],
    values: Values,
    errors: Values,
    *,
    num_samples: int = 2000,
    seed: int = 0,
) -> Propagated:
    """Return the distribution of what follows from energies with normal errors, by draws and by the linear law.

    :param function: from energies, shape (n,), to the quantities, shape (m,).
    :param values: the energies, shape (n,).
    :param errors: their σ, shape (n,), if they are independent, or their covariance, shape (n, n).
    :raises InvalidInputError: if the errors are not those of n energies, or there are fewer than two draws.
    """
    if num_samples < 2:
        raise InvalidInputError(f'a spread needs at least 2 draws, not {num_samples}')
    values = np.asarray(values, dtype=np.float64)
    covariance = _covariance(errors, len(values))
    draws = np.random.default_rng(seed).multivariate_normal(values, covariance, num_samples, method='eigh')
    found = np.stack([np.atleast_1d(function(draw)) for draw in draws])
    return Propagated(
        value=np.atleast_1d(function(values)),
        linear=linear_sigma(jacobian(function, values), covariance),
        mean=found.mean(axis=0),
        sigma=found.std(axis=0, ddof=1),
        interval=np.quantile(found, [0.05, 0.95], axis=0),
    )


def _covariance(errors: Values, number: int) -> Values:
    """Return the covariance of ``number`` energies."""
    errors = np.asarray(errors, dtype=np.float64)
    covariance = np.diag(errors**2) if errors.ndim == 1 else errors
    if covariance.shape != (number, number) or not np.isfinite(covariance).all() or (np.diag(covariance) < 0).any():
        message = f'errors of shape {errors.shape} are not σ or the covariance of {number} energies'
        raise InvalidInputError(message)
    return covariance

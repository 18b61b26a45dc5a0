"""The candidates among which one cycle chooses, as arrays."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('CandidatePool',)


@dataclasses.dataclass(frozen=True)
class CandidatePool:
    """What is known about n candidates before any of them is computed.

    Arrays that an arm does not use may be left out.

    :param fingerprints: one per candidate; equal ones are duplicates and are chosen once.
    :param eligible: whether the candidate passed the constraints and the stability filter, shape (n,).
    :param divergence: D = abs(E_PBE − E_MF) on formation energies, eV/atom, shape (n,) (paper Eq 3).
    :param divergence_signed: E_PBE − E_MF, eV/atom, shape (n,) (Eq 5).
    :param divergence_sigma: standard deviation of the difference E_PBE − E_MF over the ensemble, eV/atom, shape (n,).
    :param sigma: predictive uncertainty of E_MF, eV/atom, shape (n,).
    :param low_fidelity_energy: E_PBE or its distance to the hull, eV/atom, shape (n,); lower ranks first.
    :param features: descriptor or latent vectors, shape (n, d).
    :param true_divergence: D by computation, for the oracle arm of benchmarks only, eV/atom, shape (n,).
    """

    fingerprints: tuple[str, ...]
    eligible: NDArray[np.bool_]
    divergence: NDArray[np.float64] | None = None
    divergence_signed: NDArray[np.float64] | None = None
    divergence_sigma: NDArray[np.float64] | None = None
    sigma: NDArray[np.float64] | None = None
    low_fidelity_energy: NDArray[np.float64] | None = None
    features: NDArray[np.float64] | None = None
    true_divergence: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, 'fingerprints', tuple(self.fingerprints))
        for field in dataclasses.fields(self):
            if field.name == 'fingerprints' or getattr(self, field.name) is None:
                continue
            dtype = np.bool_ if field.name == 'eligible' else np.float64
            array: NDArray[np.generic] = np.asarray(getattr(self, field.name), dtype=dtype)
            object.__setattr__(self, field.name, array)
            dimensions = 2 if field.name == 'features' else 1
            if array.ndim != dimensions or len(array) != len(self.fingerprints):
                message = f'`{field.name}` has shape {array.shape} for {len(self.fingerprints)} candidates'
                raise InvalidInputError(message)

    def __len__(self) -> int:
        return len(self.fingerprints)

    def require(self, name: str) -> NDArray[np.float64]:
        """Return the array called ``name``, finite for every eligible candidate.

        :raises InvalidInputError: if it was left out or an eligible candidate lacks a value.
        """
        array: NDArray[np.float64] | None = getattr(self, name)
        if array is None:
            message = f'this acquisition needs `{name}` of every candidate'
            raise InvalidInputError(message)
        finite = np.isfinite(array).reshape(len(self), -1).all(axis=1)
        bad = np.flatnonzero(self.eligible & ~finite)
        if len(bad):
            message = f'`{name}` of the eligible candidate {bad[0]} is not finite: make it ineligible or predict it'
            raise InvalidInputError(message)
        return array

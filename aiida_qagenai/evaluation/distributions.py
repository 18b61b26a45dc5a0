"""Distributions of generated crystals against those of reference crystals: coverage and Wasserstein distances.

Coverage has the form that CDVAE (T. Xie et al., ICLR 2022) gave it: a reference is covered if the nearest sample in
structure is within one cutoff and the nearest in composition within another, whichever samples these are (recall), and
the same with the roles exchanged (precision). The fingerprints are **not** those of CDVAE, whose CrystalNN order
parameters and Magpie statistics come from matminer, which needs an older pandas: figures are comparable with each other
and not with published ones, and are named ``shell-coverage`` therefore. Here they are

- of the structure, the mean distances from an atom to its nearest 4, next 8 and next 12 neighbours of any element
  (:func:`aiida_qagenai.chemistry.symmetry.fingerprint_vector`), in units of (V/N)^⅓, with the largest difference as
  distance;
- of the composition, the shares of the elements along Mendeleev's number, with the earth mover's distance (ElMD, C. J.
  Hargreaves et al., Chem. Mater. 32, 10610, 2020): how many places an atom moves on average.
"""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.chemistry.symmetry import fingerprint_vector
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.figures import Figure, bootstrap_interval, share

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = (
    'COMPOSITION_CUTOFF',
    'STRUCTURE_CUTOFF',
    'composition_vector',
    'coverage',
    'shell_vector',
    'wasserstein_distances',
)

STRUCTURE_CUTOFF = 0.03
"""Largest difference of two structures that cover each other, in mean atomic spacings."""

COMPOSITION_CUTOFF = 6.0
"""Largest distance of two compositions that cover each other, in places of Mendeleev's number."""


def coverage(
    samples: Sequence[Structure],
    references: Sequence[Structure],
    total: int | None = None,
    *,
    structure_cutoff: float = STRUCTURE_CUTOFF,
    composition_cutoff: float = COMPOSITION_CUTOFF,
    seed: int = 0,
) -> list[Figure]:
    """Return recall and precision of the coverage.

    :param samples: proper ordered structures.
    :param references: the same.
    :param total: all samples, those without a fingerprint included, which cover nothing.
    :raises InvalidInputError: if there is no reference.
    """
    from scipy.spatial.distance import cdist

    if not references:
        raise InvalidInputError('no reference structures: coverage compares the samples with them')
    missing = max(0, (total or 0) - len(samples))
    near = [np.zeros(len(references), dtype=bool), np.zeros(len(samples), dtype=bool)]
    if samples:
        shells = [np.array([shell_vector(item) for item in items]) for items in (samples, references)]
        elements = [np.array([composition_vector(item) for item in items]) for items in (samples, references)]
        structural = cdist(*shells, metric='chebyshev')
        compositional = cdist(*elements, metric='cityblock')
        near = [
            (structural.min(axis=axis) <= structure_cutoff) & (compositional.min(axis=axis) <= composition_cutoff)
            for axis in (0, 1)
        ]
    rules = f'shell distances within {structure_cutoff:g} (V/N)^⅓ and ElMD within {composition_cutoff:g}'
    return [
        share('shell-coverage-recall', near[0], f'references with a sample near: {rules}', seed=seed),
        share(
            'shell-coverage-precision',
            np.concatenate([near[1], np.zeros(missing, dtype=bool)]),
            f'samples with a reference near: {rules}',
            seed=seed,
        ),
    ]


def wasserstein_distances(
    samples: Sequence[Structure], references: Sequence[Structure], *, seed: int = 0
) -> list[Figure]:
    """Return the Wasserstein distances of the distributions of density and of the number of elements.

    :param samples: the valid ones, as in the scripts of CDVAE.
    """
    from scipy.stats import wasserstein_distance

    what = f'{len(samples)} valid samples against {len(references)} references'
    figures = []
    for name, text, unit, quantity in _QUANTITIES:
        ours, theirs = (np.array([quantity(item) for item in items]) for items in (samples, references))
        value = interval = None
        if len(ours) and len(theirs):
            value = float(wasserstein_distance(ours, theirs))
            interval = bootstrap_interval(
                ours, wasserstein_distance, theirs, vectorized=False, distance=True, seed=seed
            )
        figures.append(Figure(name, value, interval, None, len(ours), f'{text}: {what}', unit))
    return figures


def shell_vector(structure: Structure) -> NDArray[np.float64]:
    """Return the mean distances of the three shells of neighbours, whatever their elements, shape (3,), in (V/N)^⅓.

    :raises InvalidInputError: if the structure is not a proper crystal.
    """
    blind = type(structure)(structure.lattice, ['H'] * len(structure), structure.frac_coords)
    vector: NDArray[np.float64] = fingerprint_vector(blind) / (structure.volume / len(structure)) ** (1 / 3)
    return vector


def composition_vector(structure: Structure) -> NDArray[np.float64]:
    """Return the share of the atoms up to each place of Mendeleev's number, shape (118,).

    The sum of the absolute differences of two such vectors is the earth mover's distance of the compositions.
    """
    shares = np.zeros(len(_places()))
    places = _places()
    for symbol, amount in structure.composition.fractional_composition.get_el_amt_dict().items():
        shares[places[symbol]] += amount
    return np.cumsum(shares)


@functools.cache
def _places() -> dict[str, int]:
    """Return element → place, from 0; the elements after lawrencium, which have no Mendeleev number, are the last."""
    from pymatgen.core import Element

    numbered = sorted(SYMBOLS[:103], key=lambda symbol: Element(symbol).mendeleev_no)
    return {symbol: place for place, symbol in enumerate((*numbered, *SYMBOLS[103:]))}


def _density(structure: Structure) -> float:
    return float(structure.density)


def _num_elements(structure: Structure) -> float:
    return float(len(structure.composition))


_QUANTITIES: tuple[tuple[str, str, str, Callable[[Structure], float]], ...] = (
    ('density-wasserstein', 'density', 'g/cm³', _density),
    ('elements-wasserstein', 'number of elements', '', _num_elements),
)
"""Name of the figure, what it is about, its unit, and the quantity of a structure."""

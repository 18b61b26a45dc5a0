"""Which known crystals a composition may crystallise like: those of the same anonymous formula with similar elements.

A candidate is a motif and the exchange of its elements by the wanted ones. Candidates of one class have the same space
group, cell size and sets of sites for each wanted element; they differ in lattice and free coordinates.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing as t
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.motifs.elements import NUM_ELEMENTS, PROPERTIES, element_distances, element_properties
from aiida_qagenai.motifs.exchanges import ExchangeTable
from aiida_qagenai.motifs.library import Family, MotifLibrary

__all__ = ('FEATURES', 'Candidates', 'find_candidates')

WIDTHS = (0.5, 1.0, 2.0)
"""Distances of elements at which the vote of a motif for its class has fallen to 1/e."""

STABLE_WIDTHS = (0.5, 1.0)
"""The same for votes that count less the further a motif is above the hull."""

VOTES_ABOVE_HULL = 0.05
"""Energy above the hull at which the vote of a motif has fallen to 1/e, eV/atom."""

NUM_NEIGHBORS = 8
UNKNOWN_E_ABOVE_HULL = 0.02
"""Taken for motifs whose energy above the hull is not known, eV/atom."""

FEATURES = (
    'distance', 'distance_to_nearest', 'largest_distance', 'rank', 'class_distance', 'distance_within_class',
    *(f'votes_{width:g}' for width in WIDTHS), 'neighbor_votes', 'log_class_size', 'class_share', 'log_num_motifs',
    *(f'mean_{name}' for name in PROPERTIES), *(f'largest_{name}' for name in PROPERTIES),
    'mean_log_radius_ratio', 'largest_log_radius_ratio', 'spread_log_radius_ratio', 'space_group', 'log_e_above_hull',
    'num_atoms', 'num_elements', 'num_classes', 'mean_electronegativity', 'range_electronegativity',
    'spread_electronegativity', 'mean_group', 'mean_row', 'electron_count_change', 'num_same_elements',
    'affinity', 'smallest_affinity', 'mean_affinity', *(f'affinity_votes_{width:g}' for width in WIDTHS),
    'class_affinity', 'affinity_below_best', *(f'stable_votes_{width:g}' for width in STABLE_WIDTHS),
)  # fmt: skip
"""What the ranking sees of each candidate: columns of ``Candidates.features``."""


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Motifs for one composition, those with the most similar elements first.

    :param motifs: position in the library, shape (m,).
    :param wanted: atomic numbers of the composition, shape (k,).
    :param exchanged: the element of the motif that each wanted one takes the place of, shape (m, k).
    :param classes: number of the class of each, shape (m,).
    :param features: shape (m, len(FEATURES)).
    """

    motifs: NDArray[np.int64]
    wanted: NDArray[np.int64]
    exchanged: NDArray[np.int64]
    classes: NDArray[np.int64]
    features: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.motifs)

    def exchange(self, index: int) -> dict[int, int]:
        """Return element of the motif → wanted element, of one candidate."""
        return {int(old): int(new) for old, new in zip(self.exchanged[index], self.wanted, strict=True)}


class _Pool(t.NamedTuple):
    """All motifs with all exchanges: rows of the family, distances, exchanged elements and classes."""

    rows: NDArray[np.int64]
    distances: NDArray[np.float64]
    exchanged: NDArray[np.int64]
    classes: NDArray[np.int64]


def find_candidates(
    library: MotifLibrary,
    composition: Mapping[int, int],
    *,
    formula_units: int | None = None,
    excluded: Collection[str] = (),
    per_class: int = 2,
    limit: int = 24,
    exchanges: ExchangeTable | None = None,
) -> Candidates:
    """Return the motifs that are most similar to a composition, at most ``per_class`` of each class.

    :param composition: atomic number → amount.
    :param formula_units: in the primitive cell; any number if ``None``.
    :param excluded: reduced formulas whose crystals are not looked at.
    :param exchanges: which elements take each other's place; what comes with the package by default.
    :raises InvalidInputError: if an element has no tabulated properties.
    """
    family, wanted = _family_of(library, composition)
    none = np.zeros(0, dtype=np.int64)
    empty = Candidates(none, wanted, np.zeros((0, len(wanted)), np.int64), none, np.zeros((0, len(FEATURES))))
    if family is None:
        return empty
    kept = np.arange(len(family.motifs))
    if formula_units is not None:
        kept = kept[family.formula_units == formula_units]
    if excluded:
        kept = kept[~np.isin(library.formulas[family.motifs[kept]], list(excluded))]
    if not len(kept):
        return empty
    pool = _pool(family, wanted, kept)
    order = np.argsort(pool.distances.mean(1), kind='stable')
    chosen = _first_of_each_class(pool.classes[order], per_class, limit)
    picked = order[chosen]
    return Candidates(
        motifs=family.motifs[pool.rows[picked]],
        wanted=wanted,
        exchanged=pool.exchanged[picked],
        classes=pool.classes[picked],
        features=_features(
            library,
            family,
            wanted,
            pool=pool,
            order=order,
            picked=picked,
            exchanges=exchanges or ExchangeTable.default(),
        ),
    )


def _family_of(library: MotifLibrary, composition: Mapping[int, int]) -> tuple[Family | None, NDArray[np.int64]]:
    """Return the family of a composition, and its elements in the order of the family."""
    unknown = [number for number in composition if not 1 <= number <= NUM_ELEMENTS]
    if unknown or not composition:
        names = ', '.join(SYMBOLS[number - 1] for number in unknown) or 'an empty composition'
        raise InvalidInputError(f'no known crystal can be changed into one of {names}')
    mendeleev = element_properties()[:, PROPERTIES.index('mendeleev_number')]
    wanted = sorted(composition, key=lambda number: (composition[number], mendeleev[number]))
    divisor = math.gcd(*composition.values())
    key = tuple(composition[number] // divisor for number in wanted)
    return library.families.get(key), np.array(wanted, dtype=np.int64)


def _pool(family: Family, wanted: NDArray[np.int64], kept: NDArray[np.int64]) -> _Pool:
    """Return every exchange of elements of equal amount, of each motif the nearest of those in one class."""
    distances, exchanged, roles = [], [], []
    for permutation in _permutations(family.amounts):
        original = family.elements[kept][:, permutation]
        exchanged.append(original)
        distances.append(element_distances()[wanted[None, :], original])
        roles.append(family.roles[kept][:, permutation])
    rows = np.tile(kept, len(distances))
    pool = _Pool(rows, np.concatenate(distances), np.concatenate(exchanged), np.zeros(0, dtype=np.int64))
    descriptors = np.column_stack([family.space_groups[rows], family.formula_units[rows], np.concatenate(roles)])
    classes = np.unique(descriptors, axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(pool.distances.mean(1), kind='stable')
    first = np.unique(np.column_stack([rows, classes])[order], axis=0, return_index=True)[1]
    picked = order[np.sort(first)]
    return _Pool(rows[picked], pool.distances[picked], pool.exchanged[picked], classes[picked])


def _permutations(amounts: tuple[int, ...]) -> list[list[int]]:
    """Return the orders of the elements of a motif in which amounts agree."""
    blocks = [list(block) for _, block in itertools.groupby(range(len(amounts)), key=amounts.__getitem__)]
    products = itertools.product(*(itertools.permutations(block) for block in blocks))
    return [list(itertools.chain.from_iterable(each)) for each in products]


def _first_of_each_class(classes: NDArray[np.int64], per_class: int, limit: int) -> NDArray[np.int64]:
    """Return positions of at most ``per_class`` members of each class, in the order given."""
    counts: dict[int, int] = {}
    chosen = []
    for position, number in enumerate(classes.tolist()):
        counts[number] = counts.get(number, 0) + 1
        if counts[number] <= per_class:
            chosen.append(position)
            if len(chosen) == limit:
                break
    return np.array(chosen, dtype=np.int64)


def _features(
    library: MotifLibrary,
    family: Family,
    wanted: NDArray[np.int64],
    *,
    pool: _Pool,
    order: NDArray[np.int64],
    picked: NDArray[np.int64],
    exchanges: ExchangeTable,
) -> NDArray[np.float64]:
    """Return ``FEATURES`` of the picked candidates."""
    distances, classes, rows = pool.distances.mean(1), pool.classes, pool.rows[picked]
    num_classes, total = int(classes.max()) + 1, len(distances)
    nearest = np.full(num_classes, np.inf)
    np.minimum.at(nearest, classes, distances)
    sizes = np.bincount(classes, minlength=num_classes)[classes[picked]]
    votes = [_votes(pool, np.exp(-(distances - distances.min()) / width))[picked] for width in WIDTHS]
    neighbors = classes[order[:NUM_NEIGHBORS]]
    ranks = np.empty(total)
    ranks[order] = np.arange(total)
    num_picked = len(picked)
    hull = library.e_above_hull[family.motifs[pool.rows]].astype(np.float64)
    hull = np.nan_to_num(hull, nan=UNKNOWN_E_ABOVE_HULL)
    stable = np.exp(-np.maximum(hull, 0.0) / VOTES_ABOVE_HULL)
    weights = [stable * np.exp(-(distances - distances.min()) / width) for width in STABLE_WIDTHS]
    return np.column_stack(
        [
            distances[picked], distances[picked] - distances.min(), pool.distances[picked].max(1), ranks[picked],
            nearest[classes[picked]], distances[picked] - nearest[classes[picked]], *votes,
            np.bincount(neighbors, minlength=num_classes)[classes[picked]] / len(neighbors),
            np.log(sizes), sizes / total, np.full(num_picked, np.log(total)),
            _chemistry(np.array(family.amounts), wanted, pool.exchanged[picked]), family.space_groups[rows],
            np.log10(np.maximum(hull[picked], 1e-3)),
            family.formula_units[rows] * sum(family.amounts), np.full(num_picked, len(wanted)),
            np.full(num_picked, num_classes), _of_composition(np.array(family.amounts), wanted, num_picked),
            _changes(np.array(family.amounts), wanted, pool.exchanged[picked]),
            _affinities(np.array(family.amounts), wanted, pool=pool, exchanges=exchanges)[picked],
            *(_votes(pool, each)[picked] for each in weights),
        ]
    )  # fmt: skip


def _votes(pool: _Pool, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the weight of all motifs that those of the class of each have."""
    number = int(pool.classes.max()) + 1
    shares: NDArray[np.float64] = np.bincount(pool.classes, weights, minlength=number) / weights.sum()
    return shares[pool.classes]


def _affinities(
    amounts: NDArray[np.int64], wanted: NDArray[np.int64], *, pool: _Pool, exchanges: ExchangeTable
) -> NDArray[np.float64]:
    """Return how likely the exchange of elements of each motif is, and the votes of the motifs by that."""
    odds = exchanges.log_odds[wanted[None], pool.exchanged]
    total = odds.sum(1)
    best = np.full(int(pool.classes.max()) + 1, -np.inf)
    np.maximum.at(best, pool.classes, total)
    of_class = best[pool.classes]
    votes = [_votes(pool, np.exp((total - total.max()) / width)) for width in WIDTHS]
    means = odds @ (amounts / amounts.sum())
    return np.column_stack([total, odds.min(1), means, *votes, of_class, of_class - total.max()])


def _chemistry(
    amounts: NDArray[np.int64], wanted: NDArray[np.int64], original: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return mean and largest change of each property, and how the radii change."""
    table = element_properties()
    change = np.abs(table[wanted][None] - table[original])
    radius = PROPERTIES.index('radius')
    ratios = np.log(table[wanted][None, :, radius] / table[original][..., radius])
    return np.column_stack(
        [
            change.mean(1),
            change.max(1),
            ratios @ (amounts / amounts.sum()),
            np.abs(ratios).max(1),
            np.ptp(ratios, axis=1),
        ]
    )


def _of_composition(amounts: NDArray[np.int64], wanted: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return what the wanted composition is like, the same for each of ``count`` candidates."""
    table, weights = element_properties()[wanted], amounts / amounts.sum()
    electronegativity = table[:, PROPERTIES.index('electronegativity')]
    values = [
        weights @ electronegativity,
        np.ptp(electronegativity),
        electronegativity.std(),
        weights @ table[:, PROPERTIES.index('group')],
        weights @ table[:, PROPERTIES.index('row')],
    ]
    return np.tile(np.array(values), (count, 1))


def _changes(amounts: NDArray[np.int64], wanted: NDArray[np.int64], original: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the change of the mean group, and how many elements stay."""
    group = element_properties()[:, PROPERTIES.index('group')]
    change = (group[wanted][None] - group[original]) @ (amounts / amounts.sum())
    return np.column_stack([np.abs(change), (original == wanted[None]).sum(1)])

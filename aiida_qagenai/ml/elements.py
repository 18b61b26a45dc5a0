"""The elements that a model was trained on."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS, SYMBOLS, require_elements
from aiida_qagenai.chemistry.oxidation_states import electronegativity
from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.structures import StructureBatch

__all__ = (
    'NUM_FEATURES',
    'chemical_features',
    'composition_fractions',
    'element_numbers',
    'element_statistics',
    'element_symbols',
    'fractions_of',
    'known_indices',
    'require_known',
    'species_indices',
)

_NOBLE_GASES = (2, 10, 18, 36, 54, 86, 118)
NUM_FEATURES = 34
"""Length of :func:`chemical_features`."""


def element_symbols(numbers: Iterable[int]) -> tuple[str, ...]:
    """Return the symbols of atomic ``numbers``."""
    return tuple(SYMBOLS[int(number) - 1] for number in numbers)


def element_numbers(symbols: Iterable[str]) -> tuple[int, ...]:
    """Return the atomic numbers of ``symbols``.

    :raises InvalidInputError: if one is not an element.
    """
    return tuple(ATOMIC_NUMBERS[symbol] for symbol in require_elements(tuple(symbols)))


def known_indices(symbols: Iterable[str], elements: Sequence[int], role: str) -> list[int]:
    """Return the position of each of ``symbols`` in the trained ``elements`` (atomic numbers).

    :raises InvalidInputError: naming the elements that the model was not trained on.
    """
    numbers = element_numbers(symbols)
    unseen = [number for number in numbers if number not in elements]
    if unseen:
        message = (
            f'this {role} was not trained on {", ".join(element_symbols(unseen))}: '
            f'it knows {", ".join(element_symbols(elements))}'
        )
        raise InvalidInputError(message)
    return [list(elements).index(number) for number in numbers]


def species_indices(species: NDArray[np.int64], elements: Sequence[int]) -> NDArray[np.int64]:
    """Return for each atomic number its position in ``elements``, −1 where it is not among them.

    :param species: shape (N,).
    :param elements: atomic numbers in ascending order.
    """
    table = np.full(len(SYMBOLS) + 1, -1, dtype=np.int64)
    table[list(elements)] = np.arange(len(elements))
    return table[species]


def require_known(structures: StructureBatch, elements: Sequence[int], role: str) -> None:
    """Check that a model that continues its training knows all elements of ``structures``.

    :raises InvalidInputError: naming the unknown elements.
    """
    unknown = [number for number in np.unique(structures.species) if number not in elements]
    if unknown:
        message = (
            f'the {role} was not trained on {", ".join(element_symbols(unknown))}, which the dataset contains: '
            'train from scratch'
        )
        raise InvalidInputError(message)


def composition_fractions(structures: StructureBatch, elements: Sequence[int]) -> NDArray[np.float64]:
    """Return the atomic fractions of each structure, shape (n, len(elements)); unseen elements count for none."""
    indices = species_indices(structures.species, elements)
    fractions = np.zeros((len(structures), len(elements)))
    np.add.at(fractions, (structures.owner[indices >= 0], indices[indices >= 0]), 1.0)
    return fractions / structures.num_atoms[:, None]


def fractions_of(
    compositions: Sequence[Mapping[str, float]], elements: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the atomic fractions of compositions, shape (n, len(elements)), and which have other elements as well.

    :param compositions: amounts by symbol.
    :raises InvalidInputError: if something is not an element.
    """
    places = {number: place for place, number in enumerate(elements)}
    fractions, unseen = np.zeros((len(compositions), len(places))), np.zeros(len(compositions), dtype=np.bool_)
    for row, amounts in enumerate(compositions):
        for symbol in require_elements(tuple(amounts)):
            place = places.get(ATOMIC_NUMBERS[symbol])
            if place is None:
                unseen[row] = True
            else:
                fractions[row, place] = amounts[symbol] / sum(amounts.values())
    return fractions, unseen


def chemical_features(elements: Sequence[int]) -> NDArray[np.float64]:
    """Return what the periodic table says about each element, shape (len(elements), NUM_FEATURES).

    Period, block and group (the f block has none) as one-hot vectors, the filling of the f shell, covalent radius and
    electronegativity, scaled to the order of one, whether it has the latter, and a one for any element.

    :param elements: atomic numbers.
    """
    rows = np.zeros((len(elements), NUM_FEATURES))
    for row, number in zip(rows, elements, strict=True):
        period = 1 + sum(number > gas for gas in _NOBLE_GASES)
        before, last = (0, *_NOBLE_GASES)[period - 1], _NOBLE_GASES[period - 1]
        position, missing = number - before, last - number
        block = 's' if position <= 2 and number != 2 else 'p' if missing <= 5 else 'd' if missing <= 15 else 'f'
        row[period - 1] = 1.0
        row[7 + 'spdf'.index(block)] = 1.0
        if block == 'f':
            row[29] = (position - 2) / 14
        else:
            row[10 + (position if block == 's' else 18 - missing)] = 1.0
        negativity = electronegativity(SYMBOLS[number - 1])
        row[30] = (COVALENT_RADII[number] - 1.4) / 0.3
        row[31] = 0.0 if negativity is None else (negativity - 1.8) / 0.6
        row[32:34] = negativity is not None, 1.0
    return rows


_known_features = functools.lru_cache(maxsize=16)(chemical_features)
"""The features of the elements of a model, which many crystals ask for one after the other; not to be changed."""


def element_statistics(fractions: NDArray[np.float64], elements: Sequence[int]) -> NDArray[np.float64]:
    """Return mean, spread and range of the properties of the elements over the atoms, shape (n, 3 · NUM_FEATURES).

    :param fractions: atomic fractions, shape (n, elements).
    :param elements: atomic numbers.
    """
    properties = _known_features(tuple(elements))
    mean = fractions @ properties
    spread = np.sqrt(np.maximum(fractions @ properties**2 - mean**2, 0.0))
    present = fractions[:, :, None] > 0
    highest = np.where(present, properties, -np.inf).max(axis=1)
    lowest = np.where(present, properties, np.inf).min(axis=1)
    return np.concatenate([mean, spread, highest - lowest], axis=1)

"""Charge neutrality of compositions that are still open: a penalty on expected amounts, and a projection of types."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.chemistry.composition import is_charge_neutral
from aiida_qagenai.chemistry.ionic_model import not_ionic
from aiida_qagenai.chemistry.oxidation_states import DEFAULT_SOURCE, MIXED_VALENCE_ELEMENTS, oxidation_states
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('charge_penalty', 'neutral_types')

FORBIDDEN = -1e9
"""Score of an element that an atom may not be."""

MAX_CHOICES = 100_000
"""Choices of oxidation states, or compositions, that are looked at one by one."""


def charge_penalty(
    amounts: torch.Tensor, symbols: tuple[str, ...], *, mixed_valence: bool = True, source: str = DEFAULT_SOURCE
) -> torch.Tensor:
    """Return the square of the smallest net charge that oxidation states can give, e², shape (B,).

    Differentiable in the amounts, which may be expectations. For whole amounts it is zero exactly where
    :func:`aiida_qagenai.chemistry.composition.is_charge_neutral` holds, except that a mixed-valent element takes every
    charge between those of its lowest and its highest state, as it does there for fractional amounts.

    :param amounts: atoms of each element, shape (B, K); elements with none do not matter.
    :param symbols: the K elements.
    :param mixed_valence: whether the usual elements may hold several states.
    :param source: the list of oxidation states.
    :raises InvalidInputError: if K is so large that the choices cannot be looked at one by one.
    """
    low, high = _charge_ranges(symbols, mixed_valence, source)
    least, most = (amounts @ torch.as_tensor(bound.T).to(amounts) for bound in (low, high))
    excess = least.clamp(min=0) + (-most).clamp(min=0)
    anions = torch.tensor([not not_ionic((symbol, '')) for symbol in symbols], device=amounts.device)
    present = amounts > 0
    alone = (present.sum(1) <= 1) | ~(present & anions).any(1)
    return excess.square().amin(1).masked_fill(alone, 0.0)


@functools.lru_cache(maxsize=64)
def _charge_ranges(
    symbols: tuple[str, ...], mixed_valence: bool, source: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and greatest charge per atom of every element, for every choice of states, shape (C, K) each."""
    ranges = []
    for symbol in symbols:
        states = oxidation_states(symbol, source) or (0,)
        if mixed_valence and symbol in MIXED_VALENCE_ELEMENTS:
            ranges.append([(min(states), max(states))])
        else:
            ranges.append([(q, q) for q in states])
    if np.prod([len(each) for each in ranges], dtype=float) > MAX_CHOICES:
        message = f'{len(symbols)} elements have too many choices of oxidation states: allow fewer elements'
        raise InvalidInputError(message)
    choices = np.array(list(itertools.product(*ranges)), dtype=np.float64)
    return choices[..., 0], choices[..., 1]


def neutral_types(
    scores: NDArray[np.float64],
    symbols: tuple[str, ...],
    *,
    compounds_first: bool = True,
    mixed_valence: bool = True,
    source: str = DEFAULT_SOURCE,
) -> NDArray[np.int64] | None:
    """Return the most likely types whose composition is neutral, shape (N,), or ``None`` if there are none.

    The projection that belongs to the constraint of charge neutrality: the sum of ``scores`` is maximal among all
    choices that it accepts.

    :param scores: log-probability of each element for each atom, −∞ where forbidden, shape (N, K).
    :param symbols: the K elements.
    :param compounds_first: whether compositions to which neutrality does not apply, elements and alloys, come only
        where there is no neutral compound; they are the easy way out of charges that do not balance.
    :param source: the list of oxidation states.
    :raises InvalidInputError: if there are too many compositions to look at one by one.
    """
    compounds, others = _neutral_amounts(symbols, len(scores), mixed_valence, source)
    groups = (compounds, others) if compounds_first else (np.concatenate([compounds, others]),)
    for group in groups:
        found = _likeliest(scores, group)
        if found is not None:
            return found
    return None


def _likeliest(scores: NDArray[np.float64], compositions: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the types of largest total score whose amounts are among ``compositions``, shape (M, K)."""
    from scipy.optimize import linear_sum_assignment

    num_elements = scores.shape[1]
    finite = np.where(np.isfinite(scores), scores, FORBIDDEN)
    # no composition can score more than the best atoms of each element, which order the search
    sums = np.concatenate([np.zeros((1, num_elements)), np.cumsum(-np.sort(-finite, axis=0), axis=0)])
    bounds = sums[compositions, np.arange(num_elements)].sum(axis=1)
    best, found = FORBIDDEN / 2, None
    for index in np.argsort(-bounds, kind='stable'):
        if bounds[index] <= best:
            break
        columns = np.repeat(np.arange(num_elements), compositions[index])
        rows, places = linear_sum_assignment(finite[:, columns], maximize=True)
        score = finite[rows, columns[places]].sum()
        if score > best:
            best, found = score, columns[places]
    return found


@functools.lru_cache(maxsize=512)
def _neutral_amounts(
    symbols: tuple[str, ...], num_atoms: int, mixed_valence: bool, source: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the amounts of the neutral compounds of ``num_atoms`` atoms, and of what cannot be neutral or charged.

    Both have the shape (M, K).
    """
    number = math.comb(num_atoms + len(symbols) - 1, len(symbols) - 1)
    if number > MAX_CHOICES:
        message = f'{num_atoms} atoms of {len(symbols)} elements have {number} compositions: allow fewer elements'
        raise InvalidInputError(message)
    kept: tuple[list[list[int]], list[list[int]]] = ([], [])
    for cuts in itertools.combinations(range(num_atoms + len(symbols) - 1), len(symbols) - 1):
        bounds = (-1, *cuts, num_atoms + len(symbols) - 1)
        amounts = [after - before - 1 for before, after in itertools.pairwise(bounds)]
        composition = {symbol: n for symbol, n in zip(symbols, amounts, strict=True) if n}
        if not_ionic(composition):
            kept[1].append(amounts)
        elif is_charge_neutral(composition, mixed_valence=mixed_valence, source=source):
            kept[0].append(amounts)
    compounds, others = (np.array(rows, dtype=np.int64).reshape(-1, len(symbols)) for rows in kept)
    return compounds, others

"""Charge-neutral compositions (paper section 3.1.1).

A composition is neutral when whole oxidation states from a published list add up to exactly zero. By default all atoms
of an element share one state; an element declared as mixed-valent may hold several. The paper's tolerance of 0.1 e
has a meaning only for mixed valence with fractional amounts, and is applied only there.

Sets of reachable charges are held as the bits of one integer, so that each element costs a few shifts.
"""

from __future__ import annotations

import collections
import functools
import itertools
import math
import typing as t
from collections.abc import Collection, Iterator, Mapping, Sequence

from aiida_qagenai.chemistry.elements import require_elements
from aiida_qagenai.chemistry.oxidation_states import (
    DEFAULT_SOURCE,
    MIXED_VALENCE_ELEMENTS,
    electronegativity,
    oxidation_states,
    polyatomic_ions,
)
from aiida_qagenai.common.errors import InvalidInputError

__all__ = (
    'count_assignments',
    'is_charge_neutral',
    'mixed_elements',
    'neutral_assignments',
    'neutral_compositions',
    'reachable_charges',
    'reduced',
)

MIXED_VALENCE_TOLERANCE = 0.1
"""Net charge per formula unit accepted for fractional amounts of mixed-valent elements, e (paper section 3.1.1)."""

_MAX_STATE = 9  # no listed oxidation state exceeds 8 in magnitude


def neutral_compositions(
    elements: Sequence[str],
    *,
    max_atoms: int,
    min_atoms: int = 1,
    require_all: bool = True,
    mixed_valence: bool | Collection[str] = False,
    source: str = DEFAULT_SOURCE,
    electronegativity_order: bool = False,
    polyanions: bool = False,
) -> list[dict[str, int]]:
    """Return every neutral composition with ``min_atoms`` to ``max_atoms`` atoms per cell, by enumeration.

    Multiples (Li2H2 beside LiH) are compositions of their own, as cells are.

    :param elements: the chemical system.
    :param require_all: whether every element must occur; otherwise subsystems are included.
    :param mixed_valence: elements whose atoms may differ in state; ``True`` for the default elements of the list
        ``MIXED_VALENCE_ELEMENTS``.
    :param source: the list of oxidation states.
    :param electronegativity_order: whether no cation may be more electronegative than an anion.
    :param polyanions: whether anions may be bonded to each other, as in KN3 and KO2.
    :return: compositions sorted by number of atoms, then by amounts in the order of ``elements``.
    :raises InvalidInputError: if an element is unknown or the range of atoms is empty.
    """
    symbols = require_elements(elements)
    if not 1 <= min_atoms <= max_atoms:
        message = f'the numbers of atoms must satisfy 1 <= min_atoms <= max_atoms, not {min_atoms} and {max_atoms}'
        raise InvalidInputError(message)
    found = []
    for total in range(min_atoms, max_atoms + 1):
        for amounts in _partitions(total, len(symbols), 1 if require_all else 0):
            composition = {symbol: n for symbol, n in zip(symbols, amounts, strict=True) if n}
            if is_charge_neutral(
                composition,
                mixed_valence=mixed_valence,
                source=source,
                electronegativity_order=electronegativity_order,
                polyanions=polyanions,
            ):
                found.append(composition)
    return found


def is_charge_neutral(
    composition: Mapping[str, float],
    *,
    mixed_valence: bool | Collection[str] = False,
    source: str = DEFAULT_SOURCE,
    electronegativity_order: bool = False,
    tolerance: float = MIXED_VALENCE_TOLERANCE,
    polyanions: bool = False,
) -> bool:
    """Return whether listed oxidation states of the elements can add up to zero.

    An element alone (no second element to exchange charge with) is neutral by definition.

    :param composition: element → amount; whole numbers unless the element is declared as mixed-valent.
    :param tolerance: net charge accepted where an amount is fractional, e.
    :param polyanions: whether some of the atoms may be a known ion of atoms bonded to each other, as in KN3 and KO2.
    :raises InvalidInputError: if an amount is not positive and finite, or fractional without mixed valence.
    """
    amounts = _checked(composition)
    if len(amounts) == 1:
        return True
    mixed = mixed_elements(mixed_valence)
    if any(amount != int(amount) for amount in amounts.values()):
        return _fractional_neutral(amounts, mixed, source, electronegativity_order, tolerance)
    counts = {symbol: int(amount) for symbol, amount in amounts.items()}
    patterns = _sign_patterns(tuple(counts), electronegativity_order)
    if any(_neutral_with(counts, signs, mixed, source) for signs in patterns):
        return True
    return polyanions and any(
        _neutral_with(rest, dict.fromkeys(rest, 0), mixed, source, charge) for rest, charge in _with_ions(counts)
    )


def _with_ions(counts: Mapping[str, int]) -> Iterator[tuple[dict[str, int], int]]:
    """Yield the atoms that are left, and the charge, if some are ions of one kind of ``POLYATOMIC_IONS``."""
    for ion, charges in polyatomic_ions():
        for number in range(1, min(counts.get(symbol, 0) // n for symbol, n in ion.items()) + 1):
            left = {symbol: n - number * ion.get(symbol, 0) for symbol, n in counts.items()}
            yield from (({symbol: n for symbol, n in left.items() if n}, number * charge) for charge in charges)


def neutral_assignments(
    composition: Mapping[str, int], *, source: str = DEFAULT_SOURCE, electronegativity_order: bool = False
) -> list[dict[str, int]]:
    """Return every choice of one oxidation state per element that makes ``composition`` neutral."""
    counts = {symbol: int(amount) for symbol, amount in _checked(composition).items()}
    choices = itertools.product(*(oxidation_states(symbol, source) for symbol in counts))
    assignments = (dict(zip(counts, states, strict=True)) for states in choices)
    return [
        assignment
        for assignment in assignments
        if sum(counts[symbol] * state for symbol, state in assignment.items()) == 0
        and (not electronegativity_order or _in_order(assignment))
    ]


def count_assignments(
    composition: Mapping[str, int],
    *,
    mixed_valence: bool | Collection[str] = False,
    source: str = DEFAULT_SOURCE,
    electronegativity_order: bool = False,
) -> int:
    """Return in how many ways the elements can have charges that add up to zero.

    Without mixed valence that is the length of :func:`neutral_assignments`; a mixed-valent element counts once for
    every total charge that its atoms can have.
    """
    mixed = mixed_elements(mixed_valence)
    total = 0
    for signs in _sign_patterns(tuple(composition), electronegativity_order):
        ways = collections.Counter({0: 1})
        for symbol, count in composition.items():
            grown: collections.Counter[int] = collections.Counter()
            charges = reachable_charges(symbol, count, signs[symbol], symbol in mixed, source)
            for (charge, number), more in itertools.product(ways.items(), charges):
                grown[charge + more] += number
            ways = grown
        total += ways[0]
    return total


def reduced(composition: Mapping[str, int]) -> dict[str, int]:
    """Return ``composition`` divided by the greatest common divisor of its amounts."""
    divisor = math.gcd(*composition.values())
    return {symbol: amount // divisor for symbol, amount in composition.items()}


def _checked(composition: Mapping[str, float]) -> dict[str, float]:
    require_elements(composition.keys())
    for symbol, amount in composition.items():
        if not (math.isfinite(amount) and amount > 0):
            raise InvalidInputError(f'the amount of {symbol} must be positive, not {amount}')
    return dict(composition)


def mixed_elements(mixed_valence: bool | Collection[str]) -> frozenset[str]:
    """Return the elements whose atoms may differ in oxidation state."""
    if isinstance(mixed_valence, bool):
        return MIXED_VALENCE_ELEMENTS if mixed_valence else frozenset()
    return frozenset(require_elements(mixed_valence)) if mixed_valence else frozenset()


def _partitions(total: int, parts: int, smallest: int) -> Iterator[tuple[int, ...]]:
    """Yield the ordered ways to write ``total`` as ``parts`` integers that are at least ``smallest``."""
    if parts == 1:
        if total >= smallest:
            yield (total,)
        return
    for first in range(smallest, total - smallest * (parts - 1) + 1):
        for rest in _partitions(total - first, parts - 1, smallest):
            yield (first, *rest)


def _in_order(assignment: Mapping[str, int]) -> bool:
    """Return whether no cation is more electronegative than an anion (unknown electronegativities fail)."""
    values = {symbol: electronegativity(symbol) for symbol in assignment}
    if any(value is None for value in values.values()):
        return False
    cations = [t.cast(float, values[s]) for s, q in assignment.items() if q > 0]
    anions = [t.cast(float, values[s]) for s, q in assignment.items() if q < 0]
    return bool(cations) and bool(anions) and max(cations) <= min(anions)


@functools.lru_cache(maxsize=65_536)
def _sign_patterns(symbols: tuple[str, ...], ordered: bool) -> list[dict[str, int]]:
    """Return the allowed signs per element: 0 for either, or +1 / −1 on the two sides of an electronegativity cut."""
    if not ordered:
        return [dict.fromkeys(symbols, 0)]
    sides = (itertools.combinations(symbols, number) for number in range(1, len(symbols)))
    patterns = (dict.fromkeys(symbols, -1) | dict.fromkeys(cations, 1) for cations in itertools.chain(*sides))
    return [pattern for pattern in patterns if _in_order(pattern)]


@functools.lru_cache(maxsize=65536)
def reachable_charges(symbol: str, count: int, sign: int, mixed: bool, source: str) -> tuple[int, ...]:
    """Return the total charges that ``count`` atoms of an element can have, e, ascending.

    :param sign: +1 or −1 for states of that sign alone, 0 for both.
    :param mixed: whether the atoms may differ in state.
    """
    states = [state for state in oxidation_states(symbol, source) if sign == 0 or (state > 0) == (sign > 0)]
    if not mixed:
        return tuple(state * count for state in states)
    bits = 1
    for _ in range(count):
        bits = functools.reduce(lambda acc, state, bits=bits: acc | bits << (state + _MAX_STATE), states, 0)  # type: ignore[misc]
    return tuple(place - _MAX_STATE * count for place in range(bits.bit_length()) if bits >> place & 1)


def _neutral_with(
    counts: Mapping[str, int], signs: Mapping[str, int], mixed: frozenset[str], source: str, charge: int = 0
) -> bool:
    """Return whether the elements can balance the ``charge`` of everything else."""
    reachable, zero = 1, 0
    for symbol, count in counts.items():
        shifted, offset = 0, _MAX_STATE * count
        for reached in reachable_charges(symbol, count, signs[symbol], symbol in mixed, source):
            shifted |= reachable << (reached + offset)
        reachable, zero = shifted, zero + offset
    return zero >= charge and bool(reachable >> (zero - charge) & 1)


def _fractional_neutral(
    amounts: Mapping[str, float], mixed: frozenset[str], source: str, ordered: bool, tolerance: float
) -> bool:
    """Return neutrality for fractional amounts: mixed-valent elements reach every mean state in range."""
    fixed = [symbol for symbol in amounts if symbol not in mixed]
    if len(fixed) == len(amounts):
        raise InvalidInputError(f'fractional amounts ({dict(amounts)}) need mixed_valence for at least one element')
    for signs in _sign_patterns(tuple(amounts), ordered):
        allowed = {
            symbol: [q for q in oxidation_states(symbol, source) if signs[symbol] == 0 or q * signs[symbol] > 0]
            for symbol in amounts
        }
        if not all(allowed.values()):
            continue
        lowest = sum(amount * min(allowed[symbol]) for symbol, amount in amounts.items() if symbol in mixed)
        highest = sum(amount * max(allowed[symbol]) for symbol, amount in amounts.items() if symbol in mixed)
        for states in itertools.product(*(allowed[symbol] for symbol in fixed)):
            charge = sum(amounts[symbol] * state for symbol, state in zip(fixed, states, strict=True))
            if charge + lowest <= tolerance and charge + highest >= -tolerance:
                return True
    return False

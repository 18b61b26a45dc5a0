"""The most likely oxidation states of a composition.

Likely means frequent in the Inorganic Crystal Structure Database: the score of an assignment is the sum over the atoms
of log p(state | element), with the counts that ship with pymatgen. Cations may not be more electronegative than anions.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import typing as t
from collections.abc import Mapping

from aiida_qagenai.chemistry.oxidation_states import DEFAULT_SOURCE, electronegativity, oxidation_states

__all__ = (
    'CLOSED_SHELL',
    'SIMPLE_ANIONS',
    'ChargeAssignment',
    'assign_bonded_charges',
    'assign_charges',
    'balances_commonly',
)

# fmt: off
CLOSED_SHELL: dict[str, int] = {
    'H': -1, 'B': -3, 'C': -4, 'N': -3, 'O': -2, 'F': -1, 'Si': -4, 'P': -3, 'S': -2, 'Cl': -1, 'Ge': -4, 'As': -3,
    'Se': -2, 'Br': -1, 'Sb': -3, 'Te': -2, 'I': -1,
}
# fmt: on
"""Charge of a monatomic anion with a filled shell; anything less negative is bonded to its like."""

SIMPLE_ANIONS = frozenset({'H', 'N', 'O', 'F', 'S', 'Cl', 'Se', 'Br', 'Te', 'I'})
"""Elements that form single-atom anions. Without one of them a compound is an element, an alloy, an intermetallic, a
carbide, a silicide or a pnictide, in which metals bond to each other and formal charges do not balance in general."""

COMMON_SOURCES = ('pymatgen_icsd', 'pymatgen_common')
"""Lists without the rare states that the longer ones have, such as Y(+2) and Al(+2)."""

_UNSEEN = 0.3  # counts of a state that a list has and the database does not
_MIXED_PENALTY = 1.0  # a mean state is accepted where no whole one balances, not preferred to one


@dataclasses.dataclass(frozen=True)
class ChargeAssignment:
    """Oxidation states that balance.

    :param states: element → state; a mean one where the element is mixed-valent or an anion bonded to its like, e.
    :param closed_shell: whether all anions are monatomic with filled shells.
    :param mixed: the mixed-valent element, if any.
    """

    states: dict[str, float]
    closed_shell: bool
    mixed: str | None


def assign_charges(
    composition: Mapping[str, int], *, closed_shell: bool = True, source: str = DEFAULT_SOURCE
) -> ChargeAssignment | None:
    """Return the most likely neutral assignment of ``composition``, or ``None`` if there is none.

    Whole states common to all atoms of an element come first; if none balance, one element may have a mean state
    between two of its positive ones.

    :param closed_shell: whether assignments with filled anion shells come first; otherwise those without, as where the
        structure has bonds between anions.
    """
    divisor = math.gcd(*composition.values())
    key = tuple(sorted((symbol, amount // divisor) for symbol, amount in composition.items()))
    return _assign(key, closed_shell, source)


def assign_bonded_charges(
    composition: Mapping[str, int], anion_bonds: Mapping[str, int], *, source: str = DEFAULT_SOURCE
) -> ChargeAssignment | None:
    """Return the most likely whole states of the cations where anions are bonded to each other, or ``None``.

    Each anion fills its shell, and each of its bonds to another anion supplies it with one electron.

    :param anion_bonds: anion → number of bonds to other anions that all its atoms have together.
    """
    states = {symbol: CLOSED_SHELL[symbol] + n / composition[symbol] for symbol, n in anion_bonds.items()}
    charge = sum(CLOSED_SHELL[symbol] * composition[symbol] + n for symbol, n in anion_bonds.items())
    if any(q >= 0 for q in states.values()) or any(electronegativity(symbol) is None for symbol in composition):
        return None
    cations = {symbol: n for symbol, n in composition.items() if symbol not in anion_bonds}
    options = {symbol: tuple(q for q in oxidation_states(symbol, source) if q > 0) for symbol in cations}
    found = list(_whole(cations, options, -charge, states))
    if not found:
        return None
    return ChargeAssignment(max(found, key=lambda item: item[0])[1], closed_shell=False, mixed=None)


def balances_commonly(composition: Mapping[str, int]) -> bool:
    """Return whether there is a neutral assignment of states that textbooks list or 1 % of the ICSD has."""
    return any(assign_charges(composition, source=source) for source in COMMON_SOURCES)


@functools.lru_cache(maxsize=65_536)
def _assign(key: tuple[tuple[str, int], ...], closed_shell: bool, source: str) -> ChargeAssignment | None:
    amounts = dict(key)
    if len(amounts) < 2 or any(electronegativity(symbol) is None for symbol in amounts):
        return None
    # nothing takes more electrons than fill its shell, though lists know Te(-3) and N(-5) of metal-rich compounds
    options = {
        symbol: tuple(q for q in oxidation_states(symbol, source) if q >= CLOSED_SHELL.get(symbol, 1))
        for symbol in amounts
    }
    closed = {
        symbol: tuple(q for q in states if q > 0 or q == CLOSED_SHELL.get(symbol)) for symbol, states in options.items()
    }
    closed_first = [(_whole, closed), (_mean, closed)]
    any_shell = [(_whole, options), (_mean, options)]
    for search, allowed in closed_first + any_shell if closed_shell else any_shell + closed_first:
        found = [
            (score, ChargeAssignment(states, filled, mixed))
            for score, states, mixed in search(amounts, allowed)
            # open shells are asked for where anions are bonded, though filled ones may be more frequent
            if not (filled := all(q > 0 or q == CLOSED_SHELL.get(symbol) for symbol, q in states.items()))
            or allowed is closed
        ]
        if found:
            return max(found, key=lambda item: item[0])[1]
    return None


_Found = tuple[float, dict[str, float], str | None]


def _whole(
    amounts: Mapping[str, int],
    allowed: Mapping[str, tuple[int, ...]],
    charge: int = 0,
    others: Mapping[str, float] | None = None,
) -> t.Iterator[_Found]:
    """Yield (score, states, None) for every choice of whole states with a total ``charge``, beside given ``others``."""
    for choice in itertools.product(*(allowed[symbol] for symbol in amounts)):
        states = {**dict(zip(amounts, map(float, choice), strict=True)), **(others or {})}
        if sum(amounts[symbol] * states[symbol] for symbol in amounts) == charge and _in_order(states):
            yield sum(n * _log_frequency(symbol, int(states[symbol])) for symbol, n in amounts.items()), states, None


def _mean(amounts: Mapping[str, int], allowed: Mapping[str, tuple[int, ...]]) -> t.Iterator[_Found]:
    """Yield (score, states, element) for every balanced choice with one cation in a mean state."""
    for mixed in amounts:
        positive = [q for q in allowed[mixed] if q > 0]
        others = [symbol for symbol in amounts if symbol != mixed]
        for choice in itertools.product(*(allowed[symbol] for symbol in others)):
            mean = -sum(amounts[symbol] * q for symbol, q in zip(others, choice, strict=True)) / amounts[mixed]
            if len(positive) < 2 or not min(positive) < mean < max(positive):
                continue
            states = {**dict(zip(others, map(float, choice), strict=True)), mixed: mean}
            if _in_order(states):
                score = sum(amounts[s] * _log_frequency(s, q) for s, q in zip(others, choice, strict=True))
                neighbours = (math.floor(mean), math.ceil(mean))
                score += amounts[mixed] * max(_log_frequency(mixed, q) for q in neighbours)
                yield score - _MIXED_PENALTY, states, mixed


def _in_order(states: Mapping[str, float]) -> bool:
    """Return whether cations precede anions in electronegativity.

    A metal counts as less electronegative than any simple anion: Pauling's values for Pb, Pt and Au exceed tellurium's.
    """
    anions = {symbol: electronegativity(symbol) or 0.0 for symbol, q in states.items() if q < 0}
    simple = SIMPLE_ANIONS.issuperset(anions)
    cations = [electronegativity(s) or 0.0 for s, q in states.items() if q > 0 and (s in CLOSED_SHELL or not simple)]
    return bool(anions) and (simple or bool(cations)) and max(cations, default=0.0) <= min(anions.values())


@functools.cache
def _counts() -> dict[str, dict[int, int]]:
    from pymatgen.core.bond_valence import PRIOR_PROB

    counts: dict[str, dict[int, int]] = {}
    for species, count in PRIOR_PROB.items():
        if species.oxi_state:
            counts.setdefault(species.symbol, {})[int(species.oxi_state)] = int(count)
    return counts


@functools.cache
def _log_frequency(symbol: str, state: int) -> float:
    counts = _counts().get(symbol, {})
    return math.log((counts.get(state, 0) + _UNSEEN) / (sum(counts.values()) + 1))

"""Parsing of chemical formulas, fast where they are plain."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS, require_elements
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('chemical_system', 'parse_formula', 'reduced_formula')

_TOKEN = re.compile(r'([A-Z][a-z]?)(\d+\.?\d*|\.\d+)?')


@functools.lru_cache(maxsize=262_144)
def _parsed(formula: str) -> tuple[tuple[str, float], ...]:
    amounts: dict[str, float] = {}
    position = 0
    for match in _TOKEN.finditer(formula):
        if match.start() != position or match[1] not in ATOMIC_NUMBERS:
            break
        amounts[match[1]] = amounts.get(match[1], 0.0) + (float(match[2]) if match[2] else 1.0)
        position = match.end()
    if position != len(formula):
        amounts = _parsed_by_pymatgen(formula)
    if not amounts or not all(math.isfinite(amount) and amount > 0 for amount in amounts.values()):
        message = f'`{formula}` is not a chemical formula: write it like `Li2O`, with positive amounts'
        raise InvalidInputError(message)
    return tuple(sorted(amounts.items(), key=lambda item: ATOMIC_NUMBERS[item[0]]))


def _parsed_by_pymatgen(formula: str) -> dict[str, float]:
    """Return the amounts in a formula with brackets, dots or charges; empty if it is none."""
    from pymatgen.core import Composition

    try:
        composition = Composition(formula)
    except Exception:  # pymatgen raises several untyped errors here
        return {}
    amounts = {str(symbol): float(amount) for symbol, amount in composition.get_el_amt_dict().items()}
    return amounts if all(symbol in ATOMIC_NUMBERS for symbol in amounts) else {}


def parse_formula(formula: str | Mapping[str, float]) -> dict[str, float]:
    """Return element → amount, sorted by atomic number.

    :param formula: a formula such as ``LiFePO4``, or a mapping that is only checked and sorted.
    :raises InvalidInputError: if it is not a formula, an element is unknown, or an amount is not positive.
    """
    if isinstance(formula, str):
        return dict(_parsed(formula.strip()))
    symbols = require_elements(formula.keys())
    if not all(math.isfinite(amount) and amount > 0 for amount in formula.values()):
        message = f'the amounts of a composition must be positive, not {dict(formula)}'
        raise InvalidInputError(message)
    return {symbol: float(formula[symbol]) for symbol in sorted(symbols, key=ATOMIC_NUMBERS.__getitem__)}


def reduced_formula(formula: str | Mapping[str, float]) -> str:
    """Return pymatgen's reduced formula (``LiH``, ``H2``, ``LiFePO4``)."""
    return _reduced(tuple(parse_formula(formula).items()))


@functools.lru_cache(maxsize=65_536)
def _reduced(amounts: tuple[tuple[str, float], ...]) -> str:
    from pymatgen.core import Composition

    return str(Composition(dict(amounts)).reduced_formula)


def chemical_system(formula: str | Mapping[str, float]) -> str:
    """Return the elements in alphabetical order, joined by dashes: ``Fe-Li-O-P``."""
    return '-'.join(sorted(parse_formula(formula)))

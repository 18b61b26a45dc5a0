"""Parsing of chemical formulas, fast where they are plain."""

from __future__ import annotations

import functools
import math
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS, require_elements
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('chemical_system', 'parse_formula', 'reduced_formula')

_TOKEN = re.compile(r'([A-Z][a-z]?)(\d*)')
_NUMBER = r'(?:\d+/\d+|\d+(?:\.\d+)?|\.\d+)'
_MARKUP = re.compile(r'</?sub>|\$|[\u200b\u2060\ufeff]')
_SUBSCRIPT = re.compile(r'(?<=[A-Za-z)\]}])(?:_\{([\d.]+)\}|_(?=[\d.]))')
_NO_COMPOSITION = re.compile(r'[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻+−-]')
_SEPARATOR = re.compile(r'\s*[·•⋅∙・*×]\s*|\s+x\s+|\s+\.\s*|\s*\.\s+|\.(?!\d)|(?<=\d)\s+(?=\d)')
_SOLVENT = r'\(?(?:H2O|D2O|OH2|NH3|ND3|H2O2|CH3OH|C2H5OH)\)?'
_TRAILING_SOLVENT = re.compile(rf'(?<=[\w)\]}}])\.(?={_NUMBER}\s*{_SOLVENT}{_NUMBER}?(?:\.|$))')
_LEADING_SOLVENT = re.compile(rf'^{_NUMBER}?\s*{_SOLVENT}{_NUMBER}?(\.)(?=\d*[A-Z(\[])')
_GROUP = re.compile(r'\(([^()\[\]{}]*)\)|\[([^()\[\]{}]*)\]|\{([^()\[\]{}]*)\}')
_ITEM = re.compile(rf'\s*([A-Z][a-z]?|[\ue000-\uf8ff])(\s*)({_NUMBER}?)')
_HYDROGEN = {'D': 'H', 'T': 'H'}
MAX_GROUPS = 1000


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
        amounts = _Reading(formula).amounts()
    if not amounts or not all(math.isfinite(amount) and amount > 0 for amount in amounts.values()):
        message = f'`{_shown(formula)}` is not a chemical formula: write it like `Li2O`, with positive amounts'
        raise InvalidInputError(message)
    return tuple(sorted(amounts.items(), key=lambda item: ATOMIC_NUMBERS[item[0]]))


def _shown(formula: str) -> str:
    """Return a formula for a message: on one line, and cut where it is long."""
    return ' '.join(formula.split())[:60]


class _Reading:
    """Reading of a formula with brackets, decimals, adducts such as hydrates, or typeset subscripts."""

    def __init__(self, formula: str) -> None:
        self.formula = formula
        self._groups: list[dict[str, float]] = []

    def amounts(self) -> dict[str, float]:
        """Return element → amount.

        :raises InvalidInputError: naming what is not understood or can be read in two ways.
        """
        if _NO_COMPOSITION.search(self.formula):
            raise self._refusal('a charge, an isotope or a range has no place in it')
        if '..' in self.formula:
            raise self._refusal('it has two dots in a row')
        text = _SUBSCRIPT.sub(r'\1', _MARKUP.sub('', self.formula))
        text = unicodedata.normalize('NFKC', text).replace('\u2044', '/').strip()
        return _total((self._part(part), 1.0) for part in self._parts(text))

    def _parts(self, text: str) -> Iterator[str]:
        """Yield the parts of an adduct.

        A dot before a digit separates where a salt is followed by a solvent, as in ``CaSO4.2H2O`` or
        ``CaSO4.0.5H2O``; elsewhere it is a decimal point.
        """
        for part in _SEPARATOR.split(text):
            coefficient = re.match(_NUMBER, part)
            dot = _TRAILING_SOLVENT.search(part, 0 if coefficient is None else coefficient.end())
            if dot is not None and len(set(re.findall(r'[A-Z][a-z]?', part[: dot.start()]))) < 2:
                raise self._refusal('its dot may be a decimal point or separate a solvent: write `·` to separate')
            if dot is not None:
                yield part[: dot.start()]
                yield from self._parts(part[dot.end() :])
            elif (leading := _LEADING_SOLVENT.match(part)) is not None:
                yield part[: leading.start(1)]
                yield from self._parts(part[leading.end(1) :])
            else:
                yield part

    def _part(self, part: str) -> dict[str, float]:
        """Return the amounts in one part, times its leading coefficient."""
        coefficient = re.match(_NUMBER, part)
        body = part if coefficient is None else part[coefficient.end() :]
        body = re.sub(rf'(?<=[A-Za-z])\(\s*({_NUMBER})\s*\)', r'\1', body)  # Fe(0.5)
        while (group := _GROUP.search(body)) is not None:
            if len(self._groups) == MAX_GROUPS:
                raise self._refusal(f'it has more than {MAX_GROUPS} brackets')
            self._groups.append(self._flat(group[group.lastindex or 0]))
            body = f'{body[: group.start()]}{chr(0xE000 + len(self._groups) - 1)}{body[group.end() :]}'
        return _total([(self._flat(body), 1.0 if coefficient is None else self._number(coefficient[0]))])

    def _flat(self, text: str) -> dict[str, float]:
        """Return the amounts in a text whose brackets have been replaced by their numbers in ``_groups``.

        :raises InvalidInputError: if an amount can belong to either side: an element comes twice beside a decimal.
        """
        found: list[tuple[dict[str, float], float]] = []
        symbols: list[str] = []
        position, doubtful, text = 0, False, text.rstrip()
        while position < len(text) or not found:
            item = _ITEM.match(text, position)
            if item is None:
                raise self._refusal(
                    f'{text[position:].strip()[:20]!r} is not understood' if text else 'a part is empty'
                )
            position = item.end()
            symbol, space, number = _HYDROGEN.get(item[1], item[1]), item[2], item[3]
            group = '\ue000' <= symbol <= '\uf8ff'
            if not group and symbol not in ATOMIC_NUMBERS:
                raise self._refusal(f'`{symbol}` is not an element')
            amounts = self._groups[ord(symbol) - 0xE000] if group else {symbol: 1.0}
            symbols.append(symbol)
            doubtful |= bool(number) and ('.' in number or '/' in number or bool(space))
            found.append((amounts, self._number(number) if number else 1.0))
        if doubtful and len(set(symbols)) < len(symbols):
            raise self._refusal('a number in it may belong to either side: write `·` between two compounds')
        return _total(found)

    def _number(self, text: str) -> float:
        numerator, _, denominator = text.partition('/')
        if denominator and not float(denominator):
            raise self._refusal(f'{text!r} is not a number')
        return float(numerator) / float(denominator or 1)

    def _refusal(self, reason: str) -> InvalidInputError:
        return InvalidInputError(f'`{_shown(self.formula)}` is not the formula of a phase: {reason}')


def _total(parts: Iterable[tuple[Mapping[str, float], float]]) -> dict[str, float]:
    """Return the sum of amounts, each times its factor."""
    total: dict[str, float] = {}
    for amounts, factor in parts:
        for element, amount in amounts.items():
            total[element] = total.get(element, 0.0) + factor * amount
    return total


def parse_formula(formula: str | Mapping[str, float]) -> dict[str, float]:
    """Return element → amount, sorted by atomic number.

    :param formula: a formula such as ``LiFePO4`` or ``CaSO4·2H2O``, or a mapping that is only checked and sorted.
    :raises InvalidInputError: if it is not a formula, can be read in two ways, an element is unknown, or an amount is
        not positive.
    """
    if isinstance(formula, str):
        return dict(_parsed(formula.strip()))
    symbols = require_elements(formula.keys())
    if not all(math.isfinite(amount) and amount > 0 for amount in formula.values()):
        raise InvalidInputError(f'the amounts of a composition must be positive, not {dict(formula)}')
    return {symbol: float(formula[symbol]) for symbol in sorted(symbols, key=ATOMIC_NUMBERS.__getitem__)}


def reduced_formula(formula: str | Mapping[str, float]) -> str:
    """Return pymatgen's reduced formula (``LiH``, ``H2``, ``LiFePO4``)."""
    return _reduced(tuple(parse_formula(formula).items()))


@functools.lru_cache(maxsize=65_536)
def _reduced(amounts: tuple[tuple[str, float], ...]) -> str:
    from pymatgen.core import Composition

    with warnings.catch_warnings():
        # pymatgen sorts by electronegativity, which He, Ne and Ar do not have
        warnings.simplefilter('ignore')
        return str(Composition(dict(amounts)).reduced_formula)


def chemical_system(formula: str | Mapping[str, float]) -> str:
    """Return the elements in alphabetical order, joined by dashes: ``Fe-Li-O-P``."""
    return '-'.join(sorted(parse_formula(formula)))

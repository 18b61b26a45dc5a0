"""Structures in the POSCAR format of VASP 5 and later."""

from __future__ import annotations

import re
import typing as t

import numpy as np

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('read_poscar',)

MAX_ATOMS = 1_000_000


def read_poscar(text: str) -> Structure:
    """Return the structure in a POSCAR or CONTCAR; velocities behind it are ignored.

    :raises InvalidInputError: naming the line that is wrong; also where the elements are not named, as in VASP 4.
    """
    from pymatgen.core import Lattice, Structure

    lines = [re.split(r'[!#]', line)[0] if index else line for index, line in enumerate(text.splitlines())]
    if len(lines) < 8:
        raise InvalidInputError(f'it ends after {len(lines)} lines: a POSCAR has at least 8')
    matrix = np.array([_numbers(lines[index], index + 1, 3) for index in (2, 3, 4)]) * _scale(lines[1], lines[2:5])
    names = lines[5].split()
    if names and all(re.fullmatch(r'[+-]?\d+', name) for name in names):
        message = (
            f'line 6 has counts ({lines[5].strip()[:40]}), but no element symbols, as in VASP 4: write them on a line '
            'above the counts'
        )
        raise InvalidInputError(message)
    symbols = [_symbol(name) for name in names]
    counts = lines[6].split()
    if len(counts) != len(symbols) or not all(re.fullmatch(r'\d{1,7}', count, re.ASCII) for count in counts):
        message = f'line 7 must have one count for each of {" ".join(names)}, not {lines[6].strip()[:40]!r}'
        raise InvalidInputError(message)
    elements = [
        symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(min(int(count), MAX_ATOMS))
    ]
    start = 8 if lines[7].strip()[:1].upper() == 'S' else 7
    mode = lines[start].strip()[:1].upper() if start < len(lines) else ''
    if mode not in set('CKD'):
        raise InvalidInputError(f'line {start + 1} must say Direct or Cartesian, not {mode or "nothing"!r}')
    rows = lines[start + 1 : start + 1 + len(elements)]
    if not elements or len(rows) < len(elements):
        raise InvalidInputError(f'it has {len(rows)} lines of coordinates for {len(elements)} atoms')
    positions = np.array([_numbers(line, start + 2 + index, 3) for index, line in enumerate(rows)])
    cartesian = mode != 'D'
    if cartesian:
        positions = positions * _scale(lines[1], lines[2:5])
    return Structure(Lattice(matrix), elements, positions, coords_are_cartesian=cartesian)


def _numbers(line: str, number: int, count: int) -> list[float]:
    """Return the first numbers of a line."""
    try:
        values = [float(text) for text in line.split()[:count]]
    except ValueError:
        values = []
    if len(values) < count or not np.isfinite(values).all():
        raise InvalidInputError(f'line {number} must begin with {count} numbers, not {line.strip()[:40]!r}')
    return values


def _scale(line: str, vectors: list[str]) -> t.Any:
    """Return the factor, or one per Cartesian axis; a negative one is the volume of the cell."""
    words = line.split()
    count = 3 if len(words) >= 3 and all(re.fullmatch(r'[-+.\deE]+', word) for word in words[:3]) else 1
    factors = np.array(_numbers(line, 2, count))
    if (factors == 0).any() or (count == 3 and (factors < 0).any()):
        message = (
            f'line 2 has the scale {line.strip()[:40]!r}: expected a number that is not 0, or three that are positive'
        )
        raise InvalidInputError(message)
    if count == 3:
        return factors
    if factors[0] > 0:
        return float(factors[0])
    volume = abs(float(np.linalg.det([_numbers(text, 3 + index, 3) for index, text in enumerate(vectors)])))
    if volume == 0:
        raise InvalidInputError('the cell has zero volume')
    return float((-factors[0] / volume) ** (1 / 3))


def _symbol(name: str) -> str:
    """Return the element of a name on the line of symbols: ``Fe``, ``Fe_pv`` or ``O_h/8f7c``."""
    symbol = {'D': 'H', 'T': 'H'}.get(plain := re.split(r'[_/.]', name)[0], plain)
    if symbol not in ATOMIC_NUMBERS:
        raise InvalidInputError(f'line 6 must have element symbols: {name[:20]!r} is not one')
    return symbol

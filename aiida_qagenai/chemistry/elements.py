"""Element symbols and atomic numbers."""

from __future__ import annotations

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('ATOMIC_NUMBERS', 'SYMBOLS', 'require_elements')

# fmt: off
SYMBOLS: tuple[str, ...] = (
    'H', 'He', 'Li', 'Be', 'B', 'C', 'N', 'O', 'F', 'Ne', 'Na', 'Mg', 'Al', 'Si', 'P', 'S', 'Cl', 'Ar', 'K', 'Ca',
    'Sc', 'Ti', 'V', 'Cr', 'Mn', 'Fe', 'Co', 'Ni', 'Cu', 'Zn', 'Ga', 'Ge', 'As', 'Se', 'Br', 'Kr', 'Rb', 'Sr', 'Y',
    'Zr', 'Nb', 'Mo', 'Tc', 'Ru', 'Rh', 'Pd', 'Ag', 'Cd', 'In', 'Sn', 'Sb', 'Te', 'I', 'Xe', 'Cs', 'Ba', 'La', 'Ce',
    'Pr', 'Nd', 'Pm', 'Sm', 'Eu', 'Gd', 'Tb', 'Dy', 'Ho', 'Er', 'Tm', 'Yb', 'Lu', 'Hf', 'Ta', 'W', 'Re', 'Os', 'Ir',
    'Pt', 'Au', 'Hg', 'Tl', 'Pb', 'Bi', 'Po', 'At', 'Rn', 'Fr', 'Ra', 'Ac', 'Th', 'Pa', 'U', 'Np', 'Pu', 'Am', 'Cm',
    'Bk', 'Cf', 'Es', 'Fm', 'Md', 'No', 'Lr', 'Rf', 'Db', 'Sg', 'Bh', 'Hs', 'Mt', 'Ds', 'Rg', 'Cn', 'Nh', 'Fl', 'Mc',
    'Lv', 'Ts', 'Og',
)
# fmt: on
"""Symbols in the order of atomic number; ``SYMBOLS[z - 1]`` is element z."""

ATOMIC_NUMBERS: dict[str, int] = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}
"""Symbol → atomic number."""


def require_elements(symbols: object) -> tuple[str, ...]:
    """Return the distinct ``symbols`` in the order given, after checking each one.

    :param symbols: an iterable of element symbols (not one string).
    :raises InvalidInputError: if there is none, one is unknown, or a plain string was given.
    """
    if isinstance(symbols, str) or not hasattr(symbols, '__iter__'):
        raise InvalidInputError(f'elements must be a list of symbols such as ["Li", "H"], not {symbols!r}')
    unique = tuple(dict.fromkeys(symbols))
    unknown = [symbol for symbol in unique if symbol not in ATOMIC_NUMBERS]
    if unknown:
        raise InvalidInputError(f'unknown element(s) {", ".join(map(repr, unknown))}: use symbols such as "Li", "H"')
    if not unique:
        raise InvalidInputError('no elements given')
    return unique

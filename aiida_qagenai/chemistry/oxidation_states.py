"""Oxidation states that elements commonly take, and Pauling electronegativities.

Four published lists are selectable: SMACT's original one (``smact14``: Davies et al., Chem 1, 617, 2016) and its
current one (``icsd24``: states reported more than five times in the ICSD of 2024), and pymatgen's textbook list
(``pymatgen_common``) and its shorter one of the ICSD (``pymatgen_icsd``: at least 10 entries and 1 % of the element).
"""

from __future__ import annotations

import functools
import json
import typing as t
from pathlib import Path

from aiida_qagenai.chemistry.elements import require_elements
from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.common.errors import InvalidInputError

__all__ = (
    'DEFAULT_SOURCE',
    'MIXED_VALENCE_ELEMENTS',
    'POLYATOMIC_IONS',
    'SOURCES',
    'electronegativity',
    'oxidation_states',
    'polyatomic_ions',
)

SOURCES = ('icsd24', 'smact14', 'pymatgen_common', 'pymatgen_icsd')
"""Names of the lists."""

DEFAULT_SOURCE = 'icsd24'

# fmt: off
MIXED_VALENCE_ELEMENTS: frozenset[str] = frozenset({
    'Ti', 'V', 'Cr', 'Mn', 'Fe', 'Co', 'Ni', 'Cu', 'Nb', 'Mo', 'Ru', 'Pd', 'Ag', 'W', 'Re', 'Os', 'Au', 'Sn', 'Sb',
    'Bi', 'Ce', 'Eu', 'Yb', 'U',
})
# fmt: on
"""Elements whose atoms may differ in oxidation state within one compound, as SMACT 4 lists them."""

# fmt: off
POLYATOMIC_IONS: dict[str, tuple[int, ...]] = {
    # multiple bonds: superoxide and peroxide, ozonide, azide, pentazolate, diazenides, cyanide, acetylide, propadienide
    'O2': (-2, -1), 'O3': (-1,), 'N2': (-4, -2), 'N3': (-1,), 'N5': (-1,), 'CN': (-1,), 'C2': (-2,), 'C3': (-4,),
    # chains of chalcogens and their rings
    'S2': (-2,), 'S3': (-2,), 'S4': (-2,), 'S5': (-2,), 'S6': (-2,), 'Se2': (-2,), 'Se3': (-2,), 'Se4': (-2, 2),
    'Se5': (-2,), 'Te2': (-2,), 'Te3': (-2,), 'Te4': (-2, 2), 'Te5': (-2,), 'S8': (0, 2), 'Se8': (0, 2),
    # halogens
    'Br3': (-1,), 'I3': (-1,), 'I5': (-1,), 'I7': (-1,), 'I8': (-2,), 'I4': (-2,), 'ICl2': (-1,), 'IBr2': (-1,),
    'IBrCl': (-1,), 'I2Br': (-1,), 'I2Cl': (-1,), 'BrCl2': (-1,), 'Br2Cl': (-1,), 'ICl4': (-1,), 'IBr4': (-1,),
    # closo-boranes
    'B6H6': (-2,), 'B10H10': (-2,), 'B12H12': (-2,), 'B12Cl12': (-2,), 'B12Br12': (-2,), 'B12I12': (-2,),
    'B12F12': (-2,), 'B9H9': (-2,), 'B3H8': (-1,), 'CB11H12': (-1,), 'CB9H10': (-1,),
}
# fmt: on
"""Formula of an ion of atoms bonded to each other → the charges that it is known with, e."""


@functools.cache
def _table(name: str) -> dict[str, t.Any]:
    return t.cast(dict[str, t.Any], json.loads((Path(__file__).parent / f'{name}.json').read_text(encoding='utf8')))


def oxidation_states(element: str, source: str = DEFAULT_SOURCE) -> tuple[int, ...]:
    """Return the common non-zero oxidation states of ``element``, ascending; empty where the list has none.

    :raises InvalidInputError: if the element or the source is unknown.
    """
    if source not in SOURCES:
        raise InvalidInputError(f'unknown list of oxidation states `{source}`: choose from {", ".join(SOURCES)}')
    states = _table('oxidation_states')[source].get(element)
    if states is None:
        require_elements((element,))
        return ()
    return tuple(states)


def electronegativity(element: str) -> float | None:
    """Return the Pauling electronegativity of ``element``, or ``None`` where it has none (He, Ne, Ar, …).

    :raises InvalidInputError: if the element is unknown.
    """
    value = _table('electronegativity')['pauling'].get(element)
    if value is None:
        require_elements((element,))
        return None
    return float(value)


@functools.cache
def polyatomic_ions() -> tuple[tuple[dict[str, int], tuple[int, ...]], ...]:
    """Return the composition and the charges of every ion in ``POLYATOMIC_IONS``."""
    return tuple(
        ({symbol: int(n) for symbol, n in parse_formula(formula).items()}, charges)
        for formula, charges in POLYATOMIC_IONS.items()
    )

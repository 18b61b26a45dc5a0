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
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('DEFAULT_SOURCE', 'MIXED_VALENCE_ELEMENTS', 'SOURCES', 'electronegativity', 'oxidation_states')

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


@functools.cache
def _table(name: str) -> dict[str, t.Any]:
    return t.cast(dict[str, t.Any], json.loads((Path(__file__).parent / f'{name}.json').read_text(encoding='utf8')))


def oxidation_states(element: str, source: str = DEFAULT_SOURCE) -> tuple[int, ...]:
    """Return the common non-zero oxidation states of ``element``, ascending; empty where the list has none.

    :raises InvalidInputError: if the element or the source is unknown.
    """
    if source not in SOURCES:
        message = f'unknown list of oxidation states `{source}`: choose from {", ".join(SOURCES)}'
        raise InvalidInputError(message)
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

"""Classes of materials by their most electronegative element, for splits and rates per class."""

from __future__ import annotations

from collections.abc import Iterable

from aiida_qagenai.chemistry.elements import require_elements

__all__ = ('CLASSES', 'material_class')

_ANIONS = {
    'F': 'fluoride',
    'O': 'oxide',
    'Cl': 'halide',
    'Br': 'halide',
    'I': 'halide',
    'N': 'nitride',
    'S': 'chalcogenide',
    'Se': 'chalcogenide',
    'Te': 'chalcogenide',
    'P': 'pnictide',
    'As': 'pnictide',
    'Sb': 'pnictide',
    'Bi': 'pnictide',
    'C': 'carbide',
    'H': 'hydride',
    'B': 'boride',
    'Si': 'tetrelide',
    'Ge': 'tetrelide',
}
"""Element → class, the most electronegative first: an oxyfluoride is a fluoride, a phosphate an oxide."""

CLASSES = ('element', *dict.fromkeys(_ANIONS.values()), 'intermetallic')
"""All classes."""


def material_class(elements: Iterable[str]) -> str:
    """Return the class of a compound of these elements.

    :raises aiida_qagenai.common.errors.InvalidInputError: for an unknown element.
    """
    symbols = set(require_elements(elements))
    if len(symbols) == 1:
        return 'element'
    return next((name for anion, name in _ANIONS.items() if anion in symbols), 'intermetallic')

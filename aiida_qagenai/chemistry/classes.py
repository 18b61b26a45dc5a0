"""Classes of materials by their most electronegative element, for splits and rates per class."""

from __future__ import annotations

from collections.abc import Iterable

from aiida_qagenai.chemistry.elements import require_elements

__all__ = ('CLASSES', 'material_class')

_ANIONS = {
    'fluoride': {'F'},
    'oxide': {'O'},
    'halide': {'Cl', 'Br', 'I'},
    'nitride': {'N'},
    'chalcogenide': {'S', 'Se', 'Te'},
    'pnictide': {'P', 'As', 'Sb', 'Bi'},
    'carbide': {'C'},
    'hydride': {'H'},
    'boride': {'B'},
    'tetrelide': {'Si', 'Ge'},
}
"""Class → elements, the most electronegative first: an oxyfluoride is a fluoride, a phosphate an oxide."""

CLASSES = ('element', *_ANIONS, 'intermetallic')
"""All classes."""


def material_class(elements: Iterable[str]) -> str:
    """Return the class of a compound of these elements.

    :raises aiida_qagenai.common.errors.InvalidInputError: for an unknown element.
    """
    symbols = set(require_elements(elements))
    if len(symbols) == 1:
        return 'element'
    return next((name for name, anions in _ANIONS.items() if anions & symbols), 'intermetallic')

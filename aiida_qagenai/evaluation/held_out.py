"""The formulas that no model of the package was fitted to, by which those who use it can measure it.

A tenth of all reduced formulas, chosen by their hash, so that the choice never depends on a list: half of it validates
while models are made, the other half is looked at by nobody before the end.
"""

from __future__ import annotations

import hashlib
import typing as t

__all__ = ('is_held_out', 'part_of', 'place_of')


def place_of(formula: str) -> int:
    """Return the place of a reduced formula among a hundred."""
    return int(hashlib.sha256(formula.encode()).hexdigest(), 16) % 100


def part_of(formula: str) -> t.Literal['train', 'validation', 'test']:
    """Return the part that a reduced formula (pymatgen's order of the elements) belongs to."""
    place = place_of(formula)
    return 'validation' if place < 5 else 'test' if place < 10 else 'train'


def is_held_out(formula: str) -> bool:
    """Return whether no shipped model was fitted to crystals of a reduced formula."""
    return part_of(formula) != 'train'

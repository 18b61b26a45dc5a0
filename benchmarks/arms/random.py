"""Random symmetric crystals by PyXtal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from arms import Arm

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'examples'))


def build(excluded: frozenset[str]) -> Arm:
    """Return the arm, which knows no crystals."""
    return random_crystals


def random_crystals(composition: Mapping[str, int], count: int, seed: int) -> list[Structure | None]:
    """Return random crystals, each with a space group drawn evenly from those that fit."""
    from random_crystals import random_crystal

    rng = np.random.default_rng(seed)
    found: list[Structure | None] = []
    for _ in range(count):
        try:
            found.append(AseAtomsAdaptor.get_structure(random_crystal(dict(composition), rng)))
        except RuntimeError:
            found.append(None)
    return found

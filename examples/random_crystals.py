"""Random crystals of one composition by PyXtal, one symmetric crystal per frame of an extxyz file.

A generator of others, for the page on bringing your own: it needs PyXtal, but neither AiiDA nor this package.

    python random_crystals.py --composition '{"Na": 1, "Cl": 1}' --count 20 --seed 1 --output crystals.extxyz
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from ase import Atoms
from ase.io import write
from pyxtal import pyxtal
from pyxtal.msg import Comp_CompatibilityError

MAX_ATTEMPTS = 100
"""Space groups tried for one crystal: many are incompatible with a composition, or too crowded."""


def random_crystals(composition: dict[str, int], count: int, seed: int) -> list[Atoms]:
    """Return random crystals.

    Each has a space group drawn evenly from the 230, random occupied Wyckoff positions in it, and PyXtal's estimate of
    the volume; groups that are incompatible with the composition are drawn again.

    :param composition: atoms in the primitive cell by element.
    :raises RuntimeError: if no space group fits within ``MAX_ATTEMPTS``.
    """
    rng = np.random.default_rng(seed)
    return [random_crystal(composition, rng) for _ in range(count)]


def random_crystal(composition: dict[str, int], rng: np.random.Generator) -> Atoms:
    """Return one random crystal."""
    symbols, numbers = list(composition), list(composition.values())
    for _ in range(MAX_ATTEMPTS):
        crystal = pyxtal()
        group = int(rng.integers(1, 231))
        try:
            crystal.from_random(3, group, symbols, numbers, conventional=False, random_state=rng)
        except (Comp_CompatibilityError, RuntimeError):
            continue
        if crystal.valid:
            return crystal.to_ase()
    raise RuntimeError(f'no space group fits {composition} in {MAX_ATTEMPTS} attempts')


def main() -> None:
    """Write the crystals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--composition', type=json.loads, required=True, help='JSON: atoms in the primitive cell')
    parser.add_argument('--count', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--output', default='crystals.extxyz')
    arguments = parser.parse_args()
    write(arguments.output, random_crystals(arguments.composition, arguments.count, arguments.seed), format='extxyz')


if __name__ == '__main__':
    main()

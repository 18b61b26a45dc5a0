"""Baselines that generate crystals, one per module, all of one form.

    from arms import NAMES, build
    arm = build('ion_substitution', excluded=frozenset({'SrTiO3'}))
    crystals = arm({'Sr': 1, 'Ti': 1, 'O': 3}, count=20, seed=0)

- `random`: random symmetric crystals by PyXtal.
- `retrieval`: known crystals with the elements exchanged, in the order of the distance of the elements.
- `motifs`: what the package proposes, in the order of its learned ranking.
- `ion_substitution`: known crystals in the order of pymatgen's data-mined probabilities of ionic substitution.
- `gnome_like`: many of these substitutions, in the order of an energy above the hull that was learned.
- `diffcsp`: diffusion from noise by our own small DiffCSP (`recipes/diffcsp.py`).
- `cdvae`: latent vectors decoded by our own small CDVAE (`recipes/cdvae.py`).
"""

from __future__ import annotations

import importlib
import typing as t
from collections.abc import Collection, Mapping, Sequence

from pymatgen.core import Structure

NAMES = ('random', 'retrieval', 'motifs', 'ion_substitution', 'gnome_like', 'diffcsp', 'cdvae')


class Arm(t.Protocol):
    """A baseline: from the content of a primitive cell to crystals, the best guess first; ``None`` is a failure."""

    def __call__(self, composition: Mapping[str, int], count: int, seed: int) -> list[Structure | None]:
        """Return ``count`` crystals; the same seed gives the same ones. Some arms draw nothing and ignore the seed."""
        ...


def build(name: str, excluded: Collection[str] = frozenset()) -> Arm:
    """Return the arm of a name.

    :param excluded: reduced formulas of which an arm that holds known crystals looks at none. The network of
        `diffcsp` and those of `cdvae` never saw the formulas that their cards list, nor those to which nothing was
        fitted (see :mod:`aiida_qagenai.evaluation.held_out`).
    :raises ValueError: if no arm has this name.
    """
    if name not in NAMES:
        raise ValueError(f'`{name}` is not an arm, expected one of {", ".join(NAMES)}')
    arm: Arm = importlib.import_module(f'arms.{name}').build(frozenset(excluded))
    return arm


def filled_up(crystals: Sequence[Structure | None], count: int) -> list[Structure | None]:
    """Return ``count`` crystals: those that an arm does not find are failures."""
    return [*crystals[:count], *[None] * (count - len(crystals))]

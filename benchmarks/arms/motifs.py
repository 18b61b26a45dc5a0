"""What the package proposes: known crystals with exchanged elements, the most probable first, refined."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from pymatgen.core import Composition, Structure
from sampling import sampled

from aiida_qagenai.common.errors import InvalidInputError
from arms import Arm, filled_up


def build(excluded: frozenset[str]) -> Arm:
    """Return the arm with the models of the package."""
    return Motifs(excluded)


@dataclasses.dataclass(frozen=True)
class Motifs:
    """The task `generate` for requests of mode `motifs`.

    :param refine: whether the diffusion model refines them.
    """

    excluded: frozenset[str]
    refine: bool = True

    def __call__(self, composition: Mapping[str, int], count: int, seed: int) -> list[Structure | None]:
        """Return the crystals for a primitive cell."""
        amounts = Composition(composition).get_reduced_composition_and_factor()[0].get_el_amt_dict()
        request = {
            'mode': 'motifs',
            'formula': ''.join(f'{symbol}{round(amount)}' for symbol, amount in amounts.items()),
            'formula_units': math.gcd(*composition.values()),
            'max_atoms': 60,
            'exclude': sorted(self.excluded),
            'count': count,
            'refine': self.refine,
        }
        try:
            found = sampled([request], seed=seed)
        except InvalidInputError:
            found = []
        return filled_up([each.structure for each in found], count)

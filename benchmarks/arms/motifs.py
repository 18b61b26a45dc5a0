"""What the package proposes: known crystals with exchanged elements, the most probable first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from pymatgen.core import Structure

from aiida_qagenai.motifs.propose import Limits, MotifModels, propose
from arms import Arm, filled_up


def build(excluded: frozenset[str]) -> Arm:
    """Return the arm with the ranking of the package."""
    return Motifs(MotifModels.default(), excluded)


@dataclasses.dataclass(frozen=True)
class Motifs:
    """The proposals of some models; nothing is drawn."""

    models: MotifModels
    excluded: frozenset[str]

    def __call__(self, composition: Mapping[str, int], count: int, seed: int) -> list[Structure | None]:
        """Return the proposals for a primitive cell."""
        limits = Limits(formula_units=math.gcd(*composition.values()), excluded=self.excluded)
        found = propose(self.models, composition, count=count, limits=limits)
        return filled_up([each.structure for each in found], count)

"""Retrieval alone: known crystals with exchanged elements, in the order of the distance of the elements."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from pymatgen.core import Structure

from aiida_qagenai.motifs.propose import Limits, MotifModels, propose
from aiida_qagenai.motifs.ranking import Ranking
from arms import Arm, filled_up


class Nearest(Ranking):
    """The order of retrieval alone: by the distance of the elements."""

    def of_features(self, features: np.ndarray) -> np.ndarray:
        """Return numbers that fall with the distance, which is the first feature."""
        return np.exp(-features[:, 0])


def build(excluded: frozenset[str]) -> Arm:
    """Return the arm: the models of the package, but for the ranking, without refinement."""
    models = MotifModels.default()
    nearest = Nearest(**{field.name: getattr(models.ranking, field.name) for field in dataclasses.fields(Ranking)})
    return Retrieval(dataclasses.replace(models, ranking=nearest), excluded)


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """The proposals of some models as they are; nothing is drawn."""

    models: MotifModels
    excluded: frozenset[str]

    def __call__(self, composition: Mapping[str, int], count: int, seed: int) -> list[Structure | None]:
        """Return the proposals for a primitive cell."""
        limits = Limits(formula_units=math.gcd(*composition.values()), excluded=self.excluded)
        found = propose(self.models, composition, count=count, limits=limits)
        return filled_up([each.structure for each in found], count)

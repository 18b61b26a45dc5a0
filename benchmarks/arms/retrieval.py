"""Retrieval alone: known crystals with exchanged elements, in the order of the distance of the elements."""

from __future__ import annotations

import dataclasses

import numpy as np

from aiida_qagenai.motifs.propose import MotifModels
from aiida_qagenai.motifs.ranking import Ranking
from arms import Arm
from arms.motifs import Motifs


class Nearest(Ranking):
    """The order of retrieval alone: by the distance of the elements."""

    def of_features(self, features: np.ndarray) -> np.ndarray:
        """Return numbers that fall with the distance, which is the first feature."""
        return np.exp(-features[:, 0])


def build(excluded: frozenset[str]) -> Arm:
    """Return the arm: the models of the package, but for the ranking."""
    models = MotifModels.default()
    nearest = Nearest(**{field.name: getattr(models.ranking, field.name) for field in dataclasses.fields(Ranking)})
    return Motifs(dataclasses.replace(models, ranking=nearest), excluded)

"""What a member of the ensemble predicts for many structures while it is trained."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.ml.graph import CrystalGraph, collate
from aiida_qagenai.ml.validator.network import MultiFidelityPotential

__all__ = ('surface',)

CHUNK = 64
"""Structures evaluated together."""


def surface(
    model: MultiFidelityPotential, graphs: list[CrystalGraph], rows: NDArray[np.int64], level: int
) -> NDArray[np.float64]:
    """Return the energies of some structures on one level, each computed once, shape (len(rows),), eV/atom."""
    distinct, places = np.unique(rows, return_inverse=True)
    found = [np.zeros(0)]
    with torch.no_grad():
        for start in range(0, len(distinct), CHUNK):
            batch = collate([graphs[row] for row in distinct[start : start + CHUNK]])
            found.append((model(batch, level) / batch.num_atoms).double().cpu().numpy())
    return np.concatenate(found)[places]

"""The element references of a member: fitted before its first training, refitted before every later one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.ml.graph import CrystalGraph
from aiida_qagenai.ml.training.members import fit_references, nearest_label, ridge_solution
from aiida_qagenai.ml.training.stages import shift_references
from aiida_qagenai.ml.training.surfaces import surface
from aiida_qagenai.ml.validator.network import MultiFidelityPotential

__all__ = ('initialise', 'refit_references')


def initialise(
    member: MultiFidelityPotential,
    graphs: list[CrystalGraph],
    fractions: NDArray[np.float64],
    energies: NDArray[np.float64],
    rows: NDArray[np.int64],
    *,
    weights: NDArray[np.float64] | None = None,
) -> None:
    """Set the references, the energy scale and the mean number of neighbours of a new member from its sample.

    :param weights: how much each label counts, shape (n, L); 1 by default.
    """
    counted = None if weights is None else weights[rows]
    references = fit_references(fractions[rows], energies[rows], parents=member.parents, weights=counted)
    residuals = energies[rows] - fractions[rows] @ references.T
    finite = residuals[np.isfinite(residuals)]
    neighbours = sum(len(graphs[row].senders) for row in rows) / sum(len(graphs[row].species) for row in rows)
    with torch.no_grad():
        for level, parameter in enumerate(member.references):
            parameter.copy_(torch.as_tensor(references[level]))
        member.scale.fill_(max(float(finite.std()), 1e-2))
        member.mean_neighbours.fill_(max(neighbours, 1.0))


def refit_references(
    member: MultiFidelityPotential,
    known: int,
    graphs: list[CrystalGraph],
    fractions: NDArray[np.float64],
    energies: NDArray[np.float64],
    *,
    rows: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
    levels: Iterable[int] | None = None,
) -> None:
    """Let the references of a trained member take up the mean error, per element, on each level of its new sample.

    A level that it did not know, from position ``known`` on, starts from the surface of its parent. Where a structure
    has a label on an ancestor as well, the error there is taken off: it is mended on that level. What inherits from a
    level follows it.

    :param weights: how much each label counts, shape (n, L); 1 by default.
    :param levels: only these; all by default.
    """
    for level in range(len(member.parents)) if levels is None else levels:
        start = level if level < known else member.parents[level]
        chosen = rows[np.isfinite(energies[rows, level])]
        errors = energies[chosen, level] - surface(member, graphs, chosen, start)
        lower = np.array([nearest_label(energies[row], level, member.parents) for row in chosen], dtype=np.int64)
        for k in np.unique(lower[lower >= 0]):
            same = chosen[lower == k]
            errors[lower == k] -= energies[same, k] - surface(member, graphs, same, int(k))
        change = ridge_solution(fractions[chosen], errors, weights=None if weights is None else weights[chosen, level])
        with torch.no_grad():
            member.references[level].copy_(member.references[start])
        shift_references(member, level, torch.as_tensor(change).to(member.scale))

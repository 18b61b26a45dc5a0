"""What the arms without networks know of a structure: the features of the shipped validator, or the periodic table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.elements import element_statistics
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.validator.base import base_of, on_base
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs

__all__ = ('Knowledge', 'composition_features', 'knowledge_of')

BATCH = 64


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """What is known of each structure before any label of the contest.

    :param features: standardised, shape (n, d).
    :param base: energy by the shipped validator, shape (n,), eV/atom, or None.
    """

    features: NDArray[np.float64]
    base: NDArray[np.float64] | None


def knowledge_of(structures: StructureBatch, target: Fidelity, validator: Path | None, runtime: Runtime) -> Knowledge:
    """Return what a validator knows of ``structures``.

    Its energies are those on the highest rung that it was trained on, up to that of the ``target``.

    :param validator: checkpoint; the one that comes with the package if None.
    """
    tensors, info = load_checkpoint(validator or VALIDATOR_FOUNDATION, 'validator')
    ensemble = Ensemble.from_checkpoint(tensors, info, runtime.dtype)
    for member in ensemble.members:
        member.to(runtime.device)
    graphs, _ = model_graphs(structures, ensemble.elements, ensemble.cutoff, runtime.dtype)
    energies, features = ensemble.evaluate(graphs, runtime.device, BATCH)
    below = base_of(info, runtime)
    if below is not None:
        energies = energies + (on_base(below, structures)[0].energies / structures.num_atoms)[None, :, None]
    rungs = [rung for rung in LADDER[: target.rank + 1] if rung in ensemble.tree.rungs]
    base = energies.mean(axis=0)[:, ensemble.tree.on_rung(rungs[-1])] if rungs else None
    return Knowledge(_standardised(features), base)


def composition_features(fractions: NDArray[np.float64], elements: tuple[int, ...]) -> NDArray[np.float64]:
    """Return mean, spread and range of the properties of the elements over the atoms, standardised, shape (n, d).

    :param fractions: atomic fractions, shape (n, elements).
    :param elements: atomic numbers.
    """
    return _standardised(element_statistics(fractions, elements))


def _standardised(features: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = features.std(axis=0)
    known = deviation > 1e-8
    found: NDArray[np.float64] = (features[:, known] - features[:, known].mean(axis=0)) / deviation[known]
    return found

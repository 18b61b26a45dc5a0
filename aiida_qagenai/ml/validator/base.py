"""A foundation potential below the validator: E_l = E_base + references + Δ.

The ensemble then learns what its levels say beyond the potential of others, from labels with that potential taken off,
and every prediction adds it again: energies, forces and stresses. References take up the zero of its energies. It has
no spread of its own: σ is that of the ensemble, calibrated on errors of the sum.
"""

from __future__ import annotations

import dataclasses
import typing as t

import numpy as np
import pydantic

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.atomistic import AtomisticConfig
from aiida_qagenai.exchange.checkpoint import CheckpointInfo
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import Base
from aiida_qagenai.ml.potentials import Evaluation, Potential, chunks, make_potential
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('base_of', 'describe_base', 'load_base', 'on_base', 'settings_of', 'without_base')

MAX_ATOMS = 256
"""Most atoms that the potential evaluates at once."""


def load_base(settings: Base, runtime: Runtime) -> Potential:
    """Return the potential of these settings.

    :raises InvalidInputError: if its package is not installed here.
    """
    return make_potential(AtomisticConfig(potential=settings), runtime)


def settings_of(base: Base | None) -> dict[str, t.Any] | None:
    """Return the settings of a potential as a checkpoint holds them, None if there is none."""
    return None if base is None else base.model_dump(mode='json')


def describe_base(settings: Base | None, potential: Potential | None) -> dict[str, t.Any]:
    """Return what a checkpoint says of the potential below it; nothing if there is none."""
    if potential is None:
        return {}
    return {'base': settings_of(settings), 'base_sha256': potential.sha256}


def base_of(info: CheckpointInfo, runtime: Runtime) -> Potential | None:
    """Return the potential below the validator of a checkpoint, None if there is none.

    :raises InvalidInputError: if its package is not installed, or brings other weights than those of the training.
    """
    content = info.configuration.get('base')
    if content is None:
        return None
    settings: Base = pydantic.TypeAdapter(Base).validate_python(content)
    potential = load_base(settings, runtime)
    if potential.sha256 != info.configuration['base_sha256']:
        message = f'the validator was trained on other weights of {potential.tag} than those installed here'
        raise InvalidInputError(f'{message}: install the version of its package that the checkpoint names')
    return potential


def on_base(potential: Potential, structures: StructureBatch) -> tuple[Evaluation, list[str]]:
    """Return what the potential says of all structures, NaN where it fails, and the reasons, empty if it does not."""
    parts, reasons = [], []
    for rows in chunks(structures, MAX_ATOMS):
        found, problems = potential.evaluate_each(structures.select(rows))
        parts.append(found)
        reasons += problems
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ('energies', 'forces', 'stresses'))
    return (Evaluation(*arrays) if parts else potential.evaluate_each(structures)[0]), reasons


def without_base(labels: LabelledBatch, potential: Potential) -> tuple[LabelledBatch, list[str]]:
    """Return the labels with the potential taken off, and why some structures have none, empty if they have.

    What the potential cannot describe loses its labels.
    """
    found, reasons = on_base(potential, labels.structures)
    energies = found.energies / labels.structures.num_atoms
    return dataclasses.replace(
        labels,
        energies=labels.energies - energies[:, None],
        forces=labels.forces - found.forces[:, None],
        stresses=labels.stresses - found.stresses[:, None],
    ), reasons

"""Phases of a hull from computed energies and data sets, all at one level of theory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import last_on_rung
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.thermodynamics.hull.phases import Phase

__all__ = ('content_name', 'phases_from_dataset', 'phases_from_energies')


def phases_from_energies(energies: Iterable[EnergyData], *, fidelity: Fidelity | None = None) -> list[Phase]:
    """Return the phases of computed energies, each under the uuid of its structure.

    Formation energies where all have them, else total energies, for which the hull needs the elements.

    :param fidelity: use only energies at this level; by default all must be at one level.
    :raises InvalidInputError: if levels of theory or kinds of energies are mixed, or one did not converge.
    """
    chosen = [energy for energy in energies if fidelity is None or energy.fidelity is fidelity]
    formation = any(energy.formation_energy_per_atom is not None for energy in chosen)
    phases = []
    for energy in chosen:
        attributes, formed = energy.base.attributes, energy.formation_energy_per_atom
        name = f'{attributes.get("formula")} <{energy.uuid}>'
        if not attributes.get('converged'):
            raise InvalidInputError(f'the energy of {name} did not converge: leave it out of the hull')
        if formation and formed is None:
            message = f'the energy of {name} has no formation energy, unlike others: one hull needs one kind of energy'
            raise InvalidInputError(message)
        phases.append(
            Phase(
                attributes.get('formula'),
                float(attributes.get('energy_per_atom') if formed is None else formed),
                identifier=attributes.get('structure_uuid'),
                level=_level(energy.fidelity, attributes.get('level_tag'), attributes.get('formation_scheme')),
            )
        )
    _require_one_level(phases)
    return phases


def phases_from_dataset(dataset: DatasetData, fidelity: Fidelity, *, doubtful: bool = True) -> list[Phase]:
    """Return the phases of a training set with a formation energy at ``fidelity``.

    The identifiers come from :func:`content_name`: names are unique within one campaign only, and a candidate must
    compete with a phase of the same name from another campaign.

    :param doubtful: whether energies that did not converge, or whose method is in doubt, are among them.
    :raises InvalidInputError: if the set holds no energies of that level.
    """
    labels = dataset.labels()
    attributes = dataset.base.attributes
    tag = attributes.get('level_tags').get(fidelity.value)
    if tag is None or not dataset.counts.get(fidelity.value):
        message = f'{dataset} holds no energies of {fidelity.value}, only of {", ".join(attributes.get("level_tags"))}'
        raise InvalidInputError(message)
    level = _level(fidelity, tag, attributes.get('formation_scheme'))
    batch, energies = labels.structures, labels.energies_of(fidelity)
    species = np.split(batch.species, batch.offsets[1:-1])
    known = np.isfinite(energies)
    column = last_on_rung(labels.levels, fidelity)
    if not doubtful and column is not None:
        known &= ~labels.doubtful[:, column]
    return [
        Phase(_amounts(species[row]), float(energies[row]), identifier=content_name(batch, row), level=level)
        for row in np.flatnonzero(known).tolist()
    ]


def content_name(batch: StructureBatch, row: int) -> str:
    """Return the name of a structure in its set and ten hexadecimal digits of its content."""
    atoms = slice(batch.offsets[row], batch.offsets[row + 1])
    content = hashlib.sha256()
    for array in (batch.cells[row], batch.species[atoms], batch.fractional[atoms]):
        content.update(np.ascontiguousarray(array).tobytes())
    return f'{batch.identifiers[row]} {content.hexdigest()[:10]}'


def _amounts(numbers: NDArray[np.int64]) -> dict[str, float]:
    kinds, counts = np.unique(numbers, return_counts=True)
    return {SYMBOLS[number - 1]: float(count) for number, count in zip(kinds, counts, strict=True)}


def _level(fidelity: Fidelity, tag: str, scheme: str | None) -> str:
    return f'{fidelity.value} {tag} {scheme or "total"}'


def _require_one_level(phases: list[Phase]) -> None:
    levels = sorted({str(phase.level) for phase in phases})
    if len(levels) > 1:
        message = f'a hull needs all energies at one level of theory, but these are at {"; ".join(levels)}'
        raise InvalidInputError(message)

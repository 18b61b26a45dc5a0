"""Build a training set for the models from computed energies."""

from __future__ import annotations

import dataclasses
import typing as t

import numpy as np
from aiida.engine import calcfunction
from aiida.orm import ArrayData, Dict, StructureData

from aiida_qagenai.common.descriptors import pack
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData, is_doubtful
from aiida_qagenai.engine.batch import bulk_inputs
from aiida_qagenai.exchange.dataset import LabelledBatch, hashed_splits
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.thermodynamics.multireference import METHOD_FLAGS

__all__ = ('build_dataset', 'energy_label', 'split_energy_label')


def energy_label(structure_label: str, fidelity: Fidelity) -> str:
    """Return the name of the energy of one structure at one level: ``c00012pbe``."""
    return f'{structure_label}{fidelity.label}'


def split_energy_label(label: str) -> tuple[str, Fidelity]:
    """Return the label of the structure and the fidelity that :func:`energy_label` joined.

    :raises InvalidInputError: if the label does not end in a fidelity.
    """
    for fidelity in LADDER:
        if label.endswith(fidelity.label):
            return label.removesuffix(fidelity.label), fidelity
    message = f'`{label}` is not the label of an energy: it must end in {", ".join(f.label for f in LADDER)}'
    raise InvalidInputError(message)


@bulk_inputs('structures', 'energies', 'descriptors', 'relaxed', 'forces')
@calcfunction
def build_dataset(parameters: Dict, **kwargs: t.Any) -> DatasetData:
    """Return the training set that extends ``previous`` by newly computed energies.

    :param parameters: ``fractions`` of the splits and their ``seed``; ``doubtful`` (optional): flags of multireference
        character that make a label doubtful, those of ``METHOD_FLAGS`` by default.
    :param kwargs: ``previous``, the DatasetData to extend (optional); the namespaces ``structures`` (CandidateData by
        label), ``energies`` (EnergyData by :func:`energy_label`), ``descriptors`` (Dict by label, optional) and
        ``relaxed`` (StructureData by label, optional): the geometry of the energies where the candidate was relaxed;
        ``forces`` (ArrayData by label, optional): ``forces`` and ``stress`` on it, labels of the PBE energies if their
        attribute ``level_tag`` is the same. Forces that an energy holds itself come first.
    :raises InvalidInputError: if energies have no formation energy, mix schemes or level tags with each other or with
        the previous set, or belong to no given structure.
    """
    previous: DatasetData | None = kwargs.get('previous')
    energies: dict[str, EnergyData] = dict(sorted(kwargs.get('energies', {}).items()))
    options = parameters.get_dict()
    tags, scheme, scientific = merge_tags(previous, energies)
    labelled = sorted({split_energy_label(label)[0] for label in energies})
    new = pack_labels(
        {label: kwargs['structures'][label] for label in labelled},
        energies,
        kwargs.get('descriptors', {}),
        kwargs.get('relaxed', {}),
        kwargs.get('forces', {}),
        doubtful_flags=options.get('doubtful', METHOD_FLAGS),
    )
    new, old = new.tagged(tags), None if previous is None else previous.labels()
    batch = new if old is None else append(old, new)
    split = hashed_splits(
        batch.structures.identifiers,
        batch.groups,
        fractions=tuple(options['fractions']),
        seed=options['seed'],
        known=None if old is None else old.split,
    )
    batch = dataclasses.replace(batch, split=split)
    return DatasetData(batch, level_tags=tags, formation_scheme=scheme, scientific=scientific)


def merge_tags(
    previous: DatasetData | None, energies: dict[str, EnergyData]
) -> tuple[dict[str, str], str | None, bool]:
    """Return level tags by fidelity, the formation scheme and whether all is scientific.

    :raises InvalidInputError: if what must be equal differs.
    """
    attributes = previous.base.attributes.all if previous is not None else {}
    tags: dict[str, str] = dict(attributes.get('level_tags', {}))
    scheme: str | None = attributes.get('formation_scheme')
    scientific = bool(attributes.get('scientific', True))
    for label, energy in energies.items():
        content = energy.content
        if content.formation_energy_per_atom is None:
            raise InvalidInputError(f'energy `{label}` has no formation energy: compute it with references')
        known = tags.setdefault(content.fidelity.value, content.level_tag)
        if known != content.level_tag:
            message = (
                f'energy `{label}` has the level tag `{content.level_tag}`, the set has `{known}`: never mix them; '
                '`aiida-qagenai dataset build` with both as --level-tag keeps them apart'
            )
            raise InvalidInputError(message)
        if scheme not in (None, content.formation_scheme):
            message = f'energy `{label}` is `{content.formation_scheme}`, the set is `{scheme}`: never mix them'
            raise InvalidInputError(message)
        scheme = content.formation_scheme
        scientific = scientific and content.scientific
    return tags, scheme, scientific


def pack_labels(
    structures: dict[str, CandidateData],
    energies: dict[str, EnergyData],
    descriptors: dict[str, Dict],
    relaxed: dict[str, StructureData],
    forces: dict[str, ArrayData],
    *,
    doubtful_flags: t.Collection[str] = METHOD_FLAGS,
) -> LabelledBatch:
    """Return the new structures, as they were computed, with their energies, forces and descriptors, packed."""
    labels = list(structures)
    rows = {label: row for row, label in enumerate(labels)}
    matrix = np.full((len(labels), len(LADDER)), np.nan)
    doubtful = np.zeros(matrix.shape, dtype=np.bool_)
    for label, energy in energies.items():
        name, fidelity = split_energy_label(label)
        if fidelity is not energy.fidelity:
            raise InvalidInputError(f'energy `{label}` was computed at {energy.fidelity}')
        matrix[rows[name], fidelity.rank] = energy.formation_energy_per_atom
        doubtful[rows[name], fidelity.rank] = is_doubtful(energy.base.attributes.all, doubtful_flags)
    vectors = [pack(known_descriptors(label, energies, descriptors)) for label in labels]
    nodes = list(structures.values())
    geometries = [relaxed.get(label, node).get_pymatgen() for label, node in structures.items()]
    batch = LabelledBatch(
        structures=StructureBatch.from_structures(geometries, [node.name for node in nodes]),
        energies=matrix,
        descriptors=np.array(vectors, dtype=np.float64).reshape(len(labels), -1),
        groups=np.array([node.formula for node in nodes], dtype=np.str_),
        split=np.zeros(len(labels), dtype=np.int8),
        doubtful=doubtful,
    )
    fill_derivatives(batch, rows, energies, forces)
    return batch


def known_descriptors(label: str, energies: dict[str, EnergyData], descriptors: dict[str, Dict]) -> dict[str, t.Any]:
    """Return the quantum descriptors of a structure; of a spin-polarised crystal the gap at PBE alone is known."""
    if label in descriptors:
        found: dict[str, t.Any] = descriptors[label].get_dict()
        return found
    energy = energies.get(energy_label(label, Fidelity.PBE))
    gap = None if energy is None or not energy.content.spin_polarized else energy.content.band_gap
    return {} if gap is None else {'band_gap': gap}


def fill_derivatives(
    batch: LabelledBatch, rows: dict[str, int], energies: dict[str, EnergyData], forces: dict[str, ArrayData]
) -> None:
    """Enter the forces and stresses that belong to the energies, into the arrays of ``batch``.

    :param rows: row of each structure by its label.
    :param forces: of relaxed structures by label: taken only where they are of the level of the energy at PBE.
    """
    offsets = batch.structures.offsets
    for label, energy in energies.items():
        name, fidelity = split_energy_label(label)
        row, content = rows[name], energy.content
        values: dict[str, t.Any] = {'forces': content.forces, 'stress': content.stress}
        node = forces.get(name) if fidelity is Fidelity.PBE else None
        if node is not None and node.base.attributes.get('level_tag', None) == content.level_tag:
            found = {array: node.get_array(array) for array in node.get_arraynames()}
            values = {array: found.get(array) if value is None else value for array, value in values.items()}
        if values['forces'] is not None:
            batch.forces[offsets[row] : offsets[row + 1], fidelity.rank] = values['forces']
        if values['stress'] is not None:
            batch.stresses[row, fidelity.rank] = values['stress']


def append(old: LabelledBatch, new: LabelledBatch) -> LabelledBatch:
    """Return both sets in order.

    :raises InvalidInputError: if a structure is in both.
    """
    common = sorted(set(old.structures.identifiers.tolist()) & set(new.structures.identifiers.tolist()))
    if common:
        raise InvalidInputError(f'already in the training set: {", ".join(common[:5])}')
    return LabelledBatch.concatenate([old, new])

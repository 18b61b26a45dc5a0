"""The shipped heads of quantum descriptors: what they see, and what they predict, as the histogram of ELF has to be."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.descriptors import BLOCKS, FIELDS, HEAD_FIELDS, HIGH_ELF
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.checkpoint import DESCRIPTOR_FOUNDATION, GAP_FOUNDATION
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.elements import composition_fractions, fractions_of
from aiida_qagenai.ml.gaps.model import GapModel, load_gap_model
from aiida_qagenai.ml.latent import Seen, composition_inputs
from aiida_qagenai.ml.properties.model import Properties, PropertyModel, load_property_model
from aiida_qagenai.ml.runtime import Runtime

__all__ = (
    'HISTOGRAM',
    'DescriptorModel',
    'describe',
    'describe_compositions',
    'descriptor_arrays',
    'gap_checkpoint',
    'load_descriptor_heads',
    'normalised',
)

HISTOGRAM = [HEAD_FIELDS.index(name) for name in BLOCKS['elf']]
"""Places of the histogram of ELF among the fields."""

HIGH = [HEAD_FIELDS.index(name) for name in HIGH_ELF]


LEAST = 1e-6
"""Electrons by which is divided, or of which the logarithm is taken, at least."""


@dataclasses.dataclass(kw_only=True)
class DescriptorModel(PropertyModel):
    """Heads on the hidden features of the gap model, which has seen many more crystals than there are descriptors.

    :param gaps: each network sees what one of its networks of crystals makes of a crystal.
    :param electrons: of each element in the calculations: s, p and d outside the frozen core, all outside of it, and
        all of the pseudopotential, shape (elements, 5).
    """

    gaps: GapModel
    electrons: NDArray[np.float64]

    def inputs(self, structures: StructureBatch, seen: Seen) -> list[NDArray[np.float64]]:
        """Return what each network sees of crystals, shape (n, d)."""
        fractions = composition_fractions(structures, self.elements)
        volumes = np.abs(np.linalg.det(structures.cells))[:, None] / structures.num_atoms[:, None]
        densities = np.maximum(fractions @ self.electrons[:, 3:], LEAST) / volumes
        common = [self.formula_inputs(fractions), np.log(volumes), np.log(densities)]
        return [np.concatenate([*common, hidden], axis=1) for hidden in self.gaps.hidden(structures, seen)]

    def formula_inputs(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each network of compositions sees, shape (n, d), from atomic fractions, shape (n, elements)."""
        mean = fractions @ self.electrons
        shares = mean[:, :3] / np.maximum(mean[:, 3:4], LEAST)
        return np.concatenate([composition_inputs(fractions, self.elements), mean, shares], axis=1)


def gap_checkpoint() -> str:
    """Return the hash of the gap model of the package, with which heads of descriptors have to have been trained."""
    return load_checkpoint(GAP_FOUNDATION, 'descriptor')[1].sha256


def load_descriptor_heads(
    runtime: Runtime, labels: Path | None = None, folder: Path = DESCRIPTOR_FOUNDATION, gaps: GapModel | None = None
) -> DescriptorModel:
    """Return the heads of the package, ready to predict.

    :param labels: packed training set whose descriptors they learn from, each crystal as one of the first.
    :param gaps: the gap model of the package, if it is loaded already.
    :raises CorruptFileError: if a file is missing or damaged.
    :raises InvalidInputError: if they were trained on another gap model than the shipped one.
    """
    gaps = gaps or load_gap_model(runtime)
    model, info = load_property_model(runtime, folder, HEAD_FIELDS, gaps.validator)
    if info.configuration.get('gaps_sha256') != gap_checkpoint():
        raise InvalidInputError(f'`{folder}` was trained on another gap model than that of the package: train it again')
    electrons = np.array([info.configuration['electrons'][symbol] for symbol in info.elements])
    parts = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    heads = DescriptorModel(**parts, gaps=gaps, electrons=electrons)
    if labels is not None:
        computed = LabelledBatch.load(labels)
        heads.learn(computed.structures, computed.descriptors[:, [FIELDS.index(name) for name in HEAD_FIELDS]], 1.0)
    return heads


def describe(model: PropertyModel, structures: StructureBatch, seen: Seen | None = None) -> Properties:
    """Return the descriptors of crystals, in the order and the units of ``DESCRIBED``.

    The histogram of ELF sums to 1, and the fraction of the volume with ELF ≥ 0.7 stands behind the fields.

    :param seen: what the validator says of them, if that is known.
    """
    return _with_high_elf(model.of_structures(structures, seen))


def describe_compositions(model: PropertyModel, compositions: Sequence[Mapping[str, float]]) -> Properties:
    """Return the descriptors of compositions as :func:`describe` those of crystals.

    :param compositions: amounts by symbol.
    :raises InvalidInputError: if something is not an element.
    """
    return _with_high_elf(model.of_compositions(*fractions_of(compositions, model.elements)))


def _with_high_elf(found: Properties) -> Properties:
    values = found.values.copy()
    values[:, HISTOGRAM] = normalised(values[:, HISTOGRAM])
    # The bins above 0.7 grow and shrink together, so that their deviations add up.
    values, sigma = (
        np.concatenate([each, each[:, HIGH].sum(axis=1, keepdims=True)], axis=1) for each in (values, found.sigma)
    )
    return Properties(values, sigma, found.out_of_distribution)


def descriptor_arrays(found: Properties) -> dict[str, NDArray[t.Any]]:
    """Return the arrays of descriptors by the names that they have in a file."""
    return {
        'descriptors': found.values,
        'descriptor_sigma': found.sigma,
        'descriptor_out_of_distribution': found.out_of_distribution,
    }


def normalised(histograms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return histograms, shape (n, bins), without negative parts and with a sum of 1."""
    positive = np.maximum(histograms, 1e-9)
    found: NDArray[np.float64] = positive / positive.sum(axis=1, keepdims=True)
    return found

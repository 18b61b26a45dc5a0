"""The shipped heads of quantum descriptors: what they predict, as the histogram of ELF has to be."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.descriptors import BLOCKS, FIELDS, HEAD_FIELDS, HIGH_ELF
from aiida_qagenai.exchange.checkpoint import DESCRIPTOR_FOUNDATION
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.elements import fractions_of
from aiida_qagenai.ml.latent import Seen
from aiida_qagenai.ml.properties.model import Properties, PropertyModel, load_property_model
from aiida_qagenai.ml.runtime import Runtime

__all__ = (
    'HISTOGRAM',
    'describe',
    'describe_compositions',
    'descriptor_arrays',
    'load_descriptor_heads',
    'normalised',
)

HISTOGRAM = [HEAD_FIELDS.index(name) for name in BLOCKS['elf']]
"""Places of the histogram of ELF among the fields."""

HIGH = [HEAD_FIELDS.index(name) for name in HIGH_ELF]


def load_descriptor_heads(runtime: Runtime, labels: Path | None = None) -> PropertyModel:
    """Return the heads of the package, ready to predict.

    :param labels: packed training set whose descriptors they learn from, each crystal as one of the first.
    :raises CorruptFileError: if a file is missing or damaged.
    """
    model = load_property_model(runtime, DESCRIPTOR_FOUNDATION, HEAD_FIELDS)[0]
    if labels is not None:
        computed = LabelledBatch.load(labels)
        model.learn(computed.structures, computed.descriptors[:, [FIELDS.index(name) for name in HEAD_FIELDS]], 1.0)
    return model


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

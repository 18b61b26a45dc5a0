"""An ensemble of property networks on the members of the shipped validator, with calibrated uncertainties."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.exchange.checkpoint import PROPERTY_FOUNDATION, CheckpointInfo
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.checkpoints import Tensors, load_checkpoint, load_weights
from aiida_qagenai.ml.elements import composition_fractions, element_numbers
from aiida_qagenai.ml.latent import (
    Seen,
    below,
    composition_inputs,
    familiarity,
    num_inputs,
    see,
    structure_inputs,
    without_labels,
)
from aiida_qagenai.ml.properties.network import PropertyNetwork
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.validator.ensemble import Ensemble

__all__ = ('ARCHITECTURE', 'Properties', 'PropertyModel', 'load_property_model')

ARCHITECTURE = 'property-mlp'
FLOOR = 0.03
"""Least standard deviation of a logarithm before calibration: members agree by accident."""


@dataclasses.dataclass(frozen=True)
class Properties:
    """Predicted properties, in the order and the units of ``PROPERTIES``.

    :param values: shape (n, properties).
    :param sigma: calibrated standard deviation, shape (n, properties).
    :param out_of_distribution: whether the training set has nothing like it, shape (n,).
    """

    values: NDArray[np.float64]
    sigma: NDArray[np.float64]
    out_of_distribution: NDArray[np.bool_]

    def arrays(self) -> dict[str, NDArray[t.Any]]:
        """Return the arrays by the names that they have in a file."""
        return {
            'properties': self.values,
            'property_sigma': self.sigma,
            'property_out_of_distribution': self.out_of_distribution,
        }


@dataclasses.dataclass
class PropertyModel:
    """The networks, each on the features of another member of the validator.

    :param elements: atomic numbers with labels, in ascending order.
    :param scales: factors on σ, shape (properties,).
    """

    elements: tuple[int, ...]
    networks: list[PropertyNetwork]
    scales: NDArray[np.float64]
    validator: Ensemble
    runtime: Runtime

    def of_structures(self, structures: StructureBatch, seen: Seen | None = None) -> Properties:
        """Return the properties of crystals.

        :param seen: what the validator says of them, if that is known.
        """
        seen = seen or see(structures, self.validator, self.runtime)
        values, variances = self.raw(self.inputs(structures, seen))
        outside, inflation = familiarity(self.validator, seen, without_labels(structures, self.elements))
        return Properties(values, values * self.scales * np.sqrt(variances) * inflation[:, None], outside)

    def inputs(self, structures: StructureBatch, seen: Seen) -> list[NDArray[np.float64]]:
        """Return what each network sees of crystals, shape (n, d)."""
        composition = composition_inputs(composition_fractions(structures, self.elements), self.elements)
        return [structure_inputs(features, structures, composition) for features in seen.latent.swapaxes(0, 1)]

    def raw(self, inputs: list[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the properties, and the variances of their logarithms before calibration, shape (n, properties)."""
        with torch.no_grad():
            found = [
                network(network.standardised(self.runtime.tensor(each))).double().cpu().numpy()
                for network, each in zip(self.networks, inputs, strict=True)
            ]
        logarithms = np.array(found)
        return np.exp(logarithms.mean(axis=0)), logarithms.var(axis=0, ddof=1) + FLOOR**2

    def learn(self, structures: StructureBatch, labels: NDArray[np.float64], weight: float) -> int:
        """Let the last layers learn from further crystals, and return their number.

        :param labels: shape (n, properties), NaN or ≤ 0 where there is none.
        """
        logarithms = np.log(np.where(labels > 0, labels, np.nan))
        rows = np.flatnonzero(np.isfinite(logarithms).any(axis=1) & ~without_labels(structures, self.elements))
        chosen = structures.select(rows)
        for network, each in zip(
            self.networks, self.inputs(chosen, see(chosen, self.validator, self.runtime)), strict=True
        ):
            network.learn(
                network.standardised(self.runtime.tensor(each)), self.runtime.tensor(logarithms[rows]), weight
            )
        return len(rows)

    def to_tensors(self) -> Tensors:
        """Return weights, in half precision but for the last layers and what they remember, under flat names."""
        whole = ('coefficients', 'precision')
        tensors = {
            f'{index}.{name}': value.float() if name in whole else value.half()
            for index, network in enumerate(self.networks)
            for name, value in network.state_dict().items()
        }
        return {**tensors, 'scales': torch.as_tensor(self.scales)}


def load_property_model(runtime: Runtime, folder: Path | None = None) -> tuple[PropertyModel, CheckpointInfo]:
    """Return the model in ``folder``, by default that of the package, ready to predict.

    :raises CorruptFileError: if a file is missing or damaged.
    :raises InvalidInputError: if it was trained on another validator than the shipped one, or for other properties.
    """
    folder = folder or PROPERTY_FOUNDATION
    tensors, info = load_checkpoint(folder, 'property')
    configuration = info.configuration
    if configuration.get('properties') != list(PROPERTIES):
        raise InvalidInputError(f'the property head in `{folder}` is not one of {", ".join(PROPERTIES)}')
    validator = below(info, str(folder), runtime)
    networks = []
    for index in range(configuration['num_members']):
        inputs = num_inputs(len(info.elements), validator.members[0].channels)
        network = PropertyNetwork(inputs, properties=len(PROPERTIES), **configuration['network'])
        prefix = f'{index}.'
        state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        load_weights(network, state, info.architecture)
        network.to(runtime.device, runtime.dtype).eval()
        network.precision = network.precision.double()
        networks.append(network)
    elements = element_numbers(info.elements)
    return PropertyModel(elements, networks, tensors['scales'].numpy(), validator, runtime), info

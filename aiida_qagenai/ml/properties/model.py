"""Ensembles of property networks on the members of the shipped validator, with calibrated uncertainties.

One predicts moduli, another quantum descriptors; they differ in the names of what they predict and in its scale.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Collection
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
    see,
    structure_inputs,
    without_labels,
)
from aiida_qagenai.ml.properties.network import PropertyNetwork
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.validator.calibration import UNSEEN_ELEMENT_INFLATION
from aiida_qagenai.ml.validator.ensemble import Ensemble

__all__ = ('ARCHITECTURE', 'Properties', 'PropertyModel', 'Scale', 'load_property_model')

ARCHITECTURE = 'property-mlp'
FLOOR = 0.03
"""Least standard deviation of what networks predict before calibration: members agree by accident."""


OF_FORMULAS = 'formula.'
"""Before the names of the weights of networks of compositions."""


class Scale(t.NamedTuple):
    """How the networks' numbers y become values: ``offset + slope y`` or its exponential; shape (properties,) each."""

    logarithmic: NDArray[np.bool_]
    offset: NDArray[np.float64]
    slope: NDArray[np.float64]

    @classmethod
    def of_logarithms(cls, number: int) -> Scale:
        """Return the one of plain logarithms."""
        return cls(np.ones(number, dtype=np.bool_), np.zeros(number), np.ones(number))

    @classmethod
    def of_labels(cls, labels: NDArray[np.float64], logarithmic: NDArray[np.bool_]) -> Scale:
        """Return the one in which labels, shape (n, properties), NaN where missing, have mean 0 and deviation 1."""
        plain = cls(logarithmic, np.zeros(labels.shape[1]), np.ones(labels.shape[1])).inward(labels)
        return cls(logarithmic, np.nanmean(plain, axis=0), np.nanstd(plain, axis=0))

    def inward(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a network has to predict, NaN where there is no value or no logarithm of it."""
        logarithms = np.log(np.where(values > 0, values, np.nan))
        found: NDArray[np.float64] = (np.where(self.logarithmic, logarithms, values) - self.offset) / self.slope
        return found

    def outward(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values."""
        plain = self.offset + self.slope * numbers
        return np.where(self.logarithmic, np.exp(np.where(self.logarithmic, plain, 0.0)), plain)

    def deviations(self, values: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard deviations of values for those of the networks' numbers."""
        return np.where(self.logarithmic, values, 1.0) * self.slope * sigma


@dataclasses.dataclass(frozen=True)
class Properties:
    """Predicted properties, in the order and the units of the names of their model.

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

    :param names: of what is predicted.
    :param elements: atomic numbers with labels, in ascending order.
    :param scale: of the networks' numbers.
    :param scales: factors on σ, shape (properties,).
    :param of_formulas: networks of compositions alone, if there are any.
    :param formula_scales: factors on their σ, shape (properties,).
    """

    names: tuple[str, ...]
    elements: tuple[int, ...]
    networks: list[PropertyNetwork]
    scale: Scale
    scales: NDArray[np.float64]
    validator: Ensemble
    runtime: Runtime
    of_formulas: list[PropertyNetwork] = dataclasses.field(default_factory=list)
    formula_scales: NDArray[np.float64] | None = None

    def of_structures(self, structures: StructureBatch, seen: Seen | None = None) -> Properties:
        """Return the properties of crystals.

        :param seen: what the validator says of them, if that is known.
        """
        seen = seen or see(structures, self.validator, self.runtime)
        values, variances = self.raw(self.inputs(structures, seen))
        outside, inflation = familiarity(self.validator, seen, without_labels(structures, self.elements))
        sigma = self.scale.deviations(values, self.scales * np.sqrt(variances) * inflation[:, None])
        return Properties(values, sigma, outside)

    def of_compositions(self, fractions: NDArray[np.float64], unseen: NDArray[np.bool_]) -> Properties:
        """Return the properties of compositions.

        :param fractions: of the atoms, shape (n, elements).
        :param unseen: which have other elements as well, shape (n,).
        """
        assert self.formula_scales is not None
        values, variances = self.raw([self.formula_inputs(fractions)], self.of_formulas)
        inflation = np.where(unseen, UNSEEN_ELEMENT_INFLATION, 1.0)
        sigma = self.scale.deviations(values, self.formula_scales * np.sqrt(variances) * inflation[:, None])
        return Properties(values, sigma, unseen)

    def inputs(self, structures: StructureBatch, seen: Seen) -> list[NDArray[np.float64]]:
        """Return what each network sees of crystals, shape (n, d)."""
        composition = composition_inputs(composition_fractions(structures, self.elements), self.elements)
        return [structure_inputs(features, structures, composition) for features in seen.latent.swapaxes(0, 1)]

    def formula_inputs(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each network of compositions sees, shape (n, d), from atomic fractions, shape (n, elements)."""
        return composition_inputs(fractions, self.elements)

    def raw(
        self, inputs: list[NDArray[np.float64]], networks: list[PropertyNetwork] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the properties, and the variances of the numbers of networks before calibration, (n, properties).

        :param inputs: of each network, or one for all.
        :param networks: those of crystals by default.
        """
        networks = self.networks if networks is None else networks
        with torch.no_grad():
            found = [
                network(network.standardised(self.runtime.tensor(each))).double().cpu().numpy()
                for network, each in zip(networks, inputs * (len(networks) // len(inputs)), strict=True)
            ]
        numbers = np.array(found)
        return self.scale.outward(numbers.mean(axis=0)), numbers.var(axis=0, ddof=1) + FLOOR**2

    def learn(self, structures: StructureBatch, labels: NDArray[np.float64], weight: float) -> int:
        """Let the last layers learn from further crystals, and return their number.

        :param labels: shape (n, properties), NaN where there is none, or ≤ 0 where its logarithm is predicted.
        """
        numbers = self.scale.inward(labels)
        rows = np.flatnonzero(np.isfinite(numbers).any(axis=1) & ~without_labels(structures, self.elements))
        chosen = structures.select(rows)
        for network, each in zip(
            self.networks, self.inputs(chosen, see(chosen, self.validator, self.runtime)), strict=True
        ):
            network.learn(network.standardised(self.runtime.tensor(each)), self.runtime.tensor(numbers[rows]), weight)
        return len(rows)

    def to_tensors(self) -> Tensors:
        """Return weights, in half precision but for the last layers and what they remember, under flat names."""
        whole = ('coefficients', 'precision')
        tensors = {
            f'{kind}{index}.{name}': value.float() if name in whole else value.half()
            for kind, networks in (('', self.networks), (OF_FORMULAS, self.of_formulas))
            for index, network in enumerate(networks)
            for name, value in network.state_dict().items()
        }
        scales = {'scales': self.scales, **self.scale._asdict()}
        if self.formula_scales is not None:
            scales['formula_scales'] = self.formula_scales
        return tensors | {name: torch.as_tensor(part) for name, part in scales.items()}


def load_property_model(
    runtime: Runtime,
    folder: Path | None = None,
    names: Collection[str] = PROPERTIES,
    validator: Ensemble | None = None,
) -> tuple[PropertyModel, CheckpointInfo]:
    """Return the model in ``folder``, by default that of the moduli of the package, ready to predict.

    :param names: of the properties that it has to predict.
    :param validator: the shipped one, if it is loaded already.
    :raises CorruptFileError: if a file is missing or damaged.
    :raises InvalidInputError: if it was trained on another validator than the shipped one, or for other properties.
    """
    folder, number = folder or PROPERTY_FOUNDATION, len(names)
    tensors, info = load_checkpoint(folder, 'property')
    configuration = info.configuration
    if configuration.get('properties') != list(names):
        raise InvalidInputError(f'the property head in `{folder}` is not one of {", ".join(names)}')
    validator = below(info, str(folder), runtime, validator)
    elements, scales = element_numbers(info.elements), tensors['scales'].numpy()
    if 'slope' in tensors:
        scale = Scale(*(tensors[name].numpy() for name in Scale._fields))
    else:
        scale = Scale.of_logarithms(number)
    networks = _networks('', tensors, info, runtime)
    model = PropertyModel(tuple(names), elements, networks, scale, scales, validator, runtime)
    if 'formula_scales' in tensors:
        model.of_formulas = _networks(OF_FORMULAS, tensors, info, runtime)
        model.formula_scales = tensors['formula_scales'].numpy()
    return model, info


def _networks(kind: str, tensors: Tensors, info: CheckpointInfo, runtime: Runtime) -> list[PropertyNetwork]:
    configuration, found = info.configuration, []
    for index in range(configuration['num_members']):
        prefix = f'{kind}{index}.'
        state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        inputs = len(state['mean'])
        network = PropertyNetwork(inputs, properties=len(configuration['properties']), **configuration['network'])
        load_weights(network, state, info.architecture)
        network.to(runtime.device, runtime.dtype).eval()
        network.precision = network.precision.double()
        found.append(network)
    return found

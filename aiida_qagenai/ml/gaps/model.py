"""Two ensembles of gap networks, of crystals and of compositions, with calibrated uncertainties.

The networks of crystals stand on the latent features of the shipped validator, each on those of another member; they
are of no use with another validator.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aiida_qagenai.common.descriptors import FIELDS, GAP_LEVELS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.checkpoint import GAP_FOUNDATION, CheckpointInfo
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.checkpoints import Tensors, load_checkpoint, load_weights
from aiida_qagenai.ml.elements import composition_fractions, element_numbers
from aiida_qagenai.ml.gaps.learning import Conditional, Correction
from aiida_qagenai.ml.gaps.network import GapNetwork
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
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.validator.calibration import UNSEEN_ELEMENT_INFLATION
from aiida_qagenai.ml.validator.ensemble import Ensemble

__all__ = ('KINDS', 'GapModel', 'Gaps', 'load_gap_model', 'raw_gaps')

KINDS = ('structure', 'composition')
FLOOR = 0.05
"""Least standard deviation before calibration, eV: members agree by accident."""


@dataclasses.dataclass(frozen=True)
class Gaps:
    """Predicted band gaps; levels are those of ``GAP_LEVELS``.

    :param gaps: 0 for a metal, shape (n, levels), eV.
    :param sigma: calibrated standard deviation, shape (n, levels), eV.
    :param metal_probability: shape (n, levels).
    :param out_of_distribution: whether the training set has nothing like it, shape (n,).
    """

    gaps: NDArray[np.float64]
    sigma: NDArray[np.float64]
    metal_probability: NDArray[np.float64]
    out_of_distribution: NDArray[np.bool_]

    def arrays(self) -> dict[str, NDArray[t.Any]]:
        """Return the arrays by the names that they have in a file."""
        return {
            'gaps': self.gaps,
            'gap_sigma': self.sigma,
            'metal_probability': self.metal_probability,
            'gap_out_of_distribution': self.out_of_distribution,
        }


@dataclasses.dataclass
class GapModel:
    """The networks of both kinds, and the validator below those of crystals.

    :param elements: atomic numbers with labels, in ascending order.
    :param networks: by kind.
    :param scales: factors on σ by kind, shape (levels,).
    :param learned: what gaps at PBE that were computed add for crystals.
    """

    elements: tuple[int, ...]
    networks: dict[str, list[GapNetwork]]
    scales: dict[str, NDArray[np.float64]]
    validator: Ensemble
    runtime: Runtime
    learned: Correction | None = None

    def of_structures(self, structures: StructureBatch, seen: Seen | None = None) -> Gaps:
        """Return the gaps of crystals.

        :param seen: what the validator says of them, if that is known.
        """
        seen = seen or see(structures, self.validator, self.runtime)
        inputs = self._inputs(structures, seen)
        outside, inflation = familiarity(self.validator, seen, without_labels(structures, self.elements))
        found = self._gaps('structure', inputs, outside, inflation)
        if self.learned is not None:
            self._correct(found, inputs, inflation)
        return found

    def learn(self, structures: StructureBatch, gaps: NDArray[np.float64]) -> int:
        """Let the gaps of crystals at PBE learn from computed ones, and return their number.

        :param gaps: eV, 0 for a metal, NaN where there is none, shape (n,).
        """
        rows = np.flatnonzero(np.isfinite(gaps) & ~without_labels(structures, self.elements))
        chosen = structures.select(rows)
        inputs = self._inputs(chosen, see(chosen, self.validator, self.runtime))
        self.learned = Correction.fit(self._features(inputs), self._conditional(inputs), gaps[rows])
        return len(rows)

    def _inputs(self, structures: StructureBatch, seen: Seen) -> list[NDArray[np.float64]]:
        """Return what each network sees of crystals, shape (n, d)."""
        composition = composition_inputs(composition_fractions(structures, self.elements), self.elements)
        return [structure_inputs(features, structures, composition) for features in seen.latent.swapaxes(0, 1)]

    def hidden(self, structures: StructureBatch, seen: Seen) -> list[NDArray[np.float64]]:
        """Return the hidden features of crystals in each network, shape (n, width)."""
        return [each.double().cpu().numpy() for each in self._hidden(self._inputs(structures, seen))]

    def _hidden(self, inputs: list[NDArray[np.float64]]) -> list[torch.Tensor]:
        with torch.inference_mode():
            return [
                network.hidden(network.standardised(self.runtime.tensor(each)))
                for network, each in zip(self.networks['structure'], inputs, strict=True)
            ]

    def _features(self, inputs: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the hidden features of all networks as unit vectors, shape (n, d)."""
        found = [nn.functional.normalize(each, dim=1).double().cpu().numpy() for each in self._hidden(inputs)]
        return np.concatenate(found, axis=1) / math.sqrt(len(found))

    def _conditional(self, inputs: list[NDArray[np.float64]]) -> Conditional:
        """Return what the networks say of gaps at PBE."""
        pairs = zip(self.networks['structure'], inputs, strict=True)
        gaps, chances = (np.array(part)[:, :, 0] for part in zip(*_said(pairs, self.runtime), strict=True))
        deviations = self.scales['structure'][0] * np.sqrt(gaps.var(axis=0, ddof=1) + FLOOR**2)
        return Conditional(gaps.mean(axis=0), deviations, chances.mean(axis=0))

    def _correct(self, found: Gaps, inputs: list[NDArray[np.float64]], inflation: NDArray[np.float64]) -> None:
        """Change the gaps at PBE in place by what was learned."""
        assert self.learned is not None
        gaps, deviations, chances = self.learned.apply(self._features(inputs), self._conditional(inputs))
        mixed = self.scales['structure'][0] ** 2 * (chances * (1 - chances) * gaps**2 + FLOOR**2)
        found.gaps[:, 0] = np.where(chances > 0.5, gaps, 0.0)
        found.sigma[:, 0] = np.sqrt((chances * deviations) ** 2 + mixed) * inflation
        found.metal_probability[:, 0] = 1 - chances

    def of_compositions(self, fractions: NDArray[np.float64], unseen: NDArray[np.bool_]) -> Gaps:
        """Return the gaps of compositions.

        :param fractions: of the atoms, shape (n, elements).
        :param unseen: which have other elements as well, shape (n,).
        """
        inputs = [composition_inputs(fractions, self.elements)] * len(self.networks['composition'])
        return self._gaps('composition', inputs, unseen, np.where(unseen, UNSEEN_ELEMENT_INFLATION, 1.0))

    def _gaps(
        self,
        kind: str,
        inputs: list[NDArray[np.float64]],
        outside: NDArray[np.bool_],
        inflation: NDArray[np.float64],
    ) -> Gaps:
        outputs = _said(zip(self.networks[kind], inputs, strict=True), self.runtime)
        gaps, probability, variance = combined(outputs)
        sigma = self.scales[kind] * np.sqrt(variance) * inflation[:, None]
        return Gaps(gaps, sigma, 1 - probability, outside)

    def to_tensors(self) -> Tensors:
        """Return weights, in half precision, and scales under flat names."""
        tensors = {
            f'{kind}.{index}.{name}': value.half()
            for kind, networks in self.networks.items()
            for index, network in enumerate(networks)
            for name, value in network.state_dict().items()
        }
        return tensors | {f'scale.{kind}': torch.as_tensor(scale) for kind, scale in self.scales.items()}


Output = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Gaps if there are any, eV, and the probability that there are, both of shape (n, levels)."""


def raw_gaps(network: GapNetwork, inputs: NDArray[np.float64], runtime: Runtime) -> Output:
    """Return what one network says."""
    with torch.inference_mode():
        gaps, logits = network(network.standardised(runtime.tensor(inputs)))
        return gaps.double().cpu().numpy(), logits.sigmoid().double().cpu().numpy()


def _said(pairs: Iterable[tuple[GapNetwork, NDArray[np.float64]]], runtime: Runtime) -> list[Output]:
    """Return what each network says of what it sees."""
    return [raw_gaps(network, inputs, runtime) for network, inputs in pairs]


def combined(outputs: list[Output]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return gaps, the probability of an insulator, and the variance of the gaps before calibration.

    The gap is 0 where a metal is the more likely. The variance is that of the members' means p·g about each other, plus
    that of a mixture of metal and insulator, p (1 − p) g².
    """
    gaps, chances = (np.array([output[part] for output in outputs]) for part in (0, 1))
    gap, chance = gaps.mean(axis=0), chances.mean(axis=0)
    variance = (gaps * chances).var(axis=0, ddof=1) + chance * (1 - chance) * gap**2 + FLOOR**2
    return np.where(chance > 0.5, gap, 0.0), chance, variance


def load_gap_model(runtime: Runtime, folder: Path = GAP_FOUNDATION, *, labels: Path | None = None) -> GapModel:
    """Return the model in ``folder``, ready to predict.

    :param labels: packed training set whose gaps at PBE it learns from.
    :raises CorruptFileError: if a file is missing or damaged.
    :raises InvalidInputError: if it was trained on another validator than the shipped one.
    """
    tensors, info = load_checkpoint(folder, 'descriptor')
    ensemble = below(info, str(folder), runtime)
    elements = element_numbers(info.elements)
    networks = {kind: _networks(kind, tensors, info, runtime, ensemble) for kind in KINDS}
    scales = {kind: tensors[f'scale.{kind}'].numpy() for kind in KINDS}
    model = GapModel(elements, networks, scales, ensemble, runtime)
    if labels is not None:
        computed = LabelledBatch.load(labels)
        model.learn(computed.structures, computed.descriptors[:, FIELDS.index('band_gap')])
    return model


def _networks(
    kind: str, tensors: Tensors, info: CheckpointInfo, runtime: Runtime, ensemble: Ensemble
) -> list[GapNetwork]:
    configuration = info.configuration
    if configuration.get('levels') != list(GAP_LEVELS.values()):
        raise InvalidInputError(f'the gaps of this checkpoint are not at the levels {", ".join(GAP_LEVELS.values())}')
    channels = ensemble.members[0].channels if kind == 'structure' else None
    found = []
    for index in range(configuration['num_members']):
        network = GapNetwork(num_inputs(len(info.elements), channels), **configuration['network'])
        prefix = f'{kind}.{index}.'
        state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        load_weights(network, state, info.architecture)
        found.append(network.to(runtime.device, runtime.dtype).eval())
    return found

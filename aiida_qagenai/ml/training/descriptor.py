"""Training of the descriptor model: both encoders at once, on the same labels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.common.descriptors import FIELDS, block_slices
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.tasks import DescriptorTraining
from aiida_qagenai.ml.descriptors import ELF, SIZES, DescriptorModel, loss_terms, weighted
from aiida_qagenai.ml.elements import composition_fractions, species_indices
from aiida_qagenai.ml.graph import CrystalGraph, build_graphs, collate
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.training.optimisation import Descent, Start, batches, known_only

__all__ = ('train_descriptor',)

EVALUATED = 64
"""Structures evaluated at once where errors are measured: memory does not grow with the data set."""


def train_descriptor(config: DescriptorTraining, runtime: Runtime, record: Record) -> None:
    """Train Φ_Q on ``config.dataset`` and write its checkpoint.

    Without any descriptor, where a potential or a table gave the energies, it learns compositions and volumes alone.

    :raises InvalidInputError: if there is nothing to train on.
    """
    start = Start.read(config)
    if np.isfinite(start.labels.descriptors).any():
        start = Start.read(config, 'descriptors')
    labels, elements = start.labels, start.elements
    model = start.network(DescriptorModel, SIZES[config.size], runtime.dtype)
    if start.parent is None:
        normalise(model, labels)
    model.to(runtime.device)
    data = _Data(labels, elements, model.cutoff, runtime)
    with record.stage('training'):
        _optimise(model, data, config, runtime, record)
    with record.stage('evaluation'), torch.no_grad():
        _record_errors(model, data, labels, 'train', record)
        held_out = known_only(start.split('validation'), elements)
        if len(held_out):
            _record_errors(model, _Data(held_out, elements, model.cutoff, runtime), held_out, 'validation', record)
    untrained = [name for name, flag in zip(FIELDS, model.trained.tolist(), strict=True) if not flag]
    if untrained:
        record.warn(f'descriptor fields without labels are not predicted: {", ".join(untrained)}')
    start.save(record, model.state_dict(), [model], {'network': SIZES[config.size]})


class _Data:
    """Labels as tensors: graphs, targets (n, Q), fractions (n, elements), log volumes per atom (n,)."""

    def __init__(self, labels: LabelledBatch, elements: tuple[int, ...], cutoff: float, runtime: Runtime) -> None:
        structures = labels.structures
        species = species_indices(structures.species, elements)
        self.device = runtime.device
        self.graphs: list[CrystalGraph] = build_graphs(structures, species, cutoff, runtime.dtype)
        self.targets = runtime.tensor(labels.descriptors)
        self.fractions = runtime.tensor(composition_fractions(structures, elements))
        self.log_volumes = runtime.tensor(log_volumes(labels))

    def graph(self, rows: NDArray[np.int64] | range) -> CrystalGraph:
        """Return the graph of some rows."""
        return collate([self.graphs[row] for row in rows]).to(self.device)


def log_volumes(labels: LabelledBatch) -> NDArray[np.float64]:
    """Return the log of the volume per atom, shape (n,), Å3."""
    structures = labels.structures
    return np.log(np.abs(np.linalg.det(structures.cells)) / structures.num_atoms)


def normalise(model: DescriptorModel, labels: LabelledBatch) -> None:
    """Set the normalisation of a new model from the labels, and start the ELF histogram from its mean."""
    finite = np.isfinite(labels.descriptors)
    trained = finite.any(axis=0)
    values = np.where(finite, labels.descriptors, 0.0)
    number = np.maximum(finite.sum(axis=0), 1)
    mean = values.sum(axis=0) / number
    deviation = np.sqrt((np.where(finite, values - mean, 0.0) ** 2).sum(axis=0) / number)
    volumes = log_volumes(labels)
    with torch.no_grad():
        model.head_output.bias[ELF] = torch.as_tensor(np.log(mean[ELF] + 1e-3)).to(model.mean)
    model.mean.copy_(torch.as_tensor(mean))
    model.deviation.copy_(torch.as_tensor(np.where(deviation > 1e-8, deviation, 1.0)))
    model.trained.copy_(torch.as_tensor(trained))
    model.volume.copy_(torch.tensor([volumes.mean(), max(float(volumes.std()), 1e-3)]))


def _optimise(
    model: DescriptorModel, data: _Data, config: DescriptorTraining, runtime: Runtime, record: Record
) -> None:
    """Train in place, logging every term of the loss for both encoders."""
    descent = Descent(model, config)
    stream = batches(np.arange(len(data.graphs)), config.batch_size, runtime.generator(0))
    progress = Progress(config.steps)
    for _ in range(config.steps):
        rows = next(stream)
        rest = (data.targets[rows], data.fractions[rows], data.log_volumes[rows])
        latents = {
            'structure': model.encode_structure(data.graph(rows)),
            'composition': model.encode_composition(data.fractions[rows]),
        }
        terms = {name: loss_terms(model, latent, *rest) for name, latent in latents.items()}
        loss = torch.stack([weighted(each, config.options) for each in terms.values()]).sum()
        descent.step(loss)
        if progress.advance('descriptor', {'loss': loss.item()}):
            curves = {f'{name}_{term}': value.item() for name, each in terms.items() for term, value in each.items()}
            record.log(loss=loss.item(), **curves)
    descent.finish()


def _record_errors(model: DescriptorModel, data: _Data, labels: LabelledBatch, split: str, record: Record) -> None:
    """Add the mean absolute error of each block, in units of the labels, of both encoders to the metrics."""
    parts = [range(first, min(first + EVALUATED, len(labels))) for first in range(0, len(labels), EVALUATED)]
    predictions = {
        'structure': torch.cat([model.predict_structure(data.graph(rows)) for rows in parts]),
        'composition': torch.cat([model.predict_composition(data.fractions[rows]) for rows in parts]),
    }
    for name, predicted in predictions.items():
        errors = np.abs(predicted.double().cpu().numpy() - labels.descriptors)
        gap = errors[:, FIELDS.index('band_gap')]
        for block, values in {'band_gap': gap, **{key: errors[:, s] for key, s in block_slices().items()}}.items():
            finite = values[np.isfinite(values)]
            if finite.size:
                record.metrics[f'{split}_{name}_mae_{block}'] = float(finite.mean())

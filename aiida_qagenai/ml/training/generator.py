"""Training of the diffusion generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS, block_slices
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import GeneratorOptions, GeneratorTraining
from aiida_qagenai.ml.elements import species_indices
from aiida_qagenai.ml.generator.diffusion import (
    coordinate_width,
    lattice_signal,
    remove_mean,
    score_scale,
    wrapped_score,
)
from aiida_qagenai.ml.generator.lattice import log_coordinates, size_free
from aiida_qagenai.ml.generator.network import SIZES, Denoiser, Noisy
from aiida_qagenai.ml.generator.reduction import equivalent_settings
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.training.optimisation import Descent, Start, batches, known_only

__all__ = ('diffusion_losses', 'train_generator')

KNOWN_TYPES_FRACTION = 0.5
"""Share of the training samples whose types are given: what fixed-composition sampling asks for."""

HELD_OUT_DRAWS = 16
WEIGHTS = {'lattice': 1.0, 'coordinates': 1.0, 'types': 0.3}


@dataclasses.dataclass(frozen=True)
class CrystalTable:
    """R settings of n structures, padded to N atoms.

    :param coordinates: of ½ log G, shape (R, 6).
    :param fractional: shape (R, N, 3), zero on padding.
    :param types: element positions per structure, shape (n, N).
    :param mask: shape (n, N).
    :param structure: structure of each setting, shape (R,).
    :param first: first setting of each structure, shape (n,).
    :param number: settings of each structure, shape (n,).
    """

    coordinates: Tensor
    fractional: Tensor
    types: Tensor
    mask: Tensor
    structure: Tensor
    first: Tensor
    number: Tensor

    @classmethod
    def build(cls, structures: StructureBatch, elements: tuple[int, ...], runtime: Runtime) -> CrystalTable:
        """Return the table of ``structures``, all of whose elements must be in ``elements``."""
        width = int(structures.num_atoms.max())
        mask = np.arange(width) < structures.num_atoms[:, None]
        types = np.zeros(mask.shape, dtype=np.int64)
        types[mask] = species_indices(structures.species, elements)
        metrics, fractional, owner = [], [], []
        for index, (cell, species, positions) in enumerate(structures):
            for matrix in equivalent_settings(cell):
                vectors = matrix @ cell
                moved = np.zeros((width, 3))
                moved[: len(species)] = positions @ np.linalg.inv(matrix)
                metrics.append(vectors @ vectors.T)
                fractional.append(moved)
                owner.append(index)
        number = torch.bincount(torch.tensor(owner), minlength=len(structures))
        return cls(
            coordinates=log_coordinates(torch.as_tensor(np.array(metrics))).to(runtime.dtype),
            fractional=torch.as_tensor(np.array(fractional), dtype=runtime.dtype),
            types=torch.from_numpy(types),
            mask=torch.from_numpy(mask),
            structure=torch.tensor(owner),
            first=torch.cumsum(number, 0) - number,
            number=number,
        )

    @property
    def num_atoms(self) -> Tensor:
        """Return the atoms per structure, shape (n,)."""
        return self.mask.sum(dim=1)


def train_generator(config: GeneratorTraining, runtime: Runtime, record: Record) -> None:
    """Train the generator on the structures of ``config.dataset`` and write its checkpoint."""
    start = Start.read(config)
    labels, elements = start.labels, start.elements
    with record.stage('reduction'):
        table = CrystalTable.build(labels.structures, elements, runtime)
    model = start.network(Denoiser, SIZES, runtime.dtype)
    if start.parent is None:
        _normalise(model, table, labels)
    if not np.isfinite(labels.descriptors).any():
        record.warn('the training set has no descriptors: the generator learns no conditioning')
    model.to(runtime.device)
    with record.stage('training'):
        _optimise(model, table, labels, config, runtime=runtime, record=record)
    with record.stage('evaluation'):
        held_out = known_only(start.split('validation'), elements)
        if len(held_out):
            _record_held_out(model, held_out, elements, runtime, record)
    sizes, counts = np.unique(labels.structures.num_atoms, return_counts=True)
    num_atoms_counts = {str(size): int(count) for size, count in zip(sizes, counts, strict=True)}
    configuration = {'network': SIZES[config.size], 'num_atoms_counts': num_atoms_counts}
    start.save(record, model.state_dict(), [model], configuration)


def diffusion_losses(
    model: Denoiser, table: CrystalTable, rows: Tensor, q: Tensor, known: Tensor, *, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return the losses of the three processes for structures ``rows`` (B,) of ``table`` at random times.

    :param q: normalised descriptors of these structures, shape (B, Q).
    :param known: which of them to condition on, shape (B, Q).
    """
    device, dtype = q.device, q.dtype
    count = len(rows)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=dtype)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype).to(device)

    setting = table.first[rows] + (uniform(count) * table.number[rows]).long().clamp(max=table.number[rows] - 1)
    # A crystal and its inverse are equally good; the times are stratified over the batch.
    sign = torch.where(uniform(count, 1, 1) < 0.5, -1.0, 1.0).to(dtype)
    time = ((torch.arange(count) + uniform(count)) / count).to(device)
    mask, types = table.mask[rows].to(device), table.types[rows].to(device)
    x0 = (table.fractional[setting] * sign).to(device)
    z0 = model.lattice.encode(table.coordinates[setting].to(device), mask.sum(1))

    signal = lattice_signal(time).unsqueeze(-1)
    noise = (1 - signal**2).sqrt()
    epsilon = normal(count, 6)
    z = signal * z0 + noise * epsilon
    width = coordinate_width(time)[:, None, None].expand_as(x0)
    displacement = width * normal(*x0.shape)
    target = remove_mean(wrapped_score(displacement, width) / score_scale(time)[:, None, None], mask)
    given = (uniform(count, 1) < KNOWN_TYPES_FRACTION).to(device)
    absorbed = (uniform(*types.shape).to(device) > signal**2) & ~given & mask
    noisy = Noisy(z, x0 + displacement, torch.where(absorbed, model.num_elements, types), mask, time)

    predicted = model(noisy, q, known)
    atoms = mask.sum()
    losses = {
        'lattice': nn.functional.mse_loss(predicted.v, signal * epsilon - noise * z0),
        'coordinates': ((predicted.score - target) ** 2).sum() / (3 * atoms),
    }
    entropies = nn.functional.cross_entropy(predicted.logits.transpose(1, 2), types, reduction='none')
    losses['types'] = (entropies * absorbed).sum() / absorbed.sum().clamp(min=1)
    return losses


def drop_conditioning(known: Tensor, options: GeneratorOptions, generator: torch.Generator) -> Tensor:
    """Return which fields, shape (B, Q), stay known.

    All fields of a structure fall away together (what guidance needs), each block and each single field on its own.

    :param known: which fields have labels, shape (B, Q).
    """
    count = len(known)
    everything = torch.rand(count, 1, generator=generator) < options.block_dropout
    single = torch.rand(known.shape, generator=generator) < options.field_dropout
    blocks = torch.zeros_like(known)
    for block in block_slices().values():
        blocks[:, block] = (torch.rand(count, 1, generator=generator) < options.block_dropout).to(known.device)
    return known & ~(everything | single).to(known.device) & ~blocks


def _normalise(model: Denoiser, table: CrystalTable, labels: LabelledBatch) -> None:
    """Set the code of the lattice and the normalisation of q from the training set."""
    coordinates = size_free(table.coordinates, table.num_atoms[table.structure])
    model.lattice.fit(coordinates, 1 / table.number[table.structure])
    q = labels.descriptors
    for index in range(NUM_DESCRIPTORS):
        finite = q[np.isfinite(q[:, index]), index]
        if len(finite):
            model.q_mean[index] = float(finite.mean())
            model.q_deviation[index] = max(float(finite.std()), 1e-6)


def _optimise(
    model: Denoiser,
    table: CrystalTable,
    labels: LabelledBatch,
    config: GeneratorTraining,
    *,
    runtime: Runtime,
    record: Record,
) -> None:
    q, labelled = model.normalise_q(runtime.tensor(labels.descriptors))
    generator = runtime.generator(0)
    descent = Descent(model, config, decay=0.995, fused=True)
    stream = batches(np.arange(len(labels)), config.batch_size, generator)
    progress = Progress(config.steps)
    recent: list[dict[str, float]] = []
    for _ in range(config.steps):
        rows = torch.from_numpy(_take(stream, config.batch_size))
        known = drop_conditioning(labelled[rows], config.options, generator)
        losses = diffusion_losses(model, table, rows, q[rows], known, generator=generator)
        loss = torch.stack([WEIGHTS[name] * value for name, value in losses.items()]).sum()
        descent.step(loss)
        recent.append({name: value.item() for name, value in losses.items()})
        figures = {name: float(np.mean([each[name] for each in recent])) for name in losses}
        if progress.advance('generator', figures):
            record.log(**{f'loss_{name}': value for name, value in figures.items()})
            record.metrics.update({f'train_loss_{name}': value for name, value in figures.items()})
            recent.clear()
    descent.finish()


def _record_held_out(
    model: Denoiser, labels: LabelledBatch, elements: tuple[int, ...], runtime: Runtime, record: Record
) -> None:
    """Add the mean losses of held-out structures, each at ``HELD_OUT_DRAWS`` times, to the metrics."""
    table = CrystalTable.build(labels.structures, elements, runtime)
    q, known = model.normalise_q(runtime.tensor(labels.descriptors))
    generator = runtime.generator(1)
    rows = torch.arange(len(labels))
    with torch.no_grad():
        draws = [diffusion_losses(model, table, rows, q, known, generator=generator) for _ in range(HELD_OUT_DRAWS)]
    for name in WEIGHTS:
        record.metrics[f'validation_loss_{name}'] = float(np.mean([each[name].item() for each in draws]))


def _take(stream: Iterator[NDArray[np.int64]], size: int) -> NDArray[np.int64]:
    """Return ``size`` rows from a stream of whole passes: a batch may see a structure more than once."""
    rows = next(stream)
    while len(rows) < size:
        rows = np.concatenate([rows, next(stream)])
    return rows[:size]

"""Training of the diffusion generator."""

from __future__ import annotations

import math
import typing as t
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS, block_slices
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.tasks import GeneratorOptions, GeneratorTraining
from aiida_qagenai.ml.elements import chemical_features
from aiida_qagenai.ml.generator.diffusion import coordinate_width, lattice_noise, lattice_signal, remove_mean, wrap
from aiida_qagenai.ml.generator.lattice import metric_from_coordinates, size_free
from aiida_qagenai.ml.generator.network import SIZES, Denoiser, Noisy, shift_scale
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.training.crystals import Bucket, make_buckets
from aiida_qagenai.ml.training.optimisation import Descent, Start, batches, known_only

__all__ = (
    'Batches',
    'diffusion_losses',
    'held_out_losses',
    'num_atoms_counts',
    'prepare',
    'total_loss',
    'train_generator',
)

WEIGHTS = {'coordinates': 1.0, 'lattice': 0.3, 'types': 0.1}

TIME_SPREAD = 0.3
"""Standard deviation of the times around ½, that is, of the logarithm of the widths over that of their range."""

HELD_OUT_DRAWS = 16
EVALUATED = 256
"""Held-out structures evaluated at once: memory does not grow with the data set."""


def train_generator(config: GeneratorTraining, runtime: Runtime, record: Record) -> None:
    """Train the generator on the structures of ``config.dataset`` and write its checkpoint."""
    start = Start.read(config)
    labels, elements = start.labels, start.elements
    with record.stage('reduction'):
        buckets = make_buckets(labels, elements, runtime)
    network = _network(start, config)
    model = start.network(Denoiser, network, runtime.dtype)
    if start.parent is None:
        prepare(model, buckets, elements)
    else:
        _set_conditioning(model, network, runtime)
        add_fields(model, buckets)
    if not np.isfinite(labels.descriptors).any():
        record.warn('the training set has no descriptors: the generator learns no conditioning')
    model.to(runtime.device)
    with record.stage('training'):
        _optimise(model, buckets, config, runtime, record)
    with record.stage('evaluation'):
        held_out = known_only(start.split('validation'), elements)
        if len(held_out):
            losses = held_out_losses(model, make_buckets(held_out, elements, runtime), runtime)
            record.metrics.update({f'validation_loss_{name}': value for name, value in losses.items()})
            record.metrics['validation_loss'] = sum(WEIGHTS[name] * value for name, value in losses.items())
    configuration = {'network': network, 'num_atoms_counts': num_atoms_counts(buckets)}
    start.save(record, model.state_dict(), [model], configuration)


def _network(start: Start, config: GeneratorTraining) -> dict[str, t.Any]:
    """Return the options of the network: those of the initial checkpoint, or of the size with other layers.

    :raises InvalidInputError: if the initial checkpoint has another number of layers.
    """
    known: dict[str, t.Any] = SIZES[config.size] if start.parent is None else start.parent[1].configuration['network']
    network = {**known, 'num_layers': config.num_layers or known['num_layers']}
    if start.parent is not None and network != known:
        message = f'the initial checkpoint has {known["num_layers"]} layers, `num_layers` asks for {config.num_layers}'
        raise InvalidInputError(message)
    conditioning = config.options.conditioning
    return network if conditioning is None else {**network, 'conditioning': conditioning}


def _set_conditioning(model: Denoiser, network: dict[str, t.Any], runtime: Runtime) -> None:
    """Let q enter a model of an initial checkpoint as the options of the network say.

    :raises InvalidInputError: if it has learned from q in the other way, which would be lost.
    """
    attends, now = network.get('conditioning') == 'cross-attention', model.attention is not None
    if attends == now:
        return
    if model.trained_fields.any():
        known = 'cross-attention' if now else 'concatenation'
        message = f'the initial checkpoint knows descriptors by {known}: leave `options.conditioning` out'
        raise InvalidInputError(message)
    model.attention = None
    if attends:
        model.attend_to_q(network['num_heads'])
    model.to(runtime.dtype)


def prepare(model: Denoiser, buckets: Sequence[Bucket], elements: tuple[int, ...]) -> None:
    """Give a new model the features of its elements and the statistics of lattices and q of the training set."""
    model.features[:-1] = torch.as_tensor(chemical_features(elements))
    coordinates = [size_free(bucket.coordinates, bucket.num_atoms[bucket.structure]) for bucket in buckets]
    weights = [1 / bucket.number[bucket.structure] for bucket in buckets]
    model.lattice.fit(torch.cat(coordinates).cpu(), torch.cat(weights).cpu())
    _fit_fields(model, buckets)


def add_fields(model: Denoiser, buckets: Sequence[Bucket]) -> None:
    """Let a trained model be conditioned on fields of q that it was not trained with: at first they change nothing."""
    added = _fit_fields(model, buckets)
    with torch.no_grad():
        model.q_embedding.weight[:, [column for index in added for column in (index, NUM_DESCRIPTORS + index)]] = 0.0


def _fit_fields(model: Denoiser, buckets: Sequence[Bucket]) -> list[int]:
    """Set the statistics of the fields of q that have none but are in the training set, and return these fields."""
    q = torch.cat([bucket.q for bucket in buckets]).double().cpu().numpy()
    missing = (~model.trained_fields).nonzero().flatten().tolist()
    fields: list[int] = [index for index in missing if np.isfinite(q[:, index]).any()]
    for index in fields:
        finite = q[np.isfinite(q[:, index]), index]
        model.q_mean[index] = float(finite.mean())
        model.q_deviation[index] = max(float(finite.std()), 1e-6)
    return fields


def num_atoms_counts(buckets: Sequence[Bucket]) -> dict[str, int]:
    """Return how many structures have each number of atoms, as the configuration of a checkpoint keeps it."""
    sizes = torch.cat([bucket.num_atoms for bucket in buckets]).cpu().numpy()
    return {str(size): int(count) for size, count in zip(*np.unique(sizes, return_counts=True), strict=True)}


class Batches:
    """Endless batches of cells of one bucket at a time, each bucket as often as it has structures."""

    def __init__(self, buckets: Sequence[Bucket], size: int, runtime: Runtime) -> None:
        self._buckets, self._size, self._device = buckets, size, runtime.device
        self._generator = runtime.generator(0)
        self._weights = torch.tensor([float(len(bucket)) for bucket in buckets])
        self._streams = [batches(np.arange(len(bucket)), size, self._generator) for bucket in buckets]

    def __iter__(self) -> Iterator[tuple[Bucket, Tensor]]:
        """Yield a bucket and rows of it, shape (size,)."""
        while True:
            index = int(torch.multinomial(self._weights, 1, generator=self._generator))
            rows = torch.from_numpy(_take(self._streams[index], self._size))
            yield self._buckets[index], rows.to(self._device)


def diffusion_losses(
    model: Denoiser,
    bucket: Bucket,
    rows: Tensor,
    q: Tensor,
    known: Tensor,
    *,
    generator: torch.Generator,
    known_types: float = 0.5,
) -> dict[str, Tensor]:
    """Return the losses of the three processes for structures ``rows`` (B,) of ``bucket`` at random times.

    :param q: normalised descriptors of these structures, shape (B, Q).
    :param known: which of them to condition on, shape (B, Q).
    :param generator: on the device of the bucket.
    :param known_types: share of the structures whose types are given.
    """
    count = len(rows)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=q.dtype, device=q.device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=q.dtype, device=q.device)

    number = bucket.number[rows]
    setting = bucket.first[rows] + torch.minimum((uniform(count) * number).long(), number - 1)
    # A crystal and its inverse are equally good.
    sign = (uniform(count, 1, 1) < 0.5).to(q.dtype) * 2 - 1
    time = _times((torch.arange(count, device=q.device) + uniform(count)) / count)
    mask, types = bucket.mask[rows], bucket.types[rows]
    x0, coordinates = bucket.fractional[setting] * sign, bucket.coordinates[setting]
    z0 = model.lattice.encode(coordinates, mask.sum(1))

    signal = lattice_signal(time).unsqueeze(-1)
    noise = lattice_noise(time).unsqueeze(-1)
    epsilon = normal(count, 6)
    displacement = remove_mean(coordinate_width(time)[:, None, None] * normal(*x0.shape), mask)
    target = remove_mean(-wrap(displacement), mask) / shift_scale(time)[:, None, None]
    absorbed = (uniform(*types.shape) > signal**2) & (uniform(count, 1) >= known_types) & mask
    types_seen = torch.where(absorbed, model.num_elements, types)
    predicted = model(Noisy(signal * z0 + noise * epsilon, x0 + displacement, types_seen, mask, time), q, known)

    metric = metric_from_coordinates(coordinates)
    error = predicted.shift - target
    squares = ((error @ metric) * error).sum(-1) / metric.diagonal(dim1=1, dim2=2).mean(1, keepdim=True)
    entropies = nn.functional.cross_entropy(predicted.logits.transpose(1, 2), types, reduction='none')
    return {
        # between that of the clean lattice, σ² |Δv|², and that of v, which no network can predict where σ is small
        'lattice': (noise * (predicted.v - signal * epsilon + noise * z0) ** 2).mean() / noise.mean(),
        # per direction, in units of the mean length of a lattice vector
        'coordinates': (squares * mask).sum() / (3 * mask.sum()),
        'types': (entropies * absorbed).sum() / absorbed.sum().clamp(min=1),
    }


def total_loss(losses: dict[str, Tensor]) -> Tensor:
    """Return the weighted sum of the losses."""
    return torch.stack([WEIGHTS[name] * value for name, value in losses.items()]).sum()


def _times(quantiles: Tensor) -> Tensor:
    """Return times around ½: the widths of the noise are log-normal within their range."""
    scale = TIME_SPREAD * math.sqrt(2)
    reach = math.erf(0.5 / scale)
    return 0.5 + scale * torch.erfinv((2 * quantiles - 1) * reach)


def drop_conditioning(known: Tensor, options: GeneratorOptions, generator: torch.Generator) -> Tensor:
    """Return which fields, shape (B, Q), stay known.

    All fields of a structure fall away together (what guidance needs), each block and each single field on its own.

    :param known: which fields have labels, shape (B, Q).
    """

    def drop(probability: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=known.device) < probability

    blocks = torch.zeros_like(known)
    for block in block_slices().values():
        blocks[:, block] = drop(options.block_dropout, len(known), 1)
    return known & ~(drop(options.block_dropout, len(known), 1) | drop(options.field_dropout, *known.shape)) & ~blocks


def _optimise(
    model: Denoiser, buckets: Sequence[Bucket], config: GeneratorTraining, runtime: Runtime, record: Record
) -> None:
    generator = runtime.generator(3, on_device=True)
    descent = Descent(model, config, decay=0.995, fused=True)
    stream = iter(Batches(buckets, config.batch_size, runtime))
    progress = Progress(config.steps)
    means = _Means()
    for _ in range(config.steps):
        bucket, rows = next(stream)
        q, labelled = model.normalise_q(bucket.q[rows])
        known = drop_conditioning(labelled, config.options, generator)
        share = config.options.known_types
        losses = diffusion_losses(model, bucket, rows, q, known, generator=generator, known_types=share)
        descent.step(total_loss(losses))
        means.add(losses)
        if progress.advance('generator', means.figures):
            figures = means.figures()
            record.log(**{f'loss_{name}': value for name, value in figures.items()})
            record.metrics.update({f'train_loss_{name}': value for name, value in figures.items()})
            means = _Means()
    descent.finish()


class _Means:
    """Means of losses since the last line; the device is waited for only where they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, losses: dict[str, Tensor]) -> None:
        self._count += 1
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value.detach() if name in self._sums else value.detach()

    def figures(self) -> dict[str, float]:
        return {name: value.item() / self._count for name, value in self._sums.items()}


def held_out_losses(
    model: Denoiser,
    buckets: Sequence[Bucket],
    runtime: Runtime,
    *,
    draws: int = HELD_OUT_DRAWS,
    known_types: float = 0.5,
) -> dict[str, float]:
    """Return the mean losses of held-out structures, each at ``draws`` times."""
    generator = runtime.generator(1, on_device=True)
    sums, total = dict.fromkeys(WEIGHTS, 0.0), 0
    with torch.no_grad():
        for bucket in buckets:
            for rows in torch.arange(len(bucket), device=runtime.device).split(EVALUATED):
                q, known = model.normalise_q(bucket.q[rows])
                for _ in range(draws):
                    losses = diffusion_losses(
                        model, bucket, rows, q, known, generator=generator, known_types=known_types
                    )
                    total += len(rows)
                    sums = {name: sums[name] + len(rows) * float(value) for name, value in losses.items()}
    return {name: value / total for name, value in sums.items()}


def _take(stream: Iterator[NDArray[np.int64]], size: int) -> NDArray[np.int64]:
    """Return ``size`` rows from a stream of whole passes: a batch may see a structure more than once."""
    rows = next(stream)
    while len(rows) < size:
        rows = np.concatenate([rows, next(stream)])
    return rows[:size]

"""The command ``generate``: from requests to packed candidates."""

from __future__ import annotations

import typing as t
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS, pack
from aiida_qagenai.exchange.structures import StructureBatch, save_arrays
from aiida_qagenai.exchange.tasks import GenerateConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint, rebuild
from aiida_qagenai.ml.descriptors import load_descriptor_model
from aiida_qagenai.ml.elements import element_numbers, element_symbols, known_indices
from aiida_qagenai.ml.generator.guidance import Guide
from aiida_qagenai.ml.generator.network import SIZES, Denoiser
from aiida_qagenai.ml.generator.projection import VALID_SCALE, Projection, closest_ratio, project, wrap_into_cell
from aiida_qagenai.ml.generator.reduction import reduce_cell
from aiida_qagenai.ml.generator.requests import Wanted, expand, make_task, split
from aiida_qagenai.ml.generator.sampler import Conditioning, Samples, sample
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('generate',)


class _Trained(t.NamedTuple):
    """A generator ready to sample.

    :param elements: atomic numbers it was trained on, ascending.
    :param num_atoms_counts: atoms per cell → how many training structures had them.
    """

    model: Denoiser
    elements: tuple[int, ...]
    num_atoms_counts: dict[int, int]
    sha256: str


class _Made(t.NamedTuple):
    """One sample that was drawn, ready to be packed."""

    wanted: Wanted
    species: NDArray[np.int64]
    structure: Projection
    q: NDArray[np.float64]


def generate(config: GenerateConfig, runtime: Runtime, record: Record) -> None:
    """Sample what ``config.requests`` ask for and write the packed candidates.

    The arrays are those of a ``StructureBatch`` and ``request`` (n,), ``start`` (n,), the row of the structure that a
    sample started from or −1, ``projected`` (n,), ``target_descriptors`` (n, NUM_DESCRIPTORS). Every requested sample
    is there or counted in ``failed`` by reason.

    :raises InvalidInputError: if an element was not in the training set.
    """
    with record.stage('load'):
        trained = _load_generator(config.generator, runtime)
        wanted = expand(config.requests, trained.elements, trained.num_atoms_counts, runtime.generator(0), record)
        q_source = _conditioning(config, trained.elements, runtime)
    generator = runtime.generator(1)
    rng = np.random.default_rng([runtime.seed, 2])
    progress = Progress(config.steps * len(wanted))
    guide = None if config.constraints is None else Guide(config.constraints, trained.elements)
    made: dict[int, _Made] = {}
    failed = {'not_finite': 0, 'projection': 0}
    for indices in split(wanted, config.batch_size):
        with record.stage('sampling'):
            samples = sample(
                trained.model,
                make_task([wanted[index] for index in indices], len(trained.elements)),
                steps=config.steps,
                stochasticity=config.stochasticity,
                guidance=config.guidance_scale,
                conditioning=q_source,
                generator=generator,
                runtime=runtime,
                report=lambda count: progress.advance('generate', count=count),
                guide=guide,
            )
        with record.stage('projection'):
            for row, index in enumerate(indices):
                outcome = _finish(
                    samples, row, wanted[index], trained.elements, scale=config.min_distance_scale, rng=rng
                )
                if isinstance(outcome, str):
                    failed[outcome] += 1
                else:
                    made[index] = outcome
    _write(config, [made[index] for index in sorted(made)], record)
    counts = {'num_requested': len(wanted), 'num_generated': len(made), 'failed': failed}
    record.counts.update(counts, generator_sha256=trained.sha256)


def _load_generator(folder: Path, runtime: Runtime) -> _Trained:
    tensors, info = load_checkpoint(folder, 'generator')
    model = rebuild(Denoiser, SIZES, tensors, info, runtime.dtype).to(runtime.device).eval()
    counts = {int(size): int(count) for size, count in info.configuration['num_atoms_counts'].items()}
    return _Trained(model, element_numbers(info.elements), counts, info.sha256)


def _conditioning(config: GenerateConfig, elements: tuple[int, ...], runtime: Runtime) -> Conditioning | None:
    """Return the conditioning that ``config`` asks for; None if the samples are unconditional.

    :param elements: atomic numbers of the generator.
    :raises InvalidInputError: if the descriptor model does not know an element of the generator.
    """
    if config.target is not None:
        wanted = torch.tensor(pack(config.target), dtype=runtime.dtype, device=runtime.device)
        return lambda fractions: wanted.expand(len(fractions), NUM_DESCRIPTORS)
    if config.descriptor is None:
        return None
    model, known = load_descriptor_model(config.descriptor, runtime)
    columns = known_indices(element_symbols(elements), known, 'descriptor model')

    def from_composition(fractions: torch.Tensor) -> torch.Tensor:
        translated = fractions.new_zeros(len(fractions), len(known))
        translated[:, columns] = fractions
        return model.predict_composition(translated)

    return from_composition


def _finish(
    samples: Samples, row: int, wanted: Wanted, elements: tuple[int, ...], *, scale: float, rng: np.random.Generator
) -> _Made | str:
    """Return the projected sample, or the reason why there is none."""
    cell = samples.cells[row].numpy()
    fractional = samples.fractional[row, : wanted.num_atoms].numpy()
    species = np.array(elements)[samples.types[row, : wanted.num_atoms].numpy()]
    if not (np.isfinite(cell).all() and np.isfinite(fractional).all() and abs(np.linalg.det(cell)) > 1e-3):
        return 'not_finite'
    operations = None if wanted.start is None else wanted.start.operations
    if operations is None:
        cell, fractional = reduce_cell(cell, fractional)
    projection: Projection | None = Projection(cell, wrap_into_cell(fractional), moved=False)
    if scale:
        projection = project(cell, species, fractional, scale, rng, operations=operations)
    if projection is None:
        return 'projection'
    if operations is not None:
        cell, fractional = reduce_cell(projection.cell, projection.fractional)
        projection = Projection(cell, wrap_into_cell(fractional), projection.moved)
    return _Made(wanted, species, projection, samples.q[row].numpy())


def _write(config: GenerateConfig, made: list[_Made], record: Record) -> None:
    """Write the candidates and record how many are valid."""
    batch = StructureBatch.empty()
    if made:
        batch = StructureBatch(
            num_atoms=np.array([len(each.species) for each in made], dtype=np.int64),
            cells=np.array([each.structure.cell for each in made]),
            species=np.concatenate([each.species for each in made]),
            fractional=np.concatenate([each.structure.fractional for each in made]),
            identifiers=np.array([f'sample-{index:06d}' for index in range(len(made))]),
        )
        ratios = np.array([closest_ratio(*crystal) for crystal in batch])
        record.metrics['valid_fraction'] = float((ratios >= VALID_SCALE).mean())
        record.metrics['projected_fraction'] = float(np.mean([each.structure.moved for each in made]))
        volumes = np.abs(np.linalg.det(batch.cells)) / batch.num_atoms
        record.metrics['mean_volume_per_atom'] = float(volumes.mean())
    save_arrays(
        config.output,
        {
            **batch.to_arrays(),
            'request': np.array([each.wanted.request for each in made], dtype=np.int64),
            'start': np.array([each.wanted.start.row if each.wanted.start else -1 for each in made], dtype=np.int64),
            'projected': np.array([each.structure.moved for each in made], dtype=bool),
            'target_descriptors': np.array([each.q for each in made]).reshape(-1, NUM_DESCRIPTORS),
        },
    )

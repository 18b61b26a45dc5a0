"""The command ``generate``: from requests to packed candidates."""

from __future__ import annotations

import typing as t
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS, pack
from aiida_qagenai.exchange.structures import StructureBatch, save_arrays
from aiida_qagenai.exchange.tasks import CompositionRequest, FreeRequest, GenerateConfig, Request
from aiida_qagenai.ml.checkpoints import load_checkpoint, rebuild
from aiida_qagenai.ml.descriptors import load_descriptor_model
from aiida_qagenai.ml.elements import element_numbers, element_symbols, known_indices
from aiida_qagenai.ml.generator.guidance import Guide
from aiida_qagenai.ml.generator.network import SIZES, Denoiser
from aiida_qagenai.ml.generator.projection import VALID_SCALE, Projection, closest_ratio, project, wrap_into_cell
from aiida_qagenai.ml.generator.reduction import reduce_cell
from aiida_qagenai.ml.generator.sampler import Conditioning, Samples, Task, sample
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


class _Wanted(t.NamedTuple):
    """One sample to draw: its request, number of atoms, given types (or none) and allowed elements."""

    request: int
    num_atoms: int
    types: tuple[int, ...] | None
    allowed: tuple[int, ...]


class _Made(t.NamedTuple):
    """One sample that was drawn, ready to be packed."""

    request: int
    species: NDArray[np.int64]
    structure: Projection
    q: NDArray[np.float64]


def generate(config: GenerateConfig, runtime: Runtime, record: Record) -> None:
    """Sample what ``config.requests`` ask for and write the packed candidates.

    The arrays are those of a ``StructureBatch`` and ``request`` (n,), ``projected`` (n,), ``target_descriptors``
    (n, NUM_DESCRIPTORS). Every requested sample is there or counted in ``failed`` by reason.

    :raises InvalidInputError: if an element was not in the training set.
    """
    with record.stage('load'):
        trained = _load_generator(config.generator, runtime)
        wanted = _expand(config.requests, trained, runtime, record)
        q_source = _conditioning(config, trained.elements, runtime)
    radii = torch.tensor([COVALENT_RADII[number] for number in trained.elements], dtype=runtime.dtype)
    # Cells of one size together: padding costs time.
    order = sorted(range(len(wanted)), key=lambda index: wanted[index].num_atoms)
    generator = runtime.generator(1)
    rng = np.random.default_rng([runtime.seed, 2])
    progress = Progress(config.steps * len(wanted))
    guide = None if config.constraints is None else Guide(config.constraints, trained.elements)
    made: dict[int, _Made] = {}
    failed = {'not_finite': 0, 'projection': 0}
    for start in range(0, len(order), config.batch_size):
        indices = order[start : start + config.batch_size]
        with record.stage('sampling'):
            samples = sample(
                trained.model,
                _task([wanted[index] for index in indices], len(trained.elements)),
                radii=radii,
                distance_scale=config.min_distance_scale,
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


def _expand(requests: tuple[Request, ...], trained: _Trained, runtime: Runtime, record: Record) -> list[_Wanted]:
    """Return every sample that the requests ask for, with its number of atoms drawn."""
    generator = runtime.generator(0)
    wanted = []
    for number, request in enumerate(requests):
        if isinstance(request, CompositionRequest):
            positions = known_indices(request.composition, trained.elements, 'generator')
            counts = request.composition.values()
            types = tuple(p for p, count in zip(positions, counts, strict=True) for _ in range(count))
            wanted.extend([_Wanted(number, len(types), types, tuple(positions))] * request.count)
            continue
        if isinstance(request, FreeRequest):
            allowed = tuple(range(len(trained.elements)))
        else:
            allowed = tuple(known_indices(request.elements, trained.elements, 'generator'))
        sizes = np.arange(request.min_atoms, request.max_atoms + 1)
        weights = np.array([trained.num_atoms_counts.get(int(size), 0) for size in sizes], dtype=float)
        if not weights.any():
            record.warn(
                f'request {number}: no training structure has {sizes[0]}–{sizes[-1]} atoms; sizes are drawn evenly'
            )
            weights[:] = 1.0
        drawn = torch.multinomial(
            torch.from_numpy(weights), request.count, replacement=True, generator=generator
        ).tolist()
        wanted.extend(_Wanted(number, int(sizes[index]), None, allowed) for index in drawn)
    return wanted


def _task(wanted: list[_Wanted], num_elements: int) -> Task:
    width = max(each.num_atoms for each in wanted)
    types = torch.full((len(wanted), width), num_elements)
    mask = torch.zeros(len(wanted), width, dtype=torch.bool)
    allowed = torch.zeros(len(wanted), num_elements, dtype=torch.bool)
    for row, each in enumerate(wanted):
        mask[row, : each.num_atoms] = True
        allowed[row, list(each.allowed)] = True
        if each.types is not None:
            types[row, : each.num_atoms] = torch.tensor(each.types)
    return Task(types, mask, allowed)


def _finish(
    samples: Samples, row: int, wanted: _Wanted, elements: tuple[int, ...], *, scale: float, rng: np.random.Generator
) -> _Made | str:
    """Return the projected sample, or the reason why there is none."""
    cell = samples.cells[row].numpy()
    fractional = samples.fractional[row, : wanted.num_atoms].numpy()
    species = np.array(elements)[samples.types[row, : wanted.num_atoms].numpy()]
    if not (np.isfinite(cell).all() and np.isfinite(fractional).all() and abs(np.linalg.det(cell)) > 1e-3):
        return 'not_finite'
    cell, fractional = reduce_cell(cell, fractional)
    unchanged = Projection(cell, wrap_into_cell(fractional), moved=False)
    projection = project(cell, species, fractional, scale, rng) if scale else unchanged
    if projection is None:
        return 'projection'
    return _Made(wanted.request, species, projection, samples.q[row].numpy())


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
            'request': np.array([each.request for each in made], dtype=np.int64),
            'projected': np.array([each.structure.moved for each in made], dtype=bool),
            'target_descriptors': np.array([each.q for each in made]).reshape(-1, NUM_DESCRIPTORS),
        },
    )

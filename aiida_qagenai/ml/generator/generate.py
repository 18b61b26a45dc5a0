"""The command ``generate``: from requests to packed candidates."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS, pack
from aiida_qagenai.exchange.checkpoint import FOUNDATION
from aiida_qagenai.exchange.requests import MotifsRequest
from aiida_qagenai.exchange.structures import StructureBatch, save_arrays
from aiida_qagenai.exchange.tasks import GenerateConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint, rebuild
from aiida_qagenai.ml.descriptors import load_descriptor_model
from aiida_qagenai.ml.elements import element_numbers, element_symbols, known_indices
from aiida_qagenai.ml.generator.aiming import Predictor
from aiida_qagenai.ml.generator.guidance import Guide
from aiida_qagenai.ml.generator.masking import Hold, hold_atoms
from aiida_qagenai.ml.generator.network import Denoiser
from aiida_qagenai.ml.generator.ordering import Verdicts, best_of, judge_structures
from aiida_qagenai.ml.generator.projection import VALID_SCALE, Held, Projection, closest_ratio, project, wrap_into_cell
from aiida_qagenai.ml.generator.reduction import reduce_cell
from aiida_qagenai.ml.generator.requests import Wanted, expand, make_task, split
from aiida_qagenai.ml.generator.sampler import Conditioning, Samples, sample
from aiida_qagenai.ml.generator.steering import Steering
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('generate',)

FEWEST_STEPS = 10
"""Denoising steps of a sample that starts close to the end."""


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
    """One sample that was drawn, ready to be packed.

    :param losses: of the geometric constraints in each step, shape (S, C).
    """

    wanted: Wanted
    species: NDArray[np.int64]
    structure: Projection
    q: NDArray[np.float64]
    losses: NDArray[np.float32] | None = None


def generate(config: GenerateConfig, runtime: Runtime, record: Record) -> None:
    """Sample what ``config.requests`` ask for and write the packed candidates.

    The arrays are those of a ``StructureBatch`` and ``request`` (n,), ``start`` (n,), the row of the structure that a
    sample started from or −1, ``noise`` (n,), the level at which it started, ``projected`` (n,),
    ``target_descriptors`` (n, NUM_DESCRIPTORS), and where a request asks for motifs ``motif``, ``motif_formula``,
    ``probability`` and ``relation``, each (n,). Every requested sample is there or counted in ``failed`` by reason.
    With ``config.mask`` the first atoms of each are those that are held, in the cell of the mask.
    With ``config.geometry`` there are the arrays of :meth:`~aiida_qagenai.ml.generator.ordering.Verdicts.arrays` too.

    :raises InvalidInputError: if an element was not in the training set.
    """
    with record.stage('load'):
        trained = _load_generator(config.generator or FOUNDATION, runtime)
        sizes, generator = trained.num_atoms_counts, runtime.generator(0)
        predictor = Predictor(runtime, config.labels)
        wanted = expand(config.requests, trained.elements, sizes, generator, record, predictor=predictor)
        if config.mask is not None:
            wanted = hold_atoms(wanted, config.mask, trained.elements)
        q_source = _conditioning(config, trained, wanted, runtime, record)
        copies = 1 if config.geometry is None else config.geometry.best_of
        wanted = [each for each in wanted for _ in range(copies)]
    made, failed = _draw(config, trained, wanted, q_source, record=record, runtime=runtime)
    finished = [made[index] for index in sorted(made)]
    verdicts = None if config.geometry is None else judge_structures(config.geometry, _pack(finished))
    if config.geometry is not None and verdicts is not None and copies > 1:
        weights = np.array([each.weight for each in config.geometry.constraints])
        rows = best_of([index // copies for index in sorted(made)], verdicts, weights)
        finished = [finished[row] for row in rows]
        verdicts = verdicts.take(rows)
    with record.stage('relations'):
        others = _origins(config, finished) | _verdicts(config, verdicts, finished, record)
    _write(config, finished, others, record)
    counts = {'num_requested': len(wanted) // copies, 'num_generated': len(finished), 'failed': failed}
    record.counts.update(counts, generator_sha256=trained.sha256)


def _draw(
    config: GenerateConfig,
    trained: _Trained,
    wanted: Sequence[Wanted],
    conditioning: Conditioning | None,
    *,
    record: Record,
    runtime: Runtime,
) -> tuple[dict[int, _Made], dict[str, int]]:
    """Return the samples by their position in ``wanted``, and how many failed for each reason."""
    generator = runtime.generator(1)
    rng = np.random.default_rng([runtime.seed, 2])
    progress = Progress(sum(_steps(each, config.steps) for each in wanted))
    guide = None if config.constraints is None else Guide(config.constraints, trained.elements)
    made: dict[int, _Made] = {}
    failed = {'not_finite': 0, 'projection': 0}
    for indices in split(wanted, config.batch_size):
        if (steps := _steps(wanted[indices[0]], config.steps)) == 0:
            made.update((index, _unchanged(wanted[index], trained.elements)) for index in indices)
            continue
        # what is held leaves the others little room
        steers = config.geometry is not None or config.mask is not None
        steering = Steering(config.geometry, trained.elements) if steers else None
        hold = None if config.mask is None else Hold(config.mask, len(indices), rng)
        task = make_task([wanted[index] for index in indices], len(trained.elements))._replace(hold=hold)
        with record.stage('sampling'):
            samples = sample(
                trained.model,
                task,
                steps=steps,
                stochasticity=config.stochasticity if _is_noisy(wanted[indices[0]]) else 0.0,
                guidance=config.guidance_scale,
                conditioning=conditioning,
                generator=generator,
                runtime=runtime,
                report=lambda count: progress.advance('generate', count=count),
                guide=guide,
                steering=steering,
                noise_schedule=config.noise_schedule,
            )
        losses = None
        if steering is not None and steering.trajectory:
            losses = torch.stack(steering.trajectory, 1).float().cpu().numpy()
        with record.stage('projection'):
            for row, index in enumerate(indices):
                outcome = _finish(samples, row, wanted[index], trained.elements, config=config, hold=hold, rng=rng)
                if isinstance(outcome, str):
                    failed[outcome] += 1
                else:
                    made[index] = outcome._replace(losses=None if losses is None else losses[row])
    return made, failed


def _steps(wanted: Wanted, steps: int) -> int:
    """Return the steps of a sample: a start below time 1 takes its share of ``steps``, one left as it is none."""
    if wanted.start is None:
        return steps
    return 0 if wanted.start.time == 0 else max(FEWEST_STEPS, round(steps * wanted.start.time))


def _is_noisy(wanted: Wanted) -> bool:
    """Return whether a sample begins with noise; what is only refined must not depend on chance."""
    return wanted.start is None or wanted.start.noise > 0


def _unchanged(wanted: Wanted, elements: tuple[int, ...]) -> _Made:
    """Return the start of a sample as it is."""
    assert wanted.start is not None and wanted.types is not None
    cell, fractional = reduce_cell(wanted.start.cell, wanted.start.fractional)
    projection = Projection(cell, wrap_into_cell(fractional), moved=False)
    return _Made(wanted, np.array(elements)[list(wanted.types)], projection, np.full(NUM_DESCRIPTORS, np.nan))


def _load_generator(folder: Path, runtime: Runtime) -> _Trained:
    tensors, info = load_checkpoint(folder, 'generator')
    model = rebuild(Denoiser, tensors, info, runtime.dtype).to(runtime.device).eval()
    counts = {int(size): int(count) for size, count in info.configuration['num_atoms_counts'].items()}
    return _Trained(model, element_numbers(info.elements), counts, info.sha256)


def _conditioning(
    config: GenerateConfig, trained: _Trained, wanted: Sequence[Wanted], runtime: Runtime, record: Record
) -> Conditioning | None:
    """Return the conditioning that ``config`` asks for, on fields that the generator was trained with.

    :param wanted: all samples.
    :returns: None if the samples are unconditional.
    :raises InvalidInputError: if the descriptor model does not know an element of the samples.
    """
    if config.target is None and config.descriptor is None:
        return None
    fields = trained.model.trained_fields
    if not fields.any():
        record.warn('the generator was trained without descriptors: its samples are not conditioned on any')
        return None
    if config.target is not None:
        target = torch.tensor(pack(config.target), dtype=runtime.dtype, device=runtime.device)
        if (torch.isfinite(target) & ~fields).any():
            record.warn('the generator was trained without some of the fields of `target`, which are left out')
        return lambda fractions: target.masked_fill(~fields, torch.nan).expand(len(fractions), NUM_DESCRIPTORS)
    assert config.descriptor is not None
    model, known = load_descriptor_model(config.descriptor, runtime)
    used = sorted({position for each in wanted for position in each.allowed})
    columns = known_indices(element_symbols(trained.elements[p] for p in used), known, 'descriptor model')

    def from_composition(fractions: torch.Tensor) -> torch.Tensor:
        translated = fractions.new_zeros(len(fractions), len(known))
        translated[:, columns] = fractions[:, used]
        return model.predict_composition(translated).masked_fill(~fields, torch.nan)

    return from_composition


def _finish(
    samples: Samples,
    row: int,
    wanted: Wanted,
    elements: tuple[int, ...],
    *,
    config: GenerateConfig,
    hold: Hold | None,
    rng: np.random.Generator,
) -> _Made | str:
    """Return the projected sample, or the reason why there is none."""
    scale = config.min_distance_scale
    cell = samples.cells[row].numpy()
    fractional = samples.fractional[row, : wanted.num_atoms].numpy()
    species = np.array(elements)[samples.types[row, : wanted.num_atoms].numpy()]
    if not (np.isfinite(cell).all() and np.isfinite(fractional).all() and abs(np.linalg.det(cell)) > 1e-3):
        return 'not_finite'
    operations = None if wanted.start is None else wanted.start.operations
    held = None
    if hold is not None and config.mask is not None:
        cell, fractional = hold.given_setting(row, cell, fractional)
        held = Held(hold.size, config.mask.lattice)
    elif operations is None:
        cell, fractional = reduce_cell(cell, fractional)
    projection: Projection | None = Projection(cell, wrap_into_cell(fractional), moved=False)
    if scale:
        projection = project(cell, species, fractional, scale, rng, operations=operations, held=held)
    if projection is None:
        return 'projection'
    if operations is not None:
        cell, fractional = reduce_cell(projection.cell, projection.fractional)
        projection = Projection(cell, wrap_into_cell(fractional), projection.moved)
    return _Made(wanted, species, projection, samples.q[row].numpy())


def _verdicts(
    config: GenerateConfig, verdicts: Verdicts | None, made: list[_Made], record: Record
) -> dict[str, NDArray[t.Any]]:
    """Return what is stored of geometric constraints, and record how many samples satisfy them."""
    if config.geometry is None or verdicts is None:
        return {}
    record.counts['geometry'] = verdicts.counts(config.geometry)
    none = np.zeros((0, len(config.geometry.constraints)), dtype=np.float32)
    return verdicts.arrays(config.geometry, [none if each.losses is None else each.losses for each in made])


def _write(config: GenerateConfig, made: list[_Made], others: dict[str, NDArray[t.Any]], record: Record) -> None:
    """Write the candidates, with ``others`` beside them, and record how many are valid."""
    batch = _pack(made)
    if made:
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
            'noise': np.array([each.wanted.start.noise if each.wanted.start else 1.0 for each in made]),
            'projected': np.array([each.structure.moved for each in made], dtype=bool),
            **others,
            'target_descriptors': np.array([each.q for each in made]).reshape(-1, NUM_DESCRIPTORS),
        },
    )


def _pack(made: list[_Made]) -> StructureBatch:
    """Return the structures of the samples."""
    if not made:
        return StructureBatch.empty()
    return StructureBatch(
        num_atoms=np.array([len(each.species) for each in made], dtype=np.int64),
        cells=np.array([each.structure.cell for each in made]),
        species=np.concatenate([each.species for each in made]),
        fractional=np.concatenate([each.structure.fractional for each in made]),
        identifiers=np.array([f'sample-{index:06d}' for index in range(len(made))]),
    )


def _origins(config: GenerateConfig, made: list[_Made]) -> dict[str, NDArray[t.Any]]:
    """Return what stands beside samples of motifs: ``motif``, ``motif_formula``, ``probability`` and ``relation``.

    :returns: one entry per sample, empty or NaN where a sample has no motif; nothing if no request asks for motifs.
    """
    requests = {n: each for n, each in enumerate(config.requests) if isinstance(each, MotifsRequest)}
    if not requests:
        return {}
    motifs = [each.wanted.motif for each in made]
    return {
        'motif': np.array([each.motif if each else '' for each in motifs], dtype=np.str_),
        'motif_formula': np.array([each.motif_formula if each else '' for each in motifs], dtype=np.str_),
        'probability': np.array([each.probability if each else np.nan for each in motifs]),
        'relation': np.array(_relations(requests, made) if config.relations else [''] * len(made), dtype=np.str_),
    }


def _relations(requests: dict[int, MotifsRequest], made: list[_Made]) -> list[str]:
    """Return how each sample relates to the known crystals, empty where that cannot be told or was not asked for."""
    from aiida_qagenai.motifs.relations import LibraryRelations
    from aiida_qagenai.motifs.requested import models_of

    libraries = {(each.library, each.only_library): each for each in requests.values()}
    of_library = {key: LibraryRelations(models_of(request).library) for key, request in libraries.items()}
    known = {number: of_library[each.library, each.only_library] for number, each in requests.items()}
    relations: list[str] = []
    for each, structure in zip(made, _pack(made).structures(), strict=True):
        relation = known.get(each.wanted.request)
        motif = each.wanted.motif.motif if each.wanted.motif else ''
        relations.append((relation and relation.classify(structure, motif)) or '')
    return relations

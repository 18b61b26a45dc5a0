"""Training of the validator: bootstrapped members, one stage per level of the ladder, one calibration at the end."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.chemistry.open_shells import shells_of
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.common.level import Level, LevelTree
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.recovery import RecoveryOptions
from aiida_qagenai.exchange.tasks import ValidatorOptions, ValidatorTraining
from aiida_qagenai.ml.checkpoints import load_memory
from aiida_qagenai.ml.elements import composition_fractions
from aiida_qagenai.ml.graph import CrystalGraph
from aiida_qagenai.ml.potentials import Potential
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.training.errors import metric_names, record_derivative_errors, record_errors
from aiida_qagenai.ml.training.members import (
    bootstrap_keys,
    bootstrap_unit,
    multiplicities,
)
from aiida_qagenai.ml.training.memory import Guard, replayed, updated_memory
from aiida_qagenai.ml.training.optimisation import Start
from aiida_qagenai.ml.training.recovery import Repaired, describe, repair
from aiida_qagenai.ml.training.references import initialise, refit_references
from aiida_qagenai.ml.training.simpler import compare_with_linear
from aiida_qagenai.ml.training.stages import MemberData, train_member
from aiida_qagenai.ml.validator.base import describe_base, load_base, settings_of, without_base
from aiida_qagenai.ml.validator.calibration import LatentReference, SigmaModel, with_divergence
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs
from aiida_qagenai.ml.validator.network import hyperparameters

__all__ = ('train_validator',)

MIN_CALIBRATION_LABELS = 10
EVALUATED = 64
"""Structures of the probe evaluated at once."""


def train_validator(config: ValidatorTraining, runtime: Runtime, record: Record) -> None:
    """Train an ensemble on ``config.dataset`` and write its checkpoint.

    :raises InvalidInputError: if there are no labels, or the dataset holds elements that the initial checkpoint lacks.
    """
    start = Start.read(config, 'energies')
    known, bootstrap = _ensemble(start, config.options, runtime.dtype)
    ensemble = _with_levels(known, start, config.options)
    levels = ensemble.tree.levels
    start = dataclasses.replace(start, labels=start.labels.on_levels(levels), dataset=start.dataset.on_levels(levels))
    start, base = _without_base(start, config.options, runtime, record)
    with record.stage('neighbour_lists'):
        graphs, _ = model_graphs(start.labels.structures, ensemble.elements, ensemble.cutoff, runtime.dtype)
        graphs = [graph.to(runtime.device) for graph in graphs]
    fractions = composition_fractions(start.labels.structures, ensemble.elements)
    recovery = config.options.recovery
    start, repaired = _repaired(start, recovery, ensemble, graphs, fractions, runtime=runtime, record=record)
    labels = repaired.labels
    unit = bootstrap['bootstrap_by']
    if unit != 'group':
        record.warn(f'few formulas at first: the members are bootstrapped by {unit}')
    keys = bootstrap_keys(labels, unit)
    counts = multiplicities(keys, labels.energies, num_members=len(ensemble.members), seed=bootstrap['bootstrap_seed'])
    memory = None if config.initial_checkpoint is None else load_memory(config.initial_checkpoint)
    data = _member_data(ensemble, graphs, repaired, replayed(memory, start.dataset), runtime)
    for member in ensemble.members:
        member.to(runtime.device)
    num_known = len(known.tree.levels) if start.parent else 0
    guard = _guard(ensemble, num_known, memory, start, counts=counts, runtime=runtime, record=record)
    with record.stage('training'):
        _train_members(ensemble, num_known, data, start, counts=counts, runtime=runtime, record=record)
    if guard is not None:
        _keep_to_the_bar(guard, ensemble, num_known, data, start, counts=counts, record=record)
    ensemble.top = config.options.top
    with record.stage('calibration'):
        calibrate(ensemble, start, graphs, counts=counts, runtime=runtime, record=record)
    configuration = {
        'num_members': len(ensemble.members),
        'network': ensemble.network,
        'levels': ensemble.tree.describe(),
        'top': ensemble.top.value,
        **bootstrap,
        **describe_base(config.options.base, base),
    }
    tensors, updated = ensemble.to_tensors(), updated_memory(memory, start.dataset)
    fidelities = tuple(rung.value for rung in ensemble.tree.rungs)
    start.save(record, tensors, ensemble.members, configuration, fidelities=fidelities, memory=updated)
    record.counts['num_labels'] = labels.counts


def _member_data(
    ensemble: Ensemble,
    graphs: list[CrystalGraph],
    repaired: Repaired,
    memory: LabelledBatch | None,
    runtime: Runtime,
) -> MemberData:
    """Return what the members train on, all structures with repaired labels and behind them those to be replayed.

    :param graphs: of the structures with repaired labels.
    """
    levels, labels, weights = ensemble.tree.levels, repaired.labels, repaired.weights
    both = labels if memory is None else LabelledBatch.concatenate([labels, memory]).on_levels(levels)
    if memory is not None:
        others, _ = model_graphs(memory.structures, ensemble.elements, ensemble.cutoff, runtime.dtype)
        graphs = [*graphs, *(graph.to(runtime.device) for graph in others)]
        weights = np.concatenate([weights, np.ones((len(memory), len(levels)))])
    return MemberData(
        graphs,
        both.energies,
        np.arange(len(labels)),
        both.forces,
        both.stresses,
        tuple(each.rung for each in levels),
        weights,
        replayed=np.arange(len(labels), len(both)),
    )


def _train_members(
    ensemble: Ensemble,
    num_known: int,
    data: MemberData,
    start: Start,
    *,
    counts: NDArray[np.int64],
    runtime: Runtime,
    record: Record,
) -> None:
    """Train every member on its sample.

    :param data: with all rows.
    :param num_known: levels of the initial checkpoint, 0 without one.
    """
    config = start.config
    assert isinstance(config, ValidatorTraining)
    fractions = composition_fractions(start.labels.structures, ensemble.elements)
    progress = Progress(config.steps * len(ensemble.members))
    for index, member in enumerate(ensemble.members):
        rows = np.repeat(data.rows, counts[index])
        if num_known:
            refit_references(member, num_known, data.graphs, fractions, data.energies, rows=rows, weights=data.weights)
        else:
            initialise(member, data.graphs, fractions, data.energies, rows, weights=data.weights)
        train_member(
            member,
            dataclasses.replace(data, rows=rows),
            config=config,
            generator=runtime.generator(index),
            progress=progress,
            record=record,
            label=f'member {index + 1}',
            tuning=num_known > 0,
        )


def _guard(
    ensemble: Ensemble,
    num_known: int,
    memory: LabelledBatch | None,
    start: Start,
    *,
    counts: NDArray[np.int64],
    runtime: Runtime,
    record: Record,
) -> Guard | None:
    """Return the errors on the probe before a fine-tuning, or None where the checkpoint has no memory."""
    if not num_known:
        return None
    if memory is None:
        record.warn('the initial checkpoint has no memory: nothing is replayed, and what is forgotten is not measured')
        return None
    with record.stage('probe'):
        size = start.config.batch_size
        return Guard(
            ensemble,
            num_known,
            memory,
            start.labels,
            counts=counts,
            dataset=start.dataset,
            runtime=runtime,
            batch_size=max(size, EVALUATED),
        )


def _keep_to_the_bar(
    guard: Guard,
    ensemble: Ensemble,
    num_known: int,
    data: MemberData,
    start: Start,
    *,
    counts: NDArray[np.int64],
    record: Record,
) -> None:
    """Move weights back until the probe keeps to the bar; the references of new levels follow what they stand on."""
    config = start.config
    assert isinstance(config, ValidatorTraining)
    most = config.options.max_degradation
    kept = guard.enforce(most)
    if kept < 1:
        fractions = composition_fractions(start.labels.structures, ensemble.elements)
        new = range(num_known, len(ensemble.tree.levels))
        for index, member in enumerate(ensemble.members):
            rows = np.repeat(data.rows, counts[index])
            refit_references(
                member,
                len(ensemble.tree.levels),
                data.graphs,
                fractions,
                data.energies,
                rows=rows,
                weights=data.weights,
                levels=new,
            )
    guard.report(record, kept, metric_names(ensemble.tree), most)


def _ensemble(start: Start, options: ValidatorOptions, dtype: torch.dtype) -> tuple[Ensemble, dict[str, t.Any]]:
    """Return a new ensemble or the one in the initial checkpoint, and how its members are bootstrapped."""
    architecture, num_members = options.architecture, options.num_members
    if start.parent is None:
        network = hyperparameters(start.config.size, architecture)
        ensemble = Ensemble.create(network, start.elements, num_members, dtype, _tree_of(start, options))
        return ensemble, _new_bootstrap(start)
    ensemble = Ensemble.from_checkpoint(*start.parent, dtype)
    if num_members != len(ensemble.members):
        message = f'the initial checkpoint has {len(ensemble.members)} members, the options ask for {num_members}'
        raise InvalidInputError(message)
    known = ensemble.network['architecture']
    if architecture != known:
        message = f'the initial checkpoint has the architecture `{known}`, the options ask for `{architecture}`'
        raise InvalidInputError(message)
    if not set(_labelled(start)) & set(ensemble.tree.levels):
        # The members drew their samples from other data: for these a new choice is made, which later trainings keep.
        return ensemble, _new_bootstrap(start)
    return ensemble, {name: start.parent[1].configuration[name] for name in ('bootstrap_seed', 'bootstrap_by')}


def _new_bootstrap(start: Start) -> dict[str, t.Any]:
    """Return how the members are bootstrapped in the first training on a dataset."""
    return {'bootstrap_seed': start.config.seed, 'bootstrap_by': bootstrap_unit(start.labels)}


def _labelled(start: Start) -> list[Level]:
    """Return the levels with labels in the training split."""
    columns = zip(start.labels.levels, start.labels.energies.T, strict=True)
    return [level for level, column in columns if np.isfinite(column).any()]


def _without_base(
    start: Start, options: ValidatorOptions, runtime: Runtime, record: Record
) -> tuple[Start, Potential | None]:
    """Return labels with the potential below the validator taken off, and that potential, if there is one."""
    if start.parent is not None and settings_of(options.base) != start.parent[1].configuration.get('base'):
        message = 'the initial checkpoint stands on another `base` than the options ask for: '
        raise InvalidInputError(message + json.dumps(start.parent[1].configuration.get('base') or 'own'))
    if options.base is None:
        return start, None
    potential = load_base(options.base, runtime)
    with record.stage('base'):
        dataset, reasons = without_base(start.dataset, potential)
    failed = [reason for reason in reasons if reason]
    if failed:
        record.warn(f'{len(failed)} structures are left out, {potential.tag} cannot describe them: {failed[0]}')
    rows = np.flatnonzero((dataset.split == SPLITS.index('train')) & np.isfinite(dataset.energies).any(axis=1))
    if not len(rows):
        raise InvalidInputError(f'{potential.tag} describes no structure of the training set: {failed[0]}')
    return dataclasses.replace(start, dataset=dataset, labels=dataset.select(rows)), potential


def _tree_of(start: Start, options: ValidatorOptions, known: LevelTree | None = None) -> LevelTree:
    """Return the levels that a model knows and those with labels in the training split."""
    return (known or LevelTree((), ())).grown(_labelled(start), options.parents)


def _with_levels(ensemble: Ensemble, start: Start, options: ValidatorOptions) -> Ensemble:
    """Return the ensemble with the levels of the labels that it lacks."""
    tree = _tree_of(start, options, ensemble.tree)
    return ensemble if tree == ensemble.tree else ensemble.grown(tree)


def _repaired(
    start: Start,
    options: RecoveryOptions,
    ensemble: Ensemble,
    graphs: list[CrystalGraph],
    fractions: NDArray[np.float64],
    *,
    runtime: Runtime,
    record: Record,
) -> tuple[Start, Repaired]:
    """Return the start with the labels that errors are measured against, and the labels that are trained on."""
    trained, batch_size = start.parent is not None, start.config.batch_size
    with record.stage('recovery'):
        repaired = repair(
            start.labels,
            lambda: describe(ensemble, graphs, fractions, trained=trained, runtime=runtime, batch_size=batch_size),
            ensemble.tree.parents,
            options,
            record,
        )
    dataset = start.dataset
    if options.unconverged == 'leave_out':
        dataset = dataset.without(dataset.doubtful)
    return dataclasses.replace(start, labels=start.labels.without(~repaired.measured), dataset=dataset), repaired


def calibrate(
    ensemble: Ensemble,
    start: Start,
    graphs: list[CrystalGraph],
    *,
    counts: NDArray[np.int64],
    runtime: Runtime,
    record: Record,
) -> None:
    """Set the latent reference and the scales of σ, and record the errors in and out of the training set.

    The scales come from the split ``calibration`` if that has enough labels, else from the out-of-bag predictions:
    the predictions for each training structure by the members that never saw it.
    """
    tree, top, batch_size = ensemble.tree, ensemble.top, start.config.batch_size
    energies, features = ensemble.evaluate(graphs, runtime.device, batch_size)
    ensemble.latent = LatentReference.fit(features, runtime.seed)
    record_errors(record, 'train', energies.mean(axis=0) - start.labels.energies, tree)
    record_derivative_errors(record, 'train', ensemble, start.labels, runtime=runtime, batch_size=batch_size)
    residuals, variances, number = _out_of_bag(
        with_divergence(ensemble.on_rungs(energies), top),
        with_divergence(ensemble.on_rungs(start.labels.energies), top),
        (counts == 0)[:, :, None],
    )
    record_errors(record, 'out_of_bag', residuals[:, : len(LADDER)], LevelTree())
    compare_with_linear(
        record,
        tree,
        metric_names(tree),
        predicted=_out_of_bag(energies, np.zeros_like(start.labels.energies), (counts == 0)[:, :, None])[0],
        labels=start.labels.energies,
        fractions=composition_fractions(start.labels.structures, ensemble.elements),
        groups=start.labels.groups,
    )
    shells, inflation = shells_of(numbers for _, numbers, _ in start.labels.structures), None
    for split in ('validation', 'calibration'):
        held_out = start.split(split)
        held_graphs, strange = model_graphs(held_out.structures, ensemble.elements, ensemble.cutoff, runtime.dtype)
        predicted, latent = ensemble.evaluate(held_graphs, runtime.device, batch_size)
        errors = np.where(strange[:, None], np.nan, predicted.mean(axis=0) - held_out.energies)
        record_errors(record, split, errors, tree)
        known = held_out.select(np.flatnonzero(~strange))
        record_derivative_errors(record, split, ensemble, known, runtime=runtime, batch_size=batch_size)
        errors, predicted = ensemble.on_rungs(errors), ensemble.on_rungs(predicted)
        if split == 'calibration' and np.isfinite(errors).sum() >= MIN_CALIBRATION_LABELS:
            residuals, variances = with_divergence(errors, top), with_divergence(predicted, top).var(axis=0, ddof=1)
            number = np.full((len(errors), 1), len(predicted))
            shells = shells_of(numbers for _, numbers, _ in held_out.structures)
            distances = ensemble.latent.distances(latent)
            ensemble.latent = ensemble.latent.with_onset(distances[~strange])
            inflation = ensemble.latent.inflation(distances, np.zeros_like(strange))
    ensemble.sigma_model = SigmaModel.fit(residuals, variances, number, shells, inflation)
    names = [*(rung.label for rung in LADDER), 'divergence']
    for name, scale, column in zip(names, ensemble.sigma_model.scale.tolist(), variances.T, strict=True):
        if np.isfinite(column).any():
            record.metrics[f'sigma_scale_{name}'] = scale
    record.metrics['sigma_calibration_labels'] = float((np.isfinite(residuals) & np.isfinite(variances)).sum())


def _out_of_bag(
    energies: NDArray[np.float64], labels: NDArray[np.float64], unseen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return errors, sample variances and the number of the members that did not see a structure, NaN where < 2."""
    number = unseen.sum(axis=0).astype(float)
    number[number < 2] = np.nan
    mean = np.where(unseen, energies, 0.0).sum(axis=0) / number
    variance = np.where(unseen, (energies - mean) ** 2, 0.0).sum(axis=0) / (number - 1)
    return mean - labels, variance, number

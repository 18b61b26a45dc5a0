"""The staged training of one member: PBE, then SCAN, HSE06 and CCSD(T), each on top of the levels below."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.exchange.tasks import ValidatorOptions, ValidatorTraining
from aiida_qagenai.ml.graph import CrystalGraph, collate
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.training.losses import Scale, Scales, Targets, micro_batch_loss
from aiida_qagenai.ml.training.members import nearest_label
from aiida_qagenai.ml.training.optimisation import CLIP, Averaged, batches, schedule
from aiida_qagenai.ml.training.surfaces import surface
from aiida_qagenai.ml.validator.derivatives import with_derivatives
from aiida_qagenai.ml.validator.network import MultiFidelityPotential

__all__ = (
    'MemberData',
    'paired_labels',
    'shift_references',
    'stage_steps',
    'train_member',
    'trainable_groups',
)

STAGE_DECAY = 3.0
TRUNK_FACTOR = 0.1
LABELS = ('energies', 'forces', 'stresses')
MIN_ENERGY, MIN_FORCE, MIN_STRESS = 0.02, 0.05, 2e-3
"""Least scales of the loss: eV/atom, eV/Å and eV/Å3."""


@dataclasses.dataclass(frozen=True)
class MemberData:
    """What one member trains on; labels are NaN where missing.

    :param graphs: of all n structures, with N atoms in all.
    :param energies: on all L levels, shape (n, L), eV/atom.
    :param rows: the bootstrap sample, with repetitions.
    :param forces: shape (N, L, 3), eV/Å; none by default.
    :param stresses: shape (n, L, 3, 3), eV/Å3; none by default.
    :param rungs: on which the L levels stand.
    :param weights: how much each label counts, shape (n, L); 1 by default.
    :param replayed: structures of the memory of the initial checkpoint; none by default.
    """

    graphs: list[CrystalGraph]
    energies: NDArray[np.float64]
    rows: NDArray[np.int64]
    forces: NDArray[np.float64] | None = None
    stresses: NDArray[np.float64] | None = None
    rungs: tuple[Fidelity, ...] = LADDER
    weights: NDArray[np.float64] | None = None
    replayed: NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @functools.cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Return the first atom of each structure in ``forces`` and the total, shape (n + 1,)."""
        return np.cumsum([0, *(len(graph.species) for graph in self.graphs)])

    @functools.cached_property
    def labelled(self) -> dict[int, NDArray[np.int64]]:
        """Return the labelled rows of the sample for each level with labels."""
        return self._with_labels(self.rows)

    @functools.cached_property
    def remembered(self) -> dict[int, NDArray[np.int64]]:
        """Return the labelled rows of the memory for each level with labels."""
        return self._with_labels(self.replayed)

    def _with_labels(self, rows: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
        found = {level: rows[np.isfinite(self.energies[rows, level])] for level in range(len(self.rungs))}
        return {level: each for level, each in found.items() if len(each)}

    def atoms(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the atoms of the structures ``rows``, in that order."""
        return np.concatenate([np.arange(self.offsets[row], self.offsets[row + 1]) for row in rows])

    def of_elements(self, rows: NDArray[np.int64], references: torch.Tensor) -> NDArray[np.float64]:
        """Return the energies that structures would have by their elements alone, shape (m,), eV/atom.

        :param references: energies of the elements, shape (elements,), eV.
        """
        species = [self.graphs[row].species for row in rows]
        return np.array([references[each].mean().item() for each in species])

    def predicted(self, rows: NDArray[np.int64], level: int, model: MultiFidelityPotential) -> NDArray[np.float64]:
        """Return the energies of structures on ``level`` by the model as it is, shape (m,), eV/atom."""
        return surface(model, self.graphs, rows, level)

    def scales(
        self, rows: NDArray[np.int64], level: int, expected: NDArray[np.float64], *, square: bool = False
    ) -> Scales:
        """Return what the errors on ``level`` are measured in.

        :param rows: structures with labels on it.
        :param expected: energies about which theirs scatter, shape (m,), eV/atom.
        :param square: whether the loss is a plain square.
        """
        energies = self.energies[rows, level]
        found = {'energies': Scale.of(energies, energies - expected, MIN_ENERGY)}
        if self.forces is not None and len(forces := known(self.forces[self.atoms(rows), level])):
            found['forces'] = Scale.of(forces, forces, MIN_FORCE)
        if self.stresses is not None and len(stresses := known(self.stresses[rows, level])):
            found['stresses'] = Scale.of(stresses, stresses, MIN_STRESS)
        scales = Scales(**found)
        return scales.squares() if square else scales

    def batch(self, rows: NDArray[np.int64], level: int) -> tuple[CrystalGraph, Targets]:
        """Return some structures and their labels on ``level``."""
        graph = collate([self.graphs[row] for row in rows])
        arrays = {'energies': self.energies[rows, level]}
        if self.forces is not None:
            arrays['forces'] = self.forces[self.atoms(rows), level]
        if self.stresses is not None:
            arrays['stresses'] = self.stresses[rows, level]
        if self.weights is not None and (self.weights[rows, level] < 1).any():
            arrays['weights'] = self.weights[rows, level]
        found = {name: array for name, array in arrays.items() if np.isfinite(array).any()}
        return graph, Targets(**{name: torch.as_tensor(array).to(graph.positions) for name, array in found.items()})


def known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values that are not NaN, flat."""
    return values[np.isfinite(values)]


def stage_steps(levels: list[int], total: int, above: float) -> dict[int, int]:
    """Return the steps of each labelled level: the lowest gets what the others, sharing ``above``, leave."""
    higher = levels[1:]
    each = max(1, round(total * above / len(higher))) if higher else 0
    return {levels[0]: max(1, total - each * len(higher)), **dict.fromkeys(higher, each)}


def trainable_groups(
    model: MultiFidelityPotential, level: int, *, lowest: bool, freeze: bool
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters of the stage of ``level``: those at the full learning rate and those at a tenth of it.

    The ``lowest`` level of a new model trains everything. Another one trains its own references, Δ (of the root, the
    read-out) and bias; unless it has too few labels (``freeze``), also its own scaling of the sums over neighbours, and
    what it shares with the other levels at a tenth.
    """
    private = {f'references.{level}', f'bias.{level - 1}'}
    own, shared = [], []
    for name, parameter in model.named_parameters():
        if parameter.numel() == 0:
            continue
        is_delta = name.startswith(f'delta.{level - 1}.' if level else 'base.')
        is_film = name.endswith(f'film.{level - 1}')
        if lowest or name in private or is_delta or (is_film and not freeze):
            own.append(parameter)
        elif not freeze:
            shared.append(parameter)
    return own, shared


def paired_labels(model: MultiFidelityPotential, data: MemberData, level: int) -> MemberData:
    """Return the data with labels on ``level`` from which the error on the level below is taken off.

    While the trunk stands still, only the difference between the levels is to be learned. Where a structure also has
    a label e_k on a level that this one inherits from, its target is e_l − (e_k − E_k) with the present prediction
    E_k: otherwise the few parameters of a high level would learn the errors of the trunk. Forces and stresses likewise.
    """
    labels = {name: getattr(data, name).copy() for name in LABELS if getattr(data, name) is not None}
    rows = np.unique(data.labelled[level])
    nearest = np.array([nearest_label(data.energies[row], level, model.parents) for row in rows])
    for lower in np.unique(nearest[nearest >= 0]).tolist():
        chosen = rows[nearest == lower]
        predicted = surface(model, data.graphs, chosen, lower)
        labels['energies'][chosen, level] -= data.energies[chosen, lower] - predicted
        for row in chosen:
            _pair_derivatives(model, data, labels, row, levels=(level, lower))
    return dataclasses.replace(data, **labels)


def _pair_derivatives(
    model: MultiFidelityPotential,
    data: MemberData,
    labels: dict[str, NDArray[np.float64]],
    row: int,
    *,
    levels: tuple[int, int],
) -> None:
    """Take the errors of forces and stress on the second of two levels off the ``labels`` on the first."""
    upper, lower = levels
    atoms = slice(data.offsets[row], data.offsets[row + 1])
    places = {name: atoms if name == 'forces' else row for name in LABELS[1:] if name in labels}
    if not any(np.isfinite(labels[name][place, upper]).any() for name, place in places.items()):
        return
    graph = data.graphs[row]
    _, forces, stresses = with_derivatives(lambda moved: model(moved, lower), graph)
    predicted = {'forces': forces.double().cpu().numpy(), 'stresses': stresses[0].double().cpu().numpy()}
    for name, place in places.items():
        error = getattr(data, name)[place, lower] - predicted[name]
        labels[name][place, upper] -= np.where(np.isfinite(error), error, 0.0)


def train_member(
    model: MultiFidelityPotential,
    data: MemberData,
    *,
    config: ValidatorTraining,
    generator: torch.Generator,
    progress: Progress,
    record: Record,
    label: str,
    tuning: bool = False,
    first: int = 0,
) -> None:
    """Train one member on its bootstrap sample, in place.

    :param tuning: whether the member was trained before: then no stage moves what levels share at the full rate.
    :param first: the first level that is trained; stages of those before it are left out.
    """
    options, rate = config.options, config.learning_rate
    levels = list(data.labelled)
    descend = functools.partial(_descend, model, options=options, progress=progress, record=record, label=label)
    if not options.staged:
        everything = [parameter for parameter in model.parameters() if parameter.numel()]
        sources = list(data.labelled.items())
        plan = _turns(sources, config.batch_size, generator)
        scales = [_scales(model, data, k, rows, config, fresh=not tuning) for k, rows in sources]
        descend(data, levels[-1], plan, groups=(everything, []), scales=scales, rate=rate, steps=config.steps)
        return
    for level, steps in stage_steps(levels, config.steps, options.steps_above).items():
        lowest = level == levels[0] and not tuning
        few = len(np.unique(data.labelled[level])) < options.freeze_trunk_below
        freeze = not lowest and level > 0 and few
        if level != levels[0] and not freeze:
            # A stage that trains only its own small read-out keeps the full rate.
            rate /= STAGE_DECAY
        if level < first:
            continue
        own, shared = trainable_groups(model, level, lowest=lowest, freeze=freeze)
        if stands_still := freeze or (options.gradient_stop and level > 0):
            shared = []
        references = model.references[level].detach().clone()
        pair = freeze or (options.paired and stands_still)
        labels = paired_labels(model, data, level) if pair else data
        replay = replay_sources(data, level, model.parents, stands_still=stands_still) if options.replay else []
        sources = [(level, data.labelled[level]), *replay]
        scales = [_scales(model, labels, k, rows, config, fresh=lowest) for k, rows in sources]
        plan = _plan(sources, config, generator)
        descend(labels, level, plan, groups=(own, shared), scales=scales, rate=rate, steps=steps)
        shift_references(model, level, model.references[level].detach() - references, itself=False)


def _descend(
    model: MultiFidelityPotential,
    labels: MemberData,
    level: int,
    plan: Iterator[list[tuple[int, int, NDArray[np.int64]]]],
    *,
    groups: tuple[list[nn.Parameter], list[nn.Parameter]],
    scales: Sequence[Scales],
    rate: float,
    steps: int,
    options: ValidatorOptions,
    progress: Progress,
    record: Record,
    label: str,
) -> None:
    """Take ``steps`` steps of a ``plan`` of micro-batches down the loss of Eq 2, in place.

    :param level: whose loss is shown.
    :param scales: of each source of the plan.
    :param groups: parameters at the full ``rate`` and those at a tenth of it; all others stand still.
    """
    model.requires_grad_(False)
    for parameter in (moved := [*groups[0], *groups[1]]):
        parameter.requires_grad_(True)
    averaged = Averaged(moved)
    optimiser = _optimiser(*groups, rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, functools.partial(schedule, total=steps))
    for batches_of_step in itertools.islice(plan, steps):
        optimiser.zero_grad(set_to_none=True)
        losses: dict[int, float] = {}
        for source, current, rows in batches_of_step:
            graph, targets = labels.batch(rows, current)
            weight = options.loss_weights[labels.rungs[current].rank]
            loss = weight * micro_batch_loss(
                model, graph, targets, level=current, scales=scales[source], options=options
            )
            loss.backward()
            losses.setdefault(current, loss.item())
        nn.utils.clip_grad_norm_(moved, CLIP)
        optimiser.step()
        scheduler.step()
        averaged.update()
        rung = labels.rungs[level]
        if progress.advance(f'{label} stage {rung.value}', {'loss': losses[level]}):
            record.log(**{f'{label} loss_{rung.label}': losses[level]})
    averaged.apply()
    model.requires_grad_(True)


def _scales(
    model: MultiFidelityPotential,
    labels: MemberData,
    level: int,
    rows: NDArray[np.int64],
    config: ValidatorTraining,
    *,
    fresh: bool,
) -> Scales:
    """Return the scales of labels on a level: errors stick out of what the model predicts, or, before it learned
    anything, of the energies of the elements.
    """
    references = model.references[level].detach()
    expected = labels.of_elements(rows, references) if fresh else labels.predicted(rows, level, model)
    return labels.scales(rows, level, expected, square=config.options.recovery.loss == 'square')


def _optimiser(own: list[nn.Parameter], shared: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    groups = [{'params': own, 'lr': rate}, {'params': shared, 'lr': rate * TRUNK_FACTOR}]
    return torch.optim.Adam([group for group in groups if group['params']], amsgrad=True)


def heirs_of(level: int, parents: Sequence[int]) -> set[int]:
    """Return ``level`` and all levels that inherit from it."""
    heirs = {level}
    for k, parent in enumerate(parents):
        if parent in heirs:
            heirs.add(k)
    return heirs


def shift_references(model: MultiFidelityPotential, level: int, change: torch.Tensor, *, itself: bool = True) -> None:
    """Add ``change`` to the references of ``level`` and of all that inherit from it, so that these keep their distance.

    :param itself: whether ``level`` is not there yet.
    """
    heirs = heirs_of(level, model.parents)
    with torch.no_grad():
        for k in heirs if itself else heirs - {level}:
            model.references[k].add_(change)


def replay_sources(
    data: MemberData, level: int, parents: Sequence[int], *, stands_still: bool
) -> list[tuple[int, NDArray[np.int64]]]:
    """Return the labels that a stage of ``level`` replays, as level and rows: those on other surfaces that it moves.

    Where what levels share stands still, the levels below keep their surface: only what inherits from ``level`` moves.
    """
    below = [] if stands_still else [(k, rows) for k, rows in data.labelled.items() if k < level]
    moved = heirs_of(level, parents) if stands_still else set(range(len(parents)))
    return [*below, *((k, rows) for k, rows in data.remembered.items() if k in moved)]


def _plan(
    sources: Sequence[tuple[int, NDArray[np.int64]]], config: ValidatorTraining, generator: torch.Generator
) -> Iterator[list[tuple[int, int, NDArray[np.int64]]]]:
    """Yield the micro-batches of each step: position of the source, its level, and rows.

    The first is of the stage itself, the other one of a source of replay, each of which comes in turn.

    :param sources: level and rows, those of the stage first.
    """
    share = config.options.replay
    small = max(1, round(config.batch_size * share / (1 - share)))
    streams = [
        batches(rows, small if index else config.batch_size, generator) for index, (_, rows) in enumerate(sources)
    ]
    turns = itertools.cycle(range(1, len(sources)))
    for rows in streams[0]:
        plan = [(0, sources[0][0], rows)]
        if len(sources) > 1:
            turn = next(turns)
            plan.append((turn, sources[turn][0], next(streams[turn])))
        yield plan


def _turns(
    sources: Sequence[tuple[int, NDArray[np.int64]]], size: int, generator: torch.Generator
) -> Iterator[list[tuple[int, int, NDArray[np.int64]]]]:
    """Yield the micro-batches of each step, one of every source, of ``size`` structures together."""
    streams = [batches(rows, max(1, size // len(sources)), generator) for _, rows in sources]
    while True:
        yield [(index, sources[index][0], next(stream)) for index, stream in enumerate(streams)]

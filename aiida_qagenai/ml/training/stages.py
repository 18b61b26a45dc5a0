"""The staged training of one member: PBE, then SCAN, HSE06 and CCSD(T), each on top of the levels below."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.exchange.tasks import ValidatorOptions, ValidatorTraining
from aiida_qagenai.ml.graph import CrystalGraph, collate
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.training.optimisation import CLIP, Averaged, batches, schedule
from aiida_qagenai.ml.validator.network import MultiFidelityPotential, forward_protected

__all__ = ('MemberData', 'micro_batch_loss', 'paired_targets', 'stage_steps', 'train_member', 'trainable_groups')

STAGE_DECAY = 3.0
TRUNK_FACTOR = 0.1
MIN_DEVIATION = 0.02


@dataclasses.dataclass(frozen=True)
class MemberData:
    """What one member trains on.

    :param graphs: of all n structures.
    :param energies: their labels, shape (n, 4), eV/atom, NaN where missing.
    :param rows: the bootstrap sample, with repetitions.
    """

    graphs: list[CrystalGraph]
    energies: NDArray[np.float64]
    rows: NDArray[np.int64]

    @functools.cached_property
    def labelled(self) -> dict[int, NDArray[np.int64]]:
        """Return the labelled rows of the sample for each level with labels."""
        rows = {level: self.rows[np.isfinite(self.energies[self.rows, level])] for level in range(len(LADDER))}
        return {level: each for level, each in rows.items() if len(each)}

    def deviation(self, level: int) -> float:
        """Return the spread of the labels of ``level``, eV/atom."""
        return max(float(self.energies[self.labelled[level], level].std()), MIN_DEVIATION)

    def batch(self, rows: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[CrystalGraph, torch.Tensor]:
        """Return some structures and their entries of ``values``, shape (n,), as a tensor of shape (B,)."""
        graph = collate([self.graphs[row] for row in rows])
        return graph, torch.as_tensor(values[rows]).to(graph.positions)


def stage_steps(levels: list[int], total: int, above: float) -> dict[int, int]:
    """Return the steps of each labelled level: the lowest gets what the others, sharing ``above``, leave."""
    higher = levels[1:]
    each = max(1, round(total * above / len(higher))) if higher else 0
    return {levels[0]: max(1, total - each * len(higher)), **dict.fromkeys(higher, each)}


def trainable_groups(
    model: MultiFidelityPotential, level: int, *, lowest: bool, freeze: bool
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters of the stage of ``level``: those at the full learning rate and those at a tenth of it.

    The lowest labelled level trains everything. A higher one trains its own references, Δ and bias; unless it has too
    few labels (``freeze``), also its own radial scaling, and what it shares with the other levels at a tenth.
    """
    private = {f'references.{level}', f'bias.{level - 1}'}
    own, shared = [], []
    for name, parameter in model.named_parameters():
        if parameter.numel() == 0:
            continue
        is_delta = name.startswith(f'delta.{level - 1}.')
        is_film = name.endswith(f'film.{level - 1}')
        if lowest or name in private or is_delta or (is_film and not freeze):
            own.append(parameter)
        elif not freeze:
            shared.append(parameter)
    return own, shared


def micro_batch_loss(
    model: MultiFidelityPotential,
    graph: CrystalGraph,
    targets: torch.Tensor,
    *,
    level: int,
    stage: int,
    deviation: float,
    options: ValidatorOptions,
) -> torch.Tensor:
    """Return the weighted Huber loss (paper Eq 2) of structures with labels on one ``level`` during a ``stage``.

    Below the stage, and with the gradient stop on, what higher levels need receives no gradient.

    :param targets: shape (B,), eV/atom.
    :param deviation: spread of the labels of that level, eV/atom.
    """
    stopped = level < stage and options.gradient_stop
    total = forward_protected(model, graph, level) if stopped else model(graph, level)
    residuals = (total / graph.num_atoms - targets) / deviation
    return options.loss_weights[level] * nn.functional.huber_loss(residuals, torch.zeros_like(residuals))


def paired_targets(model: MultiFidelityPotential, data: MemberData, level: int) -> NDArray[np.float64]:
    """Return targets for ``level``, shape (n,), eV/atom, from which the error on the level below is taken off.

    While the trunk stands still, only the difference between the levels is to be learned. Where a structure also has
    a label e_k on a lower level, its target is e_l − (e_k − E_k) with the present prediction E_k: otherwise the few
    parameters of a high level would learn the errors of the trunk.
    """
    rows = np.unique(data.labelled[level])
    targets: NDArray[np.float64] = data.energies[:, level].copy()
    with torch.no_grad():
        predicted, _ = model.all_levels(collate([data.graphs[row] for row in rows]))
    for row, levels in zip(rows, predicted.double().cpu().numpy(), strict=True):
        lower = [k for k in range(level) if np.isfinite(data.energies[row, k])]
        if lower:
            targets[row] -= data.energies[row, lower[-1]] - levels[lower[-1]]
    return targets


def train_member(
    model: MultiFidelityPotential,
    data: MemberData,
    *,
    config: ValidatorTraining,
    generator: torch.Generator,
    progress: Progress,
    record: Record,
    label: str,
) -> None:
    """Train one member on its bootstrap sample, in place."""
    rate = config.learning_rate
    levels = list(data.labelled)
    for level, steps in stage_steps(levels, config.steps, config.options.steps_above).items():
        lowest = level == levels[0]
        freeze = not lowest and len(np.unique(data.labelled[level])) < config.options.freeze_trunk_below
        if not lowest and not freeze:
            # A stage that trains only its own small read-out keeps the full rate.
            rate /= STAGE_DECAY
        own, shared = trainable_groups(model, level, lowest=lowest, freeze=freeze)
        model.requires_grad_(False)
        for parameter in own + shared:
            parameter.requires_grad_(True)
        # Without a moving trunk there is nothing that the replay of lower levels could protect.
        below = [k for k in levels if k < level] if not freeze else []
        targets = {k: data.energies[:, k] for k in (level, *below)}
        if freeze:
            targets[level] = paired_targets(model, data, level)
        averaged = Averaged(own + shared)
        references = model.references[level].detach().clone()
        optimiser = _optimiser(own, shared, rate)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, functools.partial(schedule, total=steps))
        for plan in itertools.islice(_plan(data, level, below, config.batch_size, generator), steps):
            optimiser.zero_grad(set_to_none=True)
            losses = []
            for current, rows in plan:
                loss = micro_batch_loss(
                    model,
                    *data.batch(rows, targets[current]),
                    level=current,
                    stage=level,
                    deviation=data.deviation(current),
                    options=config.options,
                )
                loss.backward()
                losses.append(loss.item())
            _clip(model, level)
            optimiser.step()
            scheduler.step()
            averaged.update()
            if progress.advance(f'{label} stage {LADDER[level].value}', {'loss': losses[0]}):
                record.log(**{f'{label} loss_{LADDER[level].label}': losses[0]})
        averaged.apply()
        _lift_references(model, level, model.references[level].detach() - references)
    model.requires_grad_(True)


def _optimiser(own: list[nn.Parameter], shared: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    groups = [{'params': own, 'lr': rate}, {'params': shared, 'lr': rate * TRUNK_FACTOR}]
    return torch.optim.Adam([group for group in groups if group['params']], amsgrad=True)


def _clip(model: MultiFidelityPotential, level: int) -> None:
    """Clip the gradients; the references of other levels are clipped separately.

    One norm over all would let the replay of a low level shrink the steps of the high one past the gradient stop.
    """
    replayed = [parameter for k, parameter in enumerate(model.references) if k != level]
    for parameter in replayed:
        nn.utils.clip_grad_norm_(parameter, CLIP)
    nn.utils.clip_grad_norm_([p for p in model.parameters() if all(p is not other for other in replayed)], CLIP)


def _lift_references(model: MultiFidelityPotential, level: int, change: torch.Tensor) -> None:
    """Let the references above ``level`` follow its own, so that the next stages start from its surface."""
    with torch.no_grad():
        for parameter in list(model.references)[level + 1 :]:
            parameter.add_(change)


def _plan(
    data: MemberData, level: int, below: list[int], size: int, generator: torch.Generator
) -> Iterator[list[tuple[int, NDArray[np.int64]]]]:
    """Yield the micro-batches of each step, one level each: the stage's own, and a third of replay from below."""
    own = batches(data.labelled[level], size, generator)
    replay = {k: batches(data.labelled[k], max(1, size // 2), generator) for k in below}
    turns = itertools.cycle(below)
    for rows in own:
        plan = [(level, rows)]
        if below:
            turn = next(turns)
            plan.append((turn, next(replay[turn])))
        yield plan

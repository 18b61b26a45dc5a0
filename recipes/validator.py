"""Train the ensemble of validators of any chemistry that the package ships.

    python recipes/validator.py --data /path/to/shared/data --structures structures_PBE.npz structures_generated.npz \
        --labels labels_*.npz generated_*.npz --elements elements_*.npz --output DIR --hours 2 [--resume] \
        [--start CHECKPOINT] [--members 0 1]

Structures come from `teacher_structures.py` and `generated_structures.py`, labels from `teacher_labels.py`; labels may
be incomplete, and more of them may come
with `--resume`. Five members are trained one after the other for a fifth of `--hours` each (hours of one core), on all
levels together: every step takes a batch of published energies and one of a teacher with forces and stresses, at PBE
twice as often as at r2SCAN. A twentieth of all formulas validates, a twentieth is left for tests, one in 25 calibrates
σ, and each member leaves out another tenth of the rest. `DIR/foundation` is a checkpoint in half precision, with
`card.json` about its data beside it; `DIR/member_N.pt` is what `--resume` continues from. `--start` gives new members
the weights of a checkpoint, such as the one that the package ships. `--members` trains some members only, so that two
processes can share the work; a run with `--resume` and the same `--hours` then makes the checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import validator_data
import validator_ensemble
from numpy.typing import NDArray
from torch import Tensor, nn
from validator_data import ELEMENTS, SIZE

from aiida_qagenai.common.level import LevelTree
from aiida_qagenai.evaluation.held_out import place_of
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.elements import composition_fractions
from aiida_qagenai.ml.graph import CrystalGraph, build_graphs, collate
from aiida_qagenai.ml.runtime import setup
from aiida_qagenai.ml.training.optimisation import Averaged
from aiida_qagenai.ml.validator.derivatives import with_derivatives
from aiida_qagenai.ml.validator.network import MultiFidelityPotential, hyperparameters

NUM_MEMBERS = 5
LEARNING_RATE, WARM_UP, WEIGHT_DECAY, CLIP, EMA_DECAY = 3e-3, 300, 1e-3, 20.0, 0.999
CONTINUED = 2e-3
"""Learning rate of a training that starts from a checkpoint."""

BATCH = {'published': 16, 'further': 8, 'teacher': 12}
FURTHER_WEIGHT = 0.3
"""Weight of the older scheme of corrections, which comes every third step."""

ENERGY, FORCE, STRESS = (10.0, 0.05), (2.0, 0.1), (20.0, 0.005)
"""Weights per eV/atom, eV/Å and eV/Å3, and the errors below which the loss is quadratic."""

NUM_SHOWN = 400
"""Structures of a teacher by which progress is judged."""


def huber(errors: Tensor, kind: tuple[float, float], weights: Tensor | float = 1.0) -> Tensor:
    """Return the mean loss: absolute errors beyond the threshold of ``kind``, squares below."""
    weight, threshold = kind
    losses = nn.functional.huber_loss(errors, torch.zeros_like(errors), delta=threshold, reduction='none')
    return weight / threshold * (losses * weights).mean()


class Data:
    """Labels, graphs and where the labels of each level are.

    :param tree: the levels; the root and its surface are those of the first teacher.
    """

    def __init__(self, labels: LabelledBatch) -> None:
        self.labels = labels
        levels = labels.levels
        parents = tuple(-1 if not k else 1 if level == validator_data.MP2018 else 0 for k, level in enumerate(levels))
        self.tree = LevelTree(levels, parents)
        self.published, self.further = levels.index(validator_data.MP2020), levels.index(validator_data.MP2018)
        self.teachers = [k for k in range(len(levels)) if k not in {self.published, self.further}]
        self.known = np.isfinite(labels.energies)
        self.rows = np.flatnonzero(self.known.any(axis=1) & (labels.split != SPLITS.index('test')))
        chosen = labels.structures.select(self.rows)
        cutoff = hyperparameters(SIZE)['cutoff']
        found = build_graphs(chosen, chosen.species - ELEMENTS[0], cutoff, torch.float32)
        self.graphs = dict(zip(self.rows.tolist(), found, strict=True))
        self.degrees = {
            row: int(torch.bincount(graph.receivers, minlength=1).max()) for row, graph in self.graphs.items()
        }
        self.folds = np.array([place_of(f'fold{group}') % 10 for group in labels.groups])

    def of(self, split: str, level: int, without: int | None = None) -> NDArray[np.int64]:
        """Return the rows of a split with labels on a level, but for one fold of the formulas."""
        chosen = self.known[:, level] & (self.labels.split == SPLITS.index(split))
        return np.flatnonzero(chosen if without is None else chosen & (self.folds != without))

    def batch(self, rows: Sequence[int] | NDArray[np.int64], level: int) -> tuple[CrystalGraph, Tensor, Tensor, Tensor]:
        """Return graphs and labels: energies per atom, forces and stresses."""
        labels = self.labels
        arrays = (labels.energies[rows, level], labels.forces[labels.structures.atoms_of(np.asarray(rows)), level])
        tensors = [torch.as_tensor(array, dtype=torch.float32) for array in (*arrays, labels.stresses[rows, level])]
        return collate([self.graphs[row] for row in rows]), *tensors

    def batches(self, rows: NDArray[np.int64], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Yield batches of crystals with about as many neighbours, without end."""
        chunk = 16 * size
        while True:
            order = rng.permutation(rows)
            for start in range(0, max(1, len(order) - chunk + 1), chunk):
                part = order[start : start + chunk]
                part = part[np.argsort([self.degrees[row] for row in part.tolist()])]
                pieces = [part[first : first + size] for first in range(0, len(part), size)]
                yield from (pieces[place] for place in rng.permutation(len(pieces)))

    def references(self, without: int) -> tuple[NDArray[np.float64], float]:
        """Return element references of each level by ridge regression, (L, elements), eV, and the spread about them."""
        count, spread = len(ELEMENTS), 1.0
        found = np.zeros((len(self.tree.levels), count))
        for level in (self.published, self.further, *self.teachers):
            rows = self.of('train', level, without)
            fractions = composition_fractions(self.labels.structures.select(rows), ELEMENTS)
            base, ridge = (found[self.published], 1.0) if level == self.further else (np.zeros(count), 0.1)
            residuals = self.labels.energies[rows, level] - fractions @ base
            matrix = fractions.T @ fractions + ridge * np.eye(count)
            found[level] = base + np.linalg.solve(matrix, fractions.T @ residuals)
            if level == self.published:
                spread = float((residuals - fractions @ found[level]).std())
        return found, spread


@dataclasses.dataclass
class Member:
    """The training of one member, which can be interrupted."""

    index: int
    data: Data
    model: MultiFidelityPotential
    optimiser: torch.optim.AdamW
    averaged: Averaged
    step: int = 0
    seconds: float = 0.0
    learning_rate: float = LEARNING_RATE

    @classmethod
    def begin(cls, index: int, data: Data) -> Member:
        """Return a new training."""
        torch.manual_seed(index)
        model = MultiFidelityPotential(len(ELEMENTS), data.tree.parents, **hyperparameters(SIZE))
        references, spread = data.references(index)
        graphs = list(data.graphs.values())[:2000]
        with torch.no_grad():
            for parameter, values in zip(model.references, references, strict=True):
                parameter.copy_(torch.as_tensor(values))
            model.scale.fill_(spread)
            model.mean_neighbours.fill_(np.mean([len(graph.senders) / len(graph.species) for graph in graphs]))
        parameters = list(model.parameters())
        optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        return cls(index, data, model, optimiser, Averaged(parameters, EMA_DECAY))

    def save(self, folder: Path) -> None:
        """Write the state."""
        partial = folder / f'member_{self.index}.partial'
        state = {'model': self.model.state_dict(), 'optimiser': self.optimiser.state_dict()}
        torch.save({**state, 'averaged': self.averaged.state(), 'step': self.step, 'seconds': self.seconds}, partial)
        partial.replace(folder / f'member_{self.index}.pt')

    def restore(self, folder: Path) -> None:
        """Take up a state, if there is one."""
        path = folder / f'member_{self.index}.pt'
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.model.load_state_dict(state['model'])
            self.optimiser.load_state_dict(state['optimiser'])
            self.averaged.restore(state['averaged'])
            self.step, self.seconds = state['step'], state['seconds']

    def loss(self, rows: NDArray[np.int64], level: int) -> Tensor:
        """Return the loss of one batch. Atoms and cells far from equilibrium count less, as their errors are larger."""
        graph, energies, forces, stresses = self.data.batch(rows, level)
        if level not in self.data.teachers:
            weight = 1.0 if level == self.data.published else FURTHER_WEIGHT
            return weight * huber(self.model(graph, level) / graph.num_atoms - energies, ENERGY)
        model = functools.partial(self.model, level=level)
        total, predicted, strained = with_derivatives(model, graph, trainable=True)
        by_atom = (1 + forces.norm(dim=1, keepdim=True) ** 2).rsqrt()
        by_cell = (1 + (20 * stresses).flatten(1).norm(dim=1) ** 2).rsqrt()
        return (
            huber(total / graph.num_atoms - energies, ENERGY, by_cell)
            + huber(predicted - forces, FORCE, by_atom)
            + huber(strained - stresses, STRESS, by_cell[:, None, None])
        )

    def train(self, total: float, folder: Path) -> None:
        """Train until ``total`` seconds, over all runs, have passed."""
        rng = np.random.default_rng([self.index, self.step])
        data, started, begun = self.data, self.seconds, time.process_time()
        sizes = {data.published: BATCH['published'], data.further: BATCH['further']}
        streams = {
            level: data.batches(data.of('train', level, self.index), sizes.get(level, BATCH['teacher']), rng)
            for level in range(len(data.tree.levels))
        }
        shown = self.seconds
        while self.seconds < total:
            factor = min(1.0, (self.step + 1) / WARM_UP) * cosine(self.seconds / total)
            for group in self.optimiser.param_groups:
                group['lr'] = self.learning_rate * factor
            self.optimiser.zero_grad(set_to_none=True)
            for level in self.plan():
                self.loss(next(streams[level]), level).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
            self.optimiser.step()
            self.averaged.update()
            self.step += 1
            self.seconds = started + time.process_time() - begun
            if self.seconds - shown > max(60.0, total / 6) or self.seconds >= total:
                with self.averaged.applied():
                    figures = held_out(self.model, data, 'validation')
                print(f'member {self.index} step {self.step} {self.seconds:.0f} s {figures}', flush=True)
                self.save(folder)
                shown = self.seconds

    def plan(self) -> list[int]:
        """Return the levels of the next step."""
        data, third = self.data, self.step % 3 == 0
        teacher = data.teachers[-1] if third else data.teachers[0]
        return [data.published, teacher, *([data.further] if third else [])]


def cosine(progress: float) -> float:
    """Return the factor on the learning rate."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def held_out(model: MultiFidelityPotential, data: Data, split: str) -> dict[str, float]:
    """Return the mean absolute errors of a split: energies in eV/atom, forces in eV/Å."""
    found = {}
    for index, level in enumerate(data.tree.levels):
        rows = data.of(split, index)
        if index in data.teachers:
            rows = np.random.default_rng(0).permutation(rows)[:NUM_SHOWN]
        energies, forces = [], []
        for start in range(0, len(rows), 32):
            graph, energy, force, _ = data.batch(rows[start : start + 32], index)
            total, predicted, _ = with_derivatives(functools.partial(model, level=index), graph)
            energies.append((total / graph.num_atoms - energy).abs())
            forces.append((predicted - force).abs().flatten())
        if energies:
            found[f'{level.tag} energy'] = round(float(torch.cat(energies).mean()), 4)
        if energies and index in data.teachers:
            found[f'{level.tag} forces'] = round(float(torch.cat(forces).mean()), 4)
    return found


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with mp/, mpts/ and mp_extra/')
    parser.add_argument('--structures', type=Path, nargs='+', required=True, help='structures that the teachers label')
    parser.add_argument(
        '--labels', type=Path, nargs='+', required=True, help='labels of teachers, the first is the root'
    )
    parser.add_argument('--elements', type=Path, nargs='+', required=True, help='their labels of elemental crystals')
    parser.add_argument('--output', type=Path, required=True, help='folder of the checkpoint, its card and the states')
    parser.add_argument('--hours', type=float, required=True, help='hours of one core for all members and runs')
    parser.add_argument('--resume', action='store_true', help='continue the trainings in --output')
    parser.add_argument('--start', type=Path, help='checkpoint whose weights new members start from')
    parser.add_argument('--members', type=int, nargs='+', choices=range(NUM_MEMBERS), help='only these, no checkpoint')
    arguments = parser.parse_args()
    setup(RuntimeConfig())
    arguments.output.mkdir(parents=True, exist_ok=True)
    if not arguments.resume and not arguments.members and list(arguments.output.glob('member_*.pt')):
        parser.error(f'{arguments.output} holds trainings: give --resume')
    structures = StructureBatch.concatenate([StructureBatch.load(path) for path in arguments.structures])
    data = Data(validator_data.labelled_batch(structures, arguments.labels, arguments.data))
    elements = validator_data.element_energies(arguments.elements)
    members = []
    for index in arguments.members or range(NUM_MEMBERS):
        member = Member.begin(index, data)
        if arguments.start:
            validator_ensemble.start_from(member, arguments.start, elements)
            member.learning_rate = CONTINUED
        if arguments.resume:
            member.restore(arguments.output)
        member.train(arguments.hours * 3600 / NUM_MEMBERS, arguments.output)
        members.append(member)
    if not arguments.members:
        validator_ensemble.write(members, data, arguments)


if __name__ == '__main__':
    main()

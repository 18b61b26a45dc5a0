"""Arms that train networks, by the code that trains the validator and with its options.

All arms of one fold share the networks of the level below, which do not depend on the number of labels of the target;
their cost counts for every arm that stands on them.
"""

from __future__ import annotations

import copy
import dataclasses
import time
import typing as t
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.level import Level, LevelTree
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION, read_checkpoint
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.tasks import ValidatorTraining
from aiida_qagenai.ml.alternatives.problem import Prediction, Predictor, Problem
from aiida_qagenai.ml.alternatives.regressions import fit
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.elements import composition_fractions, element_numbers, element_symbols
from aiida_qagenai.ml.graph import CrystalGraph
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.training.members import nearest_label
from aiida_qagenai.ml.training.references import initialise, refit_references
from aiida_qagenai.ml.training.stages import MemberData, train_member
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs
from aiida_qagenai.ml.validator.network import hyperparameters

__all__ = (
    'ALWAYS',
    'multi_fidelity',
    'network_difference',
    'network_high_only',
    'network_linear',
    'network_transfer',
    'shipped_heads',
    'unfit',
)

ALWAYS = 10**9
"""More labels than any set has: the trunk is always frozen below them."""

FINE_TUNING = 3.0
"""Factor by which a fine-tuning lowers the learning rate, as each stage of the training does."""

Values = NDArray[np.float64]


class Workshop:
    """The structures of a problem as graphs, and the training of networks on some of its energies."""

    def __init__(self, problem: Problem, architecture: str = 'moments', known: Ensemble | None = None) -> None:
        """Make the graphs, of elements and with a cutoff that networks which are trained already have."""
        assert problem.labels is not None
        structures = problem.labels.structures
        self.problem = problem
        elements = np.unique(structures.species).tolist() if known is None else known.elements
        self.elements = tuple(int(number) for number in elements)
        self.network = hyperparameters(problem.config.size, architecture) if known is None else known.network
        name = f'graphs {architecture if known is None else "of the shipped validator"}'
        self.graphs = t.cast(list[CrystalGraph], problem.shared.get(name, []))
        if not self.graphs:
            cutoff = self.network['cutoff']
            self.graphs, _ = model_graphs(structures, self.elements, cutoff, problem.runtime.dtype)
            problem.shared[name] = self.graphs
        self.fractions = composition_fractions(structures, self.elements)

    def config(self, share: float = 1.0, slower: float = 1.0, **options: t.Any) -> ValidatorTraining:
        """Return the settings of a training that takes a share of the steps of a whole one."""
        config = self.problem.config
        return ValidatorTraining(
            role='validator',
            dataset=config.dataset,
            seed=self.problem.seed,
            size=config.size,
            steps=max(4, round(share * config.steps)),
            batch_size=config.batch_size,
            learning_rate=config.learning_rate / slower,
            options=options,
        )

    def new(self, energies: Values, tree: LevelTree) -> Ensemble:
        """Return networks with random weights and the references of ``energies``, shape (n, levels)."""
        torch.manual_seed(self.problem.seed)
        count, dtype = self.problem.config.num_members, self.problem.runtime.dtype
        ensemble = Ensemble.create(self.network, self.elements, count, dtype, tree)
        rows = np.flatnonzero(np.isfinite(energies).any(axis=1))
        for member in ensemble.members:
            initialise(member, self.graphs, self.fractions, energies, rows)
        return ensemble

    def train(self, ensemble: Ensemble, energies: Values, config: ValidatorTraining, first: int = 0) -> None:
        """Train networks on ``energies``, in place; on all labels, since they are compared and not calibrated.

        :param first: the first level that is trained.
        """
        rows = np.flatnonzero(np.isfinite(energies).any(axis=1))
        rungs = tuple(level.rung for level in ensemble.tree.levels)
        forces, stresses = self._derivatives(ensemble, energies)
        for index, member in enumerate(ensemble.members):
            generator = torch.Generator().manual_seed(1000 * self.problem.seed + index)
            data = MemberData(self.graphs, energies, rows, forces, stresses, rungs)
            train_member(
                member,
                data,
                config=config,
                generator=generator,
                progress=Silent(),
                record=Record(),
                label='',
                first=first,
            )

    def _derivatives(self, ensemble: Ensemble, energies: Values) -> tuple[Values | None, Values | None]:
        """Return the forces and stresses that come with the energies that are not hidden, if there are any."""
        labels = self.problem.labels
        assert labels is not None
        if not np.isfinite(labels.forces).any() or any(level not in labels.levels for level in ensemble.tree.levels):
            return None, None
        chosen = labels.on_levels(ensemble.tree.levels)
        hidden = np.isnan(energies)
        forces, stresses = chosen.forces.copy(), chosen.stresses.copy()
        forces[hidden[labels.structures.owner]] = np.nan
        stresses[hidden] = np.nan
        return forces, stresses

    def energies(self, ensemble: Ensemble) -> Values:
        """Return the energies of all structures, shape (members, n, levels), eV/atom."""
        return ensemble.evaluate(self.graphs, self.problem.runtime.device, 64)[0]


class Silent(Progress):
    """No lines about the steps: the contest has its own."""

    def __init__(self) -> None:
        super().__init__(10**12)


def tree_of(problem: Problem, columns: Sequence[int]) -> LevelTree:
    """Return a ladder of some levels, each on top of the one before."""
    return LevelTree(tuple(problem.levels[k] for k in columns), tuple(range(-1, len(columns) - 1)))


def level_below(problem: Problem, shop: Workshop, column: int) -> Ensemble:
    """Return a copy of the networks of one level below the target, which are trained once a fold."""
    key = f'network {shop.network["architecture"]} {column}'
    problem.shared.setdefault('used', set()).add(key)
    if key not in problem.shared:
        begin = time.process_time()
        energies = problem.energies[:, [column]]
        ensemble = shop.new(energies, tree_of(problem, [column]))
        shop.train(ensemble, energies, shop.config(1 - shop.config().options.steps_above))
        problem.shared[key] = ensemble
        problem.shared.setdefault('spent', {})[key] = time.process_time() - begin
    return copy.deepcopy(t.cast(Ensemble, problem.shared[key]))


def predictor(members: Values) -> Predictor:
    """Return the mean of ``members``, shape (members, n), with their deviation as σ."""
    mean, sigma = members.mean(axis=0), deviation(members)
    return lambda rows: Prediction(mean[rows], sigma[rows])


def deviation(members: Values) -> Values:
    """Return the sample deviation of ``members``, shape (members, n), as shape (n,); NaN of one alone."""
    return members.std(axis=0, ddof=1) if len(members) > 1 else np.full(members.shape[1], np.nan)


def below_of(problem: Problem, shop: Workshop) -> Values:
    """Return the level below by each network, or its label where there is one, shape (members, n)."""
    column = len(problem.levels) - 2
    found = shop.energies(level_below(problem, shop, column))[:, :, 0]
    labels = problem.energies[:, column]
    return np.where(np.isfinite(labels), labels, found)


def network_linear(problem: Problem) -> Predictor:
    """Return the linear correction of a network of the level below."""
    members = below_of(problem, Workshop(problem))
    below = members.mean(axis=0)
    return fit(problem, below, below[:, None], with_process=False, sigma=np.nan_to_num(deviation(members)))


def network_high_only(problem: Problem) -> Predictor:
    """Return networks trained on the labels of the target alone."""
    shop = Workshop(problem)
    energies = problem.energies[:, [-1]]
    ensemble = shop.new(energies, tree_of(problem, [len(problem.levels) - 1]))
    shop.train(ensemble, energies, shop.config())
    return predictor(shop.energies(ensemble)[:, :, 0])


def network_difference(problem: Problem) -> Predictor:
    """Return networks of the level below plus networks of the difference."""
    shop = Workshop(problem)
    below = below_of(problem, shop)
    energies = (problem.target - problem.energies[:, -2])[:, None]
    ensemble = shop.new(energies, tree_of(problem, [len(problem.levels) - 1]))
    shop.train(ensemble, energies, shop.config(shop.config().options.steps_above))
    return predictor(below + shop.energies(ensemble)[:, :, 0])


def network_transfer(problem: Problem) -> Predictor:
    """Return networks of the level below, all of whose weights are then fine-tuned on the target."""
    shop = Workshop(problem)
    energies = problem.energies[:, [-1]]
    tuned = level_below(problem, shop, len(problem.levels) - 2)
    ensemble = dataclasses.replace(tuned, tree=tree_of(problem, [len(problem.levels) - 1]))
    rows = problem.known
    for member in ensemble.members:
        refit_references(member, 1, shop.graphs, shop.fractions, energies, rows=rows, weights=np.ones_like(energies))
    shop.train(ensemble, energies, shop.config(shop.config().options.steps_above, FINE_TUNING))
    return predictor(shop.energies(ensemble)[:, :, 0])


def multi_fidelity(
    problem: Problem,
    *,
    ladder: t.Literal['all', 'outer', 'upper'] = 'all',
    architecture: str = 'moments',
    **options: t.Any,
) -> Predictor:
    """Return multi-fidelity networks, the levels one after the other or all at once.

    :param ladder: all levels, only the lowest one and the target (``outer``), or all but the lowest (``upper``).
    :param options: of the training, see ``ValidatorOptions``.
    """
    shop = Workshop(problem, architecture)
    whole = list(range(len(problem.levels)))
    columns = {'all': whole, 'outer': [0, whole[-1]], 'upper': whole[1:]}[ladder]
    energies, tree = problem.energies[:, columns], tree_of(problem, columns)
    config = shop.config(**options)
    if config.options.staged:
        ensemble = level_below(problem, shop, columns[0])
        torch.manual_seed(problem.seed)
        ensemble = ensemble.grown(tree)
        rows = np.flatnonzero(np.isfinite(energies).any(axis=1))
        for member in ensemble.members:
            refit_references(
                member, 1, shop.graphs, shop.fractions, energies, rows=rows, weights=np.ones_like(energies)
            )
        shop.train(ensemble, energies, config, first=1)
    else:
        ensemble = shop.new(energies, tree)
        shop.train(ensemble, energies, config)
    return predictor(corrected(shop.energies(ensemble), energies, tree))


def corrected(members: Values, energies: Values, tree: LevelTree) -> Values:
    """Return the target by each network, less its error on the nearest label below it, shape (members, n).

    :param members: energies by the networks, shape (members, n, levels), eV/atom; the target is the last level.
    :param energies: labels, shape (n, levels), NaN where there is none.
    """
    found = members[:, :, -1].copy()
    for row, labels in enumerate(energies):
        # A label on a level below that the network knows of takes its error off, as in the stages of the training.
        lower = nearest_label(np.append(labels[:-1], np.nan), len(tree.levels) - 1, tree.parents)
        if lower >= 0:
            found[:, row] += labels[lower] - members[:, row, lower]
    return found


def unfit(validator: Path, labels: LabelledBatch, target: Level) -> str | None:
    """Return why new heads of a validator cannot be judged by ``labels`` on the ``target``, or None.

    :param validator: checkpoint.
    """
    info = read_checkpoint(validator, 'validator')[1]
    unknown = set(labels.structures.species.tolist()) - set(element_numbers(info.elements))
    if unknown:
        return f'the validator does not know {", ".join(element_symbols(sorted(unknown)))}'
    if target in LevelTree.parse(info.configuration['levels']).levels:
        return f'the validator was trained on `{target.tag}`, which its new heads would be judged by'
    return None


def shipped_heads(problem: Problem) -> Predictor:
    """Return the shipped validator with new Δ read-outs on its frozen trunk, trained as a fine-tuning does it.

    It has as many networks as the validator, whatever the settings of the contest say.

    :raises InvalidInputError: if the validator is unfit for it.
    """
    assert problem.labels is not None
    path = problem.config.validator or VALIDATOR_FOUNDATION
    reason = unfit(path, problem.labels, problem.levels[-1])
    if reason:
        raise InvalidInputError(f'`mf-ennp-shipped` does not take part: {reason}')
    known = Ensemble.from_checkpoint(*load_checkpoint(path, 'validator'), problem.runtime.dtype)
    shop, count = Workshop(problem, known=known), len(known.tree.levels)
    tree = known.tree.grown(problem.levels)
    columns = [tree.levels.index(level) for level in problem.levels]
    energies = np.full((len(problem.energies), len(tree.levels)), np.nan)
    energies[:, columns] = problem.energies
    torch.manual_seed(problem.seed)
    ensemble = known.grown(tree)
    rows = np.flatnonzero(np.isfinite(energies).any(axis=1))
    for member in ensemble.members:
        refit_references(
            member, count, shop.graphs, shop.fractions, energies, rows=rows, weights=np.ones_like(energies)
        )
    shop.train(ensemble, energies, shop.config(freeze_trunk_below=ALWAYS, paired=True), first=count)
    return predictor(corrected(shop.energies(ensemble), energies, tree))

"""One run of the closed loop on stored crystals: propose, filter, predict, choose, compute, learn, rank."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Sequence

import numpy as np
from active_learning_parts.surrogates import GaussianProcess
from numpy.typing import NDArray

from aiida_qagenai.selection.acquisition import CandidatePool
from aiida_qagenai.selection.choose import choose
from aiida_qagenai.selection.stopping import CycleRecord
from closed_loop_parts.crystals import LEVELS, Array, Crystals

EVALUATOR = (LEVELS.index('chgnet-pbe'), LEVELS.index('chgnet-r2scan'))
ORACLE = (LEVELS.index('sevennet-pbe'), LEVELS.index('sevennet-r2scan'))
VALIDATOR = (LEVELS.index('low'), LEVELS.index('high'))

HIT, NEAR, ON = 0.05, 0.1, 0.005
"""Largest distances to the hull of a hit, of what is near, and of what is on the hull, eV/atom.

Hits are stable or metastable by Table 2. Two relaxations of one crystal may differ by the last.
"""

PROMISING = 0.2
"""Largest predicted distance to the hull of what is computed, eV/atom."""

ASKED, MOST, FEWEST = 6, 8, 4
"""Proposals in a system; where updates find hits, and where they find none."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a loop has.

    :param latent: the surrogate knows the latent features of the validator, not the composition alone.
    :param rungs: PBE is computed of all that is promising, and the difference to it is learned.
    :param conditioning: of the proposals those are kept whose band gap fits the one expected of the composition.
    :param active: what is computed is chosen by divergence, not at random.
    :param updates: more is asked for where hits were found.
    :param levels: candidates are ranked at the high level, not at PBE.
    :param acquisition: the rule of an active choice, and the divergence in it.
    :param budget: calculations at the high level; none leaves the order of the generator.
    """

    latent: bool = True
    rungs: bool = True
    conditioning: bool = True
    active: bool = True
    updates: bool = True
    levels: bool = True
    acquisition: tuple[str, str] = ('hit_probability', 'absolute')
    budget: int = 10
    batch: int = 2


FACTORS = ('latent', 'rungs', 'conditioning', 'active', 'updates', 'levels')
GENERATOR_ALONE = Parts(budget=0, conditioning=False, updates=False)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came out of a run.

    :param top: the best candidates by the last model, the best first.
    :param computed: candidates that were computed at the high level, in their order.
    :param history: of the cycles, as the stopping rules read it.
    :param low_calls: calculations at PBE.
    """

    top: tuple[int, ...]
    computed: tuple[int, ...]
    history: tuple[CycleRecord, ...]
    low_calls: int


def candidates_of(crystals: Crystals, arm: str, systems: Sequence[str]) -> NDArray[np.int64]:
    """Return the candidates of a generator in some systems, in the order of its proposals."""
    rows = np.flatnonzero((crystals.arms == arm) & np.isin(crystals.systems, systems))
    return rows[np.argsort(crystals.order[rows], kind='stable')]


def proposals(crystals: Crystals, rows: NDArray[np.int64], parts: Parts, wanted: dict[str, int]) -> NDArray[np.bool_]:
    """Return which candidates are proposed: of each system as many as wanted, those with a fitting gap if asked."""
    if parts.conditioning:
        misfit = np.abs(crystals.column('gap') - crystals.column('gap_of_composition'))[rows]
        misfit = np.nan_to_num(misfit, nan=np.inf)
    else:
        misfit = crystals.order[rows].astype(float)
    found = np.zeros(len(rows), dtype=bool)
    for system, number in wanted.items():
        mine = np.flatnonzero(crystals.systems[rows] == system)
        found[mine[np.argsort(misfit[mine], kind='stable')[:number]]] = True
    return found


class Model:
    """What is expected of the oracle at the high level: the validator, corrected by a Gaussian process."""

    def __init__(self, crystals: Crystals, rows: NDArray[np.int64], systems: Sequence[str], parts: Parts) -> None:
        known = np.flatnonzero(np.any([crystals.in_systems[system] for system in systems], axis=0)) + len(crystals)
        self.known = known[np.isfinite(crystals.energies[known]).all(axis=1)]
        self.pool, self.crystals, self.rows = np.concatenate([rows, self.known]), crystals, rows
        energies = crystals.energies[self.pool]
        difference = energies[:, VALIDATOR[1]] - energies[:, VALIDATOR[0]]
        self.base = energies[:, ORACLE[0]] + difference if parts.rungs else energies[:, VALIDATOR[1]]
        self.low_level = ORACLE[0] if parts.rungs else VALIDATOR[0]
        self.low = energies[:, self.low_level]
        features = (crystals.latent if parts.latent else crystals.chemistry)[self.pool]
        squared = ((features[:, None, :] - features[None, :, :]) ** 2).mean(axis=2)
        ones = np.ones_like(squared)
        kernels = [np.exp(-0.5 * squared / length) + 0.1 * ones for length in (0.3, 1.0, 3.0)]
        self.process = GaussianProcess(kernels, (0.3, 0.8))

    def predict(self, computed: Sequence[int]) -> tuple[Array, Array]:
        """Return mean and standard deviation at the high level of every candidate, eV/atom, each of shape (n,).

        :param computed: places of the candidates that were computed.
        """
        rows = np.concatenate([np.array(computed, dtype=int), np.arange(len(self.rows), len(self.pool))])
        truth = self.crystals.energies[self.pool, ORACLE[1]]
        mean, sigma = self.process(rows, (truth - self.base)[rows])
        mean, sigma = (self.base + mean)[: len(self.rows)], sigma[: len(self.rows)]
        done = np.array(computed, dtype=int)
        mean[done], sigma[done] = truth[done], 0.0
        return mean, sigma

    def pool_of(self, mean: Array, sigma: Array, eligible: NDArray[np.bool_]) -> CandidatePool:
        """Return the candidates as an acquisition sees them."""
        number, energies = len(self.rows), self.crystals.energies[self.rows]
        signed = self.low[:number] - mean
        return CandidatePool(
            fingerprints=tuple(f'{place:06d}' for place in range(number)),
            eligible=eligible,
            divergence=np.abs(signed),
            divergence_signed=signed,
            divergence_sigma=sigma,
            sigma=sigma,
            low_fidelity_energy=self.low[:number] - self.crystals.hull[self.rows, self.low_level],
            features=self.crystals.latent[self.rows],
            true_divergence=np.abs(energies[:, ORACLE[0]] - energies[:, ORACLE[1]]),
        )


def run(crystals: Crystals, arm: str, systems: Sequence[str], parts: Parts = Parts(), seed: int = 0) -> Outcome:
    """Return what a loop makes of the proposals of a generator in some chemical systems; as many are best as these."""
    rows, top = candidates_of(crystals, arm, systems), len(systems)
    wanted = dict.fromkeys(systems, ASKED)
    shown = proposals(crystals, rows, parts, wanted) & crystals.eligible[rows]
    if not parts.budget:
        return Outcome(best(crystals, rows, np.arange(len(rows)), shown, top), (), (), 0)
    model = Model(crystals, rows, systems, parts)
    computed: list[int] = []
    history: list[CycleRecord] = []
    above = crystals.above_hull[rows]
    while True:
        mean, sigma = model.predict(computed)
        distance = mean - crystals.hull[rows, ORACLE[1]]
        promising = shown & (distance <= PROMISING)
        promising[computed] = False
        number = min(parts.batch, parts.budget - len(computed))
        if number <= 0 or not promising.any():
            break
        chosen = pick(model.pool_of(mean, sigma, promising), parts, number, seed=seed + 1000 * len(history))
        computed += chosen
        hits = int((above[chosen, ORACLE[1]] <= HIT).sum())
        left = parts.budget - len(computed)
        history.append(CycleRecord(len(chosen), hits, left, float(sigma[promising].mean())))
        if parts.updates and len(computed) >= parts.budget / 2 > len(computed) - len(chosen):
            found = {crystals.systems[rows[place]] for place in computed if above[place, ORACLE[1]] <= HIT}
            wanted = {system: MOST if system in found else FEWEST for system in systems}
            shown = proposals(crystals, rows, parts, wanted) & crystals.eligible[rows]
            shown[computed] = True
    low = model.low[: len(rows)] - crystals.hull[rows, model.low_level]
    order = np.argsort(distance if parts.levels else low, kind='stable')
    low_calls = int(shown.sum()) if parts.rungs else 0
    return Outcome(best(crystals, rows, order, shown, top), tuple(rows[computed].tolist()), tuple(history), low_calls)


def pick(pool: CandidatePool, parts: Parts, number: int, *, seed: int) -> list[int]:
    """Return the places of the candidates to compute next."""
    arm, divergence = parts.acquisition if parts.active else ('random', 'absolute')
    choice = choose(pool, budget_k=number, audit_fraction=0.0, arm=arm, divergence=divergence, seed=seed)
    return t.cast('list[int]', choice.chosen.tolist())


def best(
    crystals: Crystals, rows: NDArray[np.int64], order: NDArray[np.int64], shown: NDArray[np.bool_], top: int
) -> tuple[int, ...]:
    """Return the first candidates of an order that are shown, no two of them the same crystal."""
    found, seen = [], set()
    for place in order.tolist():
        row = int(rows[place])
        key = (crystals.sets[row], crystals.rows['cluster'][row])
        if shown[place] and key not in seen:
            found.append(row)
            seen.add(key)
    return tuple(found[:top])

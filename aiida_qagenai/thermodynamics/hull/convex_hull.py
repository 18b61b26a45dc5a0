"""Distance to the convex hull and decomposition (paper Eq 6, Algorithm 2)."""

from __future__ import annotations

import dataclasses
import itertools
import typing as t
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from aiida_qagenai.chemistry.formula import reduced_formula
from aiida_qagenai.thermodynamics.hull.phases import CompetingPhases, Phase, System
from aiida_qagenai.thermodynamics.hull.simplex import Solution, solve
from aiida_qagenai.thermodynamics.hull.stability import STABLE_LIMIT, Stability, stability_class

__all__ = ('CompetingPhases', 'HullResult', 'Phase', 'distance_to_hull', 'distances_to_hull')

WEIGHT_CUTOFF = 1e-9
"""Smallest fraction reported in a decomposition."""


@dataclasses.dataclass(frozen=True)
class HullResult:
    """Where one candidate stands.

    :param formula: as given, or reduced where amounts were given.
    :param identifier: the candidate's own.
    :param e_above_hull: distance to the hull that contains the candidate, eV/atom, ≥ 0; ``None`` where the competing
        phases cannot express the composition.
    :param decomposition_energy: energy against the best mixture of all other phases, eV/atom; negative where the
        candidate is stable. Polymorphs are other phases.
    :param decomposition: formula → atomic fraction of that mixture.
    :param stability: class of Table 2.
    :param complete: whether every element and every subsystem of the candidate has a competing phase.
    :param missing: the elements and subsystems without a competing phase.
    """

    formula: str
    identifier: str | None
    e_above_hull: float | None
    decomposition_energy: float | None
    decomposition: dict[str, float]
    stability: Stability
    complete: bool
    missing: tuple[str, ...]

    def to_dict(self) -> dict[str, t.Any]:
        """Return a record of plain JSON types."""
        record = dataclasses.asdict(self)
        record['missing'] = list(self.missing)
        return record


def distances_to_hull(
    candidates: Iterable[Phase],
    competing: CompetingPhases | Sequence[Phase],
    *,
    elements_at_zero: bool = False,
    candidates_compete: bool = False,
    tolerance: float = STABLE_LIMIT,
    workers: int = 1,
) -> list[HullResult]:
    """Return the distance to the hull of every candidate, in input order.

    :param competing: known phases at the candidates' level of theory. Pass one :class:`CompetingPhases` to many calls
        to keep its cache.
    :param elements_at_zero: whether pure elements are implied at 0 eV/atom (formation energies); not with
        a ``CompetingPhases``, which has its own setting.
    :param candidates_compete: whether the candidates also compete with each other.
    :param tolerance: largest distance that counts as stable, eV/atom.
    :param workers: processes among which the chemical systems are divided.
    :raises InvalidInputError: on mixed levels of theory.
    """
    candidates = list(candidates)
    known = (
        competing
        if isinstance(competing, CompetingPhases)
        else CompetingPhases(competing, elements_at_zero=elements_at_zero)
    )
    queries = candidates
    if candidates_compete:
        queries = [
            dataclasses.replace(candidate, identifier=candidate.identifier or f'candidate {index}')
            for index, candidate in enumerate(candidates)
        ]
        known = CompetingPhases([*known.phases, *queries], elements_at_zero=known.elements_at_zero)
    if workers > 1:
        results = _in_parallel(queries, known, tolerance, workers)
    else:
        results = [distance_to_hull(candidate, known, tolerance=tolerance) for candidate in queries]
    return [
        dataclasses.replace(result, identifier=candidate.identifier)
        for result, candidate in zip(results, candidates, strict=True)
    ]


def _in_parallel(
    candidates: Sequence[Phase], competing: CompetingPhases, tolerance: float, workers: int
) -> list[HullResult]:
    """Return the results in input order; each process answers whole chemical systems, so that none is built twice."""
    order = sorted(range(len(candidates)), key=lambda index: candidates[index].elements)
    bounds = np.linspace(0, len(order), workers + 1).astype(int)
    chunks = [[candidates[i] for i in order[low:high]] for low, high in itertools.pairwise(bounds)]
    # once per process, and by inheritance where processes are forked: tens of thousands of phases take long to send
    with ProcessPoolExecutor(max_workers=workers, initializer=_prepare, initargs=(competing, tolerance)) as pool:
        answers = itertools.chain.from_iterable(pool.map(_answer, chunks))
        by_index = dict(zip(order, answers, strict=True))
    return [by_index[index] for index in range(len(candidates))]


_prepared: dict[str, t.Any] = {}


def _prepare(competing: CompetingPhases, tolerance: float) -> None:
    """Keep what all questions to this process have in common."""
    _prepared.update(competing=competing, tolerance=tolerance)


def _answer(candidates: Sequence[Phase]) -> list[HullResult]:
    return [
        distance_to_hull(candidate, _prepared['competing'], tolerance=_prepared['tolerance'])
        for candidate in candidates
    ]


def distance_to_hull(candidate: Phase, competing: CompetingPhases, *, tolerance: float = STABLE_LIMIT) -> HullResult:
    """Return the distance to the hull of one candidate.

    :raises InvalidInputError: if its level of theory differs from that of the competing phases.
    """
    system = competing.rivals(candidate)
    solution = solve(system.fractions, system.energies, system.target(candidate))
    if solution is None:
        energy = e_above_hull = None
        decomposition: dict[str, float] = {}
    else:
        energy = candidate.energy_per_atom - solution.cost
        e_above_hull = max(0.0, energy)
        decomposition = _decomposition(solution, system, competing)
    return HullResult(
        formula=candidate.formula if isinstance(candidate.formula, str) else candidate.reduced_formula,
        identifier=candidate.identifier,
        e_above_hull=e_above_hull,
        decomposition_energy=energy,
        decomposition=decomposition,
        stability=stability_class(e_above_hull, tolerance=tolerance),
        complete=not system.missing,
        missing=system.missing,
    )


def _decomposition(solution: Solution, system: System, competing: CompetingPhases) -> dict[str, float]:
    """Return formula → atomic fraction, largest first."""
    fractions: dict[str, float] = {}
    for column, weight in zip(solution.columns, solution.weights, strict=True):
        if weight > WEIGHT_CUTOFF:
            index = int(system.indices[column])
            if index >= 0:
                formula = competing.phases[index].reduced_formula
            else:  # an implied element
                formula = reduced_formula(system.elements[int(system.fractions[:, column].argmax())])
            fractions[formula] = fractions.get(formula, 0.0) + float(weight)
    return dict(sorted(fractions.items(), key=lambda item: -item[1]))

"""Distance to the convex hull, decomposition and stability (paper Eq 6, Algorithm 2, Table 2 with exact boundaries).

The hull contains the candidate, so that E_hull ≥ 0 and "stable" means E_hull ≤ ε.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing as t
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from aiida_qagenai.chemistry.formula import reduced_formula
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.phases import CompetingPhases, Phase, System
from aiida_qagenai.thermodynamics.hull.simplex import Solution, solve
from aiida_qagenai.thermodynamics.propagation import linear_sigma

__all__ = (
    'MARGINAL_LIMIT',
    'METASTABLE_LIMIT',
    'MINIMUM_REFERENCES',
    'STABLE_LIMIT',
    'CompetingPhases',
    'HullResult',
    'Phase',
    'Stability',
    'StabilityEstimate',
    'abstention',
    'distance_to_hull',
    'distances_to_hull',
    'stability_class',
    'stability_probability',
)

Stability = t.Literal['stable', 'metastable', 'marginally_metastable', 'unstable', 'unknown']

STABLE_LIMIT = 1e-6
"""ε, the largest E_hull that counts as on the hull, eV/atom."""

METASTABLE_LIMIT = 0.050
"""Largest E_hull of a metastable phase that is likely to be synthesizable, eV/atom."""

MARGINAL_LIMIT = 0.100
"""Largest E_hull of a marginally metastable phase, eV/atom."""

MINIMUM_REFERENCES = 12
"""Fewest competing phases, elements and subsystems included, of a system of three or more elements that are enough for
a predicted distance: with fewer, a phase that is not known yet may well lie below."""

_ROUNDING = 1e-12  # so that 0.05 computed as a difference of energies still lies on the boundary

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
    :param num_references: compositions of competing phases in the chemical system, elements and subsystems included.
    :param reason: why there is no distance, empty where there is one.
    """

    formula: str
    identifier: str | None
    e_above_hull: float | None
    decomposition_energy: float | None
    decomposition: dict[str, float]
    stability: Stability
    complete: bool
    missing: tuple[str, ...]
    num_references: int
    reason: str = ''

    def to_dict(self) -> dict[str, t.Any]:
        """Return a record of plain JSON types."""
        return {**dataclasses.asdict(self), 'missing': list(self.missing)}


@dataclasses.dataclass(frozen=True)
class StabilityEstimate:
    """The distribution of a distance to the hull.

    :param probability: P(E_hull ≤ tolerance), ``None`` where the competing phases cannot express the composition.
    :param standard_error: of the probability, from the number of samples.
    :param mean: mean of E_hull, eV/atom.
    :param interval: 5 % and 95 % quantiles of E_hull, eV/atom.
    :param num_samples: draws.
    :param sigma: standard deviation of E_hull, eV/atom.
    :param linear_sigma: the same by the linear law (paper Eq 16) as if the decomposition were certain and E_hull could
        be negative, eV/atom: larger near the hull, where E_hull ≥ 0 cuts off a part of the distribution.
    """

    probability: float | None
    standard_error: float | None
    mean: float | None
    interval: tuple[float, float] | None
    num_samples: int
    sigma: float | None = None
    linear_sigma: float | None = None


def stability_class(e_above_hull: float | None, *, tolerance: float = STABLE_LIMIT) -> Stability:
    """Return the class of a phase ``e_above_hull`` (eV/atom) above the hull that contains it; ``None`` is unknown.

    A value on a boundary belongs to the more stable class: 0.050 eV/atom is metastable.

    :param tolerance: ε, eV/atom.
    :raises InvalidInputError: if the distance is negative or not a number.
    """
    if e_above_hull is None:
        return 'unknown'
    if not (math.isfinite(e_above_hull) and e_above_hull >= 0):
        message = f'e_above_hull must be a number >= 0, not {e_above_hull}: the hull contains the candidate'
        raise InvalidInputError(message)
    if e_above_hull <= tolerance:
        return 'stable'
    if e_above_hull <= METASTABLE_LIMIT + _ROUNDING:
        return 'metastable'
    if e_above_hull <= MARGINAL_LIMIT + _ROUNDING:
        return 'marginally_metastable'
    return 'unstable'


def distances_to_hull(
    candidates: Iterable[Phase],
    competing: CompetingPhases | Sequence[Phase],
    *,
    elements_at_zero: bool = False,
    candidates_compete: bool = False,
    tolerance: float = STABLE_LIMIT,
    min_references: int = 0,
    workers: int = 1,
) -> list[HullResult]:
    """Return the distance to the hull of every candidate, in input order.

    :param competing: known phases at the candidates' level of theory. Pass one :class:`CompetingPhases` to many calls
        to keep its cache.
    :param elements_at_zero: whether pure elements are implied at 0 eV/atom (formation energies); not with
        a ``CompetingPhases``, which has its own setting.
    :param candidates_compete: whether the candidates also compete with each other.
    :param tolerance: largest distance that counts as stable, eV/atom.
    :param min_references: fewest competing phases for a distance, see :func:`abstention`; candidates do not count.
    :param workers: processes among which the chemical systems are divided.
    :raises InvalidInputError: on mixed levels of theory.
    """
    candidates = list(candidates)
    known = (
        competing
        if isinstance(competing, CompetingPhases)
        else CompetingPhases(competing, elements_at_zero=elements_at_zero)
    )
    reasons = [abstention(candidate, known, min_references) if min_references else '' for candidate in candidates]
    references = known
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
    named = (
        dataclasses.replace(
            result,
            identifier=candidate.identifier,
            num_references=references.rivals(candidate).num_references if candidates_compete else result.num_references,
        )
        for result, candidate in zip(results, candidates, strict=True)
    )
    return [_abstain(result, reason) if reason else result for result, reason in zip(named, reasons, strict=True)]


def abstention(candidate: Phase, competing: CompetingPhases, min_references: int = MINIMUM_REFERENCES) -> str:
    """Return why the hull of the chemical system of a candidate is too little known for a distance, else ``''``.

    A system of three or more elements needs ``min_references`` competing phases, its elements and the phases of its
    subsystems included and polymorphs counted once. A binary system rarely has that many stable phases, however well it
    is known: it needs both elements and one compound. An element always has enough.

    :param min_references: 0 never abstains.
    """
    system = competing.rivals(candidate)
    name = '-'.join(sorted(system.elements))
    if not min_references or len(system.elements) == 1:
        return ''
    if len(system.elements) == 2:
        return f'no hull: nothing is known in {", ".join(system.missing)}' if system.missing else ''
    number = system.num_references
    return '' if number >= min_references else f'no hull: {number} references in {name}, fewer than {min_references}'


def _abstain(result: HullResult, reason: str) -> HullResult:
    """Return a result without its distance."""
    return dataclasses.replace(
        result, e_above_hull=None, decomposition_energy=None, decomposition={}, stability='unknown', reason=reason
    )


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
    energy = None if solution is None else candidate.energy_per_atom - solution.cost
    e_above_hull = None if energy is None else max(0.0, energy)
    reason = 'the competing phases cannot express the composition' if energy is None else ''
    return HullResult(
        formula=candidate.formula if isinstance(candidate.formula, str) else candidate.reduced_formula,
        identifier=candidate.identifier,
        e_above_hull=e_above_hull,
        decomposition_energy=energy,
        decomposition={} if solution is None else _decomposition(solution, system, competing),
        stability=stability_class(e_above_hull, tolerance=tolerance),
        complete=not system.missing,
        missing=system.missing,
        num_references=system.num_references,
        reason=reason,
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


def stability_probability(
    candidate: Phase,
    competing: CompetingPhases,
    *,
    tolerance: float = STABLE_LIMIT,
    num_samples: int = 1000,
    seed: int = 0,
) -> StabilityEstimate:
    """Return P(E_hull ≤ ``tolerance``) by drawing all energies from independent normal distributions.

    Independence is an assumption: errors that a model shares between similar phases cancel in E_hull, so that the
    spread given here is an upper bound where errors are positively correlated.

    :param candidate: its ``sigma`` and those of the competing phases are the standard deviations, eV/atom.
    :param tolerance: ε, eV/atom.
    :raises InvalidInputError: if ``num_samples`` is not positive, or levels of theory are mixed.
    """
    if num_samples < 1:
        raise InvalidInputError(f'num_samples must be at least 1, not {num_samples}')
    system = competing.rivals(candidate)
    target = system.target(candidate)
    central = solve(system.fractions, system.energies, target)
    if central is None:
        return StabilityEstimate(None, None, None, None, num_samples)
    rng = np.random.default_rng(seed)
    own = rng.normal(candidate.energy_per_atom, candidate.sigma, num_samples)
    if system.sigmas.any():
        hull = np.empty(num_samples)
        for sample in range(num_samples):
            solution = solve(system.fractions, rng.normal(system.energies, system.sigmas), target, central.columns)
            hull[sample] = np.nan if solution is None else solution.cost
    else:
        hull = np.full(num_samples, central.cost)
    distances = np.maximum(0.0, own - hull)
    used = central.weights > WEIGHT_CUTOFF
    of_hull = linear_sigma(central.weights[None, used], system.sigmas[central.columns[used]])
    probability = float((distances <= tolerance).mean())
    return StabilityEstimate(
        probability=probability,
        standard_error=float(np.sqrt(probability * (1 - probability) / num_samples)),
        mean=float(distances.mean()),
        interval=(float(np.quantile(distances, 0.05)), float(np.quantile(distances, 0.95))),
        num_samples=num_samples,
        sigma=float(distances.std()),
        linear_sigma=float(np.hypot(candidate.sigma, of_hull[0])),
    )

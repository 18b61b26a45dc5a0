"""What a request for crystals of a formula or a chemical system gives: proposals, and starts for the diffusion."""

from __future__ import annotations

import dataclasses
import itertools
import typing as t
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.formula import parse_formula, reduced_formula
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.motifs.library import KnownCrystal, MotifLibrary
from aiida_qagenai.motifs.propose import Limits, MotifModels, Proposal, propose, propose_in_system

if t.TYPE_CHECKING:
    from aiida_qagenai.exchange.requests import MotifsRequest

__all__ = ('choices_of', 'draw', 'models_of', 'proposals_of')

LARGEST_SYSTEM = 4
"""Elements of a pool that a structure has, at most."""

FEWEST = 20
"""Motifs that are drawn from, at least: few samples of one request differ too."""


CHOICES, CHOICES_OF_FORMULA = 200, 60
"""Motifs of a chemical system, and of a formula, that are chosen among where a target is asked for, at least."""

PER_COMPOSITION, PER_SYSTEM = 4, 20
"""Most of them of one composition, and of each chemical system of a pool at least."""


def models_of(request: MotifsRequest) -> MotifModels:
    """Return what comes with the package, with the crystals of the request in its library.

    :raises InvalidInputError: on crystals with partial occupancies.
    """
    models = MotifModels.default()
    if request.library is None:
        return models
    batch = StructureBatch.load(request.library)
    crystals = [
        KnownCrystal(str(name), structure)
        for name, structure in zip(batch.identifiers, batch.structures(), strict=True)
    ]
    own = MotifLibrary.from_crystals(crystals)
    return dataclasses.replace(models, library=own if request.only_library else models.library + own)


def proposals_of(
    request: MotifsRequest,
    models: MotifModels,
    *,
    count: int | None = None,
    per_composition: int | None = None,
    per_system: int | None = None,
    report: Callable[[int, int], object] = lambda done, total: None,
) -> list[Proposal]:
    """Return the proposals of a request, the most probable first.

    :param count: largest number of them; what the request asks for by default.
    :param per_composition: largest number of one composition of a chemical system, see ``propose_in_system``.
    :param per_system: largest number of one chemical system of a pool; ``count`` by default.
    :param report: called with the number of compositions of a chemical system that were looked at, and of all; for a
        pool with the numbers of systems.
    :raises InvalidInputError: if no known crystal can be changed into what is wanted.
    """
    limits = Limits(
        formula_units=request.formula_units,
        min_atoms=request.min_atoms,
        max_atoms=request.max_atoms,
        space_group=request.space_group,
        excluded=_excluded(request, models.library),
    )
    most = request.count if count is None else count
    if request.composition is not None:
        found = propose(models, request.composition, count=most, limits=limits)
    elif request.pool:
        each = {'count': per_system or most, 'per_composition': per_composition}
        found = _of_pool(models, request.elements or (), count=most, limits=limits, each=each, report=report)
    else:
        found = propose_in_system(
            models,
            request.elements or (),
            count=most,
            limits=limits,
            amounts=request.amounts,
            per_composition=per_composition,
            report=report,
        )
    if not found:
        wanted = request.formula or ' '.join(request.elements or ())
        raise InvalidInputError(f'no known crystal can be changed into {wanted} within these limits')
    return found


def choices_of(request: MotifsRequest, models: MotifModels) -> list[Proposal]:
    """Return many proposals of a request that has a target, to choose among, the most probable first.

    :raises InvalidInputError: if no known crystal can be changed into what is wanted.
    """
    if request.composition is not None:
        return proposals_of(request, models, count=max(CHOICES_OF_FORMULA, 2 * request.count))
    count = max(CHOICES, 2 * request.count)
    number = len(_systems(request.elements or ())) if request.pool else 1
    per_system = max(PER_SYSTEM, 2 * count // number)
    return proposals_of(request, models, count=count, per_composition=PER_COMPOSITION, per_system=per_system)


def _excluded(request: MotifsRequest, library: MotifLibrary) -> frozenset[str]:
    """Return the reduced formulas whose known crystals are not used."""
    named = frozenset(reduced_formula(formula) for formula in request.exclude)
    if not request.exclude_system:
        return named
    formulas = library.formulas[library.within(request.elements or request.composition or ())].tolist()
    return named | {formula for formula in formulas if len(parse_formula(formula)) > 1}


def _systems(elements: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every chemical system of some of the elements of a pool."""
    sizes = range(2, min(len(elements), LARGEST_SYSTEM) + 1)
    return [system for size in sizes for system in itertools.combinations(elements, size)]


def _of_pool(
    models: MotifModels,
    elements: Sequence[str],
    *,
    count: int,
    limits: Limits,
    each: dict[str, t.Any],
    report: Callable[[int, int], object],
) -> list[Proposal]:
    """Return proposals of every chemical system of some of the elements, the most probable first.

    :param each: what limits those of one system.
    """
    systems = _systems(elements)
    found: list[Proposal] = []
    for done, system in enumerate(systems, start=1):
        found += propose_in_system(models, system, limits=limits, **each)
        report(done, len(systems))
    return sorted(found, key=lambda each: -each.probability)[:count]


def draw(proposals: Sequence[Proposal], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return positions of ``count`` proposals, drawn by their probability; the first ones are there first.

    Every proposal is drawn as often as its probability says, up to one: the rest is left to chance.
    """
    weights = np.array([max(each.probability, 0.0) for each in proposals])
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(proposals), 1 / len(proposals))
    expected = count * weights
    sure = np.floor(expected).astype(np.int64)
    rest = count - int(sure.sum())
    left = (expected - sure) / max((expected - sure).sum(), 1e-300)
    drawn = rng.choice(len(proposals), size=rest, p=left) if rest else np.zeros(0, dtype=np.int64)
    return np.sort(np.concatenate([np.repeat(np.arange(len(proposals)), sure), drawn]))

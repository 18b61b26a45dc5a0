"""From requests to the samples that they ask for, and to padded tasks of the sampler."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.requests import (
    ChemicalSystemRequest,
    CompositionRequest,
    FreeRequest,
    MotifsRequest,
    Request,
    StructuresRequest,
)
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.elements import element_symbols, known_indices, species_indices
from aiida_qagenai.ml.generator.aiming import Predictor, aimed_proposals
from aiida_qagenai.ml.generator.sampler import Start, Task
from aiida_qagenai.ml.generator.symmetry import Operations, find_operations, reduced_setting, symmetrise
from aiida_qagenai.ml.progress import Record

if t.TYPE_CHECKING:
    from aiida_qagenai.motifs.propose import Proposal

SYMMETRY_TOLERANCE = 0.01
"""Of the search for the operations of a motif, Å."""

REFINEMENT_TIME = 0.2
"""Noise level of about the displacements and strains that the exchange of elements leaves to be mended."""

LARGEST_WITHOUT_MOTIF = 20
"""Atoms per cell up to which the number of formula units is drawn where no known crystal says it."""

__all__ = ('Given', 'Wanted', 'expand', 'make_task', 'split')


class Given(t.NamedTuple):
    """A structure at which sampling starts, in a reduced setting.

    :param row: of the structure in the file of the request, −1 for a motif.
    :param cell: shape (3, 3), Å.
    :param fractional: shape (n, 3).
    :param operations: what the sample keeps, None if nothing.
    :param noise: noise level that is added first.
    :param refined: whether a start without noise is moved to where the generator expects it.
    """

    row: int
    cell: NDArray[np.float64]
    fractional: NDArray[np.float64]
    operations: Operations | None
    noise: float
    refined: bool = False

    @property
    def time(self) -> float:
        """Return the time at which the reverse process begins, 0 if the start is left as it is."""
        return self.noise or (REFINEMENT_TIME if self.refined else 0.0)


class _Sizes(t.NamedTuple):
    """What draws the number of atoms of samples whose composition is open.

    :param counts: atoms per cell → how many training structures had them.
    """

    counts: dict[int, int]
    generator: torch.Generator
    record: Record

    def draw(self, number: int, minimum: int, maximum: int, count: int) -> list[int]:
        """Return ``count`` numbers of atoms for request ``number``, as often as in the training set."""
        sizes = np.arange(minimum, maximum + 1)
        weights = np.array([self.counts.get(int(size), 0) for size in sizes], dtype=float)
        if not weights.any():
            self.record.warn(
                f'request {number}: no training structure has {sizes[0]}–{sizes[-1]} atoms; sizes are drawn evenly'
            )
            weights[:] = 1.0
        drawn = torch.multinomial(torch.from_numpy(weights), count, replacement=True, generator=self.generator)
        return [int(sizes[index]) for index in drawn.tolist()]


class Wanted(t.NamedTuple):
    """One sample to draw.

    :param request: number of its request.
    :param types: element positions where they are given.
    :param allowed: positions of the elements that it may use.
    :param start: where sampling starts, noise if not given.
    :param motif: the known crystal with exchanged elements that the start is, if it is one.
    """

    request: int
    num_atoms: int
    types: tuple[int, ...] | None
    allowed: tuple[int, ...]
    start: Given | None = None
    motif: Proposal | None = None


def expand(
    requests: Sequence[Request],
    elements: tuple[int, ...],
    num_atoms_counts: dict[int, int],
    generator: torch.Generator,
    record: Record,
    *,
    predictor: Predictor,
) -> list[Wanted]:
    """Return every sample that the requests ask for, with its number of atoms drawn.

    :param elements: atomic numbers of the generator.
    :param num_atoms_counts: atoms per cell → how many training structures had them.
    :param predictor: of what a request has as its target.
    :raises InvalidInputError: if an element was not in the training set.
    """
    sizes = _Sizes(num_atoms_counts, generator, record)
    wanted: list[Wanted] = []
    for number, request in enumerate(requests):
        if isinstance(request, StructuresRequest):
            wanted.extend(_from_structures(number, request, elements))
        elif isinstance(request, MotifsRequest):
            wanted.extend(_from_motifs(number, request, elements, sizes, predictor))
        elif isinstance(request, CompositionRequest):
            wanted.extend([_of_content(number, request.composition, elements)] * request.count)
        else:
            wanted.extend(_from_noise(number, request, elements, sizes))
    return wanted


def _from_noise(
    number: int, request: FreeRequest | ChemicalSystemRequest, elements: tuple[int, ...], sizes: _Sizes
) -> Iterator[Wanted]:
    """Yield samples of open composition."""
    if isinstance(request, FreeRequest):
        allowed = tuple(range(len(elements)))
    else:
        allowed = tuple(known_indices(request.elements, elements, 'generator'))
    for size in sizes.draw(number, request.min_atoms, request.max_atoms, request.count):
        yield Wanted(number, size, None, allowed)


def _from_structures(number: int, request: StructuresRequest, elements: tuple[int, ...]) -> Iterator[Wanted]:
    """Yield the samples that start from the structures of a file."""
    for row, (cell, species, fractional) in enumerate(StructureBatch.load(request.structures)):
        tolerance = request.tolerance if request.symmetry == 'keep' else None
        given = _given(row, cell, species, fractional, tolerance=tolerance, noise=request.noise)
        yield from [_of_start(number, species, elements, given)] * request.count


def _from_motifs(
    number: int, request: MotifsRequest, elements: tuple[int, ...], sizes: _Sizes, predictor: Predictor
) -> Iterator[Wanted]:
    """Yield the samples that start from motifs: with noise they are drawn by their probability, without each once.

    Where a target is asked for, those near it start one sample each, or as many more as are wanted.

    :raises InvalidInputError: if no known crystal can be changed into what is wanted, unless nothing is left of it, or
        samples from noise may take its place.
    """
    from aiida_qagenai.motifs.requested import FEWEST, draw

    known_indices(request.symbols, elements, 'generator')
    seed = int(torch.randint(2**31, (1,), generator=sizes.generator))
    try:
        drawn = request.novelty > 0 and request.target is None
        most = max(request.count, FEWEST) if drawn else request.count
        proposals = _proposals(request, most, predictor)
    except InvalidInputError as exception:
        if request.otherwise == 'noise':
            sizes.record.warn(f'request {number}: {exception}; its samples start from noise')
        elif request.novelty < 1 or request.composition is None:
            raise
        yield from _without_motif(number, request, elements, seed=seed, sizes=sizes)
        return
    positions = list(range(min(request.count, len(proposals))))
    if drawn:
        positions = draw(proposals, request.count, np.random.default_rng(seed)).tolist()
    elif request.novelty > 0:
        positions = sorted(place % len(proposals) for place in range(request.count))
    elif len(positions) < request.count:
        rest = '; the other samples start from noise' if request.otherwise == 'noise' else ''
        sizes.record.warn(f'request {number}: only {len(positions)} of {request.count} motifs were found{rest}')
    starts: dict[int, Given] = {}
    for position in positions:
        proposal = proposals[position]
        cell, species, fractional = proposal.crystal.cell, proposal.crystal.species, proposal.crystal.fractional
        if position not in starts:
            tolerance = SYMMETRY_TOLERANCE if request.symmetry == 'keep' else None
            given = _given(-1, cell, species, fractional, tolerance=tolerance, noise=request.novelty)
            # a known crystal of the composition is where it should be
            exchanged = any(old != new for old, new in proposal.exchange.items())
            starts[position] = given._replace(refined=request.refine and exchanged)
        wanted = _of_start(number, species, elements, starts[position])
        yield wanted._replace(motif=proposal)
    if request.otherwise == 'noise' and len(positions) < request.count:
        others = request.model_copy(update={'count': request.count - len(positions)})
        yield from _without_motif(number, others, elements, seed=seed, sizes=sizes)


def _proposals(request: MotifsRequest, count: int, predictor: Predictor) -> list[Proposal]:
    """Return at most ``count`` motifs of a request, the best first.

    :raises InvalidInputError: if no known crystal can be changed into what is wanted.
    """
    from aiida_qagenai.motifs.requested import models_of, proposals_of

    if request.wish is None:
        return proposals_of(request, models_of(request), count=count)
    return aimed_proposals(request, request.wish, count, predictor)


def _without_motif(
    number: int, request: MotifsRequest, elements: tuple[int, ...], *, seed: int, sizes: _Sizes
) -> Iterator[Wanted]:
    """Yield samples from noise, of a composition or a chemical system that no known crystal fits."""
    content = request.composition
    if content is None:
        allowed = tuple(known_indices(request.symbols, elements, 'generator'))
        for size in sizes.draw(number, request.min_atoms, request.max_atoms, request.count):
            yield Wanted(number, size, None, allowed)
        return
    units = [request.formula_units] if request.formula_units else []
    most = min(request.max_atoms, LARGEST_WITHOUT_MOTIF) // sum(content.values())
    units = units or list(range(1, max(most, 1) + 1))
    for drawn in np.random.default_rng(seed).choice(units, size=request.count).tolist():
        yield _of_content(number, {symbol: drawn * amount for symbol, amount in content.items()}, elements)


def _of_content(number: int, content: dict[str, int], elements: tuple[int, ...]) -> Wanted:
    """Return a sample of one cell content, from noise."""
    positions = known_indices(content, elements, 'generator')
    types = tuple(p for p, count in zip(positions, content.values(), strict=True) for _ in range(count))
    return Wanted(number, len(types), types, tuple(positions))


def _of_start(number: int, species: NDArray[np.int64], elements: tuple[int, ...], given: Given) -> Wanted:
    """Return a sample with the elements of its start."""
    known_indices(element_symbols(species), elements, 'generator')
    types = tuple(species_indices(species, elements).tolist())
    return Wanted(number, len(types), types, tuple(sorted(set(types))), given)


def _given(
    row: int,
    cell: NDArray[np.float64],
    species: NDArray[np.int64],
    fractional: NDArray[np.float64],
    *,
    tolerance: float | None,
    noise: float,
) -> Given:
    """Return a start in a reduced setting.

    :param tolerance: of the search for the operations that its samples keep, Å; ``None`` if they keep nothing.
    """
    start = reduced_setting(cell, fractional)
    if tolerance is None:
        return Given(row, *start, None, noise)
    operations = find_operations(*start, species, tolerance)
    return Given(row, *symmetrise(*start, operations), operations, noise)


def split(wanted: Sequence[Wanted], size: int) -> list[list[int]]:
    """Return the positions of at most ``size`` samples for each call of the sampler.

    Cells of one size are together, because padding costs time; all of a batch start in the same way.
    """

    def beginning(index: int) -> tuple[float, float]:
        start = wanted[index].start
        return (2.0, 2.0) if start is None else (start.noise, start.time)

    beginnings = sorted({beginning(index) for index in range(len(wanted))})
    batches: list[list[int]] = []
    for each in beginnings:
        members = [index for index in range(len(wanted)) if beginning(index) == each]
        members.sort(key=lambda index: wanted[index].num_atoms)
        batches.extend(members[first : first + size] for first in range(0, len(members), size))
    return batches


def make_task(wanted: Sequence[Wanted], num_elements: int) -> Task:
    """Return the padded task of some samples that start at the same noise level."""
    width = max(each.num_atoms for each in wanted)
    types = torch.full((len(wanted), width), num_elements)
    mask = torch.zeros(len(wanted), width, dtype=torch.bool)
    allowed = torch.zeros(len(wanted), num_elements, dtype=torch.bool)
    cells = torch.eye(3, dtype=torch.float64).repeat(len(wanted), 1, 1)
    fractional = torch.zeros(len(wanted), width, 3, dtype=torch.float64)
    for row, each in enumerate(wanted):
        mask[row, : each.num_atoms] = True
        allowed[row, list(each.allowed)] = True
        if each.types is not None:
            types[row, : each.num_atoms] = torch.tensor(each.types)
        if each.start is not None:
            cells[row] = torch.from_numpy(each.start.cell)
            fractional[row, : each.num_atoms] = torch.from_numpy(each.start.fractional)
    first = wanted[0].start
    if first is None:
        return Task(types, mask, allowed)
    symmetry = [each.start.operations if each.start else None for each in wanted]
    kept = symmetry if any(operations is not None for operations in symmetry) else None
    return Task(types, mask, allowed, Start(cells, fractional, first.time, noisy=first.noise > 0), kept)

"""From requests to the samples that they ask for, and to padded tasks of the sampler."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import CompositionRequest, FreeRequest, Request, StructuresRequest
from aiida_qagenai.ml.elements import element_symbols, known_indices, species_indices
from aiida_qagenai.ml.generator.sampler import Start, Task
from aiida_qagenai.ml.generator.symmetry import Operations, find_operations, reduced_setting, symmetrise
from aiida_qagenai.ml.progress import Record

__all__ = ('Given', 'Wanted', 'expand', 'make_task', 'split')


class Given(t.NamedTuple):
    """A structure at which sampling starts, in a reduced setting.

    :param row: of the structure in the file of the request.
    :param cell: shape (3, 3), Å.
    :param fractional: shape (n, 3).
    :param operations: what the sample keeps, None if nothing.
    :param noise: noise level that is added first.
    """

    row: int
    cell: NDArray[np.float64]
    fractional: NDArray[np.float64]
    operations: Operations | None
    noise: float


class Wanted(t.NamedTuple):
    """One sample to draw: its request, number of atoms, given types (or none), allowed elements and start (or none)."""

    request: int
    num_atoms: int
    types: tuple[int, ...] | None
    allowed: tuple[int, ...]
    start: Given | None = None


def expand(
    requests: Sequence[Request],
    elements: tuple[int, ...],
    num_atoms_counts: dict[int, int],
    generator: torch.Generator,
    record: Record,
) -> list[Wanted]:
    """Return every sample that the requests ask for, with its number of atoms drawn.

    :param elements: atomic numbers of the generator.
    :param num_atoms_counts: atoms per cell → how many training structures had them.
    :raises InvalidInputError: if an element was not in the training set.
    """
    wanted: list[Wanted] = []
    for number, request in enumerate(requests):
        if isinstance(request, StructuresRequest):
            wanted.extend(_from_structures(number, request, elements))
            continue
        if isinstance(request, CompositionRequest):
            positions = known_indices(request.composition, elements, 'generator')
            counts = request.composition.values()
            types = tuple(p for p, count in zip(positions, counts, strict=True) for _ in range(count))
            wanted.extend([Wanted(number, len(types), types, tuple(positions))] * request.count)
            continue
        if isinstance(request, FreeRequest):
            allowed = tuple(range(len(elements)))
        else:
            allowed = tuple(known_indices(request.elements, elements, 'generator'))
        sizes = np.arange(request.min_atoms, request.max_atoms + 1)
        weights = np.array([num_atoms_counts.get(int(size), 0) for size in sizes], dtype=float)
        if not weights.any():
            record.warn(
                f'request {number}: no training structure has {sizes[0]}–{sizes[-1]} atoms; sizes are drawn evenly'
            )
            weights[:] = 1.0
        drawn = torch.multinomial(
            torch.from_numpy(weights), request.count, replacement=True, generator=generator
        ).tolist()
        wanted.extend(Wanted(number, int(sizes[index]), None, allowed) for index in drawn)
    return wanted


def _from_structures(number: int, request: StructuresRequest, elements: tuple[int, ...]) -> Iterator[Wanted]:
    """Yield the samples that start from the structures of a file."""
    for row, (cell, species, fractional) in enumerate(StructureBatch.load(request.structures)):
        known_indices(element_symbols(species), elements, 'generator')
        types = tuple(species_indices(species, elements).tolist())
        start = reduced_setting(cell, fractional)
        operations = None
        if request.symmetry == 'keep':
            operations = find_operations(*start, species, request.tolerance)
            start = symmetrise(*start, operations)
        given = Given(row, *start, operations, request.noise)
        yield from [Wanted(number, len(types), types, tuple(sorted(set(types))), given)] * request.count


def split(wanted: Sequence[Wanted], size: int) -> list[list[int]]:
    """Return the positions of at most ``size`` samples for each call of the sampler.

    Cells of one size are together, because padding costs time; all of a batch start at the same noise level.
    """

    def noise(index: int) -> float:
        start = wanted[index].start
        return 2.0 if start is None else start.noise

    levels = sorted({noise(index) for index in range(len(wanted))})
    batches: list[list[int]] = []
    for level in levels:
        members = [index for index in range(len(wanted)) if noise(index) == level]
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
    return Task(types, mask, allowed, Start(cells, fractional, first.noise), kept)

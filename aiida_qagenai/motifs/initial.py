"""What the library knows of a chemical system and its subsystems: the ideal structures of an initial set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from aiida_qagenai.chemistry.elements import require_elements
from aiida_qagenai.chemistry.prototypes import SeedStructure, decorated_prototypes, is_neutral
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.motifs.propose import Limits, MotifModels, Proposal, propose_in_system

__all__ = ('known_structures',)

PER_COMPOSITION = 6
"""Structures of one composition: more of them than of other systems, because energies of polymorphs are compared."""


def known_structures(
    elements: Sequence[str], *, max_atoms: int, count: int, models: MotifModels | None = None
) -> list[SeedStructure]:
    """Return crystals of the system and all its subsystems, elements included, the most probable first.

    The most probable one of every subsystem comes before all others, larger subsystems first. Where the library has
    nothing for a subsystem, its decorated prototypes take their place.

    :param max_atoms: in the primitive cell.
    :param count: largest number for each subsystem.
    :raises InvalidInputError: on an unknown element.
    """
    symbols = require_elements(elements)
    models = models or MotifModels.default()
    first: list[SeedStructure] = []
    others: list[tuple[float, SeedStructure]] = []
    for size in range(min(len(symbols), max_atoms), 0, -1):
        for system in itertools.combinations(symbols, size):
            rated = _of_system(system, max_atoms, count, models)
            first.extend(seed for _, seed in rated[:1])
            others.extend(rated[1:])
    others.sort(key=lambda item: -item[0])
    return [*first, *(seed for _, seed in others)]


def _of_system(
    system: tuple[str, ...], max_atoms: int, count: int, models: MotifModels
) -> list[tuple[float, SeedStructure]]:
    """Return structures with all elements of ``system`` and their probabilities, the most probable first."""
    limits = Limits(max_atoms=max_atoms)
    try:
        found = propose_in_system(models, system, count=count, limits=limits, per_composition=PER_COMPOSITION)
    except InvalidInputError:  # an element of which no crystal is known
        found = []
    if found:
        return [(each.probability, _seed(each)) for each in found]
    return [(0.0, seed) for seed in decorated_prototypes(system, max_atoms=max_atoms)[:count]]


def _seed(proposal: Proposal) -> SeedStructure:
    structure = proposal.structure
    label = f'{proposal.motif} ({proposal.motif_formula})'
    return SeedStructure(structure, label, 'ideal', is_neutral(structure))

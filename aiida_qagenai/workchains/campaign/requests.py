"""What a cycle asks of the generator."""

from __future__ import annotations

import itertools
import typing as t
from collections import Counter
from collections.abc import Sequence

from aiida_qagenai.chemistry.composition import neutral_compositions
from aiida_qagenai.workchains.protocols.generation import GenerateSettings

__all__ = ('generation_requests',)


def generation_requests(elements: list[str], settings: GenerateSettings) -> list[dict[str, t.Any]]:
    """Return what to ask of the generator: known crystals with exchanged elements, then samples from noise.

    The counts add up to ``settings.num_candidates``: nothing is dropped by rounding, and what no known crystal can be
    asked for goes to the samples from noise.
    """
    requests = motif_requests(elements, round(settings.num_candidates * settings.motif_fraction), settings)
    rest = settings.num_candidates - sum(request['count'] for request in requests)
    return requests + noise_requests(elements, rest, settings)


def motif_requests(elements: Sequence[str], count: int, settings: GenerateSettings) -> list[dict[str, t.Any]]:
    """Return requests for ``count`` samples that start from known crystals, or none if no cell is large enough.

    Half of them are of the whole system, the others in equal parts of its subsystems of two or more elements, which
    compete with it. A system that no known crystal fits gets samples from noise, which the generator decides. Where
    target descriptors are among those that the package predicts, the crystals are chosen by them.
    """
    smallest = min(2, len(elements))
    sizes = [size for size in range(len(elements), smallest - 1, -1) if size <= settings.max_atoms]
    systems = [list(system) for size in sizes for system in itertools.combinations(elements, size)]
    systems = [system for system in systems if settings.ordered_elements <= set(system)]
    shares = _split(count, len(systems))
    if len(systems) > 1 and len(systems[0]) == len(elements):
        shares = [count - count // 2, *_split(count // 2, len(systems) - 1)]
    limits = {
        'symmetry': settings.symmetry,
        'max_atoms': settings.max_atoms,
        'otherwise': 'noise',
        **({'exclude_system': True} if settings.exclude_system else {}),
        **({} if settings.wish is None else {'target': settings.wish}),
    }
    return [
        {'mode': 'motifs', 'elements': system, 'novelty': novelty, **limits, 'count': samples}
        for system, share in zip(systems, shares, strict=True)
        for novelty, samples in zip(settings.novelties, _split(share, len(settings.novelties)), strict=True)
        if samples
    ]


def noise_requests(elements: list[str], count: int, settings: GenerateSettings) -> list[dict[str, t.Any]]:
    """Return requests for ``count`` samples: neutral compositions in equal parts, then free ones in the system."""
    compositions = neutral_compositions(elements, max_atoms=settings.max_atoms)
    compositions = [
        composition
        for composition in compositions
        if settings.ordered_elements <= set(composition) and settings.held <= Counter(composition)
    ]
    neutral = round(count * settings.neutral_fraction) if compositions else 0
    requests: list[dict[str, t.Any]] = [
        {'mode': 'composition', 'composition': composition, 'count': share}
        for composition, share in zip(compositions, _split(neutral, len(compositions)), strict=True)
        if share
    ]
    if count > neutral:
        limits = {'min_atoms': max(1, settings.held.total()), 'max_atoms': settings.max_atoms}
        requests.append({'mode': 'chemical_system', 'elements': elements, **limits, 'count': count - neutral})
    return requests


def _split(total: int, parts: int) -> list[int]:
    """Return ``total`` in equal parts, the first ones larger by one where it does not divide."""
    return [total // parts + (index < total % parts) for index in range(parts)]

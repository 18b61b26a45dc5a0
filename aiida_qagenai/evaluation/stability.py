"""S.U.N. and MSUN: the shares of generated crystals that are stable (or metastable), unique and novel.

S.U.N. counts E_hull ≤ 0, MSUN 0 < E_hull ≤ 0.1 eV/atom, so that no crystal is in both (LeMat-GenBench). Papers on
generators often call E_hull ≤ 0.1 eV/atom S.U.N. (MatterGen): ``sun-0.1``. Crystals that are equal count
once, at the one with the lowest distance. All samples are in the denominator: those that are not valid in
structure, or whose distance is not known, count as unstable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.figures import Figure, share
from aiida_qagenai.thermodynamics.hull.convex_hull import MARGINAL_LIMIT, STABLE_LIMIT

__all__ = ('stable_unique_novel',)

_ROUNDING = 1e-9
"""A distance on a limit belongs to the more stable class, whatever its last digits, eV/atom."""


def stable_unique_novel(
    e_above_hull: Sequence[float | None],
    clusters: Sequence[int | None],
    novel: Sequence[bool],
    provenance: str,
    *,
    stable: float = STABLE_LIMIT,
    metastable: float = MARGINAL_LIMIT,
    seed: int = 0,
) -> list[Figure]:
    """Return the figures ``sun``, ``msun`` and ``sun-0.1`` (the limit of MSUN in its name).

    :param e_above_hull: distance to the hull of each sample, eV/atom, ``None`` where it is not known.
    :param clusters: number of the cluster of equal samples that each is in, ``None`` for samples that are not valid.
    :param novel: whether each sample differs from all known structures.
    :param provenance: which hull and which relaxation the distances are from, for the definition.
    :param stable: largest distance that counts as 0, eV/atom.
    :param metastable: largest distance of MSUN, eV/atom.
    :raises InvalidInputError: if the lists differ in length, or the limits are in the wrong order.
    """
    if not len(e_above_hull) == len(clusters) == len(novel):
        message = f'{len(e_above_hull)} distances, {len(clusters)} clusters and {len(novel)} verdicts differ in number'
        raise InvalidInputError(message)
    if not 0 <= stable < metastable:
        raise InvalidInputError(f'the limits must satisfy 0 <= stable < metastable, not {stable} and {metastable}')
    lowest: dict[int, int] = {}
    for index, (energy, cluster) in enumerate(zip(e_above_hull, clusters, strict=True)):
        if energy is None or cluster is None:
            continue
        best = e_above_hull[lowest[cluster]] if cluster in lowest else None
        if best is None or energy < best:
            lowest[cluster] = index
    chosen = {index: e_above_hull[index] for index in lowest.values() if novel[index]}
    within = [chosen.get(index) for index in range(len(novel))]
    about = f'unique, novel, structurally valid, of all samples; {provenance}'
    ranges = {
        'sun': (-math.inf, stable, f'E_hull ≤ {stable:g}'),
        'msun': (stable, metastable + _ROUNDING, f'{stable:g} < E_hull ≤ {metastable:g}'),
        f'sun-{metastable:g}': (-math.inf, metastable + _ROUNDING, f'E_hull ≤ {metastable:g}'),
    }
    return [
        share(
            name,
            [energy is not None and low < energy <= high for energy in within],
            f'{definition} eV/atom, {about}',
            seed=seed,
        )
        for name, (low, high, definition) in ranges.items()
    ]

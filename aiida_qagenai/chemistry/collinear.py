"""Collinear magnetism of a solution: what its moments are called, and which of those it began with are lost."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ('SMALLEST_MOMENT', 'moment_warnings', 'moments_are_lost', 'name_ordering')

SMALLEST_MOMENT = 0.1
"""μB: a site with less has no moment of its own."""


def name_ordering(site_moments: Sequence[float], total: float) -> str:
    """Return the collinear ordering; moments induced on ligands, a sixth of the largest at most, do not count.

    :param site_moments: μB.
    :param total: moment of the cell, μB.
    """
    limit = max(SMALLEST_MOMENT, max(map(abs, site_moments)) / 6)
    large = [moment for moment in site_moments if abs(moment) >= limit]
    if not large:
        return 'ferromagnetic' if abs(total) >= SMALLEST_MOMENT else 'nonmagnetic'
    if min(large) > 0 or max(large) < 0:
        return 'ferromagnetic'
    return 'antiferromagnetic' if abs(total) < SMALLEST_MOMENT else 'ferrimagnetic'


def moments_are_lost(initial: Sequence[float], final: Sequence[float]) -> bool:
    """Return whether every site that began with a moment (μB) has none left."""
    begun = [end for begin, end in zip(initial, final, strict=True) if abs(begin) >= SMALLEST_MOMENT]
    return bool(begun) and all(abs(end) < SMALLEST_MOMENT for end in begun)


def moment_warnings(initial: Sequence[float], final: Sequence[float]) -> list[tuple[int, str]]:
    """Return code and text of what became of the moments (μB): some are lost, or the ordering is another."""
    pairs = [(begin, end) for begin, end in zip(initial, final, strict=True) if abs(begin) >= SMALLEST_MOMENT]
    kept = [pair for pair in pairs if abs(pair[1]) >= SMALLEST_MOMENT]
    shown = ', '.join(f'{moment:.2f}' for moment in final)
    warnings = []
    if len(kept) < len(pairs):
        warnings.append(
            (711, f'{len(pairs) - len(kept)} of {len(pairs)} sites lost their moment: the sites have {shown}')
        )
    if len({begin * end > 0 for begin, end in kept}) > 1:
        begun = ', '.join(f'{moment:.2f}' for moment in initial)
        warnings.append((710, f'the ordering changed from {begun} to {shown} Bohr magnetons'))
    return warnings

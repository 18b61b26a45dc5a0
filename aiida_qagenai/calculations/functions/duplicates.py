"""Candidates that equal each other, what was computed before, or a known crystal."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Sequence

from aiida_qagenai.chemistry.duplicates import KnownStructures
from aiida_qagenai.chemistry.symmetry import fingerprint
from aiida_qagenai.data.candidate import CandidateData, parse_candidate_name
from aiida_qagenai.data.dataset import DatasetData

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('find_duplicates', 'find_known')


def find_duplicates(
    candidates: Sequence[CandidateData], structures: Sequence[Structure], passed: Sequence[bool], computed: DatasetData
) -> list[str | None]:
    """Return per candidate the name of the equal structure that was computed or represents it, or None.

    Unrelaxed structures are equal if their fingerprints are: matching up to a scale would take strained polymorphs for
    one. Relaxed ones have left their strain behind and are matched, with each other and with what earlier cycles
    computed, but not with the initial set, which is strained on purpose. Of equal candidates the first that passed the
    constraints is kept, a relaxed one before others.

    :param passed: whether each candidate passed the constraints.
    :param computed: the training set.
    """
    known = computed.structures()
    seen: dict[str | None, str] = {}
    minima, names = KnownStructures(distortions=False), []
    for name, structure in zip(map(str, known.identifiers), known.structures(), strict=True):
        seen.setdefault(fingerprint(structure), name)
        if _is_of_a_cycle(name):
            minima.add(structure)
            names.append(name)
    found: list[str | None] = [None] * len(candidates)
    relaxed = [_is_relaxed(candidate) for candidate in candidates]
    for row in sorted(range(len(candidates)), key=lambda row: (not passed[row], not relaxed[row], row)):
        key, name = candidates[row].base.attributes.get('fingerprint'), candidates[row].name
        found[row] = seen.get(key)
        if found[row] is None and relaxed[row]:
            index = minima.find(structures[row])
            if index is None:
                minima.add(structures[row])
                names.append(name)
            else:
                found[row] = names[index]
        seen.setdefault(key, found[row] or name)
    return found


def find_known(
    candidates: Sequence[CandidateData], structures: Sequence[Structure], known: DatasetData | None
) -> list[str | None]:
    """Return per candidate the identifier of the known crystal that it equals, or None.

    :param known: known crystals under their identifiers.
    """
    if known is None:
        return [None] * len(candidates)
    batch = known.structures()
    crystals, names = batch.structures(), [str(name) for name in batch.identifiers]
    by_fingerprint = dict(zip(map(fingerprint, crystals), names, strict=True))
    index = KnownStructures(crystals, distortions=False)
    found = []
    for candidate, structure in zip(candidates, structures, strict=True):
        row = index.find(structure) if _is_relaxed(candidate) else None
        key = candidate.base.attributes.get('fingerprint')
        found.append(by_fingerprint.get(key) if row is None else names[row])
    return found


def _is_relaxed(candidate: CandidateData) -> bool:
    return bool(candidate.base.attributes.get('relaxation_converged', None))


def _is_of_a_cycle(name: str) -> bool:
    """Return whether a structure of a training set was a candidate of a cycle, not of the initial set."""
    return re.fullmatch(r'\d{3,}-\d{5,}', name) is not None and parse_candidate_name(name)[0] > 0

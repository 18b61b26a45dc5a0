"""The phases that compete with the candidates of a campaign: known crystals of its chemical system."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida.engine import calcfunction
from aiida.orm import Dict, List

from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.checkpoint import sha256
from aiida_qagenai.motifs.known import known_phases
from aiida_qagenai.motifs.library import DEFAULT_LIBRARY
from aiida_qagenai.thermodynamics.hull.phases import Phase
from aiida_qagenai.thermodynamics.hull.reference import DEFAULT_HULL

__all__ = ('find_gaps', 'find_known_phases', 'gap_notes', 'gaps_of', 'installed_tables')

MAX_GAPS = 6
"""Gaps of the hull that a note names; the selection names all."""

TABLES = {'library_sha256': DEFAULT_LIBRARY, 'hull_sha256': DEFAULT_HULL}
"""Parameter → the file of the package whose checksum it is."""


@calcfunction
def find_known_phases(elements: List, parameters: Dict) -> dict[str, t.Any]:
    """Return the crystals of a system in the motif library of the package, and what the library lacks.

    :param elements: symbols of the chemical system.
    :param parameters: ``library_sha256`` and ``hull_sha256``, checksums of the two files that the answer comes from:
        those of :func:`installed_tables`.
    :returns: ``phases``, the crystals packed under their identifiers (none if there are none), and ``gaps``: identifier
        → formula of the compounds on the list of stable phases of whose composition the library has no crystal.
    :raises InvalidInputError: if the files of this package are others.
    """
    if parameters.get_dict() != installed_tables():
        raise InvalidInputError('the motif library or the reference hull of this package is another one')
    known = known_phases(elements.get_list())
    outputs: dict[str, t.Any] = {'gaps': Dict(known.gaps)}
    if len(known.crystals):
        outputs['phases'] = DatasetData(known.crystals)
    return outputs


def installed_tables() -> dict[str, str]:
    """Return the checksums of the motif library and of the reference hull of the package."""
    return {name: _checksum(path) for name, path in TABLES.items()}


@functools.cache
def _checksum(path: Path) -> str:
    return sha256(path.read_bytes())


def find_gaps(missing: dict[str, str], phases: Sequence[Phase]) -> list[dict[str, t.Any]]:
    """Return the stable compounds of which no crystal is known, and whether the training set has their composition.

    :param missing: identifier → reduced formula.
    """
    present = {phase.reduced_formula for phase in phases}
    return [
        {'identifier': name, 'formula': formula, 'in_training_set': formula in present}
        for name, formula in sorted(missing.items(), key=lambda item: (item[1], item[0]))
    ]


def gaps_of(candidate: CandidateData, gaps: Sequence[dict[str, t.Any]]) -> list[str]:
    """Return the formulas in the chemical system of a candidate that the hull lacks."""
    elements = set(parse_formula(candidate.formula))
    lacking = [gap['formula'] for gap in gaps if not gap['in_training_set']]
    return [formula for formula in lacking if set(parse_formula(formula)) <= elements]


def gap_notes(gaps: Sequence[dict[str, t.Any]]) -> list[str]:
    """Return what people need to know of the gaps."""
    lacking = [gap['formula'] for gap in gaps if not gap['in_training_set']]
    if not lacking:
        return []
    more = f' and {len(lacking) - MAX_GAPS} more' if len(lacking) > MAX_GAPS else ''
    return [f'gaps of the hull, stable compounds without a known structure: {", ".join(lacking[:MAX_GAPS])}{more}']

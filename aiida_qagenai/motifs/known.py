"""What is known of a chemical system: its crystals in the library, and stable phases of which it has no structure."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable

import numpy as np

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.chemistry.formula import reduced_formula
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.motifs.library import MotifLibrary
from aiida_qagenai.thermodynamics.hull.reference import ReferenceHull

__all__ = ('KnownPhases', 'known_phases')


class KnownPhases(t.NamedTuple):
    """The known phases of a chemical system and of its subsystems, elements included.

    :param crystals: under their identifiers, in their reduced primitive cells.
    :param gaps: identifier → reduced formula of the stable compounds of whose composition no crystal is known here.
    """

    crystals: StructureBatch
    gaps: dict[str, str]


def known_phases(
    elements: Iterable[str], library: MotifLibrary | None = None, hull: ReferenceHull | None = None
) -> KnownPhases:
    """Return the known phases of a system: by default of the library and of the hull that come with the package."""
    library, hull = library or MotifLibrary.default(), hull or ReferenceHull.default()
    symbols = sorted(set(elements))
    rows = library.within(symbols)
    crystals = [library.crystal(row) for row in rows]
    batch = StructureBatch.empty()
    if rows:
        batch = StructureBatch(
            num_atoms=np.array([len(crystal.species) for crystal in crystals]),
            cells=np.array([crystal.cell for crystal in crystals]),
            species=np.concatenate([crystal.species for crystal in crystals]),
            fractional=np.concatenate([crystal.fractional for crystal in crystals]),
            identifiers=library.identifiers[rows].astype(np.str_),
        )
    compositions = (library.compositions[row] for row in rows)
    formulas = {reduced_formula({SYMBOLS[z - 1]: count for z, count in total.items()}) for total in compositions}
    stable = [phase for phase in hull.phases(symbols) if len(phase.elements) > 1]
    missing = [phase for phase in stable if phase.reduced_formula not in formulas]
    return KnownPhases(batch, {str(phase.identifier): phase.reduced_formula for phase in missing})

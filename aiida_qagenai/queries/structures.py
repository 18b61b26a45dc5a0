"""The structures of candidates as objects of pymatgen, and candidates that are a given structure."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable

import numpy as np
import pandas as pd
from aiida.orm import QueryBuilder, StructureData

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.exchange.crystals import AnyCrystal, as_structure
from aiida_qagenai.queries.candidates import candidates
from aiida_qagenai.queries.tables import uuid_filter

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('candidates_like', 'structures')


def structures(rows: pd.DataFrame | Iterable[str]) -> list[Structure]:
    """Return the structures of candidates, or of others, as pymatgen objects in the order given, by one query.

    :param rows: a table of :func:`~aiida_qagenai.queries.candidates.candidates`, or uuids.
    :raises InvalidInputError: if a uuid is not that of a structure.
    """
    from pymatgen.core import Lattice, Structure

    uuids = rows['candidate_uuid'].tolist() if isinstance(rows, pd.DataFrame) else list(rows)
    found: dict[str, Structure] = {}
    builder = QueryBuilder().append(
        (StructureData, CandidateData, EntryData),
        filters=uuid_filter('uuid', uuids),
        project=['uuid', 'attributes.cell', 'attributes.kinds', 'attributes.sites'],
        subclassing=False,
    )
    for uuid, cell, kinds, sites in builder.iterall():
        symbols = {kind['name']: kind['symbols'][0] for kind in kinds}
        found[uuid] = Structure(
            Lattice(cell),
            [symbols[site['kind_name']] for site in sites],
            np.array([site['position'] for site in sites]),
            coords_are_cartesian=True,
        )
    missing = [uuid for uuid in uuids if uuid not in found]
    if missing:
        raise InvalidInputError(f'no structure has the uuid {missing[0]}')
    return [found[uuid] for uuid in uuids]


def candidates_like(structure: AnyCrystal, campaign: int | str | None = None) -> pd.DataFrame:
    """Return the candidates that are the same crystal as ``structure``: rows of the table of all candidates.

    :param structure: any kind, see :func:`~aiida_qagenai.exchange.crystals.as_structure`.
    :param campaign: label, pk or uuid; all campaigns by default.
    :raises InvalidInputError: if the structure cannot be used, or there is no such campaign.
    """
    from aiida_qagenai.chemistry.duplicates import KnownStructures

    wanted = as_structure(structure)
    table = candidates(campaign, formula=wanted.composition.reduced_formula)
    known = KnownStructures([wanted])
    same = [known.find(each) is not None for each in structures(table)]
    return table[np.array(same, dtype=bool)].reset_index(drop=True)

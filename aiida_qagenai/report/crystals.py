"""Candidates of a report: their structures for the viewer, and their lineage."""

from __future__ import annotations

import dataclasses
import itertools
import typing as t

import numpy as np
import pandas as pd
from aiida import orm

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.queries.campaigns import among
from aiida_qagenai.queries.lineage import candidate_lineages
from aiida_qagenai.report.tables import Cell, Table, cell, make_table

__all__ = ('Crystal', 'LineageStep', 'describe_crystals')

MAX_ATOMS = 400
"""Atoms drawn of one structure."""


@dataclasses.dataclass(frozen=True)
class LineageStep:
    """A step of a lineage with links to its node and its process."""

    kind: str
    what: Cell
    made_by: Cell


@dataclasses.dataclass(frozen=True)
class Crystal:
    """A candidate in three dimensions.

    :param description: what people hear who do not see the picture.
    :param key: element → colour.
    :param drawing: what the viewer draws: ``kinds`` (symbol, colour, radius in Å), ``atoms`` (kind and position in Å
        from the centre of the cell), ``edges`` and ``size`` (Å).
    """

    name: str
    formula: Cell
    description: str
    key: tuple[tuple[str, str], ...]
    table: Table
    lineage: tuple[LineageStep, ...]
    drawing: dict[str, t.Any]


def describe_crystals(candidates: pd.DataFrame) -> list[Crystal]:
    """Return the structures and lineages of candidates.

    :param candidates: ``name``, ``formula``, ``space_group_number`` and ``candidate_uuid``.
    """
    uuids = candidates['candidate_uuid'].tolist()
    fields = ['uuid', 'attributes.cell', 'attributes.kinds', 'attributes.sites']
    builder = orm.QueryBuilder().append(CandidateData, filters=among('uuid', uuids), project=fields, subclassing=False)
    stored = {uuid: values for uuid, *values in builder.all()}
    lineages = candidate_lineages(uuids)
    found = []
    for row in candidates.to_dict('records'):
        uuid = row['candidate_uuid']
        lattice, kinds, sites = stored[uuid]
        elements = {kind['name']: kind['symbols'][0] for kind in kinds}
        symbols = [elements[site['kind_name']] for site in sites]
        positions = np.array([site['position'] for site in sites], dtype=np.float64)
        drawing = _drawing(np.array(lattice, dtype=np.float64), symbols, positions)
        group = row['space_group_number']
        found.append(
            Crystal(
                name=row['name'],
                formula=cell(row['formula'], uuid, 'formula'),
                description=f'Structure of {row["formula"]}, {len(sites)} atoms in the cell, space group {group}.',
                key=tuple((symbol, colour) for symbol, colour, _ in drawing['kinds']),
                table=_coordinates(symbols, positions, uuid),
                lineage=tuple(
                    LineageStep(step.kind, cell(step.what, step.uuid), cell(step.made_by, step.process_uuid))
                    for step in lineages[uuid]
                ),
                drawing=drawing,
            )
        )
    return found


def _coordinates(symbols: list[str], positions: np.ndarray[t.Any, t.Any], uuid: str) -> Table:
    frame = pd.DataFrame(np.round(positions, 6) + 0.0, columns=['x', 'y', 'z']).assign(element=symbols, uuid=uuid)
    shown = {'element': 'element', 'x': 'x (Å)', 'y': 'y (Å)', 'z': 'z (Å)'}
    return make_table(frame, 'Positions of the atoms', shown, dict.fromkeys('xyz', ('uuid', 'sites')))


def _drawing(
    lattice: np.ndarray[t.Any, t.Any], symbols: list[str], positions: np.ndarray[t.Any, t.Any]
) -> dict[str, t.Any]:
    """Return what the viewer draws, with the images of atoms on the faces of the cell."""
    kinds = sorted(set(symbols))
    centre = lattice.sum(axis=0) / 2
    fractions = positions @ np.linalg.inv(lattice)
    fractions -= np.floor(fractions + 1e-6)
    atoms = []
    for symbol, place in zip(symbols, fractions, strict=True):
        for shift in itertools.product(*((0, 1) if abs(value) < 1e-3 else (0,) for value in place)):
            atoms.append([kinds.index(symbol), *np.round((place + shift) @ lattice - centre, 3).tolist()])
    corners = np.array(list(itertools.product((0, 1), repeat=3)))
    edges = [
        np.round(np.array([first, second]) @ lattice - centre, 3).tolist()
        for first, second in itertools.combinations(corners, 2)
        if np.abs(first - second).sum() == 1
    ]
    size = float(np.linalg.norm(corners @ lattice - centre, axis=1).max()) + 0.6
    shown = [[symbol, _colour(symbol), COVALENT_RADII[ATOMIC_NUMBERS[symbol]]] for symbol in kinds]
    return {'kinds': shown, 'atoms': atoms[:MAX_ATOMS], 'edges': edges, 'size': round(size, 3)}


def _colour(symbol: str) -> str:
    from ase.data.colors import jmol_colors

    return '#' + ''.join(f'{round(255 * part):02x}' for part in jmol_colors[ATOMIC_NUMBERS[symbol]])

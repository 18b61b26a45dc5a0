"""The hulls of `lithium_oxides.py`."""

from __future__ import annotations

import functools
import typing as t

import lithium_oxides

from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.thermodynamics.hull.phases import Phase
from aiida_qagenai.thermodynamics.hull.plots import draw_hull
from aiida_qagenai.thermodynamics.hull.reference import SCALE, ReferenceHull
from paper_parts.items import Item, Table, load

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = {'replay': 'known, found again', 'substitution': 'substitution', 'novel framework': 'novel framework'}
SHOWN = 8
"""Rows of the table of a hull."""


def found_in(name: str) -> list[dict[str, t.Any]]:
    """Return what was found in one of the systems, nearest to the hull first."""
    return t.cast('list[dict[str, t.Any]]', load(lithium_oxides.RECORDS)[name]['rows'])


def nearest(name: str) -> Table:
    """Return the crystals of a system that are nearest to the hull."""
    made, rows = load(lithium_oxides.RECORDS)[name]['proposed'], found_in(name)
    cells: list[list[object]] = [
        [row['formula'], f'{row["above_hull"]:.3f}', WORDS.get(row['relation'] or '', 'none')] for row in rows[:SHOWN]
    ]
    near = [row for row in rows if row['above_hull'] <= lithium_oxides.NEAR]
    known = sum(row['relation'] == 'replay' for row in near)
    note = (
        f'Of {made} crystals that were proposed, valid, distinct and within the constraints, {len(rows)} were placed; '
        f'{len(near)} lie within 0.1 eV/atom, {known} of them known. At PBE by CHGNet, on the hull of the Materials '
        'Project. The paper gives no number but one to two new stable phases in each system.'
    )
    return Table(('crystal', 'above the hull, eV/atom', 'beside known crystals'), cells, note)


def draw(name: str) -> Figure:
    """Draw the hull of a system with what was found."""
    elements = lithium_oxides.SYSTEMS[name]
    known = [Phase(element, 0.0, level=SCALE) for element in elements]
    known += [phase for phase in ReferenceHull.default().phases(elements) if len(phase.amounts) > 1]
    rows = found_in(name)
    candidates = [Phase(parse_formula(row['formula']), row['formation'], level=SCALE) for row in rows]
    return draw_hull(known, candidates, elements, distances=[row['above_hull'] for row in rows])


HULLS = tuple(
    Item(
        f'Figure 11 {name}', f'Near the hull of {name}', 'python benchmarks/lithium_oxides.py --store',
        functools.partial(nearest, name), functools.partial(draw, name),
    )
    for name in lithium_oxides.SYSTEMS
)  # fmt: skip

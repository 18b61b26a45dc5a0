"""The hull of a campaign: known phases and candidates as predicted, and what was computed."""

from __future__ import annotations

import itertools
import typing as t

import pandas as pd

from aiida_qagenai.calculations.functions.assess import competing_phases
from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.queries import figures as queries
from aiida_qagenai.queries.overview import campaign_summary
from aiida_qagenai.report.plots import Plot, assemble, phases_of, query_text
from aiida_qagenai.report.tables import make_table
from aiida_qagenai.thermodynamics.hull.convex_hull import Phase, distances_to_hull
from aiida_qagenai.thermodynamics.hull.plots import draw_hull

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ('hull',)

SHOWN_ABOVE_HULL = 0.2
"""Candidates further above the hull are drawn only if they were computed, eV/atom."""

LARGEST_ABOVE_HULL = 1.0


def hull(campaign: int | str, elements: t.Collection[str] | None = None) -> Plot:
    """Return the predicted hull of the last assessment with its candidates (paper Figure 11).

    :param elements: two to four; by default those of the campaign, or of a larger one the three with most candidates.
    :raises InvalidInputError: on another number of elements, or one that is not of the campaign.
    """
    found = queries.last_hull(campaign)
    query = query_text('last_hull', campaign)
    title = 'Hull of the known phases with candidates'
    system = sorted(campaign_summary(campaign).elements)
    chosen = _check_elements(elements, system)
    if found is None:
        empty = pd.DataFrame()
        return Plot('hull', title, '', query, None, empty, None, 'no candidate was placed on a hull yet')
    chosen = chosen or _busiest(found.candidates, system)
    table = found.candidates[found.candidates['formula'].map(lambda text: set(parse_formula(text)) <= set(chosen))]
    level = found.level.value
    inputs: dict[str, t.Any] = found.inputs
    known = competing_phases(inputs['competing'], inputs.get('known_phases'), inputs['arrays'], found.level)
    known = [phase for phase in known if set(phase.amounts) <= set(chosen)]
    known += [Phase(element, 0.0, level=f'predicted {level}') for element in chosen]
    computed = _computed_at(campaign, level, chosen)
    text = (
        f'Formation energies at {level} in the last cycle: the hull of the training set and the known phases, and the '
        f'candidates, all as the validator predicts them; in red what was computed. Elements are at zero.'
    )
    shown = {
        'name': 'candidate',
        'formula': 'formula',
        'energy': f'predicted at {level} (eV/atom)',
        'e_above_hull': 'above the hull (eV/atom)',
    }
    sources = {'e_above_hull': ('assessment_uuid', 'e_above_hull')}
    return assemble(
        'hull',
        title,
        text,
        query,
        table.reset_index(drop=True),
        draw=lambda: _draw_campaign_hull(known, table, computed, chosen),
        table=lambda: make_table(table, 'Candidates nearest to the hull', shown, sources, query=query),
        reason=f'no candidate in {"-".join(chosen)} was placed on a hull yet',
    )


def _check_elements(elements: t.Collection[str] | None, system: list[str]) -> list[str] | None:
    if elements is None:
        return None
    chosen = sorted(elements)
    if not 2 <= len(chosen) <= 4 or not set(chosen) <= set(system):
        message = f'a hull is drawn of two to four elements of {"-".join(system)}, not of {"-".join(chosen)}'
        raise InvalidInputError(message)
    return chosen


def _busiest(table: pd.DataFrame, system: list[str]) -> list[str]:
    """Return the elements of a system, or of one with five and more the three that most candidates consist of."""
    if len(system) <= 4:
        return system
    counts = table['formula'].map(lambda text: frozenset(parse_formula(text))).value_counts()
    parts = itertools.combinations(system, 3)
    return list(max(parts, key=lambda part: sum(n for each, n in counts.items() if each <= set(part))))


def _computed_at(campaign: int | str, level: str, chosen: list[str]) -> pd.DataFrame:
    table = queries.predicted_and_computed(campaign)
    inside = table['formula'].map(lambda text: set(parse_formula(text)) <= set(chosen)).astype(bool)
    return table[(table['fidelity'] == level) & (table['cycle'] > 0) & inside]


def _draw_campaign_hull(known: list[Phase], table: pd.DataFrame, computed: pd.DataFrame, chosen: list[str]) -> Figure:
    level = known[0].level
    measured = phases_of(computed, 'computed', level)
    heights = [result.e_above_hull for result in distances_to_hull(measured, known, elements_at_zero=True)]
    highest = max((height for height in heights if height is not None), default=0.0)
    limit = min(max(SHOWN_ABOVE_HULL, 1.05 * highest), LARGEST_ABOVE_HULL)
    near = table[table['e_above_hull'] <= limit]
    phases = phases_of(near, 'energy', level)
    return draw_hull(
        known,
        phases,
        chosen,
        computed=measured,
        names=[
            *(f'{row.formula} {row.name}' for row in near.itertuples()),
            *computed['formula'] + ' ' + computed['name'],
        ],
        distances=[*near['e_above_hull'], *heights],
        show_unstable=round(limit, 3),
        total=len(table) + len(measured),
    )

"""The figures of a campaign by name: each with the table behind it, the query that gives it, and its words."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.plotting import FORMATS, add_heading, save_figure, write_text
from aiida_qagenai.queries import figures as queries
from aiida_qagenai.queries.campaigns import NOT_SCIENTIFIC, find_campaign, tops
from aiida_qagenai.report import drawings
from aiida_qagenai.report.hull import hull
from aiida_qagenai.report.plots import Plot, assemble, phases_of, query_text
from aiida_qagenai.report.tables import Table, cell, make_table
from aiida_qagenai.thermodynamics.hull.convex_hull import MARGINAL_LIMIT, distances_to_hull
from aiida_qagenai.thermodynamics.hull.plots import draw_distances, draw_funnel

__all__ = ('DISCOVERY_LIMIT', 'ENDINGS', 'FIGURES', 'make_plot', 'save_plot')

ENDINGS = (*FORMATS, '.html', '.csv')
"""Formats of a figure of a campaign: a picture, a page with its table, or the table."""

DISCOVERY_LIMIT = MARGINAL_LIMIT
"""Largest distance to the computed hull at the top rung of what counts as a discovery, eV/atom."""


def make_plot(name: str, campaign: int | str, **options: t.Any) -> Plot:
    """Return a figure of a campaign.

    :param name: one of :data:`FIGURES`.
    :param campaign: label, pk or uuid.
    :param options: ``elements`` of the system that the hull is drawn of.
    :raises InvalidInputError: if there is no such figure or campaign.
    """
    if name not in FIGURES:
        raise InvalidInputError(f'unknown figure `{name}`: choose from {", ".join(FIGURES)}')
    plot = FIGURES[name](campaign, **options)
    if plot.figure is not None and name in OF_ENERGIES and not queries.is_scientific(campaign):
        add_heading(plot.figure, f'{NOT_SCIENTIFIC}: the level of theory only exercises the machinery')
    return plot


def save_plot(plot: Plot, path: Path) -> Path:
    """Write a figure as a picture, or its table as CSV, and return the path.

    :raises InvalidInputError: if the ending is unknown or there is nothing to draw.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InvalidInputError(f'cannot write `{path}`: choose a name that ends in {", ".join(ENDINGS)}')
    if plot.figure is None:
        raise InvalidInputError(f'there is nothing to draw in `{path}`: {plot.reason}')
    if ending == '.csv':
        return write_text(plot.frame.to_csv(index=False), path)
    if ending == '.html':
        from aiida_qagenai.report.page import single_page

        return write_text(single_page(plot), path)
    return save_figure(plot.figure, path)


def funnel(campaign: int | str) -> Plot:
    """Return how many candidates are left after each stage (paper Figure 2)."""
    counts = queries.funnel_counts(campaign)
    query = query_text('funnel_counts', campaign)
    frame = pd.DataFrame({'stage': list(counts), 'candidates': list(counts.values())})
    shown = {name: name for name in frame.columns}
    return assemble(
        'funnel',
        'From generated to computed',
        'Candidates left after each stage, in all finished cycles together.',
        query,
        frame,
        draw=lambda: draw_funnel(counts),
        table=lambda: make_table(frame, 'Candidates after each stage', shown, {}, query=query),
        reason='no cycle has finished yet',
    )


ENERGY = 'formation_energy_per_atom'


def parity(campaign: int | str) -> Plot:
    """Return predicted against computed formation energies, one panel per rung."""
    table = queries.predicted_and_computed(campaign)
    table = table[table['error'].notna()].sort_values('error', key=abs, ascending=False, ignore_index=True)
    shown = {
        'name': 'candidate',
        'formula': 'formula',
        'fidelity': 'rung',
        'computed': 'computed (eV/atom)',
        'predicted': 'predicted (eV/atom)',
        'sigma': 'σ (eV/atom)',
        'error': 'error (eV/atom)',
    }
    query = query_text('predicted_and_computed', campaign)
    return assemble(
        'parity',
        'Predicted against computed energies',
        'Formation energies of candidates, as the validator predicted them before they were computed. Bars are '
        'calibrated standard deviations; MAE is the mean absolute error in eV/atom.',
        query,
        table,
        draw=lambda: drawings.draw_parity(table),
        table=lambda: _rung_table(table, 'Largest errors first', shown, query),
        reason='no candidate with a prediction was computed yet',
    )


def _rung_table(table: pd.DataFrame, caption: str, shown: dict[str, str], query: str) -> Table:
    """Return a table whose predictions lead to the attribute of their rung."""
    found = make_table(table, caption, shown, {'computed': ('energy_uuid', ENERGY)}, query=query)
    places = {name: list(shown).index(name) for name in ('predicted', 'sigma')}
    prefix = {'predicted': 'energy', 'sigma': 'sigma'}
    rows = []
    for cells, record in zip(found.rows, table.head(len(found.rows)).to_dict('records'), strict=True):
        label = record['fidelity'].lower().replace('(', '').replace(')', '')
        changed = list(cells)
        for name, place in places.items():
            changed[place] = cell(record[name], record['prediction_uuid'], f'{prefix[name]}_{label}')
        rows.append(tuple(changed))
    return dataclasses.replace(found, rows=tuple(rows))


def calibration(campaign: int | str) -> Plot:
    """Return which share of the errors the predicted intervals cover."""
    from aiida_qagenai.evaluation.uncertainty import calibration_error, noise_floor

    table = queries.predicted_and_computed(campaign)
    table = table[table['error'].notna() & (table['sigma'] > 0)].reset_index(drop=True)
    query = query_text('predicted_and_computed', campaign)
    rows = []
    for rung, part in table.groupby('fidelity', sort=False):
        errors, sigmas = part['error'].to_numpy(float), part['sigma'].to_numpy(float)
        within = [float((abs(errors) <= width * sigmas).mean()) for width in (1.0, 1.6449)]
        found = {'fidelity': rung, 'number': len(part), 'within_68': within[0], 'within_90': within[1]}
        floor = noise_floor(len(part))
        rows.append({**found, 'calibration_error': calibration_error(errors, sigmas), 'noise_floor': floor})
    shown = {
        'fidelity': 'rung',
        'number': 'predictions',
        'within_68': 'share within 1 σ (68 % expected)',
        'within_90': 'share within 90 % interval',
        'calibration_error': 'calibration error (1)',
        'noise_floor': 'left by chance (1)',
    }
    return assemble(
        'calibration',
        'Honesty of the predicted errors',
        'Share of the errors within the intervals that the validator predicted, against the probability of the '
        'interval. Below the grey line intervals are too narrow, above it too wide. With few predictions chance alone '
        'leaves the calibration error in the last column of the table.',
        query,
        table,
        draw=lambda: drawings.draw_calibration(table),
        table=lambda: make_table(pd.DataFrame(rows), 'Calibration by rung', shown, {}, query=query),
        reason='no candidate with a predicted standard deviation was computed yet',
    )


def divergence(campaign: int | str) -> Plot:
    """Return the predicted against the computed divergence."""
    table = queries.computed_divergences(campaign)
    shown = {
        'name': 'candidate',
        'formula': 'formula',
        'top_fidelity': 'top rung',
        'computed': 'computed D (eV/atom)',
        'predicted': 'predicted D (eV/atom)',
        'sigma': 'σ (eV/atom)',
        'audit': 'audit',
    }
    sources = {
        'computed': ('top_uuid', ENERGY),
        'predicted': ('prediction_uuid', 'divergence'),
        'sigma': ('prediction_uuid', 'divergence_sigma'),
    }
    return assemble(
        'divergence',
        'Divergence, predicted and computed',
        'D is the difference between the formation energies at PBE and at the top rung. Candidates of the audit were '
        'drawn at random, the others were chosen.',
        query_text('computed_divergences', campaign),
        table,
        draw=lambda: drawings.draw_divergence(table),
        table=lambda: make_table(table, 'Largest computed divergence first', shown, sources),
        reason='no candidate was computed at PBE and the top rung yet',
    )


def discovery(campaign: int | str) -> Plot:
    """Return the discoveries per calculation at the top rung."""
    found = find_campaign(campaign)
    top = tops([found])[found.label].value
    table = _discoveries(queries.top_rung_results(campaign))
    shown = {
        'call': 'calculation',
        'name': 'candidate',
        'formula': 'formula',
        'computed': 'formation energy (eV/atom)',
        'e_above_hull': 'above the computed hull (eV/atom)',
        'discovered': 'discoveries so far',
    }
    query, sources = query_text('top_rung_results', campaign), {'computed': ('energy_uuid', ENERGY)}
    return assemble(
        'discovery',
        f'Discoveries per {top} calculation',
        f'A discovery is a candidate whose {top} energy lies at most {DISCOVERY_LIMIT:g} eV/atom above the hull of all '
        'energies that the campaign has computed at this rung, elements at zero.',
        query,
        table,
        draw=lambda: drawings.draw_discovery(table, top, DISCOVERY_LIMIT),
        table=lambda: make_table(table, 'In the order of the calculations', shown, sources, query=query),
        reason=f'no candidate was computed at {top} yet',
    )


def _discoveries(table: pd.DataFrame) -> pd.DataFrame:
    """Return the candidates of the cycles with ``e_above_hull`` (eV/atom) and ``discovered``, the number so far."""
    phases = phases_of(table, 'computed', None)
    proposed = table['call'].gt(0).tolist()
    initial = [phase for phase, is_new in zip(phases, proposed, strict=True) if not is_new]
    new = [phase for phase, is_new in zip(phases, proposed, strict=True) if is_new]
    results = distances_to_hull(new, initial, elements_at_zero=True, candidates_compete=True)
    distances = pd.Series([result.e_above_hull for result in results], dtype=float)
    table = table[table['call'] > 0].reset_index(drop=True).assign(e_above_hull=distances)
    return table.assign(discovered=(distances <= DISCOVERY_LIMIT).cumsum())


def cost(campaign: int | str) -> Plot:
    """Return the core hours of each stage, by component."""
    table = queries.stage_costs(campaign)
    query = query_text('stage_costs', campaign)
    shown = {
        'stage': 'stage',
        'component': 'component',
        'jobs': 'jobs',
        'failed': 'failed',
        'core_hours': 'cost (core hours)',
    }
    return assemble(
        'cost',
        'Cost per component',
        'Core hours of all jobs, those that failed included. What came from the cache costs nothing.',
        query,
        table,
        draw=lambda: drawings.draw_cost(table),
        table=lambda: make_table(table, 'Cost of each stage', shown, {}, query=query),
        reason='no job has run yet',
    )


def distances(campaign: int | str) -> Plot:
    """Return the distribution of the distances to the predicted hull."""
    values = queries.assessed_distances(campaign)
    query = query_text('assessed_distances', campaign)
    frame = pd.DataFrame({'e_above_hull': values})
    edges = (0.0, 1e-6, 0.05, 0.1, float('inf'))
    names = ('stable', 'up to 0.05 eV/atom', 'up to 0.1 eV/atom', 'above')
    classes = pd.cut(frame['e_above_hull'], edges, labels=names, include_lowest=True)
    counts = classes.value_counts().reindex(names).rename_axis('distance').reset_index(name='candidates')
    return assemble(
        'distances',
        'Distances to the predicted hull',
        'Predicted distance to the hull of every assessed candidate, with the boundaries of metastable phases.',
        query,
        frame,
        draw=lambda: draw_distances(values.tolist()),
        table=lambda: make_table(
            counts.astype({'distance': str}),
            'Candidates by class',
            {'distance': 'distance to the hull', 'candidates': 'candidates'},
            {},
            query=query,
        ),
        reason='no candidate was placed on a hull yet',
    )


FIGURES: dict[str, Callable[..., Plot]] = {
    'funnel': funnel,
    'hull': hull,
    'distances': distances,
    'parity': parity,
    'calibration': calibration,
    'divergence': divergence,
    'discovery': discovery,
    'cost': cost,
}
"""Figures of a campaign in the order of the paper."""

OF_ENERGIES = frozenset(FIGURES) - {'funnel', 'cost'}
"""Figures that say so where the energies are not scientific."""

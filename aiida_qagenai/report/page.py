"""The page on a campaign: one file without anything from elsewhere, written as a whole."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import time
import typing as t
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from aiida import orm

from aiida_qagenai import __version__
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.common.plotting import figure_svg, save_figure, write_text
from aiida_qagenai.queries.candidates import candidates as search_candidates
from aiida_qagenai.queries.overview import CampaignSummary, campaign_summary
from aiida_qagenai.report.crystals import Crystal, describe_crystals
from aiida_qagenai.report.figures import FIGURES, make_plot
from aiida_qagenai.report.plots import Plot
from aiida_qagenai.report.tables import Cell, Table, cell, make_table

if t.TYPE_CHECKING:
    from jinja2 import Template

__all__ = ('INTERVAL', 'campaign_page', 'single_page', 'watch_report', 'write_report')

CRYSTALS = 12
"""Candidates whose structure and lineage a page shows."""

INTERVAL = 30
"""Seconds between two versions of a page that is kept up to date."""

ENDED = {'finished', 'failed', 'excepted', 'killed'}


@dataclasses.dataclass(frozen=True)
class Page:
    """What a page shows.

    :param written: when, UTC.
    :param reload: seconds after which a browser loads it again; None for never.
    :param facts: name → number.
    """

    title: str
    campaign: str
    state: str
    written: datetime.datetime
    plots: tuple[Plot, ...]
    reload: int | None = None
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, Cell], ...] = ()
    candidates: Table | None = None
    crystals: tuple[Crystal, ...] = ()
    stages: Table | None = None
    version: str = __version__

    @property
    def structures(self) -> dict[str, t.Any]:
        """Return what the viewer draws, by the name of the candidate."""
        return {crystal.name: crystal.drawing for crystal in self.crystals}


@functools.cache
def _template() -> Template:
    import jinja2

    loader = jinja2.PackageLoader('aiida_qagenai.report', 'templates')
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.get_template('page.html.j2')


def _render(page: Page) -> str:
    svg = {plot.name: figure_svg(plot.figure, plot.name) for plot in page.plots if plot.figure is not None}
    return _template().render(page=page, svg=svg)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def single_page(plot: Plot) -> str:
    """Return a page with one figure and its table."""
    return _render(Page(title=plot.title, campaign='', state='', written=_now(), plots=(plot,)))


def campaign_page(campaign: int | str, *, reload: int | None = None, plots: Sequence[Plot] | None = None) -> str:
    """Return the page on a campaign as HTML.

    :param campaign: label, pk or uuid.
    :param reload: seconds after which a browser loads the page again; it does not once the campaign has ended.
    :param plots: its figures, if they are known.
    :raises InvalidInputError: if there is no such campaign.
    """
    summary = campaign_summary(campaign)
    plots = [make_plot(name, campaign) for name in FIGURES] if plots is None else plots
    chosen = _chosen(campaign)
    notes = ['The energies are not scientific results: their level of theory only exercises the machinery.']
    page = Page(
        title=f'Campaign {summary.label}: {"-".join(summary.elements)}',
        campaign=str(summary.processes[-1]),
        state=summary.state,
        written=_now(),
        reload=None if summary.state in ENDED else reload,
        notes=tuple(notes if summary.note else []) + ((summary.message,) if summary.message else ()),
        facts=tuple(_facts(summary, campaign)),
        plots=tuple(plots),
        candidates=_candidate_table(chosen, summary) if len(chosen) else None,
        crystals=tuple(describe_crystals(chosen.head(CRYSTALS))),
        stages=_stage_table(summary, campaign),
    )
    return _render(page)


def write_report(
    campaign: int | str, path: Path, *, figures: str | None = None, reload: int | None = None
) -> list[Path]:
    """Write the page on a campaign, and its figures beside it if that is asked for.

    :param figures: format of the figures: ``png``, ``svg`` or ``pdf``; none are written by default.
    :param reload: seconds after which a browser loads the page again while the campaign runs.
    :returns: the files that were written.
    :raises InvalidInputError: if there is no such campaign, or the file cannot be written.
    """
    if path.suffix.lower() not in {'.html', '.htm'}:
        raise InvalidInputError(f'cannot write `{path}`: a report is a page, choose a name that ends in .html')
    if not path.resolve().parent.is_dir():
        raise InvalidInputError(f'cannot write `{path}`: there is no folder `{path.parent}`')
    plots = [make_plot(name, campaign) for name in FIGURES]
    written = [write_text(campaign_page(campaign, reload=reload, plots=plots), path)]
    for plot in plots if figures else ():
        if plot.figure is not None:
            written.append(save_figure(plot.figure, path.with_name(f'{path.stem}-{plot.name}.{figures}')))
    return written


def watch_report(
    campaign: int | str,
    path: Path,
    *,
    interval: int = INTERVAL,
    figures: str | None = None,
    tell: Callable[[Path], None] = lambda path: None,
) -> None:
    """Write the page again and again until the campaign has ended.

    :param interval: seconds between two versions.
    :param tell: called after each version.
    :raises InvalidInputError: as :func:`write_report`.
    """
    while True:
        ended = campaign_summary(campaign).state in ENDED
        write_report(campaign, path, figures=figures, reload=interval)
        tell(path)
        if ended:
            return
        time.sleep(interval)


def _chosen(campaign: int | str) -> pd.DataFrame:
    """Return the candidates that were chosen for calculations, those with a computed divergence first."""
    table = search_candidates(campaign, selected=True)
    keys = ['divergence_computed', 'divergence', 'name']
    return table.sort_values(keys, ascending=[False, False, True], na_position='last', ignore_index=True)


def _facts(summary: CampaignSummary, campaign: int | str) -> t.Iterator[tuple[str, Cell]]:
    query = f'aiida_qagenai.queries.overview.campaign_summary({campaign!r})'
    uuid = orm.QueryBuilder().append(orm.Node, filters={'id': summary.processes[-1]}, project='uuid').one()[0]
    yield 'process', Cell(str(summary.processes[-1]), f'node {uuid}\n{query}.processes')
    yield 'top rung', cell(summary.top, None, f'{query}.top')
    yield 'protocol of the energies', cell(summary.protocol or None, None, f'{query}.protocol')
    if summary.budget is not None:
        yield 'budget spent', Cell(f'{summary.spent} of {summary.budget}', f'{query}.spent')
    yield 'core hours of finished stages', cell(round(summary.core_hours, 3), None, f'{query}.core_hours')
    for name, title in (('hits', 'hits among computed candidates'), ('divergence_hits', 'divergence hits')):
        found = summary.stages[name].dropna()
        if len(found):
            yield title, cell(int(found.sum()), None, f'aiida_qagenai.queries.hits.hits({campaign!r})')
    for name, count in summary.counts.items():
        title = f'{name} energies' if name in {level.value for level in LADDER} else name
        yield title, cell(count, None, f'{query}.counts[{name!r}]')


def _candidate_table(table: pd.DataFrame, summary: CampaignSummary) -> Table:
    """Return the chosen candidates; each number leads to its node."""
    table = table.assign(**_uuids(table['candidate_uuid'].tolist()))
    energies = {f'formation_{level.label}': f'{level.value}' for level in LADDER}
    shown = {
        'name': 'candidate',
        'formula': 'formula',
        'space_group_number': 'space group',
        **energies,
        'divergence_computed': f'D = |PBE − {summary.top}|',
        'divergence': 'D predicted',
        'e_above_hull': 'predicted above hull',
        'stability': 'stability',
        'audit': 'audit',
    }
    sources = {
        'name': ('candidate_uuid', 'index'),
        'formula': ('candidate_uuid', 'formula'),
        'space_group_number': ('candidate_uuid', 'space_group_number'),
        'divergence': ('prediction_uuid', 'divergence'),
        **{name: ('assessment_uuid', name) for name in ('e_above_hull', 'stability', 'audit')},
        **{f'formation_{level.label}': (f'{level.label}_uuid', 'formation_energy_per_atom') for level in LADDER},
    }
    query = f'aiida_qagenai.queries.candidates.candidates({summary.label!r}, selected=True)'
    return make_table(table, 'Candidates chosen for calculations', shown, sources, query=query)


def _uuids(candidates: list[str]) -> dict[str, list[str | None]]:
    """Return columns with the uuids of the latest prediction, assessment and energies of candidates."""
    from aiida_qagenai.data.assessment import AssessmentData
    from aiida_qagenai.data.prediction import PredictionData
    from aiida_qagenai.queries.energies import energies
    from aiida_qagenai.queries.outputs import nodes_of
    from aiida_qagenai.queries.tables import uuid_filter

    columns: dict[str, dict[str, str]] = {}
    for name, cls in (('prediction_uuid', PredictionData), ('assessment_uuid', AssessmentData)):
        wanted = uuid_filter('attributes.candidate_uuid', candidates)
        rows = nodes_of(cls, ['attributes.candidate_uuid', 'uuid', 'ctime'], wanted).all()
        columns[name] = {candidate: uuid for candidate, uuid, _ in sorted(rows, key=lambda row: row[2])}
    table = energies(structure_uuids=candidates)
    for level in LADDER:
        part = table[table['fidelity'] == level.value]
        columns[f'{level.label}_uuid'] = dict(zip(part['candidate_uuid'], part['uuid'], strict=True))
    return {name: [known.get(uuid) for uuid in candidates] for name, known in columns.items()}


def _stage_table(summary: CampaignSummary, campaign: int | str) -> Table | None:
    if not len(summary.stages):
        return None
    stages = summary.stages
    uuids = dict(
        orm.QueryBuilder().append(orm.Node, filters={'id': {'in': stages['pk'].tolist()}}, project=['id', 'uuid']).all()
    )
    names = ['stage', 'state', 'eligible', 'selected', 'failed', *(level.value for level in LADDER), 'hits']
    shown = {**{name: name for name in names}, 'divergence_hits': 'divergence hits', 'core_hours': 'core hours'}
    table = stages.assign(uuid=stages['pk'].map(uuids))
    query = f'aiida_qagenai.queries.overview.campaign_summary({campaign!r}).stages'
    return make_table(table, 'Stages', shown, {'stage': ('uuid', ''), 'state': ('uuid', 'process_state')}, query=query)

"""How a campaign stands: stages, counts, budget and costs, and what to do when it has stopped."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

import pandas as pd
from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.assessment import AssessmentData
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.queries.campaigns import NOT_SCIENTIFIC, Called, Campaign, all_campaigns, among, find_campaign
from aiida_qagenai.queries.outputs import created_by
from aiida_qagenai.selection.costs import energy_hours

__all__ = ('CampaignSummary', 'campaign_summary', 'campaigns', 'cost_ledger', 'last_ledger')

COUNTS = ('eligible', 'selected', 'oracle_calls', 'failed', 'hits', 'divergence_hits')

NODES = {'candidates': CandidateData, 'predictions': PredictionData, 'assessments': AssessmentData}


@dataclasses.dataclass(frozen=True)
class CampaignSummary:
    """A campaign at one moment.

    :param top: top rung of the chemical system, which divergence, hulls and models refer to.
    :param state: ``running``, ``paused``, ``finished``, ``failed``, ``excepted`` or ``killed``, of the last process.
    :param advice: what to do next.
    :param core_hours: of everything, with the initial set and the models.
    :param budget_core_hours: what the energies of the cycles may cost, of which ``spent_core_hours`` are spent; None
        without such a budget.
    :param left_out: candidates that were chosen but not started, because they were not expected to fit into it.
    :param counts: nodes created, of ``candidates``, ``predictions`` and ``assessments``, and energies by fidelity.
        ``relaxed`` are candidates that were relaxed, where there are any: they are not counted among the candidates.
    :param hull_gaps: stable compounds of which the last hull has no structure.
    :param stages: one row per stage: ``stage``, ``pk``, ``state``, ``exit_status`` and the counts of the ledger.
    :param note: ``not scientific`` if any energy is.
    """

    label: str
    processes: tuple[int, ...]
    elements: tuple[str, ...]
    protocol: str
    top: str
    state: str
    message: str
    advice: str
    started: datetime.datetime
    last_change: datetime.datetime
    budget: int | None
    spent: int
    core_hours: float
    budget_core_hours: float | None
    spent_core_hours: float
    left_out: tuple[str, ...]
    counts: dict[str, int]
    hull_gaps: tuple[str, ...]
    stages: pd.DataFrame
    note: str


def campaigns() -> pd.DataFrame:
    """Return one row per campaign, oldest first."""
    columns = [
        'label',
        'pk',
        'elements',
        'protocol',
        'top',
        'state',
        'cycles',
        'spent',
        'budget',
        'candidates',
        'started',
    ]
    rows = []
    for campaign in all_campaigns():
        summary = _summary(campaign)
        rows.append(
            {
                **{
                    name: getattr(summary, name)
                    for name in ('label', 'protocol', 'top', 'state', 'spent', 'budget', 'started')
                },
                'pk': summary.processes[-1],
                'elements': '-'.join(summary.elements),
                'cycles': int(summary.stages['oracle_calls'].notna().sum()),  # those in the ledger, hence finished
                'candidates': summary.counts['candidates'],
            }
        )
    return pd.DataFrame(rows, columns=columns)


def campaign_summary(campaign: int | str) -> CampaignSummary:
    """Return how a campaign stands.

    :param campaign: label, pk or uuid.
    :raises aiida_qagenai.common.errors.InvalidInputError: if there is no such campaign.
    """
    return _summary(find_campaign(campaign))


def cost_ledger(campaign: int | str) -> pd.DataFrame:
    """Return the ledger of a campaign: a row per finished cycle, and one for the initial set as cycle 0.

    Nested entries become columns: ``energies_PBE``, ``core_hours_pyscf``.
    """
    ledger = last_ledger(find_campaign(campaign))
    if ledger is None:
        return pd.DataFrame(columns=['cycle'])
    rows = [{'cycle': 0, **ledger.get('seed', {})}, *ledger['cycles']]
    shown = [{name: value for name, value in row.items() if name not in {'costs', 'left_out'}} for row in rows]
    return pd.json_normalize(shown, sep='_')


def _summary(campaign: Campaign) -> CampaignSummary:
    last = orm.load_node(campaign.processes[-1])
    called = campaign.called()
    ledger = last_ledger(campaign) or {}
    counts, scientific = _counts([process.pk for process in called if process.is_calculation])
    state, message, advice = _state(last)
    settings = last.inputs.parameters.get_dict() if 'parameters' in last.inputs else {}
    stages = [process for process in called if process.caller in campaign.processes]
    return CampaignSummary(
        label=campaign.label,
        processes=campaign.processes,
        elements=tuple(last.inputs.elements.get_list()) if 'elements' in last.inputs else (),
        protocol=_energies_by(settings),
        top=settings.get('energy', {}).get('top') or Fidelity.CCSD_T.value,
        state=state,
        message=message,
        advice=advice,
        started=orm.load_node(campaign.processes[0]).ctime,
        last_change=_last_change([*campaign.processes, *(process.pk for process in called)]),
        budget=ledger.get('budget', settings.get('budget')),
        spent=ledger.get('spent', 0),
        core_hours=float(ledger.get('core_hours', 0.0)),
        budget_core_hours=settings.get('budget_core_hours'),
        spent_core_hours=energy_hours(ledger),
        left_out=tuple(name for cycle in ledger.get('cycles', ()) for name in cycle.get('left_out', ())),
        counts=counts,
        hull_gaps=_hull_gaps([process.pk for process in called if process.is_calculation]),
        stages=_stages(stages, ledger),
        note='' if scientific else NOT_SCIENTIFIC,
    )


def _energies_by(settings: dict[str, t.Any]) -> str:
    """Return the protocol of the energies, or the oracle that gives them."""
    oracle = settings.get('oracle')
    if not oracle:
        return str(settings.get('energy', {}).get('protocol', ''))
    return f'{oracle["kind"]} oracle'


def _state(node: orm.ProcessNode) -> tuple[str, str, str]:
    pk = node.pk
    carry_on = f'`aiida-qagenai campaign continue {pk}` goes on from the last finished cycle.'
    report = f'`verdi process report {pk}` says why.'
    state = '' if node.process_state is None else str(node.process_state.value)
    if node.is_finished_ok or (node.is_finished and node.exit_status is not None and node.exit_status >= 700):
        return (
            'finished',
            node.exit_message or '',
            f'`aiida-qagenai candidate list --campaign {pk}` lists what it found.',
        )
    if node.is_finished:
        return 'failed', node.exit_message or f'exit status {node.exit_status}', f'{report} {carry_on}'
    if state in {'excepted', 'killed'}:
        return state, node.process_status or '', f'{report} {carry_on}'
    if node.paused:
        return 'paused', node.process_status or '', f'`verdi process play {pk}` resumes it.'
    return (
        'running',
        node.process_status or '',
        f'`aiida-qagenai campaign status {pk}` says what it does and why it waits. If nothing runs it any more (its '
        f'shell or daemon was killed): {carry_on}',
    )


def _stages(stages: list[Called], ledger: dict[str, t.Any]) -> pd.DataFrame:
    entries = {f'cycle{entry["cycle"]:03d}': entry for entry in ledger.get('cycles', [])}
    rows = []
    for process in stages:
        entry = entries.get(process.link_label, {})
        rows.append(
            {
                'stage': process.link_label,
                'pk': process.pk,
                'state': process.state,
                'exit_status': process.exit_status,
                **{name: entry.get(name) for name in COUNTS},
                **{level.value: entry.get('energies', {}).get(level.value) for level in LADDER},
                'core_hours': sum(entry['core_hours'].values()) if entry.get('core_hours') else None,
            }
        )
    numbers = ['exit_status', *COUNTS, *(level.value for level in LADDER)]
    table = pd.DataFrame(rows, columns=['stage', 'pk', 'state', *numbers, 'core_hours'])
    return table.astype({**dict.fromkeys(numbers, 'Int64'), 'core_hours': float})


def _counts(calculations: list[int]) -> tuple[dict[str, int], bool]:
    counts = {}
    for name, cls in NODES.items():
        unrelaxed = {'attributes': {'!has_key': 'relaxed_from'}} if cls is CandidateData else None
        counts[name] = created_by(calculations, cls, 'id', filters=unrelaxed).count()
    relaxed = created_by(calculations, CandidateData, 'id', filters={'attributes.relaxation_converged': True}).count()
    if relaxed:
        counts = {'candidates': counts.pop('candidates'), 'relaxed': relaxed, **counts}
    fidelities = created_by(calculations, EnergyData, ['attributes.fidelity', 'attributes.scientific']).all()
    for level in LADDER:
        counts[level.value] = sum(fidelity == level.value for fidelity, _ in fidelities)
    return counts, all(scientific for _, scientific in fidelities)


def _hull_gaps(calculations: list[int]) -> tuple[str, ...]:
    """Return the formulas that the hull of the last assessment lacks."""
    builder = created_by(calculations, orm.Dict, ['ctime', 'attributes.gaps'], label='selection')
    gaps = max(builder.all(), key=lambda row: row[0], default=(None, None))[1] or []
    return tuple(gap['formula'] for gap in gaps if not gap['in_training_set'])


def last_ledger(campaign: Campaign) -> dict[str, t.Any] | None:
    """Return the ledger with the most cycles that the campaign or one of its stages returned."""
    stages = [process.pk for process in campaign.called() if process.caller in campaign.processes]
    builder = orm.QueryBuilder()
    builder.append(orm.WorkChainNode, filters=among('id', [*campaign.processes, *stages]), tag='process')
    builder.append(
        orm.Dict,
        with_incoming='process',
        edge_filters={'type': LinkType.RETURN.value, 'label': {'like': '%ledger'}},
        project='attributes',
    )
    ledgers: list[dict[str, t.Any]] = builder.all(flat=True)
    return max(ledgers, key=lambda ledger: len(ledger['cycles']), default=None)


def _last_change(processes: list[int]) -> datetime.datetime:
    builder = orm.QueryBuilder().append(orm.ProcessNode, filters=among('id', processes), project='mtime', tag='process')
    builder.order_by({'process': {'mtime': 'desc'}}).limit(1)
    changed: datetime.datetime = builder.first(flat=True)
    return changed

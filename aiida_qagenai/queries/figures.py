"""The tables behind the figures of a campaign, by queries for columns: no node is loaded."""

from __future__ import annotations

import typing as t

import numpy as np
import pandas as pd
from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.assessment import AssessmentData
from aiida_qagenai.data.candidate import CandidateData, candidate_name
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.queries.campaigns import Campaign, find_campaign, tops
from aiida_qagenai.queries.costs import PROGRAMS, costs
from aiida_qagenai.queries.energies import energies
from aiida_qagenai.queries.outputs import created_by
from aiida_qagenai.queries.overview import cost_ledger
from aiida_qagenai.queries.tables import uuid_filter

__all__ = (
    'HullInputs',
    'assessed_distances',
    'calculations_of',
    'computed_divergences',
    'funnel_counts',
    'is_scientific',
    'last_hull',
    'predicted_and_computed',
    'stage_costs',
    'top_rung_results',
)

COMPONENTS = {'pyscf': 'PySCF', 'espresso': 'Quantum ESPRESSO', 'potential': 'potential', 'ml': 'models'}
"""Component of the ledger → its name for people."""


def calculations_of(campaign: Campaign) -> list[int]:
    """Return the calculations of a campaign that count, by pk."""
    return [process.pk for process in campaign.called() if process.is_calculation]


def is_scientific(campaign: int | str) -> bool:
    """Return whether no energy of a campaign comes from a level that only exercises the machinery."""
    processes = calculations_of(find_campaign(campaign))
    return created_by(processes, EnergyData, 'id', filters={'attributes.scientific': False}).count() == 0


def funnel_counts(campaign: int | str) -> dict[str, int]:
    """Return stage → candidates left after it, in all finished cycles together (paper Figure 2)."""
    ledger = cost_ledger(campaign)
    names = [name for name in ledger.columns if name.startswith('funnel_')]
    sums = ledger[names].fillna(0).sum().astype(int)
    return {name.removeprefix('funnel_'): int(sums[name]) for name in names}


def predicted_and_computed(campaign: int | str) -> pd.DataFrame:
    """Return a row for each computed formation energy of a candidate, with the prediction made before it.

    :param campaign: label, pk or uuid.
    :return: columns ``name``, ``formula``, ``cycle``, ``fidelity``, ``computed``, ``predicted``, ``sigma`` and
        ``error`` = predicted − computed (eV/atom), ``energy_uuid``, ``prediction_uuid``, ``candidate_uuid``, ``ctime``
        and ``note``, in the order in which they were computed; ``predicted``, ``sigma`` and ``error`` are missing for
        the initial set, which is computed before anything is predicted.
    :raises InvalidInputError: if there is no such campaign.
    """
    table = energies(campaign)
    table = table[table['name'].ne('') & table['formation_energy_per_atom'].notna()]
    table = table.drop_duplicates(['candidate_uuid', 'fidelity'], keep='last')
    renamed = {'formation_energy_per_atom': 'computed', 'uuid': 'energy_uuid'}
    kept = ['name', 'formula', 'fidelity', 'candidate_uuid', 'ctime', 'note']
    table = table[[*kept, *renamed]].rename(columns=renamed)
    table['cycle'] = (
        pd.to_numeric(table['name'].astype(str).str.split('-').str[0], errors='coerce').fillna(0).astype(int)
    )
    predictions = _predictions(find_campaign(campaign), table['candidate_uuid'].unique().tolist())
    keys = ['candidate_uuid', 'fidelity']
    table = table.astype(dict.fromkeys(keys, object)).merge(predictions, on=keys, how='left')
    numbers = ['computed', 'predicted', 'sigma']
    table[numbers] = table[numbers].astype(float)
    table['error'] = table['predicted'] - table['computed']
    columns = ['name', 'formula', 'cycle', 'fidelity', *numbers, 'error', 'energy_uuid', 'prediction_uuid']
    return table[[*columns, 'candidate_uuid', 'ctime', 'note']].reset_index(drop=True)


def _predictions(campaign: Campaign, uuids: list[str]) -> pd.DataFrame:
    """Return the last prediction that the campaign made for each candidate, a row for each rung."""
    energy = [f'attributes.energy_{level.label}' for level in LADDER]
    sigma = [f'attributes.sigma_{level.label}' for level in LADDER]
    wanted = uuid_filter('attributes.candidate_uuid', uuids)
    fields = ['uuid', 'ctime', 'attributes.candidate_uuid', *energy, *sigma]
    builder = created_by(calculations_of(campaign), PredictionData, fields, filters=wanted)
    table = pd.DataFrame(builder.all(), columns=['prediction_uuid', 'ctime', 'candidate_uuid', *energy, *sigma])
    table = table.sort_values('ctime').drop_duplicates('candidate_uuid', keep='last')
    parts = [
        table[['candidate_uuid', 'prediction_uuid']].assign(
            fidelity=level.value, predicted=table[energy[row]], sigma=table[sigma[row]]
        )
        for row, level in enumerate(LADDER)
    ]
    return pd.concat(parts, ignore_index=True).astype({'candidate_uuid': object, 'fidelity': object})


def computed_divergences(campaign: int | str) -> pd.DataFrame:
    """Return the candidates computed at PBE and the top rung: ``D = |E_PBE − E_top|`` as computed and as predicted.

    :return: columns ``name``, ``formula``, ``cycle``, ``top_fidelity``, ``computed``, ``predicted`` and ``sigma``
        (eV/atom), ``audit``, ``candidate_uuid``, ``prediction_uuid``, ``pbe_uuid``, ``top_uuid`` and ``note``, largest
        computed divergence first. The initial set has no prediction and is left out.
    :raises InvalidInputError: if there is no such campaign.
    """
    found = find_campaign(campaign)
    top = tops([found])[found.label]
    table = predicted_and_computed(campaign)
    table = table[table['prediction_uuid'].notna()]
    keys = ['name', 'formula', 'cycle', 'candidate_uuid', 'prediction_uuid', 'note']
    low = table[table['fidelity'] == Fidelity.PBE.value][[*keys, 'computed', 'energy_uuid']]
    high = table[table['fidelity'] == top.value][['candidate_uuid', 'computed', 'energy_uuid']]
    both = low.merge(high, on='candidate_uuid', suffixes=('_pbe', '_top'))
    uuids = both['candidate_uuid'].tolist()
    fields = ['uuid', 'attributes.divergence', 'attributes.divergence_sigma']
    builder = created_by(calculations_of(found), PredictionData, fields, filters=_among_candidates(uuids))
    names = ['prediction_uuid', 'predicted', 'sigma']
    both = both.merge(pd.DataFrame(builder.all(), columns=names), on='prediction_uuid', how='left')
    both[['predicted', 'sigma']] = both[['predicted', 'sigma']].astype(float)
    fields = ['attributes.candidate_uuid', 'attributes.audit']
    builder = created_by(calculations_of(found), AssessmentData, fields, filters=_among_candidates(uuids))
    audits = {uuid for uuid, audit in builder.all() if audit}
    both = both.assign(
        computed=(both['computed_pbe'] - both['computed_top']).abs(),
        audit=both['candidate_uuid'].isin(audits),
        top_fidelity=top.value,
    ).rename(columns={'energy_uuid_pbe': 'pbe_uuid', 'energy_uuid_top': 'top_uuid'})
    columns = ['name', 'formula', 'cycle', 'top_fidelity', 'computed', 'predicted', 'sigma', 'audit']
    both = both[[*columns, 'candidate_uuid', 'prediction_uuid', 'pbe_uuid', 'top_uuid', 'note']]
    return both.sort_values(['computed', 'name'], ascending=[False, True]).reset_index(drop=True)


def _among_candidates(uuids: list[str]) -> dict[str, t.Any]:
    return uuid_filter('attributes.candidate_uuid', uuids)


def top_rung_results(campaign: int | str) -> pd.DataFrame:
    """Return the energies at the top rung in the order in which they were computed.

    :return: the columns of :func:`predicted_and_computed`, with ``call``, the number of the calculation at the top rung
        among those of the cycles; the initial set has 0.
    """
    found = find_campaign(campaign)
    table = predicted_and_computed(campaign)
    table = table[table['fidelity'] == tops([found])[found.label].value].sort_values('ctime', ignore_index=True)
    proposed = table['cycle'] > 0
    return table.assign(call=proposed.cumsum().where(proposed, 0).astype(int))


def stage_costs(campaign: int | str) -> pd.DataFrame:
    """Return what each stage of a campaign cost, by component; jobs that failed or were repeated count too.

    :return: columns ``stage``, ``component`` (a value of ``COMPONENTS``), ``jobs``, ``failed`` and ``core_hours``, and
        ``process_uuid`` of the campaign that paid for it.
    :raises InvalidInputError: if there is no such campaign.
    """
    parts = []
    for pk in find_campaign(campaign).processes:
        table = costs(pk)
        stages = table['path'].str.split('/').str[0]
        components = table['process'].map(PROGRAMS).fillna('ml').map(COMPONENTS)
        uuid = orm.QueryBuilder().append(orm.WorkChainNode, filters={'id': pk}, project='uuid').one()[0]
        parts.append(table.assign(stage=stages, component=components, process_uuid=uuid))
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(failed=table['exit_status'].ne(0).fillna(False).astype(int))
    groups = table.groupby(['stage', 'component', 'process_uuid'], sort=False)
    summed = groups.agg(jobs=('pk', 'size'), failed=('failed', 'sum'), core_hours=('core_hours', 'sum')).reset_index()
    seed_first = summed['stage'].ne('seed')
    order = summed.assign(rank=seed_first).sort_values(['rank', 'stage', 'component'], kind='stable', ignore_index=True)
    return order[['stage', 'component', 'jobs', 'failed', 'core_hours', 'process_uuid']]


def assessed_distances(campaign: int | str) -> np.ndarray[t.Any, np.dtype[np.float64]]:
    """Return the distance to the predicted hull of every assessed candidate that has one, eV/atom, shape (n,).

    A candidate that was relaxed counts once, as relaxed.
    """
    processes = calculations_of(find_campaign(campaign))
    builder = created_by(processes, AssessmentData, 'attributes.e_above_hull')
    return np.array([value for value in builder.all(flat=True) if value is not None], dtype=np.float64)


class HullInputs(t.NamedTuple):
    """What the last assessment of a campaign placed the candidates on.

    :param assessment: the process, by pk.
    :param level: rung of the hull.
    :param inputs: its inputs ``competing``, ``arrays`` and, where there are any, ``known_phases``.
    :param candidates: columns ``name``, ``formula``, ``energy`` (predicted at that rung) and ``e_above_hull``, eV/atom,
        with ``candidate_uuid`` and ``assessment_uuid``.
    """

    assessment: int
    level: Fidelity
    inputs: dict[str, orm.Data]
    candidates: pd.DataFrame


def last_hull(campaign: int | str) -> HullInputs | None:
    """Return what the last assessment of a campaign placed the candidates on, or None if there is none yet."""
    called = find_campaign(campaign).called()
    done = [each for each in called if each.link_label.startswith('assess') and each.is_finished_ok]
    for process in reversed(done):
        inputs = _named_inputs(process.pk, ('competing', 'arrays', 'known_phases'))
        fields = ['uuid', 'attributes.candidate_uuid', 'attributes.e_above_hull', 'attributes.hull_fidelity']
        names = ['assessment_uuid', 'candidate_uuid', 'e_above_hull', 'level']
        placed = pd.DataFrame(created_by([process.pk], AssessmentData, fields).all(), columns=names)
        placed = placed[placed['e_above_hull'].notna() & placed['level'].notna()]
        if {'competing', 'arrays'} <= inputs.keys() and len(placed):
            level = Fidelity(placed['level'].iloc[0])
            return HullInputs(process.pk, level, inputs, _with_energies(process.pk, level, placed))
    return None


def _named_inputs(process: int, labels: t.Sequence[str]) -> dict[str, orm.Data]:
    builder = orm.QueryBuilder().append(orm.CalculationNode, filters={'id': process}, tag='process')
    edge = {'type': LinkType.INPUT_CALC.value, 'label': {'in': list(labels)}}
    builder.append(orm.Data, with_outgoing='process', edge_filters=edge, edge_project='label', project='*')
    return {label: node for node, label in builder.all()}


def _with_energies(process: int, level: Fidelity, placed: pd.DataFrame) -> pd.DataFrame:
    """Add formulas, names and predicted energies, read from the inputs of the assessment."""
    edge = {'type': LinkType.INPUT_CALC.value}
    tables = []
    for cls, fields in (
        (CandidateData, ('uuid', 'attributes.formula', 'attributes.cycle', 'attributes.index')),
        (PredictionData, ('attributes.candidate_uuid', f'attributes.energy_{level.label}')),
    ):
        builder = orm.QueryBuilder().append(orm.CalculationNode, filters={'id': process}, tag='process')
        builder.append(cls, with_outgoing='process', edge_filters=edge, project=list(fields), subclassing=False)
        tables.append(builder.all())
    candidates = pd.DataFrame(tables[0], columns=['candidate_uuid', 'formula', 'cycle', 'index'])
    candidates['name'] = [candidate_name(c, i) for c, i in zip(candidates['cycle'], candidates['index'], strict=True)]
    energies_ = pd.DataFrame(tables[1], columns=['candidate_uuid', 'energy'])
    table = placed.merge(candidates, on='candidate_uuid').merge(energies_, on='candidate_uuid')
    columns = ['name', 'formula', 'energy', 'e_above_hull', 'candidate_uuid', 'assessment_uuid']
    return table[table['energy'].notna()][columns].sort_values(['e_above_hull', 'name'], ignore_index=True)

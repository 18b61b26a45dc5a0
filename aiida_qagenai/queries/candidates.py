"""Candidates with what was predicted, decided and computed for them."""

from __future__ import annotations

import typing as t

import pandas as pd
from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.assessment import AssessmentData
from aiida_qagenai.data.candidate import CandidateData, candidate_name
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.engine.bulk import NAMESPACE_SEPARATOR
from aiida_qagenai.queries.campaigns import all_campaigns, among, called_under, find_campaign, tops
from aiida_qagenai.queries.energies import computed_divergence, formation_energies
from aiida_qagenai.queries.outputs import created_by, nodes_of
from aiida_qagenai.queries.tables import (
    MAX_IN_FILTER,
    attributes,
    created,
    frame,
    note,
    parse_formula,
    parse_system,
    uuid_filter,
)
from aiida_qagenai.queries.targeting import with_target_error

__all__ = ('FLAGS', 'candidates')

CANDIDATE_FIELDS = (
    'cycle',
    'index',
    'formula',
    'chemical_system',
    'num_sites',
    'space_group_number',
    'fingerprint',
    'origin',
    'relaxed_from',
    'relaxation_converged',
    'relaxation_reason',
    'relaxation_steps',
    'relaxation_volume_change',
)
PREDICTION_FIELDS = (
    'energy_pbe',
    'energy_scan',
    'energy_hse06',
    'energy_ccsdt',
    'sigma_hse06',
    'sigma_ccsdt',
    'divergence',
    'divergence_signed',
    'divergence_sigma',
    'divergence_relative',
    'out_of_distribution',
    'magnetic',
    'f_electrons',
    'band_gap',
    'band_gap_sigma',
    'descriptors',
)
MULTIREFERENCE = 'multireference'
FLAGS = ('out_of_distribution', 'magnetic', 'f_electrons', MULTIREFERENCE)
"""Columns by which a search can leave out candidates whose prediction, or computed energies, are in doubt."""

ASSESSMENT_FIELDS = (
    'e_above_hull',
    'hull_fidelity',
    'stability',
    'passed_constraints',
    'duplicate',
    'duplicate_of',
    'known_as',
    'eligible',
    'stopped_by',
    'score',
    'rank',
    'selected',
    'audit',
)

RELAXATION = 'aiida.calculations:qagenai.relax_many'
"""Process type of the calculation that relaxes candidates."""

CALCULATION = orm.Node
"""Class at the other end of links that only calculations have. PostgreSQL would begin with calculations if they were
named, being few, and go through all links of each batch."""

SORT_ORDERS = {'divergence': False, 'e_above_hull': True, 'score': False, 'name': True, 'target_error': True}
"""Columns to sort candidates by → whether ascending."""


def candidates(
    campaign: int | str | None = None,
    *,
    cycle: int | None = None,
    min_divergence: float | None = None,
    max_e_above_hull: float | None = None,
    chemical_system: str | None = None,
    formula: str | None = None,
    stability: str | None = None,
    selected: bool | None = None,
    computed: bool | None = None,
    exclude: t.Collection[str] = (),
    target: str | None = None,
    max_target_error: float | None = None,
    sort_by: str = 'divergence',
    limit: int | None = None,
) -> pd.DataFrame:
    """Return candidates with their prediction, assessment and computed energies, one row each.

    The row of a candidate that was relaxed is that of the relaxed one, from which ``relaxed_from`` and ``unrelaxed_pk``
    lead to the other.

    :param campaign: label, pk or uuid; all campaigns by default.
    :param cycle: cycle that proposed the candidate, 0 for the initial set.
    :param min_divergence: smallest predicted ``|E_PBE − E_top|``, eV/atom.
    :param max_e_above_hull: largest distance to the predicted hull, eV/atom.
    :param chemical_system: elements joined by dashes, in any order: ``Li-H``.
    :param formula: chemical formula, reduced here.
    :param stability: class of Table 2.
    :param selected: whether it was chosen for the calculations.
    :param computed: whether any energy of it was computed.
    :param exclude: leave out what has one of these ``FLAGS`` of its prediction or, ``multireference``, of its energies.
    :param target: gap at PBE such as ``band_gap=1.5`` or ``metallic``, a descriptor such as ``elf_high=0.1``, or both.
    :param max_target_error: largest distance of what is predicted to it: eV, a ratio, or of several tolerances.
    :param sort_by: ``divergence`` (largest first), ``e_above_hull`` (lowest first), ``score`` (best first), ``name`` or
        ``target_error`` (nearest first).
    :param limit: most rows returned, after sorting.
    :return: columns ``name``, ``campaign``, those of the nodes, ``formation_<fidelity>`` (eV/atom), ``top_fidelity``
        (that of the campaign), ``divergence_computed``, ``band_gap`` (predicted, where the campaign asks for one),
        ``band_gap_computed`` (in eV) and, with a target, ``target_error`` and the descriptors in it, ``protocol``,
        ``note``, ``candidate_uuid`` and ``pk``; missing values where a stage has not been reached.
    :raises InvalidInputError: for an unknown campaign, column or formula.
    """
    _check(sort_by, exclude, target, max_target_error)
    structure = attributes(cycle=cycle, chemical_system=parse_system(chemical_system), formula=parse_formula(formula))
    assessment = attributes(stability=stability, selected=selected)
    if max_e_above_hull is not None:
        assessment['attributes.e_above_hull'] = {'<=': max_e_above_hull}
    prediction = {} if min_divergence is None else {'attributes.divergence': {'>=': min_divergence}}
    table = _candidates(*_narrowed(structure, assessment, prediction), campaign)
    known = table['candidate_uuid'].tolist()
    beside = _beside(known, table['pk'].tolist())
    for other in (_predictions(beside), _assessments(beside), formation_energies(known)):
        table = table.merge(other, on='candidate_uuid', how='left')
    table = with_target_error(_with_divergence(table, campaign), target, max_target_error)
    limits = _Limits(min_divergence, max_e_above_hull, stability, selected, computed, exclude)
    table = table[_holds(table, limits)]
    ordered = _finish(table).sort_values([sort_by, 'name'], ascending=[SORT_ORDERS[sort_by], True])
    return ordered.head(len(table) if limit is None else limit).reset_index(drop=True)


def _with_divergence(table: pd.DataFrame, campaign: int | str | None) -> pd.DataFrame:
    """Return the table with the top rung of each campaign and the divergence from it that was computed."""
    found = tops(all_campaigns() if campaign is None else [find_campaign(campaign)])
    rungs = table['campaign'].map(found).fillna(Fidelity.CCSD_T).map(str).astype(object)
    return computed_divergence(table.assign(top_fidelity=rungs))


def _check(sort_by: str, exclude: t.Collection[str], target: str | None, max_target_error: float | None) -> None:
    """Raise :class:`InvalidInputError` on a column or a flag that is none, or an error without a target."""
    if sort_by not in SORT_ORDERS:
        raise InvalidInputError(f'cannot sort by `{sort_by}`: choose from {", ".join(SORT_ORDERS)}')
    if target is None and (max_target_error is not None or sort_by == 'target_error'):
        raise InvalidInputError('an error is that of a `target`, such as band_gap=1.5: give one')
    if unknown := sorted(set(exclude) - set(FLAGS)):
        raise InvalidInputError(f'unknown flag `{unknown[0]}`: choose from {", ".join(FLAGS)}')


class _Limits(t.NamedTuple):
    """What the latest prediction and assessment of a candidate have to hold."""

    min_divergence: float | None
    max_e_above_hull: float | None
    stability: str | None
    selected: bool | None
    computed: bool | None
    exclude: t.Collection[str]


def _holds(table: pd.DataFrame, limits: _Limits) -> pd.Series[bool]:
    """Return which rows pass: what let an older prediction or assessment pass must hold for the latest one, too."""
    keep = pd.Series(True, index=table.index)
    if limits.min_divergence is not None:
        keep &= pd.to_numeric(table['divergence']) >= limits.min_divergence
    if limits.max_e_above_hull is not None:
        keep &= pd.to_numeric(table['e_above_hull']) <= limits.max_e_above_hull
    if limits.stability is not None:
        keep &= table['stability'] == limits.stability
    if limits.selected is not None:
        keep &= (table['selected'] == limits.selected).fillna(False)
    if limits.computed is not None:
        keep &= table['protocol'].notna() == limits.computed
    for flag in limits.exclude:
        marked = table[flag].fillna('').ne('') if flag == MULTIREFERENCE else table[flag].fillna(False)
        keep &= ~marked
    return keep.astype(bool)


_Filters = dict[str, t.Any]


def _narrowed(structure: _Filters, assessment: _Filters, prediction: _Filters) -> tuple[_Filters, list[str] | None]:
    """Return a filter for candidates and the uuids of those that may pass, where anything is known of them.

    Where those that pass the filter for structures are few, all else is quick; else assessments and predictions that
    pass theirs narrow the choice.
    """
    known = None
    if structure:
        pks: dict[str, int] = dict(nodes_of(CandidateData, ['uuid', 'id'], structure).all())
        known = list(pks)
        if len(known) <= MAX_IN_FILTER:
            return among('id', list(pks.values())), known
    for cls, filters in ((AssessmentData, assessment), (PredictionData, prediction)):
        if filters:
            wanted = {**filters, **uuid_filter('attributes.candidate_uuid', known)}
            known = list(set(nodes_of(cls, 'attributes.candidate_uuid', wanted).all(flat=True)))
    return structure, known


def _candidates(filters: _Filters, known: list[str] | None, campaign: int | str | None) -> pd.DataFrame:
    """Return the candidates that match, with their campaign, leaving out those of cycles that were run again."""
    labels, replaced = _calculations(campaign)
    filters = filters if 'id' in filters else {**filters, **uuid_filter('uuid', known)}
    columns = {'uuid': 'candidate_uuid', 'id': 'pk'}
    table = created(CandidateData, CANDIDATE_FIELDS, filters, columns, None if campaign is None else labels)
    creators = table['pk'].map(_creators(filters))
    table = table.assign(campaign=creators.map(labels).astype(object))[~creators.isin(replaced)]
    table = table[~table['candidate_uuid'].isin(_superseded(None if campaign is None else labels, replaced))]
    table = table.assign(unrelaxed_pk=table['relaxed_from'].map(_pks(table['relaxed_from'].dropna().tolist())))
    table = table.astype({'unrelaxed_pk': 'Int64', 'relaxation_steps': 'Int64'})
    if known is not None:
        table = table[table['candidate_uuid'].isin(set(known))]
    numbers = zip(table['cycle'], table['index'], strict=True)
    names = [candidate_name(int(cycle), int(index)) for cycle, index in numbers]
    table.insert(0, 'name', pd.Series(names, index=table.index, dtype=object))
    return table


def _creators(filters: dict[str, t.Any]) -> dict[int, int]:
    builder = orm.QueryBuilder().append(CALCULATION, tag='process', project='id')
    edge = {'type': LinkType.CREATE.value}
    builder.append(CandidateData, with_incoming='process', edge_filters=edge, filters=filters, project='id')
    # Not iterall: PostgreSQL plans a cursor for its first rows, which takes seconds for a thousand.
    return {candidate: process for process, candidate in builder.all()}


def _superseded(counting: t.Collection[int] | None, replaced: set[int]) -> set[str]:
    """Return the candidates, by uuid, that a relaxed one stands for.

    :param counting: only relaxations among these calculations; all by default.
    :param replaced: calculations that do not count.
    """
    builder = orm.QueryBuilder().append(orm.CalcJobNode, filters={'process_type': RELAXATION}, project='id')
    found = set(builder.all(flat=True)) - replaced
    found = found if counting is None else found & set(counting)
    return set(created_by(found, CandidateData, 'attributes.relaxed_from').all(flat=True)) if found else set()


def _pks(uuids: list[str]) -> dict[str, int]:
    """Return uuid → pk of candidates."""
    return dict(nodes_of(CandidateData, ['uuid', 'id'], uuid_filter('uuid', uuids)).all()) if uuids else {}


def _calculations(campaign: int | str | None) -> tuple[dict[int, str], set[int]]:
    """Return calculation → label of its campaign, and those whose stage was cut and run again by a continuation."""
    labels: dict[int, str] = {}
    replaced: set[int] = set()
    for found in all_campaigns() if campaign is None else [find_campaign(campaign)]:
        counting, not_counting = called_under(found.processes)
        labels.update({process.pk: found.label for process in counting if process.is_calculation})
        replaced.update(process.pk for process in not_counting)
    return labels, replaced - set(labels)


def _beside(known: list[str], pks: list[int]) -> dict[str, t.Any]:
    """Return a filter for what was made of the candidates ``known``, whose pks are ``pks``.

    A prediction or an assessment has the link label of its candidate, in another namespace: where the candidates are
    few, the links lead to them without a look into the attributes of all.
    """
    if not 0 < len(known) <= MAX_IN_FILTER:
        return uuid_filter('attributes.candidate_uuid', known)
    builder = orm.QueryBuilder().append(CandidateData, filters=among('id', pks), tag='candidate', subclassing=False)
    edges = {'type': LinkType.INPUT_CALC.value}
    builder.append(CALCULATION, with_incoming='candidate', edge_filters=edges, edge_project='label', project='id')
    rows = builder.all()
    names = {label.split(NAMESPACE_SEPARATOR)[-1] for _, label in rows}
    labels = [f'{space}{NAMESPACE_SEPARATOR}{name}' for space in ('predictions', 'assessments') for name in names]
    builder = orm.QueryBuilder()
    builder.append(CALCULATION, filters=among('id', {process for process, _ in rows}), tag='process')
    edges = {'type': LinkType.CREATE.value, 'label': {'in': labels or ['']}}
    kinds = (PredictionData, AssessmentData)
    builder.append(kinds, with_incoming='process', edge_filters=edges, project='id', subclassing=False)
    return among('id', builder.all(flat=True))


def _predictions(beside: dict[str, t.Any]) -> pd.DataFrame:
    """Return the latest prediction of each candidate, and whether its model learned from scientific energies."""
    builder = orm.QueryBuilder().append(CALCULATION, tag='process', project='id')
    builder.append(
        PredictionData,
        with_incoming='process',
        edge_filters={'type': LinkType.CREATE.value},
        filters=beside,
        project=['ctime', 'attributes.candidate_uuid', *(f'attributes.{field}' for field in PREDICTION_FIELDS)],
        subclassing=False,
    )
    table = frame(builder, ['process', 'ctime', 'candidate_uuid', *PREDICTION_FIELDS])
    models = _scientific_models(table['process'].unique().tolist())
    table['predicted_scientific'] = table['process'].map(models).astype('boolean')
    return _latest(table).drop(columns=['process', 'ctime'])


def _assessments(beside: dict[str, t.Any]) -> pd.DataFrame:
    fields = ('candidate_uuid', *ASSESSMENT_FIELDS)
    return _latest(created(AssessmentData, fields, beside, {'ctime': 'ctime'})).drop(columns='ctime')


def _latest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the newest row of each candidate, by time: an import numbers nodes in any order."""
    return table.sort_values('ctime').drop_duplicates('candidate_uuid', keep='last')


def _scientific_models(processes: list[int]) -> dict[int, bool | None]:
    """Return for each process whether the validator it used was trained on scientific energies only."""
    # Two steps from the few checkpoints: the processes have 100,000 candidates as inputs beside theirs.
    builder = orm.QueryBuilder().append(DatasetData, tag='data', project='attributes.scientific')
    builder.append(orm.CalculationNode, with_incoming='data', tag='training')
    builder.append(CheckpointData, with_incoming='training', project='id')
    scientific = {model: value for value, model in builder.all()}
    builder = orm.QueryBuilder().append(CheckpointData, filters=among('id', scientific), tag='model', project='id')
    builder.append(orm.CalculationNode, with_incoming='model', filters=among('id', processes), project='id')
    return {process: scientific[model] for model, process in builder.all()}


def _finish(table: pd.DataFrame) -> pd.DataFrame:
    """Add the note and put the columns in order."""
    flags = table[['predicted_scientific', 'computed_scientific']]
    table = table.assign(note=note(flags.fillna(True).all(axis='columns')))
    first = ['name', 'campaign', 'formula', 'space_group_number', 'divergence', 'e_above_hull', 'stability']
    last = ['protocol', 'note', 'candidate_uuid', 'pk']
    middle = [name for name in table.columns if name not in {*first, *last, *flags.columns}]
    return table[[*first, *middle, *last]]

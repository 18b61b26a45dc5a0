"""Computed energies, one by one and side by side."""

from __future__ import annotations

import typing as t

import numpy as np
import pandas as pd

from aiida_qagenai.chemistry.formula import parse_formula as parse_amounts
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.candidate import CandidateData, candidate_name
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.queries.campaigns import among, find_campaign, top_of
from aiida_qagenai.queries.outputs import nodes_of
from aiida_qagenai.queries.relaxations import relaxed_from, relaxed_to
from aiida_qagenai.queries.tables import (
    MAX_IN_FILTER,
    attributes,
    created,
    note,
    parse_formula,
    parse_system,
    uuid_filter,
)
from aiida_qagenai.thermodynamics.multireference import multireference_flags
from aiida_qagenai.thermodynamics.top_rung import top_rung

__all__ = (
    'computed_divergence',
    'divergences',
    'energies',
    'energies_side_by_side',
    'formation_energies',
    'structure_names',
)

ENERGY_FIELDS = (
    'structure_uuid',
    'formula',
    'chemical_system',
    'num_atoms',
    'fidelity',
    'method',
    'protocol',
    'level_tag',
    'total_energy',
    'energy_per_atom',
    'formation_energy_per_atom',
    'formation_scheme',
    'converged',
    'band_gap',
    't1_diagnostic',
    'd1_diagnostic',
    'magnetic_ordering',
    'total_moment',
    'absolute_moment',
    'spin_squared',
    'warning_codes',
    'core_hours',
    'scientific',
)


def energies(
    campaign: int | str | None = None,
    *,
    fidelity: str | None = None,
    chemical_system: str | None = None,
    formula: str | None = None,
    structure_uuids: t.Sequence[str] | None = None,
    exclude_warnings: t.Sequence[int] = (),
    exclude_flags: t.Sequence[str] = (),
) -> pd.DataFrame:
    """Return computed energies, one row each, in the order of their calculation.

    :param campaign: label, pk or uuid; everything in the profile by default.
    :param fidelity: ``PBE``, ``SCAN``, ``HSE06`` or ``CCSD(T)``.
    :param structure_uuids: only energies of these structures, or of what they were relaxed to.
    :param exclude_warnings: codes of warnings, see ``WARNING_CODES``: energies with any of them are left out.
    :param exclude_flags: signs of multireference character, see ``thermodynamics.multireference.FLAGS``, likewise.
    :return: the attributes of ``EnergyData`` with ``multireference`` (its flags, separated by commas), ``name`` of the
        candidate (empty for references), ``candidate_uuid`` (that of the structure, or of what it was relaxed from),
        ``note``, ``uuid``, ``pk`` and ``ctime``.
    :raises InvalidInputError: for an unknown campaign, fidelity or formula.
    """
    filters = attributes(
        chemical_system=parse_system(chemical_system),
        formula=parse_formula(formula),
        fidelity=None if fidelity is None else Fidelity.parse(fidelity).value,
    )
    if structure_uuids is not None:
        structure_uuids = [*structure_uuids, *relaxed_from(structure_uuids)]
        if len(structure_uuids) <= MAX_IN_FILTER:
            filters |= among('attributes.structure_uuid', structure_uuids)
    if exclude_warnings:
        filters['and'] = [{'attributes.warning_codes': {'!contains': [code]}} for code in exclude_warnings]
    processes = None
    if campaign is not None:
        processes = [process.pk for process in find_campaign(campaign).called() if process.is_calculation]
    table = created(EnergyData, ENERGY_FIELDS, filters, {'uuid': 'uuid', 'id': 'pk', 'ctime': 'ctime'}, processes)
    if structure_uuids is not None:
        table = table[table['structure_uuid'].isin(structure_uuids)]
    found = table['structure_uuid'].unique().tolist()
    owners = {uuid: uuid for uuid in found} | relaxed_to(found)
    table.insert(1, 'candidate_uuid', table['structure_uuid'].map(owners).astype(object))
    table.insert(0, 'name', table['candidate_uuid'].map(structure_names(list(set(owners.values())))).fillna(''))
    table['note'] = note(table['scientific'])
    flags = [multireference_flags(row) for row in table.astype(object).where(table.notna(), None).to_dict('records')]
    table['multireference'] = pd.Series([', '.join(each) for each in flags], index=table.index, dtype=object)
    keep = pd.Series([set(exclude_flags).isdisjoint(each) for each in flags], index=table.index, dtype=bool)
    table = table[keep]
    return table.sort_values('ctime').reset_index(drop=True)


def energies_side_by_side(campaign: int | str | None = None, **filters: t.Any) -> pd.DataFrame:
    """Return one row per structure and level tag set: the formation energy at each fidelity, eV/atom, and D.

    Energies of different protocols never share a row. D refers to the rung in the column ``top_fidelity``: the top rung
    of the campaign; without one, that of the latest prediction for the structure, or of its own chemical system.

    :param filters: those of :func:`energies`.
    """
    table = energies(campaign, **filters)
    keys = ['name', 'formula', 'structure_uuid', 'candidate_uuid', 'protocol', 'note']
    wide = _pivot(table, keys)
    if campaign is not None:
        wide['top_fidelity'] = top_of(campaign).value
    else:
        predicted = _predicted(wide['candidate_uuid'].unique().tolist()).set_index('candidate_uuid')['predicted_top']
        own = wide['formula'].map(lambda formula: top_rung(list(parse_amounts(formula))).fidelity.value)
        wide['top_fidelity'] = wide['candidate_uuid'].map(predicted).fillna(own).astype(object)
    return computed_divergence(wide).sort_values(['name', 'formula', 'protocol']).reset_index(drop=True)


def computed_divergence(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the column ``divergence_computed``, abs(E_PBE − E_top) for the rung in ``top_fidelity``."""
    found = pd.Series(np.nan, index=table.index)
    for level in LADDER[1:]:
        difference = (table['formation_pbe'] - table[f'formation_{level.label}']).abs()
        found = found.mask(table['top_fidelity'] == level.value, difference)
    return table.assign(divergence_computed=found.astype(float))


def formation_energies(uuids: list[str]) -> pd.DataFrame:
    """Return one row of computed energies per structure: of the scientific protocol, or that with most fidelities."""
    table = energies(structure_uuids=uuids)
    wide = _pivot(table, ['candidate_uuid', 'protocol', 'scientific'])
    columns = [f'formation_{level.label}' for level in LADDER]
    wide['count'] = wide[columns].notna().sum(axis=1)
    wide = wide.sort_values(['scientific', 'count']).drop_duplicates('candidate_uuid', keep='last')
    for other in (_flags_of_structures(table), _gaps_of_structures(table)):
        wide = wide.merge(other, on='candidate_uuid', how='left')
    return wide.rename(columns={'scientific': 'computed_scientific'}).drop(columns='count')


def _flags_of_structures(table: pd.DataFrame) -> pd.DataFrame:
    """Return the flags of all energies of each structure, ``multireference``, separated by commas."""

    def together(texts: pd.Series[str]) -> str:
        return ', '.join(sorted({flag for text in texts for flag in text.split(', ') if flag}))

    return table.groupby('candidate_uuid')['multireference'].agg(together).reset_index()


def _gaps_of_structures(table: pd.DataFrame) -> pd.DataFrame:
    """Return the latest band gap at PBE of each structure, ``band_gap_computed``, eV."""
    known = table[(table['fidelity'] == Fidelity.PBE.value) & table['band_gap'].notna()].sort_values('ctime')
    latest = known.drop_duplicates('candidate_uuid', keep='last')
    gaps = pd.to_numeric(latest['band_gap'])
    return latest[['candidate_uuid']].assign(band_gap_computed=gaps).reset_index(drop=True)


def _pivot(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return the latest formation energy of each fidelity as a column."""
    columns = {level.value: f'formation_{level.label}' for level in LADDER}
    # A method that is less than its level does not stand for it.
    table = table[table['method'].isna()]
    latest = table.sort_values('ctime').drop_duplicates([*keys, 'fidelity'], keep='last')
    wide = latest.pivot(index=keys, columns='fidelity', values='formation_energy_per_atom')
    wide = wide.reindex(columns=list(columns)).rename(columns=columns).reset_index()
    wide.columns.name = None
    for column in columns.values():
        wide[column] = pd.to_numeric(wide[column])
    return wide


def structure_names(uuids: list[str]) -> dict[str, str]:
    """Return the names of candidates, and the identifiers of entries of databases."""
    wanted = uuid_filter('uuid', uuids)
    proposed = nodes_of(CandidateData, ['uuid', 'attributes.cycle', 'attributes.index'], wanted).all()
    names = {uuid: candidate_name(cycle, index) for uuid, cycle, index in proposed}
    return {**names, **dict(nodes_of(EntryData, ['uuid', 'attributes.identifier'], wanted).all())}


def divergences(
    campaign: int | str | None = None, *, min_divergence: float | None = None, **filters: t.Any
) -> pd.DataFrame:
    """Return one row per structure with energies at PBE and above: how far they diverge, and how far was predicted.

    :param min_divergence: smallest computed difference at any level, eV/atom.
    :param filters: those of :func:`energies` but ``fidelity``.
    :return: columns ``name``, ``formula``, ``protocol``, ``formation_pbe``, signed differences
        ``divergence_<fidelity>`` = E_PBE − E_fidelity of formation energies (eV/atom), ``divergence_largest`` (of their
        magnitudes), the latest prediction ``predicted`` of E_PBE − E_top with ``predicted_sigma`` and the rung
        ``predicted_top``, ``note`` and ``structure_uuid``;
        largest divergence first.
    """
    table = energies_side_by_side(campaign, **filters)
    differences = {f'divergence_{level.label}': f'formation_{level.label}' for level in LADDER[1:]}
    for name, column in differences.items():
        table[name] = table['formation_pbe'] - table[column]
    table['divergence_largest'] = table[list(differences)].abs().max(axis='columns')
    table = table[table['divergence_largest'].notna()]
    if min_divergence is not None:
        table = table[table['divergence_largest'] >= min_divergence]
    table = table.merge(_predicted(table['candidate_uuid'].unique().tolist()), on='candidate_uuid', how='left')
    columns = ['name', 'formula', 'protocol', 'formation_pbe', *differences, 'divergence_largest', 'predicted']
    table = table[[*columns, 'predicted_sigma', 'predicted_top', 'note', 'structure_uuid']]
    order = ['divergence_largest', 'name']
    return table.sort_values(order, ascending=[False, True]).reset_index(drop=True)


def _predicted(uuids: list[str]) -> pd.DataFrame:
    names = ('candidate_uuid', 'divergence_signed', 'divergence_sigma', 'top_fidelity')
    fields = ['ctime', *(f'attributes.{name}' for name in names)]
    builder = nodes_of(PredictionData, fields, uuid_filter('attributes.candidate_uuid', uuids))
    columns = ['ctime', 'candidate_uuid', 'predicted', 'predicted_sigma', 'predicted_top']
    table = pd.DataFrame(builder.all(), columns=columns)
    table['predicted_top'] = table['predicted_top'].fillna(Fidelity.CCSD_T.value).astype(object)
    return table.sort_values('ctime').drop_duplicates('candidate_uuid', keep='last').drop(columns='ctime')

"""Candidates worth a free energy, what competes with them, and what was found out about them."""

from __future__ import annotations

import typing as t

import pandas as pd
from aiida import orm

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.finite_temperature import BarrierData, FreeEnergyData
from aiida_qagenai.queries.candidates import candidates
from aiida_qagenai.queries.tables import attributes, created, parse_system

__all__ = ('LARGEST_DISTANCE', 'barriers', 'competing_phases', 'free_energies', 'promising_candidates')

LARGEST_DISTANCE = 0.1
"""Largest distance to the hull of a candidate that a free energy is worth its cost for, eV/atom (paper 3.3.3)."""

FREE_ENERGY_FIELDS = (
    'formula',
    'chemical_system',
    'num_atoms',
    'potential',
    'level_tag',
    'dynamically_stable',
    'lowest_frequency',
    'static_energy_per_atom',
    'zero_point_energy',
    'gibbs_300k',
    'expansion_300k',
    'heat_capacity_300k',
    'bulk_modulus_300k',
)
BARRIER_FIELDS = (
    'formula',
    'chemical_system',
    'num_atoms',
    'potential',
    'barrier_forward',
    'barrier_reverse',
    'reaction_energy',
    'single_barrier',
    'max_force',
)


def promising_candidates(
    campaign: int | str, *, max_e_above_hull: float = LARGEST_DISTANCE, limit: int | None = None
) -> dict[str, CandidateData]:
    """Return the candidates of a campaign within a distance to the predicted hull, nearest first, by a link label.

    :param max_e_above_hull: eV/atom, itself included.
    :raises InvalidInputError: if the campaign is unknown or has none.
    """
    table = candidates(campaign, max_e_above_hull=max_e_above_hull, sort_by='e_above_hull', limit=limit)
    if table.empty:
        message = f'campaign `{campaign}` has no candidate within {max_e_above_hull:g} eV/atom of the hull'
        raise InvalidInputError(message)
    return _load(table)


def competing_phases(campaign: int | str, chosen: t.Mapping[str, CandidateData]) -> dict[str, CandidateData]:
    """Return the computed structure of lowest PBE formation energy for each formula in the systems of ``chosen``.

    :param chosen: candidates by label, which are left out.
    """
    table = candidates(campaign, computed=True)
    systems = [set(str(node.base.attributes.get('chemical_system')).split('-')) for node in chosen.values()]
    within = table['chemical_system'].map(lambda text: any(set(text.split('-')) <= system for system in systems))
    taken = table['candidate_uuid'].isin([node.uuid for node in chosen.values()])
    table = table[within.astype(bool) & ~taken].dropna(subset=['formation_pbe'])
    return _load(table.sort_values('formation_pbe').drop_duplicates('formula'))


def free_energies(*, chemical_system: str | None = None, dynamically_stable: bool | None = None) -> pd.DataFrame:
    """Return all free energies, newest first; energies in eV/atom, see ``FreeEnergyData``."""
    filters = attributes(chemical_system=parse_system(chemical_system), dynamically_stable=dynamically_stable)
    return _table(FreeEnergyData, FREE_ENERGY_FIELDS, filters).astype({'dynamically_stable': 'boolean'})


def barriers(*, chemical_system: str | None = None) -> pd.DataFrame:
    """Return all barriers, newest first; energies in eV, see ``BarrierData``."""
    filters = attributes(chemical_system=parse_system(chemical_system))
    return _table(BarrierData, BARRIER_FIELDS, filters).astype({'single_barrier': 'boolean'})


def _table(cls: type[orm.Data], fields: tuple[str, ...], filters: dict[str, t.Any]) -> pd.DataFrame:
    table = created(cls, fields, filters, {'ctime': 'created', 'id': 'pk'})
    return table.sort_values('created', ascending=False).reset_index(drop=True)


def _load(table: pd.DataFrame) -> dict[str, CandidateData]:
    """Return the nodes of the rows in their order, by labels without `_`, which link queries read as a wildcard."""
    builder = orm.QueryBuilder().append(
        CandidateData, filters={'uuid': {'in': table['candidate_uuid'].tolist() or ['']}}, project=['uuid', '*']
    )
    nodes = dict(builder.all())
    names = ('c' + table['name'].str.replace('-', 'n')).tolist()
    return {name: nodes[uuid] for name, uuid in zip(names, table['candidate_uuid'], strict=True)}

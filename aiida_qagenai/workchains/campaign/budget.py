"""The budgets of a campaign, in candidates and in core hours, and what energies cost so far."""

from __future__ import annotations

import typing as t
from collections import Counter

from aiida.orm import StructureData

from aiida_qagenai.calculations.functions.dataset import split_energy_label
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.selection.costs import CostRecord, Costs, Table, affordable, energy_hours
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings

__all__ = ('composition_of', 'fitting_candidates', 'measured_costs')


def composition_of(structure: StructureData) -> dict[str, int]:
    """Return the atoms of a cell by element."""
    return dict(Counter(structure.get_kind(site.kind_name).symbol for site in structure.sites))


def measured_costs(
    settings: CampaignSettings,
    structures: t.Mapping[str, StructureData],
    energies: t.Mapping[str, EnergyData],
) -> Table:
    """Return the sums for the ledger of what energies have cost.

    :param energies: by the label of the structure and the level, see ``energy_label``.
    """
    records = [
        CostRecord(energy.fidelity, composition_of(structures[split_energy_label(label)[0]]), energy.content.core_hours)
        for label, energy in energies.items()
    ]
    return _costs(settings).measured(records).table


def fitting_candidates(
    settings: CampaignSettings,
    ledger: dict[str, t.Any],
    candidates: t.Mapping[str, StructureData],
    levels: t.Sequence[Fidelity],
) -> tuple[list[str], dict[str, float]]:
    """Return the labels of the candidates that are started, and the expected core hours of those that are left.

    Without a budget of core hours all are started, in their order; with one, those that fit, small cells first.

    :param candidates: that were chosen, the best first.
    """
    if settings.budget_core_hours is None:
        return list(candidates), {}
    costs = _costs(settings)
    for entry in (ledger['seed'], *ledger['cycles']):
        costs = costs.added(entry.get('costs', {}))
    left = settings.budget_core_hours - energy_hours(ledger)
    return affordable([(label, composition_of(node)) for label, node in candidates.items()], costs, levels, left)


def _costs(settings: CampaignSettings) -> Costs:
    return Costs({symbol: size.functions for symbol, size in settings.energy.basis_sizes.items()})

"""What the functions of a cycle take from the settings, and what the ledger of the campaign says of the cycle."""

from __future__ import annotations

import typing as t

from aiida.orm import ProcessNode

from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.engine.resumable import nested_outputs
from aiida_qagenai.queries.costs import core_hours
from aiida_qagenai.workchains.campaign.budget import measured_costs
from aiida_qagenai.workchains.campaign.screening import relaxation_counts
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings

__all__ = ('assessment_parameters', 'cycle_entry', 'describe_hits', 'hit_parameters')


def assessment_parameters(settings: CampaignSettings, cycle: int, remaining: int) -> dict[str, t.Any]:
    """Return the parameters of the assessment of a cycle.

    :param remaining: oracle calls that are left.
    """
    return {
        'screen': settings.screen.model_dump(mode='json'),
        'select': settings.select.model_dump(mode='json'),
        'top': settings.energy.top_rung.value,
        'remaining_budget': remaining,
        'seed': settings.cycle_seed(cycle, 12),
    }


def hit_parameters(settings: CampaignSettings) -> dict[str, t.Any]:
    """Return the parameters of :func:`~aiida_qagenai.calculations.functions.hits.find_hits`."""
    return {
        'hit_threshold': settings.select.hit_threshold,
        'divergence_threshold': settings.select.divergence_threshold,
        'top': settings.energy.top_rung.value,
        'doubtful': list(settings.learn.doubtful),
    }


def cycle_entry(
    node: ProcessNode, context: t.Any, settings: CampaignSettings, candidates: t.Mapping[str, CandidateData]
) -> dict[str, t.Any]:
    """Return the entry of a cycle that has done all but its ledger.

    :param node: the process of the cycle.
    :param context: that of the cycle, with ``selection`` and ``started``, with ``energies`` if any was started and
        ``hits`` if any succeeded.
    :param candidates: as they are assessed and computed, by label.
    """
    selection, started = context.selection.get_dict(), context.started
    outputs = nested_outputs(context.energies) if started else {}
    succeeded, relaxed = outputs.get('energies', {}), outputs.get('relaxed', {})
    attempted = num_attempted(context.energies) if started else 0
    counts = {level.value: sum(energy.fidelity is level for energy in succeeded.values()) for level in LADDER}
    return {
        'cycle': node.inputs.cycle.value,
        'budget': settings.budget,
        'top': settings.energy.top_rung.value,
        'funnel': selection['funnel'],
        **({'relaxation': relaxation_counts(context.relaxation)} if 'relaxation' in context else {}),
        'eligible': selection['eligible'],
        'selected': len(selection['selected']),
        'audit': len(selection['audit']),
        'oracle_calls': len(started),
        **({'left_out': context.left_out} if context.left_out else {}),
        'energies': counts,
        'mean_sigma': selection['mean_sigma'],
        **hit_counts(context),
        'costs': measured_costs(settings, candidates, succeeded),
        'relaxed': len(relaxed),
        'failed': attempted - len(succeeded) - len(relaxed),
        'core_hours': core_hours(node.pk),
    }


def num_attempted(energies: ProcessNode) -> int:
    """Return how many energies and relaxations were tried: one a child of a ladder, all at once by an oracle."""
    if energies.process_label == 'LadderWorkChain':
        return len(energies.called)
    return sum(len(levels) for levels in energies.inputs.plan.get_dict().values())


def hit_counts(context: t.Any) -> dict[str, t.Any]:
    """Return the numbers of hits of a cycle: over all levels, by level, and of divergence."""
    found = context.hits.get_dict() if 'hits' in context else {}
    return {
        'hits': len(found.get('hits', ())),
        'hits_by_level': {name: len(level['hits']) for name, level in found.get('levels', {}).items()},
        'divergence_hits': len(found.get('divergence_hits', ())),
    }


def describe_hits(hits: dict[str, t.Any]) -> str:
    """Return how many computed candidates are hits, by level, and whether the hulls are complete."""
    levels = [f'{len(level["hits"])} of {len(level["results"])} at {name}' for name, level in hits['levels'].items()]
    missing = sorted({name for level in hits['levels'].values() for name in level['missing']})
    gaps = f'; the hull has no phase in {", ".join(missing)}' if missing else ''
    divergent = f'{len(hits["divergence_hits"])} with a divergence of {hits["divergence_threshold"]:g} eV/atom or more'
    return f'{len(hits["hits"])} hits ({", ".join(levels)}), {divergent}{gaps}'

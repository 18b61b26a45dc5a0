"""Place what was computed on the hull of its level of theory, and count the hits."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from aiida.engine import calcfunction
from aiida.orm import Dict

from aiida_qagenai.calculations.functions.dataset import split_energy_label
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData, is_doubtful
from aiida_qagenai.data.phases import phases_from_dataset, phases_from_energies
from aiida_qagenai.engine.batch import bulk_inputs
from aiida_qagenai.thermodynamics.hull.convex_hull import CompetingPhases, distances_to_hull

__all__ = ('find_hits',)

Energies = dict[str, EnergyData]


@bulk_inputs('energies')
@calcfunction
def find_hits(competing: DatasetData, parameters: Dict, **kwargs: t.Any) -> Dict:
    """Return where every computed candidate stands on the hull of its level, and which of them are hits.

    At each level the candidates compete with each other, with every structure of the training set that has an energy at
    the same level tag, and with the elements, at zero as formation energies mean it. No two levels meet in one hull. A
    hit lies at most ``hit_threshold`` above the hull of the highest level at which the candidate has an energy: a metal
    has none at CCSD(T). A divergence hit has abs(E_PBE − E_top) ≥ ``divergence_threshold``. Doubtful energies, of the
    candidates and of the training set, are neither placed nor competitors.

    :param competing: training set before these energies: the initial set and what earlier cycles computed.
    :param parameters: ``hit_threshold`` and ``divergence_threshold``, eV/atom; ``top``, the top rung; ``doubtful``, the
        flags of multireference character that make an energy doubtful.
    :param kwargs: the namespace ``energies``, by :func:`~aiida_qagenai.calculations.functions.dataset.energy_label`.
    :returns: ``levels``: per level the level tag, ``results`` by label (see ``HullResult``), the labels of the
        ``hits``, whether the hull is ``complete`` for all candidates, the subsystems it is ``missing``, and the number
        of ``competing`` phases, the candidates among them; ``hits`` and ``divergence_hits``, labels over all levels;
        ``divergence`` by label, eV/atom; ``doubtful``, labels of energies left out; and the parameters.
    :raises InvalidInputError: if an energy is of another level tag or scheme than the training set at its level.
    """
    options = parameters.get_dict()
    energies: Energies = dict(sorted(kwargs['energies'].items()))
    flags = options['doubtful']
    doubtful = [label for label, energy in energies.items() if is_doubtful(energy.base.attributes.all, flags)]
    kept = {label: energy for label, energy in energies.items() if label not in doubtful}
    levels: dict[str, dict[str, t.Any]] = {}
    for level in LADDER:
        placed = {name: energy for (name, own), energy in by_structure(kept).items() if own is level}
        if placed:
            levels[level.value] = place(placed, competing, level, options['hit_threshold'])
    divergence = divergences(kept, Fidelity.parse(options['top']))
    return Dict(
        {
            **options,
            'levels': levels,
            'hits': confirmed(levels),
            'divergence': divergence,
            'divergence_hits': [name for name, value in divergence.items() if value >= options['divergence_threshold']],
            'doubtful': doubtful,
        }
    )


# A clone would name the candidates of another run.
find_hits.is_valid_cache = lambda node: False


def by_structure(energies: Energies) -> dict[tuple[str, Fidelity], EnergyData]:
    """Return energies by the label of the structure and the level."""
    return {split_energy_label(label): energy for label, energy in energies.items()}


def place(energies: Energies, competing: DatasetData, level: Fidelity, threshold: float) -> dict[str, t.Any]:
    """Return what one level says of the candidates with an energy at it.

    :param energies: by the label of the structure.
    """
    names = {energy.base.attributes.get('structure_uuid'): label for label, energy in energies.items()}
    candidates = phases_from_energies(energies.values(), fidelity=level)
    known = phases_from_dataset(competing, level, doubtful=False) if competing.counts.get(level.value) else []
    unary = len({symbol for phase in (*known, *candidates) for symbol in phase.elements}) == 1
    # Elements lie at zero by definition: a computed one below it, for its error, would hide every compound.
    rivals = [phase for phase in (*known, *candidates) if unary or len(phase.elements) > 1]
    results = distances_to_hull(candidates, CompetingPhases(rivals, elements_at_zero=True))
    records = {names[str(result.identifier)]: result.to_dict() for result in results}
    distances = {label: record['e_above_hull'] for label, record in records.items()}
    return {
        'level_tag': next(iter(energies.values())).base.attributes.get('level_tag'),
        'results': {label: {**record, 'identifier': label} for label, record in records.items()},
        'hits': [label for label, distance in distances.items() if distance is not None and distance <= threshold],
        'complete': all(result.complete for result in results),
        'missing': sorted({name for result in results for name in result.missing}),
        'competing': len(rivals),
    }


def confirmed(levels: Mapping[str, Mapping[str, t.Any]]) -> list[str]:
    """Return the candidates that are hits on the hull of the highest level at which they were placed.

    :param levels: lowest first.
    """
    last = {label: name for name, level in levels.items() for label in level['results']}
    return sorted(label for label, name in last.items() if label in levels[name]['hits'])


def divergences(energies: Energies, top: Fidelity) -> dict[str, float]:
    """Return abs(E_PBE − E_top), eV/atom, of the candidates with both, by the label of the structure."""
    found = {key: energy.content.formation_energy_per_atom for key, energy in by_structure(energies).items()}
    pairs = {name: (found.get((name, Fidelity.PBE)), found.get((name, top))) for name, _ in found}
    return {name: abs(low - high) for name, (low, high) in pairs.items() if low is not None and high is not None}

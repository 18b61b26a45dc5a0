"""The initial set of structures and which levels of theory each of them climbs."""

from __future__ import annotations

import typing as t

import numpy as np
from aiida.engine import calcfunction
from aiida.orm import Dict, List

from aiida_qagenai.chemistry.prototypes import SeedStructure, seed_structures
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.candidate import CandidateData, candidate_name
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.motifs.initial import known_structures

__all__ = ('build_seed_set', 'plan_labels')


@calcfunction
def build_seed_set(elements: List, parameters: Dict) -> dict[str, t.Any]:
    """Return known crystals or decorated prototypes, strained and perturbed copies included, as candidates of cycle 0.

    :param elements: symbols of the chemical system.
    :param parameters: ``source`` (``library`` or ``prototypes``), ``num_structures``, ``max_atoms``, ``strain``,
        ``displacement``, ``seed`` and ``labels`` (number of structures per fidelity above PBE).
    :returns: the namespace ``candidates``, the packed ``candidate_set``, and ``plan``: fidelities by label.
    :raises InvalidInputError: if there is neither a known crystal nor a prototype of the system.
    """
    options = parameters.get_dict()
    labels, source = options.pop('labels'), options.pop('source', 'prototypes')
    ideal = None
    if source == 'library':
        size, count = options['max_atoms'], options['num_structures']
        ideal = known_structures(elements.get_list(), max_atoms=size, count=count)
    seeds = seed_structures(elements.get_list(), ideal=ideal, **options)
    if not seeds:
        what = 'no known crystal or prototype' if source == 'library' else 'no prototype'
        message = f'{what} with at most {options["max_atoms"]} atoms holds {"-".join(elements.get_list())}'
        raise InvalidInputError(message)
    names = [f'c{index:05d}' for index in range(len(seeds))]
    nodes = [
        CandidateData(seed.structure, cycle=0, index=index, origin=f'{seed.prototype}, {seed.variant}')
        for index, seed in enumerate(seeds)
    ]
    batch = StructureBatch.from_structures(
        [seed.structure for seed in seeds], [candidate_name(0, index) for index in range(len(seeds))]
    )
    plan = plan_labels(seeds, {Fidelity.parse(name): count for name, count in labels.items()})
    return {
        'candidates': dict(zip(names, nodes, strict=True)),
        'candidate_set': DatasetData(batch),
        'plan': Dict({name: [level.value for level in levels] for name, levels in zip(names, plan, strict=True)}),
    }


def plan_labels(seeds: t.Sequence[SeedStructure], labels: dict[Fidelity, int]) -> list[list[Fidelity]]:
    """Return for each structure the fidelities to compute: PBE for all, higher ones for a nested, spread choice.

    Higher levels, those up to the top rung, are given to neutral compositions only, the likely insulators, because
    CCSD(T) does not apply to metals. They are spread evenly over the neutral structures in their order (ideal,
    strained, perturbed; small cells first), and each level takes its structures from those of the level below, so that
    differences can be learned. A level without labels is left out.
    """
    chosen = [index for index, seed in enumerate(seeds) if seed.neutral] or list(range(len(seeds)))
    plan = [[Fidelity.PBE] for _ in seeds]
    for level in LADDER[1:]:
        count = min(labels.get(level, 0), len(chosen))
        if not count:
            continue
        spread = np.unique(np.linspace(0, len(chosen) - 1, count).round().astype(int))
        chosen = [chosen[i] for i in spread]
        for index in chosen:
            plan[index].append(level)
    return plan

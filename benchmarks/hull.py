"""Hull distances in bulk and one at a time, against pymatgen's PhaseDiagram in the same run.

    python benchmarks/hull.py [--quick]

Figures ``hull-bulk`` (1,000 candidates in 300 ternary to quinary systems among 85,000 phases), the same in two
processes, an update by one phase, a probability by 1,000 draws, and the single queries of the paper's Table 12. The
phases are synthetic: random compositions whose elements are drawn with very unequal frequencies, as in databases, so
that popular systems hold hundreds to thousands of phases.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import time
import warnings

import numpy as np
from figures import figure
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.thermodynamics.hull.convex_hull import (
    CompetingPhases,
    Phase,
    distance_to_hull,
    distances_to_hull,
    stability_probability,
)

PAPER_MILLISECONDS = {2: 12.0, 3: 45.0, 4: 320.0}
"""Average time per system on one core, paper section 10.2."""


def popularity() -> np.ndarray:
    """Return the probability of each of 80 elements: oxygen-like ones occur fifty times more often than rare ones."""
    weights = 1.0 / np.arange(1, 81) ** 0.8
    return weights / weights.sum()


def draw_phases(number: int, rng: np.random.Generator) -> list[Phase]:
    """Return the pure elements and ``number`` random compounds of two to five elements."""
    symbols = [s for s in SYMBOLS[:83] if s not in ('He', 'Ne', 'Ar')]
    probabilities = popularity()
    phases = [Phase(symbol, 0.0, symbol) for symbol in symbols]
    sizes = rng.choice([2, 3, 4, 5], size=number, p=[0.25, 0.45, 0.22, 0.08])
    for index, size in enumerate(sizes):
        chosen = rng.choice(len(symbols), size=size, replace=False, p=probabilities)
        amounts = {symbols[int(i)]: int(n) for i, n in zip(chosen, rng.integers(1, 7, size=size), strict=True)}
        phases.append(Phase(amounts, float(rng.normal(-0.8, 0.6)), f'phase {index}'))
    return phases


def draw_candidates(number: int, num_systems: int, phases: list[Phase], rng: np.random.Generator) -> list[Phase]:
    """Return candidates spread over ``num_systems`` systems of three to five elements that occur among ``phases``."""
    occurring = sorted({phase.elements for phase in phases if len(phase.elements) >= 3})
    systems = [occurring[int(i)] for i in rng.choice(len(occurring), size=num_systems, replace=False)]
    candidates = []
    for index in range(number):
        elements = systems[index % num_systems]
        amounts = {element: int(n) for element, n in zip(elements, rng.integers(1, 7, len(elements)), strict=True)}
        candidates.append(Phase(amounts, float(rng.normal(-0.8, 0.6)), f'candidate {index}'))
    return candidates


def pymatgen_answer(candidate: Phase, entries: list[tuple[frozenset[str], PDEntry]]) -> float:
    """Return the decomposition energy by the obvious way: filter, build the diagram, ask it."""
    wanted = frozenset(candidate.amounts)
    diagram = PhaseDiagram([entry for elements, entry in entries if elements <= wanted])
    composition = Composition(candidate.amounts)
    return candidate.energy_per_atom - float(diagram.get_hull_energy_per_atom(composition))


def bulk(num_phases: int, num_candidates: int, num_systems: int, sample: int, rng: np.random.Generator) -> None:
    """Measure the answers for all candidates at once."""
    phases = draw_phases(num_phases, rng)
    candidates = draw_candidates(num_candidates, num_systems, phases, rng)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    competing = CompetingPhases(phases)
    indexed = time.process_time() - start
    start = time.process_time()
    results = distances_to_hull(candidates, competing)
    seconds = time.process_time() - start
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    sizes = [len(competing.system(candidate.amounts).energies) for candidate in candidates]
    print(f'# {len(phases)} phases; {np.median(sizes):.0f} (median) to {max(sizes)} compete with a candidate')

    entries = [
        (frozenset(p.amounts), PDEntry(Composition(p.amounts), p.energy_per_atom * sum(p.amounts.values())))
        for p in phases
    ]
    chosen = rng.choice(len(candidates), size=sample, replace=False)
    start = time.process_time()
    reference = [pymatgen_answer(candidates[int(i)], entries) for i in chosen]
    loop = (time.process_time() - start) / sample * len(candidates)
    found = [results[int(i)].decomposition_energy for i in chosen]
    difference = float(np.abs(np.array(found, dtype=float) - reference).max())
    print(f'# largest difference to pymatgen over {sample} candidates: {difference:.1e} eV/atom')
    if difference > 1e-8:
        raise SystemExit('the energies differ from those of pymatgen')
    name = f'loop over PhaseDiagram, {sample} of {len(candidates)} candidates timed'
    figure('hull-bulk', indexed + seconds, 's', name, loop, ratio=loop / (indexed + seconds))
    figure('hull-bulk-index', indexed, 's', 'whole bulk run', indexed + seconds, ratio=indexed / (indexed + seconds))
    start = time.perf_counter()
    apart = distances_to_hull(candidates, competing, workers=2)
    wall = time.perf_counter() - start
    if [r.e_above_hull for r in apart] != [r.e_above_hull for r in results]:
        raise SystemExit('two processes give other energies than one')
    figure('hull-bulk-two-processes', wall, 's', 'processor time of one process, warm', seconds, ratio=seconds / wall)
    update(candidates[0], competing, indexed)
    figure('hull-bulk-memory', used, 'MiB', 'phases', len(phases), ratio=used * 1024 / len(phases))


def update(candidate: Phase, competing: CompetingPhases, indexed: float) -> None:
    """Measure an added phase with the next answer, and the probability of being stable."""
    repeats = 20
    start = time.process_time()
    for index in range(repeats):
        competing.add(dataclasses.replace(candidate, identifier=f'added {index}'))
        distance_to_hull(candidate, competing)
    milliseconds = (time.process_time() - start) / repeats * 1e3
    figure(
        'hull-update', milliseconds, 'ms', 'building the index anew', indexed * 1e3, ratio=indexed * 1e3 / milliseconds
    )
    uncertain = CompetingPhases(dataclasses.replace(p, sigma=0.03) for p in competing.phases)
    uncertain.rivals(candidate)
    start = time.process_time()
    stability_probability(dataclasses.replace(candidate, sigma=0.03), uncertain, num_samples=1000)
    figure('hull-probability', time.process_time() - start, 's', 'draws', 1000, ratio=1.0)


def single(num_elements: int, rng: np.random.Generator, repeats: int) -> None:
    """Measure one query in a system seen for the first time, with 200 phases."""
    elements = SYMBOLS[2 : 2 + num_elements]
    phases = [Phase(element, 0.0) for element in elements]
    for _ in range(200):
        chosen = rng.choice(elements, size=rng.integers(2, num_elements + 1), replace=False)
        phases.append(Phase({str(e): int(rng.integers(1, 7)) for e in chosen}, float(rng.normal(-0.8, 0.6))))
    candidate = Phase({element: int(rng.integers(1, 7)) for element in elements}, -0.8)
    start = time.process_time()
    for _ in range(repeats):
        distance_to_hull(candidate, CompetingPhases(phases))
    milliseconds = (time.process_time() - start) / repeats * 1e3
    paper = PAPER_MILLISECONDS[num_elements]
    figure(f'hull-single-{num_elements}', milliseconds, 'ms', 'paper section 10.2', paper, ratio=paper / milliseconds)


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='fewer candidates by pymatgen; under a minute')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    rng = np.random.default_rng(arguments.seed)
    for num_elements in PAPER_MILLISECONDS:
        single(num_elements, rng, repeats=50)
    bulk(85_000, 1000, 300, 5 if arguments.quick else 60, rng)


if __name__ == '__main__':
    main()

"""How many generated crystals are stable or metastable, unique and new, by CHGNet on the hull of the package.

    python benchmarks/generation.py --systems 20 --count 50 [--arms generate random …] [--novelty 1] [--quick]

The chemical systems are drawn from the formulas of `--part` (`evaluation/held_out.py`: nothing was fitted to them) that
have two or three elements and for which the hull does not abstain. No arm sees a compound of any of them. The arm
`generate` is the package as it is asked for a chemical system, without refinement or, with `--novelty`, as the
diffusion model samples from its motifs with noise of this level (1 leaves only their cell content and, if kept, their
symmetry); the arms of the folder `arms` are given the cell contents that it chose, each as often. Crystals that are
valid and unlike the earlier ones are relaxed with CHGNet 0.3.0 and placed on the hull of known phases and of each
other. All that were asked for are in the denominators. A `replay` equals a crystal of the whole library, such as a
compound that was hidden and is found again: `sun` and `msun` do not count it as novel, `sun-unseen` and `msun-unseen`
do, since the arm did not know it. Figures of other arms than `generate` end with their names. With `--steps 0` nothing
is relaxed: validity and relations alone are printed.

`chgnet-formation-energy-error` compares CHGNet with the hull on known stable phases (`--known`) against the elements of
the Materials Project; with `--elements` (MP-PBE-Element-Refs.json.gz) also against elements by CHGNet itself.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import gzip
import hashlib
import json
import math
import tempfile
import time
import typing as t
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from arms import NAMES, build
from figures import figure
from pymatgen.core import Structure
from rich.progress import track
from sampling import sampled
from structure_prediction import content

from aiida_qagenai.api.relaxation import THRESHOLDS, relax_structures
from aiida_qagenai.chemistry.duplicates import find_duplicates
from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.evaluation.figures import share
from aiida_qagenai.evaluation.held_out import part_of
from aiida_qagenai.evaluation.novelty import CLASSES
from aiida_qagenai.evaluation.stability import stable_unique_novel
from aiida_qagenai.evaluation.validity import structure_is_valid
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.motifs.library import MotifLibrary
from aiida_qagenai.motifs.propose import Limits, MotifModels, propose_in_system
from aiida_qagenai.motifs.relations import LibraryRelations
from aiida_qagenai.thermodynamics.hull.convex_hull import Phase, abstention
from aiida_qagenai.thermodynamics.hull.reference import SCALE, ReferenceHull
from aiida_qagenai.thermodynamics.hull.relaxed import place_relaxed
from aiida_qagenai.thermodynamics.references.mp_elements import formation_energy_per_atom
from aiida_qagenai.thermodynamics.references.reference_states import self_consistent_formation_energy

MAX_ATOMS = 20
GENERATE = 'generate'


class Sample(t.NamedTuple):
    """What an arm made in a chemical system, ``None`` if nothing."""

    system: tuple[str, ...]
    structure: Structure | None


CHGNET = {'potential': {'name': 'chgnet'}}
STEPS = {**THRESHOLDS, 'max_steps': 200}


def unseen_systems(library: MotifLibrary, count: int, seed: int, part: str = 'validation') -> list[tuple[str, ...]]:
    """Return chemical systems of held-out formulas in the order of their hashes, where the hull does not abstain."""
    formulas = {formula for formula in set(library.formulas.tolist()) if part_of(formula) == part}
    systems = {tuple(sorted(parse_formula(formula))) for formula in formulas}
    order = sorted(systems, key=lambda system: hashlib.sha256(f'{seed} {system}'.encode()).hexdigest())
    found: list[tuple[str, ...]] = []
    for system in order:
        if len(system) in (2, 3) and len(found) < count:
            candidate = Phase(dict.fromkeys(system, 1), 0.0, level=SCALE)
            if not abstention(candidate, ReferenceHull.default().competing([system])):
                found.append(system)
    return found


def compounds(library: MotifLibrary, systems: Sequence[tuple[str, ...]]) -> frozenset[str]:
    """Return the formulas of the library that consist of elements of one of the systems alone, elements excepted."""
    wanted = [frozenset(system) for system in systems]
    elements = {formula: frozenset(parse_formula(formula)) for formula in set(library.formulas.tolist())}
    return frozenset(f for f, own in elements.items() if len(own) > 1 and any(own <= system for system in wanted))


def generate(models: MotifModels, systems: Sequence[tuple[str, ...]], count: int) -> list[Sample]:
    """Return what the package proposes in each system; fewer than ``count`` are failures."""
    found = []
    for system in track(systems, description=GENERATE):
        proposals = propose_in_system(models, system, count=count, limits=Limits(max_atoms=MAX_ATOMS))
        made = [each.structure for each in proposals]
        found += [Sample(system, structure) for structure in [*made, *[None] * (count - len(made))]]
    return found


def noised(samples: Sequence[Sample], noise: float, symmetry: str, seed: int) -> list[Sample]:
    """Return what the diffusion model makes of samples with noise; what it does not finish is a failure."""
    made = [index for index, sample in enumerate(samples) if sample.structure is not None]
    found = [Sample(sample.system, None) for sample in samples]
    if not made:
        return found
    with tempfile.TemporaryDirectory() as folder:
        starts = Path(folder) / 'starts.npz'
        StructureBatch.from_structures([samples[index].structure for index in made]).save(starts)
        request = {'mode': 'structures', 'structures': starts, 'noise': noise, 'symmetry': symmetry}
        for each in sampled([request], seed=seed):
            index = made[each.start]
            found[index] = Sample(samples[index].system, each.structure)
    return found


def follow(name: str, excluded: frozenset[str], samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Return what an arm makes of the cell contents of other samples."""
    arm, found = build(name, excluded), []
    wanted = collections.Counter(
        (sample.system, tuple(content(sample.structure).items())) for sample in samples if sample.structure is not None
    )
    for number, ((system, amounts), count) in enumerate(track(wanted.items(), description=name)):
        found += [Sample(system, structure) for structure in arm(dict(amounts), count, seed + number)]
    lost = [Sample(sample.system, None) for sample in samples if sample.structure is None]
    return [*found, *lost]


@dataclasses.dataclass
class Judgement:
    """What is found out about the samples of an arm, one entry each."""

    clusters: list[int | None]
    relations: list[str | None]
    distances: list[float | None]
    converged: list[bool]


def judge(samples: Sequence[Sample], library: MotifLibrary, folder: Path, steps: int) -> Judgement:
    """Return classes and distances to the hull; only what is valid and unlike the earlier ones is relaxed.

    :param steps: most steps of a relaxation; with 0 there are classes alone.
    """
    relations = LibraryRelations(library)
    structures = [sample.structure for sample in samples]
    valid = [index for index, each in enumerate(structures) if each is not None and structure_is_valid(each)]
    first = find_duplicates([structures[index] for index in valid], distortions=False).representatives
    found = Judgement([None] * len(samples), [None] * len(samples), [None] * len(samples), [False] * len(samples))
    for index in valid:
        found.relations[index] = relations.classify(structures[index])
    new = [valid[place] for place in first]
    if not new or not steps:
        return found
    relaxed, outcomes = relax_structures(
        [structures[index] for index in new], CHGNET, {**THRESHOLDS, 'max_steps': steps}, folder, run_ml_task
    )
    energies = [outcome['energy_per_atom'] if outcome['converged'] else None for outcome in outcomes]
    placed = place_relaxed([cell(structure) for structure in relaxed], energies)
    clusters = find_duplicates(relaxed, distortions=False).labels
    for index, structure, outcome, place, cluster in zip(new, relaxed, outcomes, placed, clusters, strict=True):
        found.converged[index] = outcome['converged']
        found.distances[index] = place.e_above_hull
        found.relations[index] = relations.classify(structure)
        found.clusters[index] = int(cluster)
    return found


def cell(structure: Structure) -> dict[str, int]:
    """Return element → atoms in the cell."""
    return {symbol: round(number) for symbol, number in structure.composition.get_el_amt_dict().items()}


def report(name: str, samples: Sequence[Sample], found: Judgement, *, seconds: float, relaxed: bool = True) -> None:
    """Print the figures of an arm.

    :param seconds: that the generation took.
    :param relaxed: whether the samples were.
    """
    ending = '' if name == GENERATE else f'-{name}'
    number = len(samples)
    figures = [
        share('generated', [sample.structure is not None for sample in samples], 'of all asked for'),
        share('structural-validity', [relation is not None for relation in found.relations], 'of all asked for'),
        *(
            share(relation.replace(' ', '-'), [each == relation for each in found.relations], 'of all asked for')
            for relation in CLASSES
        ),
    ]
    if relaxed:
        figures.append(share('relaxed', found.converged, 'valid, distinct and converged'))
    for suffix, classes in (('', CLASSES[1:]), ('-unseen', CLASSES)) if relaxed else ():
        novel = [relation in classes for relation in found.relations]
        about = 'hull of the package with the other samples; CHGNet 0.3.0'
        for each in stable_unique_novel(found.distances, found.clusters, novel, about):
            figures.append(dataclasses.replace(each, name=each.name + suffix))
    for each in figures:
        low, high = each.interval or (float('nan'), float('nan'))
        figure(f'{each.name}{ending}', each.value, f'share of {number} ({low:.3f} to {high:.3f}); {each.definition}')
    figure(f'seconds-per-sample{ending}', seconds / number, 's, generation alone')


def known_phases(library: MotifLibrary, count: int, seed: int) -> list[tuple[Structure, Phase]]:
    """Return crystals of the library that are stable phases of the hull, drawn at random."""
    hull = ReferenceHull.default()
    phases = {str(phase.identifier): phase for phase in hull.phases(hull.elements) if len(phase.elements) > 1}
    small = [sum(total.values()) <= MAX_ATOMS for total in library.compositions]
    places = [i for i, name in enumerate(library.identifiers.tolist()) if name in phases and small[i]]
    drawn = np.random.default_rng(seed).permutation(len(places))[:count]
    found = []
    for place in drawn:
        crystal = library.crystal(places[int(place)])
        phase = phases[str(library.identifiers[places[int(place)]])]
        found.append((Structure(crystal.cell, crystal.species, crystal.fractional), phase))
    return found


def calibrate(library: MotifLibrary, count: int, elements: Path | None, folder: Path, seed: int) -> None:
    """Print how far formation energies by CHGNet are from those of the hull."""
    known = known_phases(library, count, seed)
    relaxed, outcomes = relax_structures(
        [structure for structure, _ in known], CHGNET, STEPS, folder / 'known', run_ml_task
    )
    own = element_energies(elements, folder / 'elements') if elements else {}
    errors: dict[str, list[float]] = {'': [], '-own-elements': []}
    for structure, outcome, (_, phase) in zip(relaxed, outcomes, known, strict=True):
        if not outcome['converged']:
            continue
        amounts = cell(structure)
        energy = formation_energy_per_atom(outcome['energy_per_atom'], amounts)
        if energy is not None:
            errors[''].append(energy - phase.energy_per_atom)
        if own.keys() >= amounts.keys():
            total = outcome['energy_per_atom'] * len(structure)
            errors['-own-elements'].append(
                self_consistent_formation_energy(total, amounts, own) - phase.energy_per_atom
            )
    for ending, values in errors.items():
        if values:
            unit = f'eV/atom, {len(values)} of {len(known)} known stable phases'
            name = f'chgnet-formation-energy-error{ending}'
            figure(name, float(np.abs(values).mean()), f'{unit}, mean absolute')
            figure(f'{name}-median', float(np.median(np.abs(values))), f'{unit}, median absolute')
            figure(f'{name}-bias', float(np.mean(values)), f'{unit}, mean')


def element_energies(path: Path, folder: Path) -> dict[str, float]:
    """Return element → energy per atom of its most stable crystal, relaxed with CHGNet, where it converges."""
    content_of = json.loads(gzip.decompress(path.read_bytes()))
    lowest = {
        symbol: Structure.from_dict(entry['structure'][int(np.argmin(entry['energy_per_atom']))])
        for symbol, entry in content_of.items()
    }
    _, outcomes = relax_structures(
        [each.get_primitive_structure() for each in lowest.values()], CHGNET, STEPS, folder, run_ml_task
    )
    return {
        symbol: outcome['energy_per_atom']
        for symbol, outcome in zip(lowest, outcomes, strict=True)
        if outcome['converged']
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--systems', type=int, default=20, help='number of chemical systems; 0 for the calibration alone'
    )
    parser.add_argument('--count', type=int, default=50, help='crystals in each of them')
    parser.add_argument(
        '--arms', nargs='+', choices=(GENERATE, *NAMES), default=[GENERATE, 'random'], metavar='NAME',
        help=', '.join((GENERATE, *NAMES)),
    )  # fmt: skip
    parser.add_argument('--part', choices=('validation', 'test'), default='validation', help='of the formulas')
    parser.add_argument('--known', type=int, default=200, help='known phases of the calibration; 0 for none')
    parser.add_argument('--elements', type=Path, help='crystals of the elements (MP-PBE-Element-Refs.json.gz)')
    parser.add_argument('--novelty', type=noise_level, help='level of the noise, above 0 to 1')
    parser.add_argument('--symmetry', choices=('keep', 'free'), default='keep', help='of the motifs, with --novelty')
    parser.add_argument('--steps', type=int, default=200, help='most steps of a relaxation; 0 for none')
    parser.add_argument('--work', type=Path, help='folder in which a run that was cut goes on')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--quick', action='store_true', help='2 systems, 3 crystals each, 4 known phases')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    if arguments.quick:
        arguments.systems, arguments.count, arguments.known = 2, 3, 4
        arguments.steps = min(60, arguments.steps)
    with tempfile.TemporaryDirectory() as temporary:
        measure(arguments, arguments.work or Path(temporary))


def noise_level(text: str) -> float:
    """Return a level of noise.

    :raises argparse.ArgumentTypeError: if it is not above 0, up to 1.
    """
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not 0 < level <= 1:
        raise argparse.ArgumentTypeError(f'`{text}` is not a number above 0, up to 1')
    return level


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    """Print the calibration and the figures of every arm."""
    library = MotifLibrary.default()
    if arguments.known:
        calibrate(library, arguments.known, arguments.elements, folder, arguments.seed)
    if not arguments.systems:
        return
    systems = unseen_systems(library, arguments.systems, arguments.seed, arguments.part)
    excluded = compounds(library, systems)
    print(f'{len(excluded)} formulas are hidden; systems: {", ".join("-".join(system) for system in systems)}')
    models = MotifModels.default()
    models = dataclasses.replace(models, library=library.without(excluded))
    started = time.perf_counter()
    proposed = generate(models, systems, arguments.count)
    if arguments.novelty:
        proposed = noised(proposed, arguments.novelty, arguments.symmetry, arguments.seed)
    seconds = time.perf_counter() - started
    for name in arguments.arms:
        started = time.perf_counter()
        samples = proposed if name == GENERATE else follow(name, excluded, proposed, arguments.seed)
        taken = seconds if name == GENERATE else time.perf_counter() - started
        found = judge(samples, library, folder / name, arguments.steps)
        report(name, samples, found, seconds=taken, relaxed=bool(arguments.steps))


if __name__ == '__main__':
    main()

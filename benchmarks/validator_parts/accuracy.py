"""The shipped validator on crystals of formulas that it never saw: errors, error bars, and stability, beside CHGNet.

The crystals are those of `mp/` and `mpts/` (Materials Project, energies of formation with the corrections MP2020) with
at most 20 atoms whose reduced formula is in the part that is left for tests, a twentieth of all. They go through
`aiida-qagenai predict`, as they are. A crystal is stable if it is below the hull of the stable phases of the package
without its own composition, and so it is for CHGNet, whose energies carry the same corrections.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import numpy as np
from figures import figure
from numpy.typing import NDArray
from pymatgen.core import Structure

from aiida_qagenai.chemistry.classes import material_class
from aiida_qagenai.evaluation.held_out import place_of
from aiida_qagenai.evaluation.uncertainty import (
    calibration_by_class,
    calibration_error,
    calibration_interval,
    coverage,
    noise_floor,
)
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.thermodynamics.hull.convex_hull import distances_to_hull
from aiida_qagenai.thermodynamics.hull.phases import Phase
from aiida_qagenai.thermodynamics.hull.reference import SCALE, ReferenceHull
from aiida_qagenai.thermodynamics.references.mp_elements import formation_energy_per_atom

FILES = ('mp/mp20_bi_ternary.csv.gz', 'mpts/mpts52.csv.gz')
MAX_ATOMS = 20
TEST = range(5, 10)
"""Places of the formulas that are left for tests, see ``evaluation.held_out.part_of``."""

QUICK = 150
COMMAND = [sys.executable, '-c', 'from aiida_qagenai.cli.root import main; main()']


class Crystals(t.NamedTuple):
    """Crystals with published energies of formation, eV/atom, shape (n,)."""

    structures: list[Structure]
    energies: NDArray[np.float64]


def read(folder: Path, count: int | None, places: range = TEST) -> Crystals:
    """Return the crystals of some formulas, by default those that are left for tests, every material once.

    :param places: of the formulas among a hundred, see ``evaluation.held_out``.
    """
    csv.field_size_limit(sys.maxsize)
    found: dict[str, tuple[Structure, float]] = {}
    for name in FILES:
        with gzip.open(folder / name, 'rt', encoding='utf8') as handle:
            for row in csv.DictReader(handle):
                structure = Structure.from_str(row['cif'], fmt='cif') if may_count(row['cif'], places) else None
                if structure is None or len(structure) > MAX_ATOMS:
                    continue
                if place_of(structure.composition.reduced_formula) in places:
                    found.setdefault(row['material_id'], (structure, float(row['formation_energy_per_atom'])))
    chosen = [found[name] for name in sorted(found)][:count]
    return Crystals([each for each, _ in chosen], np.array([energy for _, energy in chosen]))


def may_count(cif: str, places: range) -> bool:
    """Return whether the formula that a CIF file names is one of those asked for."""
    from pymatgen.core import Composition

    line = next(line for line in cif.splitlines() if line.startswith('_chemical_formula_sum'))
    return place_of(Composition(line.split(None, 1)[1].strip("'")).reduced_formula) in places


def predict(crystals: Crystals, validator: Path | None, folder: Path) -> dict[str, NDArray[t.Any]]:
    """Return what the command says of the crystals, by column."""
    path = folder / 'crystals.json'
    path.write_text(json.dumps([structure.as_dict() for structure in crystals.structures]))
    options = ['--validator', str(validator)] if validator else []
    command = [*COMMAND, 'predict', str(path), *options, '--format', 'json']
    records = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {name: np.array([record[name] for record in records]) for name in records[0]}


def chgnet(crystals: Crystals, folder: Path) -> NDArray[np.float64]:
    """Return the energies of formation by CHGNet 0.3.0, eV/atom, NaN where it has none."""
    StructureBatch.from_structures(crystals.structures).save(folder / 'crystals.npz')
    config = {'potential': {'name': 'chgnet'}, 'structures': 'crystals.npz', 'output': 'labels.npz'}
    (folder / 'config.json').write_text(json.dumps(config))
    command = [sys.executable, '-m', 'aiida_qagenai.ml', 'label', '--config', 'config.json']
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    energies = load_arrays(folder / 'labels.npz')['energies']
    found = []
    for structure, energy in zip(crystals.structures, energies.tolist(), strict=True):
        amounts = {symbol: round(n) for symbol, n in structure.composition.get_el_amt_dict().items()}
        formation = formation_energy_per_atom(energy / len(structure), amounts) if np.isfinite(energy) else None
        found.append(np.nan if formation is None else formation)
    return np.array(found)


def above_others(crystals: Crystals, energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each crystal to the hull of all other compositions, eV/atom; negative if it is stable."""
    formulas = [structure.composition.reduced_formula for structure in crystals.structures]
    phases = [Phase(formula, energy, level=SCALE) for formula, energy in zip(formulas, energies, strict=True)]
    found = []
    for phase in phases:
        others = [
            each
            for each in ReferenceHull.default().phases(phase.elements)
            if each.reduced_formula != phase.reduced_formula
        ]
        (result,) = distances_to_hull([phase], others)
        found.append(np.nan if result.decomposition_energy is None else result.decomposition_energy)
    return np.array(found)


def classification(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> dict[str, float]:
    """Return F1, precision, recall and the discovery acceleration factor."""
    both = float((truth & found).sum())
    precision, recall = both / max(1, found.sum()), both / max(1, truth.sum())
    f1 = 2 * precision * recall / max(1e-12, precision + recall)
    return {'f1': f1, 'precision': precision, 'recall': recall, 'daf': precision / truth.mean()}


def report_classes(
    crystals: Crystals, errors: NDArray[np.float64], sigmas: NDArray[np.float64], intervals: NDArray[np.float64]
) -> None:
    """Print error, calibration and coverage for each chemistry class."""
    classes = [material_class(structure.composition.get_el_amt_dict()) for structure in crystals.structures]
    for row in calibration_by_class(errors, sigmas, classes, intervals):
        figure(f'class-{row.name}-crystals', row.number, 'crystals')
        figure(f'class-{row.name}-mae', row.mae, 'eV/atom')
        figure(f'class-{row.name}-ece', row.calibration_error, '1', 'noise floor', row.noise_floor)
        figure(f'class-{row.name}-ece-interval-low', row.interval[0], '1', 'noise floor', row.noise_floor)
        figure(f'class-{row.name}-ece-interval-high', row.interval[1], '1', 'noise floor', row.noise_floor)
        figure(f'class-{row.name}-coverage-90', row.coverage, '1', 'nominal', 0.9)


def run(arguments: argparse.Namespace) -> None:
    """Print the figures."""
    crystals = read(arguments.data, QUICK if arguments.quick else None)
    with tempfile.TemporaryDirectory() as name:
        begin = time.perf_counter()
        ours = predict(crystals, arguments.validator, Path(name))
        middle = time.perf_counter()
        theirs = chgnet(crystals, Path(name))
        end = time.perf_counter()
    known = np.array([value is not None for value in ours['energy_pbe']]) & np.isfinite(theirs)
    energies, sigmas = (ours[key][known].astype(float) for key in ('energy_pbe', 'sigma_pbe'))
    truth, theirs = crystals.energies[known], theirs[known]
    chosen = Crystals([each for each, keep in zip(crystals.structures, known, strict=True) if keep], truth)
    errors, others = energies - truth, theirs - truth
    figure('validator-test-crystals', len(errors), 'crystals')
    figure('formation-mae', float(np.abs(errors).mean()), 'eV/atom', 'CHGNet 0.3.0', float(np.abs(others).mean()))
    figure(
        'formation-rmse', float((errors**2).mean() ** 0.5), 'eV/atom', 'CHGNet 0.3.0', float((others**2).mean() ** 0.5)
    )
    figure('ece', calibration_error(errors, sigmas), '1', 'noise floor', noise_floor(len(errors)))
    low, high = calibration_interval(errors, sigmas)
    figure('ece-interval-low', low, '1', 'noise floor', noise_floor(len(errors)))
    figure('ece-interval-high', high, '1', 'noise floor', noise_floor(len(errors)))
    intervals = ours['interval_90_pbe'][known].astype(float)
    figure('coverage-90', float((np.abs(errors) <= intervals).mean()), '1', 'nominal', 0.9)
    figure('coverage-90-of-a-normal-distribution', coverage(errors, sigmas), '1', 'nominal', 0.9)
    report_classes(chosen, errors, sigmas, intervals)
    figure('predict-seconds', (middle - begin) / len(truth), 's/crystal', 'CHGNet 0.3.0', (end - middle) / len(truth))
    true, predicted, reference = (above_others(chosen, each) <= 0 for each in (truth, energies, theirs))
    for key, value in classification(true, predicted).items():
        figure(f'stability-{key}', value, '1', 'CHGNet 0.3.0', classification(true, reference)[key])

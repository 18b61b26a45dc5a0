"""The shipped validator beside the potential that labelled its training set, on the formulas left for tests.

The crystals are those of `accuracy`, as they are and distorted: strained with a standard deviation of 3 % per component
and displaced by 0.1 Å per coordinate, or by 0.03 Å. SevenNet-MF-0 labels them in the same run, at PBE and at r2SCAN,
and its energies become those of formation by its own energies of the elements (`recipes/labels/`). Errors are per atom
and per component of a force. Error bars are checked on r2SCAN, as it is: the second set, beside that of `accuracy`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from figures import figure
from numpy.typing import NDArray

from aiida_qagenai.chemistry.open_shells import shells_of
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.evaluation.uncertainty import calibration_error, calibration_interval, noise_floor
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.elements import composition_fractions
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs
from validator_parts.accuracy import read

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

import validator_data

LEVELS = {'PBE': 'SevenNet-MF-0 PBE', 'R2SCAN': 'SevenNet-MF-0 r2SCAN'}
"""Mode of the teacher → level of theory of its labels."""

BARS = {'teacher-energy-mae': 0.04, 'teacher-force-mae': 0.1}
"""What the errors off equilibrium should not exceed, eV/atom and eV/Å."""

DISPLACEMENTS = {'': 0.1, '-mild': 0.03}
STRAIN = 0.03
COUNT, QUICK = 300, 40
ELEMENTS = tuple(range(1, 95))
ELEMENT_LABELS = Path(validator_data.__file__).with_name('labels')


def distorted(crystals: StructureBatch, displacement: float) -> StructureBatch:
    """Return the crystals strained and with displaced atoms."""
    rng = np.random.default_rng(0)
    strain = rng.normal(0, STRAIN, (len(crystals), 3, 3))
    cells = crystals.cells @ (np.eye(3) + (strain + strain.transpose(0, 2, 1)) / 2)
    moves = rng.normal(0, displacement, crystals.fractional.shape)
    fractional = crystals.fractional + np.einsum('ia,iab->ib', moves, np.linalg.inv(cells)[crystals.owner])
    return StructureBatch(crystals.num_atoms, cells, crystals.species, fractional, crystals.identifiers)


def teacher(crystals: StructureBatch, mode: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return energies of formation, shape (n,), eV/atom, and forces, shape (N, 3), eV/Å."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        crystals.save(folder / 'structures.npz')
        potential = {'name': 'sevennet', 'model': 'mf-0', 'modality': mode}
        (folder / 'config.json').write_text(json.dumps({'potential': potential, 'structures': 'structures.npz'}))
        command = [sys.executable, '-m', 'aiida_qagenai.ml', 'label', '--config', 'config.json']
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        arrays = load_arrays(folder / 'labels.npz')
    known = validator_data.element_energies([ELEMENT_LABELS / f'elements_{mode}.npz'])[LEVELS[mode]]
    zeros = np.array([known.get(number, np.inf) for number in ELEMENTS])
    fractions = composition_fractions(crystals, ELEMENTS)
    energies = arrays['energies'] / crystals.num_atoms - fractions @ np.where(np.isfinite(zeros), zeros, 0.0)
    return np.where(fractions[:, ~np.isfinite(zeros)].any(axis=1), np.nan, energies), arrays['forces']


def run(arguments: argparse.Namespace) -> None:
    """Print the figures."""
    ensemble = Ensemble.from_checkpoint(
        *load_checkpoint(arguments.validator or VALIDATOR_FOUNDATION, 'validator'), torch.float32
    )
    warnings.simplefilter('ignore')  # of CIF files that round fractions such as 1/3
    known = read(arguments.data, QUICK if arguments.quick else COUNT).structures
    numbers = set(ensemble.elements)
    structures = [each for each in known if numbers >= {element.Z for element in each.composition.elements}]
    relaxed = StructureBatch.from_structures(structures)
    tags = [level.tag for level in ensemble.tree.levels]
    for mode, tag in LEVELS.items():
        level, suffix = tags.index(tag), '' if mode == 'PBE' else '-r2scan'
        truth, _ = teacher(relaxed, mode)
        energies, latent, _ = evaluate(ensemble, relaxed, level)
        errors = energies.mean(axis=0)[:, level] - truth
        figure(f'teacher-equilibrium-energy-mae{suffix}', float(np.nanmean(np.abs(errors))), 'eV/atom')
        if mode == 'R2SCAN':
            error_bars(ensemble, relaxed, energies, latent, errors)
        for name, displacement in DISPLACEMENTS.items():
            crystals = distorted(relaxed, displacement)
            truth, forces = teacher(crystals, mode)
            energies, _, found = evaluate(ensemble, crystals, level)
            results = {
                'teacher-energy-mae': (energies.mean(axis=0)[:, level] - truth, 'eV/atom'),
                'teacher-force-mae': (found - forces, 'eV/Å'),
            }
            for key, (values, unit) in results.items():
                figure(f'{key}{name}{suffix}', float(np.nanmean(np.abs(values))), unit, 'bar', BARS[key])
            figure(f'teacher-mean-force{name}{suffix}', float(np.nanmean(np.abs(forces))), 'eV/Å')


def evaluate(
    ensemble: Ensemble, crystals: StructureBatch, level: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the energies of the members on all levels, shape (members, n, L), features, and mean forces on one."""
    graphs, _ = model_graphs(crystals, ensemble.elements, ensemble.cutoff, torch.float32)
    cpu = torch.device('cpu')
    return *ensemble.evaluate(graphs, cpu, 32), ensemble.derivatives(graphs, level, cpu, 32)[0]


def error_bars(
    ensemble: Ensemble,
    crystals: StructureBatch,
    energies: NDArray[np.float64],
    latent: NDArray[np.float64],
    errors: NDArray[np.float64],
) -> None:
    """Print how honest σ and the intervals of the task `predict` are on the rung of SCAN."""
    assert ensemble.sigma_model is not None
    assert ensemble.latent is not None
    known, rank = np.isfinite(errors), Fidelity.SCAN.rank
    shells = shells_of(numbers for _, numbers, _ in crystals)
    far = ensemble.latent.inflation(ensemble.latent.distances(latent), np.zeros(len(errors), dtype=bool))
    sigmas = (ensemble.sigma_model.sigma(ensemble.on_rungs(energies), shells)[:, rank] * far)[known]
    errors = errors[known]
    floor = noise_floor(len(errors))
    figure('ece-r2scan', calibration_error(errors, sigmas), '1', 'noise floor', floor)
    for name, value in zip(('low', 'high'), calibration_interval(errors, sigmas), strict=True):
        figure(f'ece-r2scan-interval-{name}', value, '1', 'noise floor', floor)
    inside = np.abs(errors) <= ensemble.sigma_model.quantile[rank] * sigmas
    figure('coverage-90-r2scan', float(inside.mean()), '1', 'nominal', 0.9)

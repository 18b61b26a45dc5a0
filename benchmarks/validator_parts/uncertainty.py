"""Error bars of the ensemble beside cheaper ones, and how well crystals with unknown elements are told from others.

`arms`: on top of the trunk of one shipped member, which stays as it is, five read-outs trained on bootstrapped formulas
(a shared trunk), and one evidential read-out (A. Amini et al., NeurIPS 2020), whose Student distribution is σ. All are
trained on the same crystals, calibrated in the same way on the formulas that calibrate the shipped ensemble, and judged
on those left for tests: mean absolute error, expected calibration error, rank correlation of σ with the error, and the
area under the curve by which σ finds the tenth with the largest errors.

`elements`: an ensemble that never saw some elements is trained by the task `train`, and then asked for crystals of
formulas left for tests, with and without these elements: the area under the curve of what marks them, which is the list
of its elements, and of the latent distance and σ alone, which know nothing of that list.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import numpy as np
import torch
from figures import figure
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from aiida_qagenai.chemistry.open_shells import shells_of
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import LevelTree
from aiida_qagenai.evaluation.uncertainty import calibration_error, calibration_interval, noise_floor
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.validator.calibration import SigmaModel
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs
from validator_parts.accuracy import TEST, read

CALIBRATION, TRAINING = range(10, 14), range(20, 32)
HELD_OUT = ('Li', 'F', 'Se', 'Ni', 'In', 'Sr')
"""Elements that the ensemble of `elements` never sees: a light and a heavy metal of the main groups, a halogen, a
chalcogen, a magnetic metal and an alkali metal."""

STEPS, LEARNING_RATE, WIDTH = 3000, 1e-3, 64
REGULARISATION = 0.1
LEVEL = 'MP2020 PBE'
CPU = torch.device('cpu')


Found = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Means and variances of energies, eV/atom."""


class Part(t.NamedTuple):
    """Crystals as the shipped ensemble sees them.

    :param members: energies of its members, shape (members, n), eV/atom.
    :param features: pooled features of the first member, shape (n, channels).
    :param truth: published energies, shape (n,), eV/atom.
    :param shells: open shells of each crystal, shape (n,).
    """

    members: NDArray[np.float64]
    features: Tensor
    truth: NDArray[np.float64]
    shells: NDArray[np.int64]
    formulas: NDArray[np.str_]


def run(arguments: argparse.Namespace) -> None:
    """Print the figures."""
    compare_arms(arguments)
    unknown_elements(arguments)


def compare_arms(arguments: argparse.Namespace) -> None:
    """Print the figures of `arms`."""
    ensemble = Ensemble.from_checkpoint(
        *load_checkpoint(arguments.validator or VALIDATOR_FOUNDATION, 'validator'), torch.float32
    )
    count = 150 if arguments.quick else None
    parts = [part(ensemble, arguments.data, places, count) for places in (TRAINING, CALIBRATION, TEST)]
    train, calibration, test = parts
    heads = shared_trunk(train)
    evidential = fit(train, np.arange(len(train.truth)), 4, evidential_loss, seed=0)
    arms: dict[str, t.Callable[[Part], Found]] = {
        'ensemble': lambda each: (each.members.mean(axis=0), each.members.var(axis=0, ddof=1)),
        'shared-trunk': lambda each: spread(heads, each),
        'evidential': lambda each: student(evidential, each),
    }
    for name, predict in arms.items():
        number = 1e9 if name == 'evidential' else len(ensemble.members)
        judge(name, (predict(calibration), predict(test)), (calibration, test), number)


def part(ensemble: Ensemble, folder: Path, places: range, count: int | None) -> Part:
    """Return the crystals of some formulas."""
    crystals = read(folder, count, places)
    numbers = [{element.Z for element in structure.composition.elements} for structure in crystals.structures]
    familiar = [row for row, found in enumerate(numbers) if found <= set(ensemble.elements)]
    chosen = [crystals.structures[row] for row in familiar]
    structures = StructureBatch.from_structures(chosen)
    graphs, _ = model_graphs(structures, ensemble.elements, ensemble.cutoff, torch.float32)
    energies, features = ensemble.evaluate(graphs, CPU, 64)
    level = [each.tag for each in ensemble.tree.levels].index(LEVEL)
    return Part(
        energies[:, :, level],
        torch.as_tensor(features[:, : ensemble.members[0].channels], dtype=torch.float32),
        crystals.energies[familiar],
        shells_of(species for _, species, _ in structures),
        np.array([structure.composition.reduced_formula for structure in chosen]),
    )


def fit(
    train: Part, rows: NDArray[np.int64], outputs: int, loss: t.Callable[[Tensor, Tensor], Tensor], seed: int
) -> nn.Module:
    """Return a read-out of the pooled features trained on what the first member leaves over."""
    torch.manual_seed(seed)
    norm = nn.BatchNorm1d(train.features.shape[1], affine=False)
    head = nn.Sequential(norm, nn.Linear(norm.num_features, WIDTH), nn.SiLU(), nn.Linear(WIDTH, outputs))
    optimiser = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    x, y = train.features[rows], torch.as_tensor(train.truth - train.members[0], dtype=torch.float32)[rows]
    for _ in range(STEPS):
        chosen = torch.randint(len(x), (64,))
        optimiser.zero_grad()
        loss(head(x[chosen]), y[chosen]).backward()
        optimiser.step()
    return head.eval()


def shared_trunk(train: Part) -> list[nn.Module]:
    """Return five read-outs, each of another bootstrap sample of the formulas."""
    formulas, places = np.unique(train.formulas, return_inverse=True)
    heads = []
    for seed in range(5):
        counts = np.random.default_rng(seed).multinomial(len(formulas), np.full(len(formulas), 1 / len(formulas)))
        rows = np.repeat(np.arange(len(places)), counts[places])
        heads.append(fit(train, rows, 1, lambda found, y: nn.functional.huber_loss(found[:, 0], y, delta=0.1), seed))
    return heads


def spread(heads: list[nn.Module], given: Part) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance of the read-outs."""
    with torch.no_grad():
        found = given.members[0] + np.stack([head(given.features)[:, 0].double().numpy() for head in heads])
    return found.mean(axis=0), found.var(axis=0, ddof=1)


def parameters(found: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return γ, ν, α and β of the normal-inverse-gamma distribution."""
    positive = nn.functional.softplus(found[:, 1:]) + 1e-6
    return found[:, 0], positive[:, 0], positive[:, 1] + 1, positive[:, 2]


def evidential_loss(found: Tensor, y: Tensor) -> Tensor:
    """Return the negative log likelihood of the Student distribution, with a penalty on evidence for wrong energies."""
    gamma, nu, alpha, beta = parameters(found)
    omega = 2 * beta * (1 + nu)
    likelihood = (
        0.5 * (torch.pi / nu).log()
        - alpha * omega.log()
        + (alpha + 0.5) * ((y - gamma) ** 2 * nu + omega).log()
        + torch.lgamma(alpha)
        - torch.lgamma(alpha + 0.5)
    )
    return (likelihood + REGULARISATION * (y - gamma).abs() * (2 * nu + alpha)).mean()


def student(head: nn.Module, given: Part) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the sum of both variances, of the data and of the model."""
    with torch.no_grad():
        gamma, nu, alpha, beta = (each.double().numpy() for each in parameters(head(given.features)))
    excess = np.maximum(alpha - 1, 1e-3)
    return given.members[0] + gamma, beta / excess * (1 + 1 / nu)


def judge(name: str, found: tuple[Found, Found], parts: tuple[Part, Part], number: float) -> None:
    """Print how good the error bars of an arm are, all calibrated alike.

    :param found: means and variances of the crystals that calibrate, and of those that judge.
    :param number: members behind a variance.
    """
    (calibration, test), (known, asked) = found, parts
    columns = np.full((len(known.truth), 5), np.nan)
    residuals, variances = columns.copy(), columns.copy()
    residuals[:, 0], variances[:, 0] = calibration[0] - known.truth, calibration[1]
    model = SigmaModel.fit(residuals, variances, np.full((len(known.truth), 1), number), known.shells)
    degrees = min(number - 1, 1e9)
    moderated = (degrees * test[1] + 4 * model.pooled[0]) / (degrees + 4)
    sigmas = model.scale[0] * np.sqrt(moderated) * model.factors[asked.shells]
    errors = test[0] - asked.truth
    floor = noise_floor(len(errors))
    figure(f'uncertainty-mae-{name}', float(np.abs(errors).mean()), 'eV/atom')
    figure(f'uncertainty-ece-{name}', calibration_error(errors, sigmas), '1', 'noise floor', floor)
    low, high = calibration_interval(errors, sigmas)
    figure(f'uncertainty-ece-low-{name}', low, '1', 'noise floor', floor)
    figure(f'uncertainty-ece-high-{name}', high, '1', 'noise floor', floor)
    inside = np.abs(errors) <= model.quantile[0] * sigmas
    figure(f'uncertainty-coverage-90-{name}', float(inside.mean()), '1', 'nominal', 0.9)
    figure(f'uncertainty-rank-correlation-{name}', float(spearmanr(sigmas, np.abs(errors)).statistic), '1')
    large = np.abs(errors) >= np.quantile(np.abs(errors), 0.9)
    figure(f'uncertainty-auc-of-large-errors-{name}', float(roc_auc_score(large, sigmas)), '1', 'chance', 0.5)


def unknown_elements(arguments: argparse.Namespace) -> None:
    """Print the figures of `elements`."""
    count, steps = (300, 60) if arguments.quick else (1500, 600)
    known = read(arguments.data, None, TRAINING)
    strange = [not symbols(each).isdisjoint(HELD_OUT) for each in known.structures]
    rows = np.flatnonzero(~np.array(strange))[:count]
    test = read(arguments.data, None, TEST)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset([known.structures[row] for row in rows], known.energies[rows]).save(folder / 'dataset.npz')
        task(folder, 'train', {'role': 'validator', 'dataset': 'dataset.npz', 'steps': steps, 'batch_size': 16})
        elements = set(json.loads((folder / 'checkpoint' / 'config.json').read_text())['elements'])
        chosen = [each for each in test.structures if symbols(each) <= elements | set(HELD_OUT)]
        StructureBatch.from_structures(chosen).save(folder / 'structures.npz')
        task(folder, 'predict', {'validator': 'checkpoint', 'structures': 'structures.npz'})
        arrays = load_arrays(folder / 'predictions.npz')
    unseen = [not symbols(each) <= elements for each in chosen]
    figure('ood-crystals', float(sum(unseen)), 'crystals', 'all crystals', float(len(unseen)))
    for key, scores in {
        'ood-auc': arrays['out_of_distribution'],
        'ood-auc-of-distance': arrays['distance_to_training'],
        'ood-auc-of-sigma-without-marks': arrays['sigma'][:, Fidelity.PBE.rank] / np.where(unseen, 10.0, 1.0),
    }.items():
        figure(key, float(roc_auc_score(unseen, scores)), '1', 'bar', 0.9)
    marked = arrays['out_of_distribution'][~np.array(unseen)]
    figure('ood-false-alarms', float(marked.mean()), '1')


def symbols(structure: t.Any) -> set[str]:
    """Return the elements of a crystal."""
    return {element.symbol for element in structure.composition.elements}


def dataset(structures: list[t.Any], energies: NDArray[np.float64]) -> LabelledBatch:
    """Return a training set at PBE."""
    levels = np.full((len(structures), len(LevelTree().levels)), np.nan)
    levels[:, 0] = energies
    return LabelledBatch(
        structures=StructureBatch.from_structures(structures),
        energies=levels,
        descriptors=np.full((len(structures), NUM_DESCRIPTORS), np.nan),
        groups=np.array([structure.composition.reduced_formula for structure in structures]),
        split=np.zeros(len(structures), dtype=np.int8),
    )


def task(folder: Path, name: str, config: dict[str, t.Any]) -> None:
    """Run a task of the models in a folder."""
    (folder / 'config.json').write_text(json.dumps(config))
    command = [sys.executable, '-m', 'aiida_qagenai.ml', name, '--config', 'config.json']
    subprocess.run(command, cwd=folder, check=True, capture_output=True)

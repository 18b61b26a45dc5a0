"""The ensemble that the recipe of the validator makes of its members: calibrated, in half precision."""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import math
import typing as t
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import validator_data
from numpy.typing import NDArray
from torch import Tensor

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.chemistry.open_shells import shells_of
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.level import LevelTree
from aiida_qagenai.exchange.checkpoint import read_checkpoint
from aiida_qagenai.exchange.dataset import SPLITS
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.checkpoints import load_checkpoint, save_checkpoint
from aiida_qagenai.ml.elements import composition_fractions
from aiida_qagenai.ml.runtime import package_versions
from aiida_qagenai.ml.validator.calibration import LatentReference, SigmaModel, with_divergence
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs
from aiida_qagenai.ml.validator.network import hyperparameters

if t.TYPE_CHECKING:
    from validator import Data, Member

NUM_REFERENCES = 1024
"""Crystals of the training set whose latent features the checkpoint holds."""


def shipped(members: Sequence[Member], data: Data, elements: t.Mapping[str, t.Mapping[int, float]]) -> Ensemble:
    """Return the ensemble of averaged weights, with energies of formation on every level.

    It has the elements with labels on all of its levels, and not the level of the older scheme of corrections.

    :param elements: energy of each element by level and atomic number, eV/atom.
    """
    levels = [k for k in range(len(data.tree.levels)) if k != data.further]
    tree = LevelTree(
        tuple(data.tree.levels[k] for k in levels),
        tuple(levels.index(data.tree.parents[k]) if k else -1 for k in levels),
    )
    species = [data.labels.structures.select(data.of('train', k)).species for k in levels]
    numbers = functools.reduce(np.intersect1d, species)
    ensemble = Ensemble.create(
        hyperparameters(validator_data.SIZE), tuple(numbers.tolist()), len(members), torch.float32, tree
    )
    for new, member in zip(ensemble.members, members, strict=True):
        with member.averaged.applied():
            state = member.model.state_dict()
            new.load_state_dict({name: _part(state, name, levels, numbers) for name in new.state_dict()})
        with torch.no_grad():
            for index, k in enumerate(levels):
                new.references[index] -= torch.as_tensor(
                    zeros_of(member, k, elements)[numbers - validator_data.ELEMENTS[0]]
                )
    return ensemble


def _part(state: dict[str, Tensor], name: str, levels: Sequence[int], numbers: NDArray[np.int64]) -> Tensor:
    """Return the weights called ``name`` in the shipped network: those of some levels and elements."""
    found = state[_name_of(name, levels)]
    return found[torch.as_tensor(numbers - validator_data.ELEMENTS[0])] if _by_element(name) else found


def _name_of(name: str, levels: Sequence[int]) -> str:
    """Return what a member calls the weights that are called ``name`` in the shipped network."""
    words = name.split('.')
    for place, word in enumerate(words[:-1]):
        if word == 'references':
            words[place + 1] = str(levels[int(words[place + 1])])
        elif word in ('bias', 'delta', 'film'):
            words[place + 1] = str(levels[int(words[place + 1]) + 1] - 1)
    return '.'.join(words)


def _by_element(name: str) -> bool:
    return name.startswith(('references.', 'trunk.embedding.')) or '.element.' in name


def start_from(member: Member, folder: Path, elements: t.Mapping[str, t.Mapping[int, float]]) -> None:
    """Give a member the weights of the same member of a shipped checkpoint, on the levels that both have.

    A level that the checkpoint lacks starts from the surface of its parent; an element that it lacks, anew.

    :param elements: energy of each element by level and atomic number, eV/atom, which the checkpoint has as its zero.
    :raises InvalidInputError: if the checkpoint is of another size, or has levels that the labels lack.
    """
    ensemble = Ensemble.from_checkpoint(*load_checkpoint(folder, 'validator'), torch.float32)
    data = member.data
    unknown = [level.tag for level in ensemble.tree.levels if level not in data.tree.levels]
    if unknown or ensemble.network != hyperparameters(validator_data.SIZE):
        reason = f'no labels are at {unknown[0]}' if unknown else f'it is not of the size `{validator_data.SIZE}`'
        raise InvalidInputError(f'`{folder}` cannot be continued: {reason}')
    levels = [data.tree.levels.index(level) for level in ensemble.tree.levels]
    rows = torch.as_tensor(ensemble.elements) - validator_data.ELEMENTS[0]
    state, given = member.model.state_dict(), ensemble.members[member.index].state_dict()
    for name, values in given.items():
        if name.startswith('references.'):
            continue
        target = state[_name_of(name, levels)]
        if _by_element(name):
            target[rows] = values
        else:
            target.copy_(values)
    for index, k in enumerate(levels):
        known = elements.get(data.tree.levels[k].tag, {})
        zeros = torch.tensor([0.0 if k == data.published else known.get(z, math.nan) for z in ensemble.elements])
        values = given[f'references.{index}'] + zeros
        state[f'references.{k}'][rows] = torch.where(zeros.isnan(), state[f'references.{k}'][rows], values)
    if data.further not in levels:
        state[f'references.{data.further}'].copy_(state[f'references.{data.published}'])
    shadow = [parameter.detach().clone() for parameter in member.model.parameters()]
    member.averaged.restore({'steps': 0, 'shadow': shadow})


def zeros_of(member: Member, level: int, elements: t.Mapping[str, t.Mapping[int, float]]) -> NDArray[np.float32]:
    """Return the zero of the energies of a level for each element, eV/atom.

    It is the energy of the element itself; where the teacher was not asked for it, what makes its references those of
    the published energies.
    """
    found = np.zeros(len(validator_data.ELEMENTS), dtype=np.float32)
    if level in member.data.teachers:
        references = [each.detach().numpy() for each in member.model.references]
        found[:] = references[level] - references[member.data.published]
        for number, energy in elements[member.data.tree.levels[level].tag].items():
            found[number - validator_data.ELEMENTS[0]] = energy
    return found


def formation_labels(
    ensemble: Ensemble, data: Data, rows: NDArray[np.int64], zeros: t.Mapping[int, NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Return the labels of some structures as energies of formation on the levels of the ensemble, shape (n, L)."""
    fractions = composition_fractions(data.labels.structures.select(rows), validator_data.ELEMENTS)
    columns = [data.tree.levels.index(level) for level in ensemble.tree.levels]
    return np.stack([data.labels.energies[rows, k] - fractions @ zeros[k] for k in columns], axis=1)


def calibrate(ensemble: Ensemble, data: Data, zeros: t.Mapping[int, NDArray[np.float32]]) -> dict[str, float]:
    """Set the scales of σ and the latent reference, and return the errors on the formulas that validate, eV/atom."""
    relaxed = np.array(['/' not in str(name) for name in data.labels.structures.identifiers])

    def predictions(split: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], StructureBatch]:
        rows = data.rows[relaxed[data.rows] & (data.labels.split[data.rows] == SPLITS.index(split))]
        if split == 'train':
            rows = np.sort(np.random.default_rng(0).permutation(rows)[:NUM_REFERENCES])
        structures = data.labels.structures.select(rows)
        familiar = np.flatnonzero([set(ensemble.elements) >= set(numbers.tolist()) for _, numbers, _ in structures])
        graphs, _ = model_graphs(structures.select(familiar), ensemble.elements, ensemble.cutoff, torch.float32)
        energies, features = ensemble.evaluate(graphs, torch.device('cpu'), 64)
        return energies, features, formation_labels(ensemble, data, rows[familiar], zeros), structures.select(familiar)

    ensemble.latent = LatentReference.fit(predictions('train')[1], seed=0)
    energies, features, labels, structures = predictions('calibration')
    on_rungs = with_divergence(ensemble.on_rungs(energies))
    errors = on_rungs.mean(axis=0) - with_divergence(ensemble.on_rungs(labels))
    number = np.full((len(errors), 1), len(energies))
    distances = ensemble.latent.distances(features)
    ensemble.latent = ensemble.latent.with_onset(distances)
    ensemble.sigma_model = SigmaModel.fit(
        errors,
        on_rungs.var(axis=0, ddof=1),
        number,
        shells_of(numbers for _, numbers, _ in structures),
        ensemble.latent.inflation(distances, np.zeros(len(distances), dtype=bool)),
    )
    energies, _, labels, _ = predictions('validation')
    found = np.nanmean(np.abs(energies.mean(axis=0) - labels), axis=0)
    return {f'{level.tag} energy': float(value) for level, value in zip(ensemble.tree.levels, found, strict=True)}


def write(members: Sequence[Member], data: Data, arguments: argparse.Namespace) -> None:
    """Write the checkpoint and its card."""
    elements = validator_data.element_energies(arguments.elements)
    ensemble = shipped(members, data, elements)
    # The members share these zeros but for elements that no teacher was asked for.
    zeros = {k: zeros_of(members[0], k, elements) for k in range(len(data.tree.levels))}
    errors = calibrate(ensemble, data, zeros)
    print('ensemble: ' + ' '.join(f'{name} {value:.4f}' for name, value in errors.items()), flush=True)
    tensors = {
        name: value.half() if name.startswith('members.') or name == 'latent.features' else value
        for name, value in ensemble.to_tensors().items()
    }
    parent = read_checkpoint(arguments.start, 'validator')[1].sha256 if arguments.start else None
    info = save_checkpoint(
        arguments.output / 'foundation',
        tensors,
        role='validator',
        architecture=f'mf-ennp-{validator_data.SIZE}',
        configuration={
            'size': validator_data.SIZE,
            'num_members': len(members),
            'network': ensemble.network,
            'levels': ensemble.tree.describe(),
            'bootstrap_by': 'group',
            'bootstrap_seed': 0,
        },
        num_parameters=sum(parameter.numel() for member in ensemble.members for parameter in member.parameters()),
        elements=tuple(SYMBOLS[number - 1] for number in ensemble.elements),
        fidelities=tuple(rung.value for rung in ensemble.tree.rungs),
        metrics={f'validation_mae_{name}': value for name, value in errors.items()},
        dataset_sha256=digest(*arguments.structures),
        parent_sha256=parent,
        seed=0,
    )
    counts = {
        level.tag: {split: len(data.of(split, k)) for split in ('train', 'calibration', 'validation')}
        for k, level in enumerate(data.tree.levels)
    }
    card = {
        'source': 'Materials Project (structures, energies), labels by foundation potentials in their wheels',
        'license': 'CC BY 4.0 (Materials Project), MIT (SevenNet)',
        'split': 'sha256 of the reduced formula modulo 100: validation below 5, test below 10, calibration below 14',
        'labels': {path.name: digest(path) for path in arguments.labels},
        'num_labels': counts,
        'recipe': f'python recipes/validator.py --hours {arguments.hours:g}',
        'started_from': parent,
        'core_hours': sum(member.seconds for member in members) / 3600,
        'steps': [member.step for member in members],
        'validation_mae': errors,
        'checkpoint_sha256': info.sha256,
        'versions': package_versions(),
    }
    (arguments.output / 'card.json').write_text(json.dumps(card, indent=2) + '\n')


def digest(*paths: Path) -> str:
    """Return the checksum of files, one after the other."""
    return hashlib.sha256(b''.join(path.read_bytes() for path in paths)).hexdigest()

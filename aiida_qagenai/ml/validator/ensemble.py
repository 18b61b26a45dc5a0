"""The ensemble as a whole: building, saving, loading and evaluating it."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.level import LevelTree
from aiida_qagenai.exchange.checkpoint import CheckpointInfo
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.checkpoints import Tensors, load_weights
from aiida_qagenai.ml.elements import element_numbers, species_indices
from aiida_qagenai.ml.graph import CrystalGraph, build_graphs, collate
from aiida_qagenai.ml.progress import Progress
from aiida_qagenai.ml.validator.calibration import LatentReference, SigmaModel
from aiida_qagenai.ml.validator.derivatives import with_derivatives
from aiida_qagenai.ml.validator.network import MultiFidelityPotential

__all__ = ('Ensemble', 'model_graphs')


@dataclasses.dataclass
class Ensemble:
    """Members of one size that share their elements and levels of theory.

    :param network: hyperparameters of a member, see ``hyperparameters``.
    :param elements: atomic numbers in ascending order.
    :param sigma_model: turns the spread of the members into σ; None until trained.
    :param latent: positions of the training structures; None until trained.
    :param top: rung that the divergence of its predictions refers to.
    """

    network: dict[str, t.Any]
    elements: tuple[int, ...]
    members: list[MultiFidelityPotential]
    sigma_model: SigmaModel | None = None
    latent: LatentReference | None = None
    tree: LevelTree = dataclasses.field(default_factory=LevelTree)
    top: Fidelity = Fidelity.CCSD_T

    @classmethod
    def create(
        cls,
        network: dict[str, t.Any],
        elements: tuple[int, ...],
        num_members: int,
        dtype: torch.dtype,
        tree: LevelTree | None = None,
    ) -> Ensemble:
        """Return members with random weights, drawn from torch's global generator; levels of the ladder by default."""
        tree = tree or LevelTree()
        members = [MultiFidelityPotential(len(elements), tree.parents, **network).to(dtype) for _ in range(num_members)]
        return cls(network, elements, members, tree=tree)

    def grown(self, tree: LevelTree) -> Ensemble:
        """Return the ensemble with further levels, each on the surface of its parent; neither σ nor latent reference.

        :param tree: whose first levels are those of the ensemble.
        """
        dtype = next(self.members[0].parameters()).dtype
        grown = Ensemble.create(self.network, self.elements, len(self.members), dtype, tree)
        for member, known in zip(grown.members, self.members, strict=True):
            member.load_state_dict(known.state_dict(), strict=False)
            with torch.no_grad():
                for level in range(len(self.tree.levels), len(tree.levels)):
                    member.references[level].copy_(member.references[tree.parents[level]])
        return grown

    @classmethod
    def from_checkpoint(cls, tensors: Tensors, info: CheckpointInfo, dtype: torch.dtype) -> Ensemble:
        """Return the ensemble that a checkpoint holds."""
        configuration = info.configuration
        elements = element_numbers(info.elements)
        tree = LevelTree.parse(configuration['levels']) if 'levels' in configuration else LevelTree()
        ensemble = cls.create(configuration['network'], elements, configuration['num_members'], dtype, tree)
        ensemble.top = Fidelity(configuration.get('top', Fidelity.CCSD_T))
        for index, member in enumerate(ensemble.members):
            prefix = f'members.{index}.'
            state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            load_weights(member, state, info.architecture)
        sigma = {field.name: tensors.get(f'sigma.{field.name}') for field in dataclasses.fields(SigmaModel)}
        known = {name: tensor.numpy() for name, tensor in sigma.items() if tensor is not None}
        ensemble.sigma_model = SigmaModel.restore(**known)
        latent = {name: tensors[f'latent.{name}'].numpy() for name in ('mean', 'deviation', 'features')}
        threshold, onset = (float(tensors.get(f'latent.{name}', torch.tensor(0.0))) for name in ('threshold', 'onset'))
        ensemble.latent = LatentReference(**latent, threshold=threshold, onset=onset)
        return ensemble

    def to_tensors(self) -> Tensors:
        """Return the weights, the calibration and the latent reference under flat names."""
        assert self.latent is not None and self.sigma_model is not None
        tensors = {
            f'members.{index}.{name}': value
            for index, member in enumerate(self.members)
            for name, value in member.state_dict().items()
        }
        for name, part in (('sigma', self.sigma_model), ('latent', self.latent)):
            for field in dataclasses.fields(part):
                value = getattr(part, field.name)
                tensors[f'{name}.{field.name}'] = torch.as_tensor(value, dtype=torch.float64)
        return tensors

    @property
    def cutoff(self) -> float:
        """Return the cutoff of the graphs, Å."""
        return self.members[0].cutoff

    def on_rungs(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``values`` of the levels, shape (…, L), by the rungs that they speak for, shape (…, 4).

        A rung without a level was not trained: NaN, not a guess.
        """
        found = np.full((*values.shape[:-1], len(LADDER)), np.nan)
        for rung in self.tree.rungs:
            found[..., rung.rank] = values[..., self.tree.on_rung(rung)]
        return found

    def evaluate(
        self, graphs: list[CrystalGraph], device: torch.device, batch_size: int, progress: Progress | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return energies per atom, shape (members, n, L), eV, and pooled features, shape (n, members · channels)."""
        energies = [np.zeros((len(self.members), 0, len(self.tree.levels)))]
        features = [np.zeros((0, sum(member.channels for member in self.members)))]
        with torch.no_grad():
            for start in range(0, len(graphs), batch_size):
                chunk = graphs[start : start + batch_size]
                batch = collate(chunk).to(device)
                neighbours = self.members[0].neighbours(batch)
                outputs = [member.all_levels(batch, neighbours) for member in self.members]
                energies.append(torch.stack([levels for levels, _ in outputs]).double().cpu().numpy())
                features.append(torch.cat([pooled for _, pooled in outputs], dim=-1).double().cpu().numpy())
                if progress is not None:
                    progress.advance('predict', count=len(chunk))
        return np.concatenate(energies, axis=1), np.concatenate(features)

    def derivatives(
        self, graphs: list[CrystalGraph], level: int, device: torch.device, batch_size: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean forces on one level, shape (N, 3), eV/Å, and stresses, shape (n, 3, 3), eV/Å3."""
        forces, stresses = [np.zeros((0, 3))], [np.zeros((0, 3, 3))]
        for start in range(0, len(graphs), batch_size):
            batch = collate(graphs[start : start + batch_size]).to(device)
            members = [
                with_derivatives(functools.partial(member.forward, level=level), batch) for member in self.members
            ]
            forces.append(torch.stack([each for _, each, _ in members]).mean(dim=0).double().cpu().numpy())
            stresses.append(torch.stack([each for _, _, each in members]).mean(dim=0).double().cpu().numpy())
        return np.concatenate(forces), np.concatenate(stresses)


def model_graphs(
    structures: StructureBatch, elements: tuple[int, ...], cutoff: float, dtype: torch.dtype
) -> tuple[list[CrystalGraph], NDArray[np.bool_]]:
    """Return the graphs of ``structures`` and which of them contain an element that the model never saw, shape (n,).

    An unseen element is read as the seen one that is nearest in covalent radius: the prediction is then finite but
    not to be trusted, which the flag says.
    """
    indices = species_indices(structures.species, elements)
    unseen = np.bincount(structures.owner[indices < 0], minlength=len(structures)) > 0
    for atom in np.flatnonzero(indices < 0):
        radius = COVALENT_RADII[int(structures.species[atom])]
        indices[atom] = int(np.argmin([abs(COVALENT_RADII[number] - radius) for number in elements]))
    return build_graphs(structures, indices, cutoff, dtype), unseen

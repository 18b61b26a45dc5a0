"""The validator as a potential: mean of its members on one level of the ladder."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence
from pathlib import Path

import torch

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.elements import species_indices
from aiida_qagenai.ml.graph import CrystalGraph, Pairs, join_pairs
from aiida_qagenai.ml.potentials.base import Evaluation, Potential
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.validator.base import base_of
from aiida_qagenai.ml.validator.derivatives import with_derivatives
from aiida_qagenai.ml.validator.ensemble import Ensemble

__all__ = ('Validator',)


class Validator(Potential):
    """Mean of the members of an ensemble on one level; forces and stress by differentiation of that mean.

    The energy is the formation energy of the cell, eV: another zero than a total energy, the same differences.

    :param base: potential below the ensemble, whose energies, forces and stresses are added.
    :param ensemble: for relaxations and phonons in double precision, so that small displacements are not rounded away.
    :param options: ``tag``, ``level`` and ``sha256`` of a :class:`~aiida_qagenai.ml.potentials.base.Potential`.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        fidelity: Fidelity,
        device: torch.device,
        dtype: torch.dtype,
        base: Potential | None = None,
        **options: t.Any,
    ) -> None:
        super().__init__(cutoff=ensemble.cutoff, elements=frozenset(ensemble.elements), **options)
        self.ensemble = ensemble
        self.base = base
        index = ensemble.tree.on_rung(fidelity)
        if index is None:
            seen = ', '.join(rung.value for rung in ensemble.tree.rungs)
            message = f'the validator saw no {fidelity} labels, only {seen}: choose one of these as `fidelity`'
            raise InvalidInputError(message)
        self.index = index
        self.device = device
        self.dtype = dtype
        for member in ensemble.members:
            member.to(device).requires_grad_(False)

    @classmethod
    def load(cls, folder: Path, fidelity: Fidelity, runtime: Runtime) -> Validator:
        """Return the validator of a checkpoint on one level.

        :raises InvalidInputError: if it was not trained on that level.
        """
        tensors, info = load_checkpoint(folder, 'validator')
        ensemble = Ensemble.from_checkpoint(tensors, info, runtime.dtype)
        tag = f'validator:{fidelity.value}:{info.sha256[:12]}'
        base = base_of(info, runtime)
        return cls(ensemble, fidelity, runtime.device, runtime.dtype, base, tag=tag, level=tag, sha256=info.sha256)

    def _evaluate(self, structures: StructureBatch, pairs: Sequence[Pairs]) -> Evaluation:
        species = species_indices(structures.species, self.ensemble.elements)
        graph = join_pairs(structures, species, pairs, self.dtype).to(self.device)
        members: list[torch.Tensor] = []

        def mean(moved: CrystalGraph) -> torch.Tensor:
            found = torch.stack([member(moved, self.index) for member in self.ensemble.members])
            members.append(found.detach())
            return found.mean(0)

        energies, forces, stresses = with_derivatives(mean, graph)
        arrays = (array.double().cpu().numpy() for array in (energies, forces, stresses, members[0].std(0)))
        found = Evaluation(*arrays)
        if self.base is None:
            return found
        below = self.base.evaluate(structures)
        return Evaluation(
            found.energies + below.energies, found.forces + below.forces, found.stresses + below.stresses, found.sigmas
        )

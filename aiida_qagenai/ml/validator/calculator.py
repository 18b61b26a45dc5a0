"""The validator as a potential: energy, forces and stress on one level, for ASE."""

from __future__ import annotations

import dataclasses
import typing as t

import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs

if t.TYPE_CHECKING:
    from ase import Atoms

__all__ = ('ValidatorCalculator',)


class ValidatorCalculator(Calculator):
    """Mean of the members on one level of the ladder; forces and stress by differentiation of that mean.

    The energy is the formation energy of the cell, eV: another zero than a total energy, the same differences.

    :param ensemble: in double precision, so that finite displacements are not lost in rounding.
    :raises InvalidInputError: when it meets an element that the validator was not trained on.
    """

    implemented_properties: t.ClassVar[list[str]] = ['energy', 'free_energy', 'forces', 'stress', 'energy_sigma']

    def __init__(self, ensemble: Ensemble, fidelity: Fidelity, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.level = fidelity.rank
        self.device = device
        self.real = dtype
        for member in ensemble.members:
            member.to(device).requires_grad_(False)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: t.Sequence[str] = ('energy',),
        system_changes: t.Sequence[str] = all_changes,
    ) -> None:
        """Compute all properties of ``atoms``: energy (eV), forces (eV/Å), stress (eV/Å3) and σ of the energy (eV)."""
        super().calculate(atoms, properties, system_changes)
        crystal = self.atoms
        batch = StructureBatch(
            num_atoms=np.array([len(crystal)], dtype=np.int64),
            cells=crystal.cell.array[None],
            species=np.asarray(crystal.numbers, dtype=np.int64),
            fractional=crystal.get_scaled_positions(wrap=False),
            identifiers=np.array(['atoms']),
        )
        graphs, unseen = model_graphs(batch, self.ensemble.elements, self.ensemble.cutoff, self.real)
        if unseen.any():
            message = f'the validator was not trained on all elements of {crystal.get_chemical_formula()}'
            raise InvalidInputError(message)
        graph = graphs[0].to(self.device)
        positions = graph.positions.clone().requires_grad_()
        strain = torch.zeros(3, 3, dtype=self.real, device=self.device, requires_grad=True)
        deformation = torch.eye(3, dtype=self.real, device=self.device) + (strain + strain.T) / 2
        moved = dataclasses.replace(graph, positions=positions @ deformation, cells=graph.cells @ deformation)
        energies = torch.stack([member(moved, self.level).sum() for member in self.ensemble.members])
        forces, virial = torch.autograd.grad(energies.mean(), [positions, strain])
        stress = virial.double().cpu().numpy() / crystal.get_volume()
        values = energies.detach().double().cpu().numpy()
        self.results = {
            'energy': float(values.mean()),
            'free_energy': float(values.mean()),
            'forces': -forces.double().cpu().numpy(),
            'stress': stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
            'energy_sigma': float(values.std(ddof=1)),
        }

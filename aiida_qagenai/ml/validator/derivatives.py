"""Forces and stress of a model of the energy, by differentiation."""

from __future__ import annotations

import dataclasses
import typing as t

import torch
from torch import Tensor

from aiida_qagenai.ml.graph import CrystalGraph

__all__ = ('with_derivatives',)


def with_derivatives(
    energy: t.Callable[[CrystalGraph], Tensor], graph: CrystalGraph, *, trainable: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return energies, shape (B,), eV, forces, shape (N, 3), eV/Å, and stresses (1/V) dE/dε, shape (B, 3, 3), eV/Å3.

    :param energy: the energies of a graph, shape (B,), differentiable in its positions and cells.
    :param trainable: whether the results can be differentiated with respect to parameters, which costs a second
        backward pass.
    """
    positions = graph.positions.detach().requires_grad_()
    strain = torch.zeros_like(graph.cells, requires_grad=True)
    deformation = torch.eye(3).to(strain) + (strain + strain.mT) / 2
    moved = dataclasses.replace(
        graph,
        positions=torch.einsum('na,nab->nb', positions, deformation[graph.owner]),
        cells=graph.cells @ deformation,
    )
    with torch.enable_grad():
        energies = energy(moved)
    gradient, virial = torch.autograd.grad(energies.sum(), [positions, strain], create_graph=trainable)
    volumes = torch.linalg.det(graph.cells).abs()
    return energies if trainable else energies.detach(), -gradient, virial / volumes[:, None, None]

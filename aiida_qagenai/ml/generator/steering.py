"""Geometric constraints that pull on the predicted clean structure in every step, without training.

The network is asked for the clean structure as always. Its answer is moved against the gradient of each loss, taken at
the answer itself: the network is not differentiated, so that a step costs little more than without constraints. Each
constraint moves a structure by the step that would end where its loss vanishes (Polyak), which is normalised per
structure and in proportion to the violation, times its weight and 1 − noise.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from aiida_qagenai.exchange.geometry import GeometricConstraint, GeometryOptions
from aiida_qagenai.ml.elements import element_symbols
from aiida_qagenai.ml.generator.diffusion import lattice_noise, remove_mean
from aiida_qagenai.ml.generator.lattice import LatticeCode, cell_from_metric, log_coordinates
from aiida_qagenai.ml.penalties import CrystalBatch
from aiida_qagenai.ml.penalties.geometry import GeometryCrystals, measure, overlaps, reach_of

__all__ = ('Judged', 'Steering', 'judge')

OVERSHOOT = 2.0
"""In units of the step to where a linear loss would vanish: right for losses that grow with the square."""

MAX_DISPLACEMENT = 0.4
"""Longest move of an atom in one step, Å."""

MAX_STRAIN = 0.1
"""Largest component of the strain in one step."""

FINAL_SHARE = 0.25
"""Of these bounds in each of the final steps."""

FINAL_STEPS = 60
"""Most final steps where there are no constraints."""

STRAIN_LENGTH = 3.0
"""Length that makes a strain comparable to a displacement, Å: a bond changes by this times the strain."""

RECURRENT = 0.5
"""Share of the trajectory, from its beginning, in which steps are repeated: later the framework is decided."""


class Judged(t.NamedTuple):
    """What constraints say about finished structures.

    :param values: of the quantities, NaN where an element is absent, shape (B, C).
    :param losses: ≥ 0, 0 where satisfied safely or an element is absent, shape (B, C).
    :param satisfied: shape (B, C).
    """

    values: Tensor
    losses: Tensor
    satisfied: Tensor


def judge(constraints: Sequence[GeometricConstraint], batch: CrystalBatch) -> Judged:
    """Return what ``constraints`` say about a batch."""
    crystals = GeometryCrystals(batch, reach_of(constraints, batch.numbers))
    with torch.no_grad():
        columns = zip(*(measure(each, crystals) for each in constraints), strict=True)
        return Judged(*(torch.stack(column, dim=1) for column in columns))


class Steering:
    """What pulls samples towards geometric constraints, and keeps the trajectory of their losses.

    :param options: ``None`` if there are no constraints, and only finished structures are freed of overlaps.
    :param elements: atomic numbers of the generator, K of them.
    :raises InvalidInputError: if a constraint names another element.
    """

    def __init__(self, options: GeometryOptions | None, elements: tuple[int, ...]) -> None:
        if options is not None:
            options.check_elements(element_symbols(elements), 'the generator')
        self.options = options
        self.constraints = () if options is None else options.constraints
        self.numbers = torch.tensor([*elements, 0])
        self.trajectory: list[Tensor] = []
        """Losses of the predicted clean structures in each step, shape (B, C) each."""

    def repeats(self, now: Tensor, first: Tensor) -> int:
        """Return how often the step that begins at ``now`` is taken, of a trajectory that begins at ``first``."""
        options = self.options
        if options is None or not options.guided:
            return 1
        again = bool((1 - RECURRENT) * first < now <= options.begin)
        return 1 + options.recurrence if again else 1

    def pull(
        self, lattice: LatticeCode, clean: Tensor, fractional: Tensor, *, types: Tensor, mask: Tensor, now: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the predicted clean lattice z, shape (B, 6), and the moves of the clean atoms, fractional, (B, N, 3).

        :param clean: z of the predicted clean lattice, shape (B, 6).
        :param fractional: predicted clean coordinates, shape (B, N, 3).
        :param types: element positions, the likeliest where open, shape (B, N).
        :param now: the time.
        """
        if self.options is None:
            return clean, torch.zeros_like(fractional)
        sizes = mask.sum(1)
        batch = CrystalBatch(
            cell_from_metric(lattice.decode(clean, sizes)), fractional, self.numbers.to(types.device)[types] * mask
        )
        if not self.options.guided or now > self.options.begin:
            self.trajectory.append(judge(self.constraints, batch).losses)
            return clean, torch.zeros_like(fractional)
        losses, moves, strain = self._moves(batch, MAX_DISPLACEMENT, MAX_STRAIN)
        self.trajectory.append(losses[:, :-1])
        scale = self.options.strength * (1 - lattice_noise(now)).to(moves)
        cells = batch.cells + batch.cells @ (scale * strain)
        pulled = lattice.encode(log_coordinates(cells @ cells.mT), sizes)
        changed = (strain.abs().amax((1, 2)) > 0) & pulled.isfinite().all(1)
        return torch.where(changed.unsqueeze(-1), pulled, clean), remove_mean(scale * moves, mask)

    def finish(
        self, cells: Tensor, fractional: Tensor, types: Tensor, mask: Tensor, keep: Callable[..., tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Return the finished structures, moved until their losses vanish or as far as they get.

        :param keep: cells and fractional moves → what the symmetry of each structure leaves of them.
        """
        if self.options is not None and not self.options.guided:
            return cells, fractional
        final_steps = FINAL_STEPS if self.options is None else self.options.final_steps
        finite = cells.isfinite().all((1, 2)) & (torch.linalg.det(cells.nan_to_num(0.0)).abs() > 1e-3)
        usable = torch.where(finite[:, None, None], cells, torch.eye(3).to(cells))
        batch = CrystalBatch(usable, fractional, self.numbers.to(types.device)[types] * (mask & finite.unsqueeze(-1)))
        best, lowest = batch, torch.full((len(batch),), torch.inf).to(cells)
        weights = torch.tensor(self._weights).to(cells)
        for step in range(final_steps + 1):
            losses, moves, strain = self._moves(batch, FINAL_SHARE * MAX_DISPLACEMENT, FINAL_SHARE * MAX_STRAIN)
            total = losses @ weights
            better = (total < lowest)[:, None, None]
            lowest = torch.minimum(total, lowest)
            best = CrystalBatch(
                torch.where(better, batch.cells, best.cells),
                torch.where(better, batch.fractional, best.fractional),
                batch.numbers,
            )
            if step == final_steps or not (lowest > 0).any():
                break
            kept, moves = keep(batch.cells + batch.cells @ strain, moves)
            batch = CrystalBatch(kept, batch.fractional + moves, batch.numbers)
        return torch.where(finite[:, None, None], best.cells, cells), best.fractional

    @property
    def _weights(self) -> list[float]:
        """Return the weights of the constraints, and that of overlaps."""
        return [*(each.weight for each in self.constraints), 1.0]

    def _moves(self, batch: CrystalBatch, longest: float, widest: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses, that of overlaps last, shape (B, C + 1), and the moves and strains against them.

        The moves are fractional, shape (B, N, 3), the strains of shape (B, 3, 3).

        :param longest: bound of the moves, Å.
        :param widest: bound of the strains.
        """
        with torch.enable_grad():
            moves = torch.zeros_like(batch.fractional, requires_grad=True)
            strain = torch.zeros_like(batch.cells, requires_grad=True)
            cells = batch.cells + batch.cells @ (0.5 * (strain + strain.mT) / STRAIN_LENGTH)
            inverse = torch.linalg.inv(batch.cells)
            moved = CrystalBatch(cells, batch.fractional + moves @ inverse, batch.numbers)
            crystals = GeometryCrystals(moved, reach_of(self.constraints, batch.numbers, overlap=True))
            losses = [*(measure(each, crystals).loss for each in self.constraints), overlaps(crystals)]
            forces, stress = torch.zeros_like(moves), torch.zeros_like(strain)
            for loss, weight in zip(losses, self._weights, strict=True):
                step = _polyak(loss, moves, strain)
                forces, stress = forces + weight * step[0], stress + weight * step[1]
        forces = forces * batch.mask.unsqueeze(-1)
        far = torch.maximum(forces.norm(dim=2).amax(1) / longest, stress.abs().amax((1, 2)) / STRAIN_LENGTH / widest)
        bound = far.clamp(min=1.0)[:, None, None]
        return torch.stack(losses, 1).detach(), forces / bound @ inverse, stress / bound / STRAIN_LENGTH


def _polyak(loss: Tensor, moves: Tensor, strain: Tensor) -> tuple[Tensor, Tensor]:
    """Return the moves (Å) and strains (times the length of strains) of each structure against its own loss."""
    zero = torch.zeros_like(moves), torch.zeros_like(strain)
    if not loss.requires_grad or not (loss > 0).any():
        return zero
    gradients = torch.autograd.grad(loss.sum(), (moves, strain), retain_graph=True, allow_unused=True)
    forces, stress = (
        none if gradient is None else -gradient.nan_to_num(0.0, 0.0, 0.0)
        for none, gradient in zip(zero, gradients, strict=True)
    )
    squares = forces.square().sum((1, 2)) + stress.square().sum((1, 2))
    length = torch.where(squares > 1e-20, OVERSHOOT * loss.detach() / squares.clamp(min=1e-20), 0.0)
    return length[:, None, None] * forces, length[:, None, None] * stress

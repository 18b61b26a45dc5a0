"""Stochastic sampling of the reverse process for a padded batch."""

from __future__ import annotations

import itertools
import typing as t
from collections.abc import Callable

import torch
from torch import Tensor

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.ml.generator.diffusion import (
    MAX_LATTICE_COORDINATE,
    coordinate_width,
    lattice_signal,
    remove_mean,
    score_scale,
)
from aiida_qagenai.ml.generator.guidance import Guide
from aiida_qagenai.ml.generator.lattice import cell_from_metric
from aiida_qagenai.ml.generator.network import Denoiser, Noisy, Prediction
from aiida_qagenai.ml.generator.projection import keep_apart
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('Conditioning', 'Samples', 'Task', 'sample')

Conditioning = Callable[[Tensor], Tensor]
"""Expected atomic fractions (B, K) → q in physical units (B, Q), NaN for what is not conditioned on."""

PUSH_BELOW = 0.5
"""Time below which overlapping atoms are pushed apart: before, the noise is wider than the overlaps."""


class Task(t.NamedTuple):
    """What to sample, padded.

    :param types: element positions where given, K (absorbed) where to be found, shape (B, N).
    :param mask: which atoms exist, shape (B, N).
    :param allowed: elements that each structure may use, shape (B, K).
    """

    types: Tensor
    mask: Tensor
    allowed: Tensor


class Samples(t.NamedTuple):
    """Sampled structures.

    :param cells: lattice vectors as rows, shape (B, 3, 3), Å; NaN where the trajectory left the finite numbers.
    :param fractional: shape (B, N, 3).
    :param types: element positions, shape (B, N).
    :param q: the descriptors that the samples were conditioned on at the end, shape (B, Q), NaN where none.
    """

    cells: Tensor
    fractional: Tensor
    types: Tensor
    q: Tensor


def sample(
    model: Denoiser,
    task: Task,
    *,
    radii: Tensor,
    distance_scale: float,
    steps: int,
    guidance: float,
    conditioning: Conditioning | None,
    generator: torch.Generator,
    runtime: Runtime,
    report: Callable[[int], object],
    guide: Guide | None = None,
) -> Samples:
    """Return samples of the reverse process in ``steps`` equal steps from time 1 to 0.

    :param radii: covalent radius of each element, shape (K,), Å.
    :param distance_scale: atoms closer than this times r_i + r_j are pushed apart in the last part of the trajectory.
    :param guidance: λ in ε = ε_u + λ (ε_c − ε_u). It acts on v, the score and the logits; ε is linear in v at a given
        z_t, so that this is the same as guiding ε.
    :param report: called after each step with the number of structures that advanced.
    :param guide: constraints that act on the last part of the trajectory and on its end.
    """
    count, width = task.mask.shape
    device = runtime.device
    mask, allowed = task.mask.to(device), task.allowed.to(device)
    num_atoms = mask.sum(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=runtime.dtype).to(device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=runtime.dtype).to(device)

    z, x, types = normal(count, 6), uniform(count, width, 3), task.types.to(device)
    forbidden = torch.zeros(allowed.shape, dtype=runtime.dtype, device=device).masked_fill(~allowed, -torch.inf)
    probabilities = forbidden.softmax(-1).unsqueeze(1).expand(count, width, -1)
    radius_table = torch.cat([radii, radii.new_zeros(1)]).to(device)
    # On the CPU, so that comparing times never waits for the device.
    times = torch.linspace(1, 0, steps + 1, dtype=runtime.dtype)
    broken = torch.zeros(count, dtype=torch.bool, device=device)
    q = torch.full((count, NUM_DESCRIPTORS), torch.nan, dtype=runtime.dtype, device=device)
    with torch.no_grad():
        for now, then in itertools.pairwise(times):
            if conditioning is not None:
                q = conditioning(_fractions(model, types, probabilities, mask))
            noisy = Noisy(z, x, types, mask, now.expand(count).to(device))
            predicted = _guided(model, noisy, q, guidance)
            z = _lattice_step(z, predicted.v, now, then, normal(count, 6))
            x = _coordinate_step(x, predicted.score, now, then, remove_mean(normal(count, width, 3), mask))
            probabilities = (predicted.logits + forbidden.unsqueeze(1)).softmax(-1)
            if guide is not None:
                types = guide.settle(types, probabilities, task, now, then)
            types = _type_step(
                types, probabilities, now, then, absorbed=model.num_elements, draws=uniform(2, count, width)
            )
            if distance_scale and then < PUSH_BELOW:
                metric = model.lattice.decode(z, num_atoms)
                x = keep_apart(x, metric, radius_table[types] * mask, model.images, distance_scale)
            if guide is not None:
                z, x = guide.nudge(model, noisy, predicted, moving=(z, x), types=types, then=then)
            bad = ~(torch.isfinite(z).all(1) & torch.isfinite(x).all((1, 2)))
            broken |= bad
            z, x = z.masked_fill(bad[:, None], 0.0), x.masked_fill(bad[:, None, None], 0.0)
            report(count)
        if conditioning is not None:
            q = conditioning(_fractions(model, types, probabilities, mask))
    # In double precision the decomposition of strongly skewed metrics stays positive definite.
    metric = model.lattice.double().decode(z.double(), num_atoms)
    model.lattice.to(runtime.dtype)
    cells = cell_from_metric(metric).masked_fill(broken[:, None, None], torch.nan)
    x = x.double()
    if guide is not None:
        cells, x = guide.finish(cells, x, types, mask)
    return Samples(cells.cpu(), x.cpu(), types.cpu(), q.double().cpu())


def _fractions(model: Denoiser, types: Tensor, probabilities: Tensor, mask: Tensor) -> Tensor:
    """Return the composition that each trajectory is heading to, shape (B, K)."""
    one_hot = torch.nn.functional.one_hot(types, model.num_elements + 1)[..., :-1].to(probabilities)
    expected = torch.where((types == model.num_elements).unsqueeze(-1), probabilities, one_hot)
    present = mask.unsqueeze(-1).to(expected)
    return (expected * present).sum(1) / present.sum(1)


def _guided(model: Denoiser, noisy: Noisy, q: Tensor, guidance: float) -> Prediction:
    """Return ε_u + λ (ε_c − ε_u), with one evaluation where one suffices."""
    normalised, known = model.normalise_q(q)
    nothing = torch.zeros_like(known)
    if not known.any() or guidance == 0:
        return model(noisy, normalised, nothing)
    conditional: Prediction = model(noisy, normalised, known)
    if guidance == 1:
        return conditional
    unconditional: Prediction = model(noisy, normalised, nothing)
    return Prediction(*(u + guidance * (c - u) for c, u in zip(conditional, unconditional, strict=True)))


def _lattice_step(z: Tensor, v: Tensor, now: Tensor, then: Tensor, noise: Tensor) -> Tensor:
    """Return z after one ancestral step of the variance-preserving process."""
    alpha, sigma = lattice_signal(now), (1 - lattice_signal(now) ** 2).sqrt()
    clean = (alpha * z - sigma * v).clamp(-MAX_LATTICE_COORDINATE, MAX_LATTICE_COORDINATE)
    if then == 0:
        return clean
    alpha_next, sigma_next = lattice_signal(then), (1 - lattice_signal(then) ** 2).sqrt()
    ratio = alpha / alpha_next
    spread = sigma**2 - ratio**2 * sigma_next**2
    mean = (ratio * sigma_next**2 * z + alpha_next * spread * clean) / sigma**2
    return mean + spread.clamp(min=0).sqrt() * sigma_next / sigma * noise


def _coordinate_step(x: Tensor, score: Tensor, now: Tensor, then: Tensor, noise: Tensor) -> Tensor:
    """Return x after one ancestral step of the variance-exploding process; the last step goes to the mean."""
    variance, next_variance = coordinate_width(now) ** 2, coordinate_width(then) ** 2
    gradient = score * score_scale(now)
    if then == 0:
        return x + variance * gradient
    drop = variance - next_variance
    return x + drop * gradient + (next_variance * drop / variance).sqrt() * noise


def _type_step(
    types: Tensor, probabilities: Tensor, now: Tensor, then: Tensor, *, absorbed: int, draws: Tensor
) -> Tensor:
    """Return the types after absorbed atoms were released, each with the probability of this step.

    :param draws: uniform numbers, shape (2, B, N).
    """
    kept = 1 - lattice_signal(now) ** 2
    released = torch.ones_like(kept) if then == 0 else (lattice_signal(then) ** 2 - lattice_signal(now) ** 2) / kept
    cumulative = probabilities.cumsum(-1)
    chosen = (draws[0].unsqueeze(-1) * cumulative[..., -1:] >= cumulative).sum(-1).clamp(max=absorbed - 1)
    return torch.where((types == absorbed) & (draws[1] <= released), chosen, types)

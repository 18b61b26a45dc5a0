"""Stochastic sampling of the reverse process for a padded batch."""

from __future__ import annotations

import copy
import itertools
import math
import typing as t
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.tasks import NoiseSchedule
from aiida_qagenai.ml.generator.diffusion import coordinate_width, lattice_noise, lattice_signal, remove_mean
from aiida_qagenai.ml.generator.guidance import Guide
from aiida_qagenai.ml.generator.lattice import cell_from_metric, log_coordinates, metric_from_coordinates
from aiida_qagenai.ml.generator.network import Denoiser, Noisy, Prediction
from aiida_qagenai.ml.generator.steering import Steering
from aiida_qagenai.ml.generator.symmetry import Operations, Subspace
from aiida_qagenai.ml.runtime import Runtime

if t.TYPE_CHECKING:
    from aiida_qagenai.ml.generator.masking import Hold

__all__ = ('Conditioning', 'Samples', 'Start', 'Task', 'sample', 'step_times')

Conditioning = Callable[[Tensor], Tensor]
"""Expected atomic fractions (B, K) → q in physical units (B, Q), NaN for what is not conditioned on."""


class Start(t.NamedTuple):
    """Structures at which the reverse process starts, in the reduced setting of ``symmetry.reduced_setting``.

    :param cells: lattice vectors as rows, shape (B, 3, 3), Å.
    :param fractional: shape (B, N, 3), anything on padding.
    :param time: noise level t0 that is added first, in (0, 1]; 1 leaves nothing of the start.
    :param noisy: whether noise of this level is added, or taken to be there: what is wrong with the start.
    """

    cells: Tensor
    fractional: Tensor
    time: float
    noisy: bool = True


class Task(t.NamedTuple):
    """What to sample, padded.

    :param types: element positions where given, K (absorbed) where to be found, shape (B, N).
    :param mask: which atoms exist, shape (B, N).
    :param allowed: elements that each structure may use, shape (B, K).
    :param start: where the reverse process starts; from noise if not given.
    :param symmetry: for each structure of ``start`` the operations that its samples keep, or ``None``; the start has to
        have them exactly (``symmetry.symmetrise``).
    :param hold: the first atoms of each structure, which are led to a motif; their types are given.
    """

    types: Tensor
    mask: Tensor
    allowed: Tensor
    start: Start | None = None
    symmetry: Sequence[Operations | None] | None = None
    hold: Hold | None = None


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
    steps: int,
    stochasticity: float,
    guidance: float,
    conditioning: Conditioning | None,
    generator: torch.Generator,
    runtime: Runtime,
    report: Callable[[int], object],
    guide: Guide | None = None,
    steering: Steering | None = None,
    noise_schedule: NoiseSchedule = 'linear',
) -> Samples:
    """Return samples of the reverse process in ``steps`` steps from time 1, or that of the start, to 0.

    :param stochasticity: 0 for the flow without noise, 1 for ancestral steps.
    :param guidance: λ in ε = ε_u + λ (ε_c − ε_u). It acts on v, the shift and the logits; ε is linear in v at a given
        z_t, so that this is the same as guiding ε.
    :param report: called after each step with the number of structures that advanced.
    :param guide: constraints that decide open elements and act on the finished structures.
    :param steering: geometric constraints that pull on the predicted clean structures.
    :param noise_schedule: how the times of the steps are spaced, see :func:`step_times`.
    """
    (count, width), device = task.mask.shape, runtime.device
    mask, types, allowed = task.mask.to(device), task.types.to(device), task.allowed.to(device)
    draw, keep = _Draws(generator, runtime, mask), _Kept(model, task, mask.sum(1))
    # On the CPU, so that comparing times never waits for the device.
    times = step_times(1.0 if task.start is None else task.start.time, steps, noise_schedule, runtime.dtype)
    z, x = _begin(model, task, times[0], draw, keep)
    forbidden = torch.zeros(allowed.shape, dtype=runtime.dtype, device=device).masked_fill(~allowed, -torch.inf)
    pulls = _Pulls(forbidden, steering, task.hold)
    probabilities = forbidden.softmax(-1).unsqueeze(1).expand(count, width, -1)
    broken = torch.zeros(count, dtype=torch.bool, device=device)
    q = torch.full((count, NUM_DESCRIPTORS), torch.nan, dtype=runtime.dtype, device=device)
    with torch.no_grad():
        for now, then, back in _moves(times, steering):
            if back:
                z, x = _taken_back(z, x, now=now, then=then, draw=draw, keep=keep)
            if conditioning is not None:
                q = conditioning(_fractions(model, types, probabilities, mask))
            noisy = Noisy(z, x, types, mask, now.expand(count).to(device))
            clean, shift, probabilities = _predict(model, noisy, q, guidance, pulls)
            step: dict[str, t.Any] = {'now': now, 'then': then, 'share': stochasticity}
            z = keep.lattice(_lattice_step(z, clean, noise=draw.normal(count, 6), **step))
            x = x + keep.atoms(_coordinate_move(shift, noise=draw.displacements(), **step))
            if guide is not None:
                types = guide.settle(types, probabilities, task, _before(now, times), then)
            types = _type_step(types, probabilities, now, then, draw.uniform(2, count, width))
            z, x = _mended(z, x, broken)
            report(0 if back else count)
        if conditioning is not None:
            q = conditioning(_fractions(model, types, probabilities, mask))
    cells, x = keep.cells(z).masked_fill(broken[:, None, None], torch.nan), keep.places(x)
    if guide is not None:
        cells, x = guide.finish(cells, x, types, mask)
    if steering is not None:
        cells, x = steering.finish(cells, x, types, mask, keep.moved)
    return Samples(cells.cpu(), x.cpu(), types.cpu(), q.double().cpu())


def step_times(first: float, steps: int, schedule: NoiseSchedule, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return the times at which the steps begin, and 0, shape (steps + 1,).

    :param first: time at which the reverse process starts.
    :param schedule: ``linear`` for equal steps; ``cosine`` for t = first · (1 − cos(π u / 2)), u from 1 to 0 in equal
        steps: the first step is π / 2 times as long, the last ones are the shortest.
    """
    if schedule == 'linear':
        return torch.linspace(first, 0, steps + 1, dtype=dtype)
    uniform = torch.linspace(1, 0, steps + 1, dtype=dtype)
    return first * (1 - torch.cos(0.5 * math.pi * uniform))


class _Draws:
    """Random numbers of a padded batch, drawn on the CPU and moved to the device."""

    def __init__(self, generator: torch.Generator, runtime: Runtime, mask: Tensor) -> None:
        self._generator, self._runtime, self._mask = generator, runtime, mask

    def normal(self, *shape: int) -> Tensor:
        drawn = torch.randn(shape, generator=self._generator, dtype=self._runtime.dtype)
        return drawn.to(self._runtime.device)

    def uniform(self, *shape: int) -> Tensor:
        drawn = torch.rand(shape, generator=self._generator, dtype=self._runtime.dtype)
        return drawn.to(self._runtime.device)

    def displacements(self) -> Tensor:
        """Return normal displacements without their mean, shape (B, N, 3)."""
        return remove_mean(self.normal(*self._mask.shape, 3), self._mask)


class _Kept:
    """What the symmetry of each structure leaves of displacements and lattices; everything if none is asked for.

    What is held leaves noise as it is, and something only of finished structures.
    """

    def __init__(self, model: Denoiser, task: Task, num_atoms: Tensor) -> None:
        self._model, self._num_atoms, self._subspace, self._hold = model, num_atoms, None, task.hold
        if task.symmetry is not None:
            if task.start is None:
                raise InvalidInputError('`symmetry` was given without a `start` that has it')
            like = model.lattice.mean
            self._subspace = Subspace(task.start.cells, task.symmetry, task.mask.shape[1], like)

    def atoms(self, displacements: Tensor) -> Tensor:
        return displacements if self._subspace is None else self._subspace.displace(displacements)

    def lattice(self, z: Tensor) -> Tensor:
        if self._subspace is None:
            return z
        coordinates = self._subspace.coordinates(self._model.lattice.coordinates(z, self._num_atoms))
        return self._model.lattice.encode(coordinates, self._num_atoms)

    def moved(self, cells: Tensor, displacements: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is left of lattice vectors, shape (B, 3, 3), and of fractional displacements."""
        finished = self._finished
        if finished is None:
            return cells, displacements
        coordinates = finished.coordinates(log_coordinates(cells @ cells.mT))
        kept = finished.displace(displacements.to(self._model.lattice.mean)).to(displacements)
        return cell_from_metric(metric_from_coordinates(coordinates)), kept

    def places(self, x: Tensor) -> Tensor:
        """Return finished coordinates in double precision."""
        return x.double() if self._hold is None else self._hold.place(x)

    @property
    def _finished(self) -> Subspace | Hold | None:
        """Return what finished structures keep."""
        return self._subspace or self._hold

    def cells(self, z: Tensor) -> Tensor:
        """Return the lattice vectors in double precision, in which strongly skewed metrics stay positive definite."""
        lattice = copy.deepcopy(self._model.lattice).double()
        coordinates = lattice.coordinates(z.double(), self._num_atoms)
        if self._finished is not None:
            coordinates = self._finished.coordinates(coordinates)
        return cell_from_metric(metric_from_coordinates(coordinates))


def _moves(times: Tensor, steering: Steering | None) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Yield beginning and end of each step, and whether it is the one before again, which is then taken back."""
    for now, then in itertools.pairwise(times):
        for repeat in range(1 if steering is None else steering.repeats(now, times[0])):
            yield now, then, repeat > 0


def _before(now: Tensor, times: Tensor) -> Tensor:
    """Return the time before a step: a start below that at which open elements are decided decides them at once."""
    return torch.tensor(torch.inf) if now == times[0] else now


def _mended(z: Tensor, x: Tensor, broken: Tensor) -> tuple[Tensor, Tensor]:
    """Return z and x without numbers that are not finite, and mark the structures that had them as ``broken``."""
    bad = ~(torch.isfinite(z).all(1) & torch.isfinite(x).all((1, 2)))
    broken |= bad
    return z.masked_fill(bad[:, None], 0.0), x.masked_fill(bad[:, None, None], 0.0)


def _taken_back(z: Tensor, x: Tensor, *, now: Tensor, then: Tensor, draw: _Draws, keep: _Kept) -> tuple[Tensor, Tensor]:
    """Return z and x at the beginning of a step from those at its end: its noise is added again."""
    ratio = lattice_signal(now) / lattice_signal(then)
    fresh = (lattice_noise(now) ** 2 - (ratio * lattice_noise(then)) ** 2).clamp(min=0).sqrt()
    width = (coordinate_width(now) ** 2 - coordinate_width(then) ** 2).sqrt()
    z = keep.lattice(ratio.to(z) * z + fresh.to(z) * draw.normal(*z.shape))
    return z, x + keep.atoms(width.to(x) * draw.displacements())


def _begin(model: Denoiser, task: Task, time: Tensor, draw: _Draws, keep: _Kept) -> tuple[Tensor, Tensor]:
    """Return z and x at the first time: noise, or the start with noise added."""
    count, width = task.mask.shape
    z = draw.normal(count, 6)
    if task.start is None:
        return z, draw.uniform(count, width, 3)
    cells = task.start.cells.double()
    coordinates = log_coordinates(cells @ cells.mT).to(z)
    clean = model.lattice.encode(coordinates, task.mask.sum(1).to(z.device))
    alpha = lattice_signal(time).to(z)
    if not task.start.noisy:
        return alpha * clean, task.start.fractional.to(z)
    noise = keep.atoms(coordinate_width(time).to(z) * draw.displacements())
    return keep.lattice(alpha * clean + lattice_noise(time).to(z) * z), task.start.fractional.to(z) + noise


def _fractions(model: Denoiser, types: Tensor, probabilities: Tensor, mask: Tensor) -> Tensor:
    """Return the composition that each trajectory is heading to, shape (B, K)."""
    one_hot = torch.nn.functional.one_hot(types, model.num_elements + 1)[..., :-1].to(probabilities)
    expected = torch.where((types == model.num_elements).unsqueeze(-1), probabilities, one_hot)
    present = mask.unsqueeze(-1).to(expected)
    return (expected * present).sum(1) / present.sum(1)


class _Pulls(t.NamedTuple):
    """What changes the predicted clean structures.

    :param forbidden: 0 for the elements that each structure may use, −∞ for others, shape (B, K).
    :param steering: pulls on them.
    :param hold: replaces their held atoms and cells.
    """

    forbidden: Tensor
    steering: Steering | None
    hold: Hold | None


def _predict(model: Denoiser, noisy: Noisy, q: Tensor, guidance: float, pulls: _Pulls) -> tuple[Tensor, Tensor, Tensor]:
    """Return z of the clean lattice, the displacements to the clean atoms and the probabilities of the elements."""
    steering, hold = pulls.steering, pulls.hold
    clean, shift, logits = _guided(model, noisy, q, guidance)
    probabilities = (logits + pulls.forbidden.unsqueeze(1)).softmax(-1)
    if steering is not None:
        likely = torch.where(noisy.types == model.num_elements, probabilities.argmax(-1), noisy.types)
        now = noisy.time[0].cpu()
        clean, move = steering.pull(model.lattice, clean, noisy.x + shift, types=likely, mask=noisy.mask, now=now)
        shift = shift + move
    if hold is not None:
        clean, shift = hold.overwrite(model.lattice, clean, shift, noisy.x, noisy.mask)
    return clean, shift, probabilities


def _guided(model: Denoiser, noisy: Noisy, q: Tensor, guidance: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return z of the clean lattice, the displacements to the clean coordinates and the logits, guided towards q.

    That is ε_u + λ (ε_c − ε_u), with one evaluation where one suffices.
    """
    normalised, known = model.normalise_q(q)
    nothing = torch.zeros_like(known)
    conditioned = bool(known.any()) and guidance != 0
    predicted: Prediction = model(noisy, normalised, known if conditioned else nothing)
    if conditioned and guidance != 1:
        unconditional: Prediction = model(noisy, normalised, nothing)
        pairs = zip(predicted, unconditional, strict=True)
        predicted = Prediction(*(u + guidance * (c - u) for c, u in pairs))
    return *model.clean(noisy, predicted), predicted.logits


def _lattice_step(z: Tensor, clean: Tensor, *, now: Tensor, then: Tensor, noise: Tensor, share: float) -> Tensor:
    """Return z after one step of the variance-preserving process; the last step goes to the clean lattice.

    :param share: 0 for the flow without noise, 1 for ancestral steps.
    """
    if then == 0:
        return clean
    alpha, sigma = lattice_signal(now), lattice_noise(now)
    alpha_next, sigma_next = lattice_signal(then), lattice_noise(then)
    fresh = share * sigma_next / sigma * (1 - (alpha / alpha_next) ** 2).clamp(min=0).sqrt()
    kept = (sigma_next**2 - fresh**2).clamp(min=0).sqrt()
    return alpha_next * clean + kept * (z - alpha * clean) / sigma + fresh * noise


def _coordinate_move(shift: Tensor, *, now: Tensor, then: Tensor, noise: Tensor, share: float) -> Tensor:
    """Return the displacements of one step of the variance-exploding process; the last goes to the clean structure.

    :param shift: from here to the predicted clean structure.
    :param share: 0 for the flow without noise, 1 for ancestral steps.
    """
    if then == 0:
        return shift
    width, next_width = coordinate_width(now), coordinate_width(then)
    fresh = share * next_width * (1 - (next_width / width) ** 2).sqrt()
    kept = (next_width**2 - fresh**2).clamp(min=0).sqrt()
    return (1 - kept / width) * shift + fresh * noise


def _type_step(types: Tensor, probabilities: Tensor, now: Tensor, then: Tensor, draws: Tensor) -> Tensor:
    """Return the types after absorbed atoms were released, each with the probability of this step.

    :param draws: uniform numbers, shape (2, B, N).
    """
    absorbed = probabilities.shape[-1]
    kept = 1 - lattice_signal(now) ** 2
    released = torch.ones_like(kept) if then == 0 else (lattice_signal(then) ** 2 - lattice_signal(now) ** 2) / kept
    cumulative = probabilities.cumsum(-1)
    chosen = (draws[0].unsqueeze(-1) * cumulative[..., -1:] >= cumulative).sum(-1).clamp(max=absorbed - 1)
    return torch.where((types == absorbed) & (draws[1] <= released), chosen, types)

"""The terms of guidance, one by one, where their result is known."""

import pytest
import torch
from pymatgen.core import Lattice

from aiida_qagenai.exchange.geometry import GeometryOptions
from aiida_qagenai.ml.generator.diffusion import coordinate_width, lattice_noise, lattice_signal
from aiida_qagenai.ml.generator.lattice import LatticeCode, log_coordinates
from aiida_qagenai.ml.generator.sampler import _taken_back
from aiida_qagenai.ml.generator.steering import OVERSHOOT, Steering, _polyak

EARLY, LATE = torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64)


def pull(volume: float, wanted: str, *, now: torch.Tensor = LATE, **options) -> float:
    """Return the volume of the clean cube to which guidance moves one of ``volume``, one atom in each."""
    steering = Steering(GeometryOptions.parse({'constraints': [wanted], 'strength': 1.0, **options}), (3,))
    code, sizes = LatticeCode().double(), torch.tensor([1])
    cell = torch.tensor(Lattice.cubic(volume ** (1 / 3)).matrix.copy())[None]
    clean = code.encode(log_coordinates(cell @ cell.mT), sizes)
    nowhere = torch.zeros(1, 1, 3, dtype=torch.float64)
    mask, types = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.int64)
    moved, shift = steering.pull(code, clean, nowhere, types=types, mask=mask, now=now)
    assert not shift.any()
    return float(torch.linalg.det(code.decode(moved, sizes)).sqrt())


def test_a_step_goes_against_the_gradient_in_proportion_to_the_violation():
    """Of a linear loss g·x: −2 (loss / |g|²) g, whatever the size of the gradient."""
    for slope, place in ((1.0, 0.5), (4.0, 0.5), (4.0, 1.0)):
        moves, strain = (
            torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in ((1, 2, 3), (1, 3, 3))
        )
        step, stress = _polyak(slope * (place + moves[:, 1, 0]), moves, strain)
        assert step[0, 1, 0].item() == pytest.approx(-OVERSHOOT * place)
        assert step.count_nonzero() == 1 and not stress.any()


def test_the_clean_lattice_moves_towards_the_window_and_only_if_it_is_outside():
    assert 27.0 < pull(27.0, 'volume_per_atom=30..33') < 33.0
    assert pull(27.0, 'volume_per_atom=22..24') < 27.0
    assert pull(27.0, 'volume_per_atom=20..35') == pytest.approx(27.0)


def test_the_move_is_in_proportion_to_one_minus_noise():
    """Small ones are: the logarithm of the volume grows by the trace of the strain."""
    early, late = (pull(27.0, 'volume_per_atom=27.6..29', now=now) / 27.0 - 1 for now in (EARLY, LATE))
    expected = (1 - lattice_noise(EARLY)) / (1 - lattice_noise(LATE))
    assert early / late == pytest.approx(float(expected), rel=0.02)


def test_nothing_pulls_before_its_time_or_without_guidance():
    assert pull(27.0, 'volume_per_atom=30..33', now=EARLY, begin=0.5) == pytest.approx(27.0)
    assert pull(27.0, 'volume_per_atom=30..33', guided=False) == pytest.approx(27.0)


class Draws:
    """Normal numbers."""

    def __init__(self, count):
        self.generator, self.count = torch.Generator().manual_seed(0), count

    def normal(self, *shape):
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def displacements(self):
        return self.normal(self.count, 2, 3)


class Everything:
    """No symmetry."""

    def lattice(self, z):
        return z

    def atoms(self, displacements):
        return displacements


def test_a_step_that_is_taken_back_has_the_noise_of_its_beginning():
    """Self-recurrence: signal and noise are those of the forward process at the earlier time."""
    count, now, then = 20000, torch.tensor(0.6, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    draw = Draws(count)
    z = 1.5 * lattice_signal(then) + lattice_noise(then) * draw.normal(count, 6)
    x = coordinate_width(then) * draw.displacements()
    z, x = _taken_back(z, x, now=now, then=then, draw=draw, keep=Everything())
    assert z.mean().item() == pytest.approx(1.5 * float(lattice_signal(now)), rel=0.01)
    assert z.std().item() == pytest.approx(float(lattice_noise(now)), rel=0.01)
    assert x.std().item() == pytest.approx(float(coordinate_width(now)), rel=0.01)


def test_only_steps_of_the_first_half_are_repeated():
    steering = Steering(GeometryOptions.parse({'constraints': ['volume_per_atom=30..33'], 'recurrence': 2}), (3,))
    first = torch.tensor(1.0)
    assert [steering.repeats(torch.tensor(time), first) for time in (1.0, 0.6, 0.4)] == [3, 3, 1]

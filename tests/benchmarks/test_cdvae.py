"""The pieces of the arm `cdvae`: lattices, symmetries of the networks, noise, and sampling with a known decoder."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

from arms import vae
from arms.vae import CDVAE, lattice_matrices, lattice_parameters, losses, mixed_types, sample, scaled_parameters

SIZES = {'hidden': 16, 'encoder_layers': 2, 'decoder_layers': 2, 'frequencies': 4, 'latent': 8, 'time': 8}


@pytest.fixture
def model():
    """Return small networks with random weights."""
    torch.manual_seed(1)
    return CDVAE(**SIZES)


@pytest.fixture
def crystals():
    """Return atomic numbers, fractional coordinates and reduced lattices of three random crystals of five atoms."""
    generator = torch.Generator().manual_seed(2)
    numbers = torch.randint(1, 101, (3, 5), generator=generator)
    lengths = 2 + torch.rand((3, 3), generator=generator)
    angles = 1.2 + 0.6 * torch.rand((3, 3), generator=generator)
    lattice = lattice_matrices(torch.cat([lengths, angles], dim=1), 5)
    return numbers, torch.rand((3, 5, 3), generator=generator), lattice


def test_lattices_are_those_of_their_parameters(crystals):
    lattice = crystals[2]
    scaled = scaled_parameters(lattice, 5)
    torch.testing.assert_close(lattice_matrices(scaled, 5), lattice)
    torch.testing.assert_close(scaled[:, :3] * 5 ** (1 / 3), lattice.norm(dim=-1))
    hexagonal = torch.tensor([[[3.0, 0.0, 0.0], [-1.5, 1.5 * 3**0.5, 0.0], [0.0, 0.0, 5.0]]])
    degrees = torch.rad2deg(lattice_parameters(hexagonal))[0]
    assert degrees[:3].deg2rad().tolist() == pytest.approx([3, 3, 5])
    assert degrees[3:].tolist() == pytest.approx([90, 90, 120], abs=1e-3)
    assert torch.isfinite(lattice_matrices(torch.tensor([[-1.0, 0.0, 2.0, 9.0, 9.0, 9.0]]), 2)).all()


def test_the_networks_see_neither_translations_nor_rotations(model, crystals):
    numbers, fractional, lattice = crystals
    mean, _ = model.encode(numbers, fractional, lattice)
    rotation, _ = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(3)))
    moved = fractional + torch.tensor([0.3, -0.2, 0.9]) + torch.tensor([[0.0, 1.0, -2.0]] * 5)
    other, _ = model.encode(numbers, moved, lattice @ rotation)
    torch.testing.assert_close(other, mean, atol=1e-4, rtol=1e-3)
    level = torch.tensor([0, 20, 49])
    way, types = model.denoise(mean, level, numbers, fractional, lattice)
    rotated, same = model.denoise(mean, level, numbers, moved, lattice @ rotation)
    torch.testing.assert_close(rotated, way @ rotation, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(same, types, atol=1e-4, rtol=1e-3)


def test_the_order_of_the_atoms_does_not_matter_to_the_prior(model, crystals):
    numbers = crystals[0]
    torch.testing.assert_close(model.expect(numbers.flip(1)), model.expect(numbers))
    assert (model.expect(numbers)[0][0] - model.expect(numbers)[0][1]).abs().max() > 1e-3
    assert (model.expect(numbers[:, :2])[0] - model.expect(numbers[:, [0, 1, 0, 1]])[0]).abs().max() > 1e-4


def test_the_shortest_way_is_found_in_a_skewed_cell():
    lattice = torch.tensor([[[4.0, 0.0, 0.0], [2.0, 3.5, 0.0], [2.0, 1.2, 3.3]]])
    points = torch.rand((1, 200, 3), generator=torch.Generator().manual_seed(4)) * 6 - 3
    found = vae.shortest(points, lattice)
    wide = torch.cartesian_prod(*[torch.arange(-5.0, 6.0)] * 3)
    every = ((points.unsqueeze(2) + wide) @ lattice[0]).norm(dim=-1)
    torch.testing.assert_close(found.norm(dim=-1), every.min(dim=-1).values)
    steps = (found @ torch.linalg.inv(lattice) - points)[0]
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)


def test_elements_are_mixed_only_where_noise_is_wide():
    numbers = torch.full((400, 3), 8)
    composition = torch.zeros((400, 100))
    composition[:, 25] = 1.0
    shares = []
    for level in (0, 49):
        mixed = mixed_types(numbers, composition, torch.full((400,), level), torch.Generator().manual_seed(5))
        assert set(mixed.unique().tolist()) <= {8, 26}
        shares.append(float((mixed == 26).float().mean()))
    assert shares[0] == pytest.approx((1 - vae.KNOWN_TYPES) * 5 / 6, abs=0.08)
    assert shares[1] < 0.02


def test_the_losses_fall_in_training(model, crystals):
    numbers, fractional, lattice = crystals
    model.fit(scaled_parameters(lattice, 5))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    course = []
    for step in range(60):
        parts = losses(model, numbers, fractional, lattice, generator=torch.Generator().manual_seed(step))
        assert set(parts) == set(vae.WEIGHTS)
        loss = vae.total_loss(parts)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        course.append({name: float(value.detach()) for name, value in parts.items()})
    first, last = (
        {name: sum(each[name] for each in some) for name in vae.WEIGHTS} for some in (course[:10], course[-10:])
    )
    for name in ('lattice', 'num_atoms', 'composition', 'types'):
        assert last[name] < 0.8 * first[name], name


class KnownCrystal(nn.Module):
    """A decoder that knows the crystal."""

    def __init__(self, fractional, lattice):
        super().__init__()
        self.fractional, self.lattice = fractional, lattice

    def expect(self, numbers):
        return torch.zeros((len(numbers), 1)), torch.zeros((len(numbers), 1))

    def cells(self, z, num_atoms):
        return self.lattice.expand(len(z), 3, 3)

    def denoise(self, z, level, numbers, fractional, lattice):
        width = vae.widths()[level][:, None, None]
        return vae.shortest(self.fractional - fractional, lattice) / width, torch.zeros((*numbers.shape, 100))


def test_sampling_with_a_decoder_that_knows_the_crystal_finds_it(monkeypatch):
    monkeypatch.setattr(vae, 'STEPS_PER_LEVEL', 10)
    fractional = torch.tensor([[0.1, 0.2, 0.9], [0.5, 0.5, 0.0]])
    lattice = torch.tensor([[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.0, -1.0, 6.0]])
    cells, positions = sample(KnownCrystal(fractional, lattice), torch.tensor([[3, 1]] * 4), torch.Generator())
    torch.testing.assert_close(cells, lattice.expand(4, 3, 3))
    away = positions - fractional
    # the noise of the last level stays
    assert 1e-4 < ((away - away.round()) @ lattice).abs().max() < 5 * vae.NARROWEST * 2**0.5

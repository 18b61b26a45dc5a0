"""DiffCSP in its smallest form (our own implementation): diffusion from noise, one composition at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pymatgen.core import Structure

from aiida_qagenai.ml.checkpoints import load_checkpoint, load_weights
from arms import Arm
from arms.csp_diffusion import Schedule, sample
from arms.cspnet import CSPNet, atomic_numbers, structures

CHECKPOINT = Path(__file__).parent / 'diffcsp_checkpoint'
"""Written by `recipes/diffcsp.py`; its card is `card.json` in it."""


def build(excluded: frozenset[str]) -> Arm:
    """Return the arm with the network that comes with the benchmarks; it keeps no crystals to exclude."""
    return DiffCSP.load(CHECKPOINT)


@dataclasses.dataclass(frozen=True)
class DiffCSP:
    """A trained network and its noise levels."""

    model: CSPNet
    schedule: Schedule

    @classmethod
    def load(cls, folder: Path) -> DiffCSP:
        """Read a checkpoint.

        :raises CorruptFileError: if it is missing or damaged.
        """
        tensors, info = load_checkpoint(folder, 'generator')
        model = CSPNet(**info.configuration['network'])
        load_weights(model, {name: tensor.float() for name, tensor in tensors.items()}, info.architecture)
        return cls(model.eval(), Schedule.build())

    def __call__(self, composition: Mapping[str, int], count: int, seed: int) -> list[Structure | None]:
        """Return crystals in the order in which they were drawn."""
        return self.draw([composition] * count, seed)

    def draw(self, compositions: Sequence[Mapping[str, int]], seed: int) -> list[Structure | None]:
        """Return one crystal of each composition, all with the same number of atoms, drawn side by side."""
        drawn = sample(self.model, self.schedule, atomic_numbers(compositions), torch.Generator().manual_seed(seed))
        return structures(compositions, *drawn)

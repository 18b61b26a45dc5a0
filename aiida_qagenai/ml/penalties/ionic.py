"""Charges, bonds and coordination of a batch of compositions, as tensors."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.chemistry.charges import CLOSED_SHELL
from aiida_qagenai.chemistry.constraints.pauling import expected_coordination
from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.chemistry.ionic_model import IonicModel, ionic_model

__all__ = ('IonicTable',)


@dataclasses.dataclass(frozen=True)
class IonicTable:
    """What the compositions of B structures of up to N atoms decide about their bonds.

    Everything is zero where a composition is not heteropolar, or its anions have no filled shells.

    :param charges: oxidation state of each atom, e, shape (B, N).
    :param filled: electrons that fill the shell of each atom as an anion, shape (B, N).
    :param averaged: how much smaller and larger the real states of an atom are, where it has its state only on average,
        e, shape (B, N, 2).
    :param unit: R0 of a cation (row) and an anion (column), Å, shape (B, N, N).
    :param uncertainty: of R0, Å, shape (B, N, N).
    :param coordination: smallest and largest expected coordination number, shape (B, N, 2).
    :param kinds: index of the element of each atom within the batch, another in each structure, shape (B, N).
    :param num_kinds: how many there are.
    :param heteropolar: where cations and anions can be told apart, shape (B,).
    :param pauling: where Pauling's rules apply, shape (B,).
    :param bond_valence: where bond-valence sums mean something, shape (B,).
    """

    charges: torch.Tensor
    filled: torch.Tensor
    averaged: torch.Tensor
    unit: torch.Tensor
    uncertainty: torch.Tensor
    coordination: torch.Tensor
    kinds: torch.Tensor
    num_kinds: int
    heteropolar: torch.Tensor
    pauling: torch.Tensor
    bond_valence: torch.Tensor

    @classmethod
    def build(cls, numbers: torch.Tensor, like: torch.Tensor) -> IonicTable:
        """Return the table of structures with atomic ``numbers``, shape (B, N), 0 on padding.

        :param like: a tensor with the device and the dtype wanted.
        """
        z = numbers.cpu().numpy()
        count, width = z.shape
        arrays: dict[str, NDArray[np.float64]] = {
            **{name: np.zeros((count, width)) for name in ('charges', 'filled')},
            **{name: np.zeros((count, width, 2)) for name in ('averaged', 'coordination')},
            **{name: np.zeros((count, width, width)) for name in ('unit', 'uncertainty')},
        }
        flags = {name: np.zeros(count, dtype=bool) for name in ('heteropolar', 'pauling', 'bond_valence')}
        kinds = np.zeros((count, width), dtype=np.int64)
        num_kinds = 1
        for row in range(count):
            symbols = [SYMBOLS[number - 1] if number else '' for number in z[row]]
            names = sorted(set(symbols) - {''})
            kinds[row] = [num_kinds + names.index(symbol) if symbol else 0 for symbol in symbols]
            num_kinds += len(names)
            model = ionic_model(collections.Counter(symbol for symbol in symbols if symbol)) if names else ''
            if isinstance(model, str) or model.covalent or not model.assignment.closed_shell:
                continue
            flags['heteropolar'][row] = True
            flags['pauling'][row] = not model.no_pauling_rules
            flags['bond_valence'][row] = not model.no_bond_valences
            _fill(arrays, row, symbols, model)
        tensors = {name: torch.as_tensor(array).to(like) for name, array in arrays.items()}
        masks = {name: torch.as_tensor(array).to(like.device) for name, array in flags.items()}
        return cls(**tensors, **masks, kinds=torch.as_tensor(kinds).to(like.device), num_kinds=num_kinds)


def _fill(arrays: dict[str, NDArray[np.float64]], row: int, symbols: list[str], model: IonicModel) -> None:
    states = model.assignment.states
    for i, symbol in enumerate(symbols):
        if not symbol:
            continue
        arrays['charges'][row, i] = states[symbol]
        arrays['filled'][row, i] = -CLOSED_SHELL.get(symbol, 0)
        arrays['averaged'][row, i] = model.averaged.get(symbol, (0.0, 0.0))
        if states[symbol] > 0:
            arrays['coordination'][row, i] = expected_coordination(symbol)
            for j, other in enumerate(symbols):
                if other and states[other] < 0:
                    unit = model.units[symbol, other]
                    arrays['unit'][row, i, j], arrays['uncertainty'][row, i, j] = unit.length, unit.uncertainty

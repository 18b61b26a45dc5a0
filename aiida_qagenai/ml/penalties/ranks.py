"""Ranks within groups, without a loop."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ('ranks',)


def ranks(group: Tensor, values: Tensor) -> Tensor:
    """Return for each entry how many of its group have smaller values, shape (E,).

    :param group: number of the group of each entry, shape (E,), int64.
    """
    by_value = torch.argsort(values, stable=True)
    order = by_value[torch.argsort(group[by_value], stable=True)]
    counts = torch.bincount(group)
    starts = counts.cumsum(0) - counts
    found = torch.empty_like(group)
    found[order] = torch.arange(len(group), device=group.device) - starts[group[order]]
    return found

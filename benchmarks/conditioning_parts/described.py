"""How well the heads predict quantum descriptors by our own DFT, of crystals of formulas that they never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from descriptor_heads import columns, explained
from figures import figure

from aiida_qagenai.common.descriptors import BLOCKS, HEAD_FIELDS
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.properties.described import describe, load_descriptor_heads
from aiida_qagenai.ml.runtime import setup

LABELS = Path(__file__).parents[2] / 'recipes' / 'labels' / 'descriptors.npz'
HELD_OUT = ('validation', 'test')
"""Splits that nothing was fitted to."""

PAPER_ELF = 0.08


def held_out(labels: LabelledBatch) -> LabelledBatch:
    """Return the crystals of the splits that nothing was fitted to."""
    return labels.select(np.flatnonzero(np.isin(labels.split, [SPLITS.index(name) for name in HELD_OUT])))


def report_descriptors() -> None:
    """Print R² of every field, of logarithms where it spans orders, over the crystals of both splits."""
    labels = held_out(LabelledBatch.load(LABELS))
    chosen, truth = labels.structures, columns(labels)
    found = describe(load_descriptor_heads(setup(RuntimeConfig())), chosen)
    values, sigma = found.values[:, : len(HEAD_FIELDS)], found.sigma[:, : len(HEAD_FIELDS)]
    moved = np.array([name.endswith('-moved') for name in chosen.identifiers.tolist()])
    print(f'# descriptors: {len(labels)} crystals, {int(moved.sum())} of them off equilibrium', flush=True)
    shares = explained(values, truth)
    for name, share in zip(HEAD_FIELDS, shares, strict=True):
        figure(f'r2-{name.replace("_", "-")}', float(share), '', 'mean predictor', 0.0)
    figure('r2-least', float(shares.min()), '', 'bar', 0.7)
    errors = np.abs(values - truth)
    bins = [HEAD_FIELDS.index(name) for name in BLOCKS['elf']]
    figure('elf-mae', float(errors[:, bins].mean()), 'share of the volume', 'paper', PAPER_ELF)
    figure('descriptors-within-sigma', float((errors <= sigma)[np.isfinite(errors)].mean()), 'share', 'normal', 0.683)
    figure('descriptors-unfamiliar', float(found.out_of_distribution.mean()), 'share')

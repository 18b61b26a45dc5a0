"""What a fine-tuning must not forget: the structures that it replays, and the probe set that it is measured by.

A checkpoint carries its memory: structures with labels on the levels that it knows. Those of the split ``train`` are
replayed; those of ``validation`` are the probe. Of structures that the present training set holds too, a member that
never saw them predicts honestly: they are part of the probe as well, and nothing of them is replayed twice.

The error of the ensemble on the probe may not grow by more than ``max_degradation`` on any level. If it does, the
weights that these levels use are moved back on the straight line to those before the fine-tuning, as far as it takes
(WiSE-FT: M. Wortsman et al., CVPR 2022, arXiv:2109.01903).
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs

__all__ = ('Guard', 'replayed', 'updated_memory')

MAX_STRUCTURES = 1024
"""Most structures of a memory; what is in it stays."""

MIN_LABELS = 10
"""With fewer labels on a level its error is recorded, but what chance does to it has no consequences."""

SMALLEST = 1e-3
"""Error below which a degradation is counted from this one, eV/atom."""

BISECTIONS = 6
TRAIN, VALIDATION = SPLITS.index('train'), SPLITS.index('validation')


def replayed(memory: LabelledBatch | None, dataset: LabelledBatch) -> LabelledBatch | None:
    """Return the part of a memory that is replayed: what was trained on, and is not in the training set at hand."""
    if memory is None:
        return None
    present = np.isin(_keys(memory.structures), _keys(dataset.structures))
    rows = np.flatnonzero((memory.split == TRAIN) & ~present)
    return memory.select(rows) if len(rows) else None


def updated_memory(memory: LabelledBatch | None, dataset: LabelledBatch) -> LabelledBatch:
    """Return the memory of a checkpoint trained on ``dataset``: what was in it, and its structures that have energies.

    They are taken in the order of their hashes while there is room, without forces and descriptors.
    """
    known = [] if memory is None else _keys(memory.structures)
    keys = np.array(_keys(dataset.structures), dtype=np.str_)
    labelled = np.isfinite(dataset.energies).any(axis=1) & np.isin(dataset.split, (TRAIN, VALIDATION))
    new = np.flatnonzero(labelled & ~np.isin(keys, known))
    order = np.argsort(keys[new], kind='stable')
    chosen = dataset.select(np.sort(new[order[: max(0, MAX_STRUCTURES - len(known))]]))
    compact = dataclasses.replace(
        chosen, forces=np.zeros(0), stresses=np.zeros(0), descriptors=np.full_like(chosen.descriptors, np.nan)
    )
    return compact if memory is None else LabelledBatch.concatenate([memory, compact])


def _keys(structures: StructureBatch) -> list[str]:
    """Return a hash of each structure: names repeat between campaigns."""
    return [
        hashlib.sha256(species.tobytes() + cell.round(6).tobytes() + fractional.round(6).tobytes()).hexdigest()
        for cell, species, fractional in structures
    ]


class Guard:
    """The errors of an ensemble on its probe before a fine-tuning, and the weights that gave them.

    :param ensemble: before the fine-tuning, with the new levels.
    :param num_known: levels that it had before these.
    :param memory: of the checkpoint.
    :param labels: the training split.
    :param counts: how often each member sees each row of it, shape (members, n).
    """

    def __init__(
        self,
        ensemble: Ensemble,
        num_known: int,
        memory: LabelledBatch,
        labels: LabelledBatch,
        *,
        counts: NDArray[np.int64],
        dataset: LabelledBatch,
        runtime: Runtime,
        batch_size: int,
    ) -> None:
        self._ensemble, self._tree = ensemble, ensemble.tree
        self._device, self._batch_size = runtime.device, batch_size
        present = np.isin(_keys(memory.structures), _keys(dataset.structures))
        probe = memory.select(np.flatnonzero((memory.split != TRAIN) | present)).on_levels(self._tree.levels)
        self._graphs, _ = model_graphs(
            probe.structures, ensemble.elements, ensemble.cutoff, next(ensemble.members[0].parameters()).dtype
        )
        rows = {key: row for row, key in enumerate(_keys(labels.structures))}
        found = _keys(probe.structures)
        self._unseen = np.array([[key not in rows or not seen[rows[key]] for key in found] for seen in counts])
        self._labels = probe.energies
        self._labels[:, num_known:] = np.nan
        known = {
            name
            for name in ensemble.members[0].state_dict()
            if not _belongs_to(name, range(num_known, len(self._tree.levels)))
        }
        self._before = [
            {name: value.detach().clone() for name, value in member.state_dict().items() if name in known}
            for member in ensemble.members
        ]
        self.numbers = np.isfinite(self._labels).sum(axis=0)
        self.errors_before = self.errors()

    def errors(self) -> NDArray[np.float64]:
        """Return the mean absolute error on each level, shape (L,), eV/atom, NaN without labels."""
        energies, _ = self._ensemble.evaluate(self._graphs, self._device, self._batch_size)
        weights = self._unseen[:, :, None].astype(float)
        with np.errstate(invalid='ignore', divide='ignore'):
            mean = (energies * weights).sum(axis=0) / weights.sum(axis=0)
            errors = np.abs(mean - self._labels)
            known = np.isfinite(errors)
            return np.where(known, errors, 0.0).sum(axis=0) / known.sum(axis=0)

    def degradations(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by which share the error on each level has grown, shape (L,), NaN without labels."""
        return (errors - self.errors_before) / np.maximum(self.errors_before, SMALLEST)

    def enforce(self, most: float | None) -> float:
        """Move the weights back until no level with enough labels degrades by more than ``most``.

        :returns: the share of the change that is kept: 1 if nothing was moved back.
        """
        if most is None or self._worst() <= most:
            return 1.0
        after = [
            {name: value.detach().clone() for name, value in member.state_dict().items()}
            for member in self._ensemble.members
        ]
        kept, lost = 0.0, 1.0
        for _ in range(BISECTIONS):
            share = (kept + lost) / 2
            self._interpolate(after, share)
            kept, lost = (share, lost) if self._worst() <= most else (kept, share)
        self._interpolate(after, kept)
        return kept

    def _worst(self) -> float:
        counted = self.degradations(self.errors())[self.numbers >= MIN_LABELS]
        return float(np.nanmax(counted, initial=-np.inf))

    def _interpolate(self, after: list[dict[str, torch.Tensor]], share: float) -> None:
        for member, before, tuned in zip(self._ensemble.members, self._before, after, strict=True):
            state = {name: torch.lerp(value, tuned[name], share) for name, value in before.items()}
            member.load_state_dict(state, strict=False)

    def report(self, record: Record, kept: float, names: list[str], most: float | None) -> None:
        """Add the errors on the probe and their growth to the metrics, and warn where weights were moved back."""
        errors = self.errors()
        degradations = self.degradations(errors)
        for name, error, growth in zip(names, errors, degradations, strict=True):
            if np.isfinite(error):
                record.metrics[f'probe_mae_{name}'] = float(error)
                record.metrics[f'probe_degradation_{name}'] = float(growth)
        record.metrics['probe_kept'] = kept
        if kept < 1:
            assert most is not None
            record.warn(
                f'the fine-tuning made errors on the probe set grow by more than {most:.0%}: {kept:.0%} of the change '
                f'of the weights that known levels use was kept'
            )


def _belongs_to(name: str, levels: range) -> bool:
    """Return whether a parameter is only used by one of ``levels`` and what inherits from it."""
    parts = name.split('.')
    numbers = {f'references.{level}' for level in levels} | {f'bias.{level - 1}' for level in levels}
    numbers |= {f'delta.{level - 1}' for level in levels}
    film = len(parts) > 1 and parts[-2] == 'film' and int(parts[-1]) + 1 in levels
    return '.'.join(parts[:2]) in numbers or film

"""Packed training sets: structures with energies, forces, stresses on every level, descriptors, groups and splits."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.level import LADDER_LEVELS, Level, last_on_rung
from aiida_qagenai.exchange.structures import StructureBatch, check_shapes, load_arrays, pick_arrays, save_arrays

__all__ = ('MIN_GROUPS', 'SPLITS', 'LabelledBatch', 'check_fractions', 'hashed_splits', 'stratified_splits')

SPLITS = ('train', 'validation', 'calibration', 'test')
"""Names of the values of ``LabelledBatch.split``."""

LABELS = ('energies', 'descriptors', 'groups', 'split')
"""The arrays with a row per structure that every training set has in addition to its structures."""

DERIVATIVES = ('forces', 'stresses')
"""The arrays that a file holds only if they have labels: files of earlier releases have neither."""


@dataclasses.dataclass(frozen=True)
class LabelledBatch:
    """Structures with labels.

    :param structures: the n structures.
    :param energies: formation energy on each of the L ``levels``, shape (n, L), eV/atom, NaN where not computed.
    :param descriptors: quantum descriptors, shape (n, NUM_DESCRIPTORS), NaN where not computed.
    :param groups: label that a split never separates (the reduced formula), shape (n,), str.
    :param split: index into ``SPLITS``, shape (n,), int8.
    :param forces: forces on the N atoms of all structures on each level, shape (N, L, 3), eV/Å, NaN where not computed;
        none by default.
    :param stresses: stress (1/V) dE/dε of each structure on each level, shape (n, L, 3, 3), eV/Å3, likewise.
    :param levels: levels of theory, by default one per rung of the ladder under its name.
    :param doubtful: energies whose calculation did not converge or warns that it cannot be trusted, shape (n, L), bool;
        none by default.
    """

    structures: StructureBatch
    energies: NDArray[np.float64]
    descriptors: NDArray[np.float64]
    groups: NDArray[np.str_]
    split: NDArray[np.int8]
    forces: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros(0))
    stresses: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros(0))
    levels: tuple[Level, ...] = LADDER_LEVELS
    doubtful: NDArray[np.bool_] = dataclasses.field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    def __post_init__(self) -> None:
        n, total, levels = len(self.structures), len(self.structures.species), len(self.levels)
        columns = {'energies': (n, levels), 'descriptors': (n, NUM_DESCRIPTORS), 'groups': (n,), 'split': (n,)}
        derivatives = {'forces': (total, levels, 3), 'stresses': (n, levels, 3, 3)}
        for name, shape in derivatives.items():
            if not getattr(self, name).size:
                object.__setattr__(self, name, np.full(shape, np.nan))
        if not self.doubtful.any():
            object.__setattr__(self, 'doubtful', np.zeros((n, levels), dtype=np.bool_))
        check_shapes(self, {**columns, **derivatives, 'doubtful': (n, levels)})
        for name in ('energies', *DERIVATIVES):
            if np.isinf(getattr(self, name)).any():
                raise InvalidInputError(f'{name} contain infinities: use NaN for {name} that were not computed')
        if n and (self.split.min() < 0 or self.split.max() >= len(SPLITS)):
            raise InvalidInputError(f'split indices must lie in 0–{len(SPLITS) - 1}')
        self._check_complete()

    def _check_complete(self) -> None:
        """Check that a structure has the forces on all of its atoms, or on none.

        :raises InvalidInputError: naming the first structure that has some of them.
        """
        known = np.isfinite(self.forces).sum(axis=2)
        counts = np.zeros((len(self), known.shape[1]), dtype=np.int64)
        np.add.at(counts, self.structures.owner, known)
        partly = ((counts > 0) & (counts < 3 * self.structures.num_atoms[:, None])).any(axis=1)
        if partly.any():
            name = self.structures.identifiers[np.argmax(partly)]
            raise InvalidInputError(f'structure `{name}` has forces on some of its atoms only')

    def __len__(self) -> int:
        return len(self.structures)

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of energies per fidelity."""
        return self._by_rung(np.isfinite(self.energies))

    def _by_rung(self, known: NDArray[np.bool_]) -> dict[str, int]:
        """Return the sum of ``known``, shape (n, L), over the structures and the levels of each rung."""
        counts = dict.fromkeys((rung.value for rung in LADDER), 0)
        for level, count in zip(self.levels, known.sum(axis=0).tolist(), strict=True):
            counts[level.rung.value] += count
        return counts

    @property
    def has_forces(self) -> NDArray[np.bool_]:
        """Return which structures have forces on which level, shape (n, L)."""
        return np.isfinite(self.forces[self.structures.offsets[:-1], :, 0])

    @property
    def force_counts(self) -> dict[str, int]:
        """Return the number of structures with forces per fidelity."""
        return self._by_rung(self.has_forces)

    def energies_of(self, rung: Fidelity) -> NDArray[np.float64]:
        """Return the energies of the last level on ``rung``, which speaks for it, shape (n,), eV/atom."""
        index = last_on_rung(self.levels, rung)
        return np.full(len(self), np.nan) if index is None else self.energies[:, index]

    def on_levels(self, levels: t.Sequence[Level]) -> LabelledBatch:
        """Return the set with the axis ``levels``: labels of others are left out, and NaN is what it lacks."""
        found = np.array([self.levels.index(level) if level in self.levels else -1 for level in levels], dtype=int)
        arrays: dict[str, t.Any] = {}
        for name in ('energies', *DERIVATIVES):
            array = getattr(self, name)
            arrays[name] = np.full((len(array), len(levels), *array.shape[2:]), np.nan)
            arrays[name][:, found >= 0] = array[:, found[found >= 0]]
        arrays['doubtful'] = np.zeros((len(self), len(levels)), dtype=np.bool_)
        arrays['doubtful'][:, found >= 0] = self.doubtful[:, found[found >= 0]]
        return dataclasses.replace(self, levels=tuple(levels), **arrays)

    def tagged(self, tags: t.Mapping[str, str]) -> LabelledBatch:
        """Return the set with levels that have the tags of ``tags``, by rung, and without rungs that have none."""
        known = [level for level in self.levels if level.rung.value in tags]
        named = tuple(Level(tags[level.rung.value], level.rung) for level in known)
        return dataclasses.replace(self.on_levels(known), levels=named)

    def without(self, wrong: NDArray[np.bool_]) -> LabelledBatch:
        """Return the set without the energies, forces and stresses where ``wrong`` is true, shape (n, L)."""
        atoms = wrong[self.structures.owner]
        return dataclasses.replace(
            self,
            energies=np.where(wrong, np.nan, self.energies),
            forces=np.where(atoms[:, :, None], np.nan, self.forces),
            stresses=np.where(wrong[:, :, None, None], np.nan, self.stresses),
            doubtful=self.doubtful & ~wrong,
        )

    def select(self, indices: NDArray[np.int64] | list[int]) -> LabelledBatch:
        """Return the rows at ``indices``."""
        indices = np.asarray(indices, dtype=np.int64)
        return LabelledBatch(
            self.structures.select(indices),
            **{name: getattr(self, name)[indices] for name in (*LABELS, 'stresses', 'doubtful')},
            forces=self.forces[self.structures.atoms_of(indices)],
            levels=self.levels,
        )

    @classmethod
    def concatenate(cls, batches: t.Sequence[LabelledBatch]) -> LabelledBatch:
        """Return all rows of ``batches`` in order, with the levels of all, lowest rung first."""
        names = (*LABELS, *DERIVATIVES, 'doubtful')
        union = dict.fromkeys(level for batch in batches for level in batch.levels)
        levels = tuple(sorted(union, key=lambda level: level.rung.rank))
        batches = [batch.on_levels(levels) for batch in batches]
        return cls(
            levels=levels,
            structures=StructureBatch.concatenate([batch.structures for batch in batches]),
            **{name: np.concatenate([getattr(batch, name) for batch in batches]) for name in names},
        )

    def to_arrays(self) -> dict[str, NDArray[t.Any]]:
        """Return the arrays of the file format, without forces, stresses, doubts and tags where there are none."""
        known = [name for name in DERIVATIVES if np.isfinite(getattr(self, name)).any()]
        known += ['doubtful'] if self.doubtful.any() else []
        arrays = {**self.structures.to_arrays(), **{name: getattr(self, name) for name in (*LABELS, *known)}}
        if self.levels != LADDER_LEVELS:
            arrays['level_tags'] = np.array([level.tag for level in self.levels], dtype=np.str_)
            arrays['level_rungs'] = np.array([level.rung.value for level in self.levels], dtype=np.str_)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[t.Any]]) -> LabelledBatch:
        """Return the training set held by ``arrays``.

        :raises CorruptFileError: if an array is missing.
        """
        known = [name for name in (*DERIVATIVES, 'doubtful') if name in arrays]
        levels = LADDER_LEVELS
        if 'level_tags' in arrays:
            names = pick_arrays(arrays, ('level_tags', 'level_rungs')).values()
            levels = tuple(Level(tag, Fidelity.parse(rung)) for tag, rung in zip(*map(list, names), strict=True))
        return cls(StructureBatch.from_arrays(arrays), levels=levels, **pick_arrays(arrays, (*LABELS, *known)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the training set to an NPZ file."""
        save_arrays(path, self.to_arrays())

    @classmethod
    def load(cls, source: str | os.PathLike[str] | t.IO[bytes]) -> LabelledBatch:
        """Read a training set from an NPZ file or an open binary stream."""
        return cls.from_arrays(load_arrays(source))


MIN_GROUPS = 20
"""Fewer groups than this cannot be spread over the splits: then structures are, and the split may share formulas."""


def hashed_splits(
    identifiers: NDArray[np.str_],
    groups: NDArray[np.str_],
    *,
    fractions: tuple[float, ...],
    seed: int,
    known: NDArray[np.int8] | None = None,
) -> NDArray[np.int8]:
    """Assign every structure to a split by the hash of its group, or of its own name where groups are few.

    A campaign in one binary system has a handful of formulas; splitting by formula would put whole compositions
    aside. From ``MIN_GROUPS`` groups on, all new structures of one group share a split. Splits are permanent: what a
    model was trained on never becomes a structure that judges or calibrates it.

    :param identifiers: names, shape (n,).
    :param groups: reduced formulas, shape (n,).
    :param fractions: shares of ``SPLITS``, summing to 1.
    :param known: splits of the first m ≤ n structures, which they keep. New structures of their groups follow them,
        unless a group was scattered over several splits while groups were few.
    :returns: indices into ``SPLITS``, shape (n,).
    :raises InvalidInputError: if the fractions do not match or do not sum to 1.
    """
    check_fractions(fractions)
    edges = np.cumsum(fractions)[:-1]
    found = [] if known is None else known.tolist()
    by_group = len(set(groups.tolist())) >= MIN_GROUPS
    homes: dict[str, set[int]] = {}
    for group, split in zip(groups.tolist(), found, strict=False):
        homes.setdefault(group, set()).add(split)
    for name, group in zip(identifiers[len(found) :].tolist(), groups[len(found) :].tolist(), strict=True):
        home = homes.get(group, set())
        if by_group and len(home) == 1:
            found.append(next(iter(home)))
        else:
            key = group if by_group and not home else name
            found.append(int(np.searchsorted(edges, _unit_interval(f'{seed}:{key}'), side='right')))
    return np.array(found, dtype=np.int8)


def _unit_interval(text: str) -> float:
    """Return a number in [0, 1) that depends on ``text`` only."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], 'big') / 2**48


def stratified_splits(
    groups: NDArray[np.str_], classes: NDArray[np.str_], *, fractions: tuple[float, ...], seed: int
) -> NDArray[np.int8]:
    """Assign whole groups to splits so that every class is shared out in the given proportions.

    Within a class the groups are taken in the order of their hashes, each to the split that is furthest behind its
    share; the order of the structures does not matter. Unlike :func:`hashed_splits` it may reassign a group when
    the set grows, so that it suits only sets that are made once.

    :param groups: reduced formulas, shape (n,).
    :param classes: class of each structure, the same within a group, shape (n,).
    :param fractions: shares of ``SPLITS``, summing to 1.
    :returns: indices into ``SPLITS``, shape (n,).
    :raises InvalidInputError: if the fractions do not match or do not sum to 1, or a group has two classes.
    """
    check_fractions(fractions)
    sizes: dict[str, int] = {}
    class_of: dict[str, str] = {}
    for group, name in zip(groups.tolist(), classes.tolist(), strict=True):
        sizes[group] = sizes.get(group, 0) + 1
        if class_of.setdefault(group, name) != name:
            raise InvalidInputError(f'group `{group}` has the classes `{class_of[group]}` and `{name}`')
    assigned: dict[str, int] = {}
    for name in sorted(set(class_of.values())):
        filled = np.zeros(len(SPLITS))
        members = sorted((group for group in class_of if class_of[group] == name), key=lambda g: _order(g, seed))
        total = sum(sizes[group] for group in members)
        for group in members:
            behind = np.array(fractions) * total - filled
            index = int(np.argmax(np.where(np.array(fractions) > 0, behind, -np.inf)))
            assigned[group] = index
            filled[index] += sizes[group]
    return np.array([assigned[group] for group in groups.tolist()], dtype=np.int8)


def check_fractions(fractions: tuple[float, ...]) -> None:
    """Check the shares of ``SPLITS``.

    :raises InvalidInputError: if they do not match or do not sum to 1.
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise InvalidInputError(f'fractions must be {len(SPLITS)} shares that sum to 1, got {fractions}')


def _order(group: str, seed: int) -> tuple[float, str]:
    return _unit_interval(f'{seed}:{group}'), group

"""Levels of theory: what stands on the rungs of the ladder, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity

__all__ = ('LADDER_LEVELS', 'Level', 'LevelTree', 'last_on_rung', 'line_of')


@dataclasses.dataclass(frozen=True)
class Level:
    """A level of theory. A rung may hold several, whose energies are never averaged or mixed.

    :param tag: what tells it from the others: ``SevenNet-MF-0 PBE``, or the level tag of PySCF energies.
    :param rung: its place on the ladder.
    """

    tag: str
    rung: Fidelity


LADDER_LEVELS = tuple(Level(rung.value, rung) for rung in LADDER)
"""One level per rung under its name, where nothing says more."""


def last_on_rung(levels: Sequence[Level], rung: Fidelity) -> int | None:
    """Return the position of the last level on ``rung``, which speaks for it, or None if there is none."""
    found = [index for index, level in enumerate(levels) if level.rung is rung]
    return found[-1] if found else None


def line_of(index: int, parents: Sequence[int]) -> list[int]:
    """Return the levels from the root down to ``index``, both included.

    :param parents: position of the parent of each level, −1 for the root.
    """
    line = [index]
    while (index := parents[index]) >= 0:
        line.insert(0, index)
    return line


@dataclasses.dataclass(frozen=True)
class LevelTree:
    """The levels that a model knows; each but the first inherits the surface of its parent.

    :param levels: a parent comes before its children.
    :param parents: position of the parent of each level, −1 for the first, the root.
    """

    levels: tuple[Level, ...] = LADDER_LEVELS
    parents: tuple[int, ...] = tuple(range(-1, len(LADDER) - 1))

    def __post_init__(self) -> None:
        ordered = all(0 <= parent < index for index, parent in enumerate(self.parents[1:], 1))
        if len(self.levels) != len(self.parents) or self.parents[:1] not in ((), (-1,)) or not ordered:
            raise InvalidInputError(f'the parents {self.parents} of {len(self.levels)} levels are not those of a tree')
        if len(set(self.levels)) < len(self.levels):
            raise InvalidInputError(f'a level occurs twice among {", ".join(level.tag for level in self.levels)}')

    def grown(self, new: Iterable[Level], chosen: Mapping[str, str] | None = None) -> LevelTree:
        """Return the tree with the ``new`` levels that it lacks, the lowest rung first.

        The parent of a new level is the next lower one of ``new``: they are computed for the same structures, so that
        their difference can be learned from pairs of labels. The lowest has none there. Its parent is the level on its
        rung that is nearest to the root, so that raw energies do not inherit the corrections of others; if its rung is
        empty, that of the next lower rung that is not; else the root.

        :param new: all levels with labels, those that the tree has included.
        :param chosen: tag of a new level, or name of its rung → tag of the parent that it has instead.
        :raises InvalidInputError: if a chosen parent is not among the levels before.
        """
        levels, parents = list(self.levels), list(self.parents)
        below: int | None = None
        for level in sorted(new, key=lambda each: each.rung.rank):
            if level not in levels:
                parents.append(_parent(level, levels, parents, below, _chosen(level, chosen or {})))
                levels.append(level)
            below = levels.index(level)
        return LevelTree(tuple(levels), tuple(parents))

    def ancestors(self, index: int) -> list[int]:
        """Return the levels whose surface a level inherits, the root first."""
        return line_of(index, self.parents)[:-1]

    def on_rung(self, rung: Fidelity) -> int | None:
        """Return the level that speaks for ``rung``, the last one on it, or None if there is none."""
        return last_on_rung(self.levels, rung)

    @property
    def rungs(self) -> tuple[Fidelity, ...]:
        """Return the rungs with a level, lowest first."""
        return tuple(rung for rung in LADDER if self.on_rung(rung) is not None)

    def describe(self) -> list[dict[str, str | int]]:
        """Return the levels as JSON, with their parents by position."""
        return [
            {'tag': level.tag, 'rung': level.rung.value, 'parent': parent}
            for level, parent in zip(self.levels, self.parents, strict=True)
        ]

    @classmethod
    def parse(cls, content: Iterable[Mapping[str, str | int]]) -> LevelTree:
        """Return the tree that :meth:`describe` wrote."""
        entries = list(content)
        levels = tuple(Level(str(entry['tag']), Fidelity(str(entry['rung']))) for entry in entries)
        return cls(levels, tuple(int(entry['parent']) for entry in entries))


def _chosen(level: Level, chosen: Mapping[str, str]) -> str | None:
    return chosen.get(level.tag, chosen.get(level.rung.value))


def _parent(
    level: Level, before: Sequence[Level], parents: Sequence[int], below: int | None, chosen: str | None
) -> int:
    if chosen is not None:
        named = [index for index, each in enumerate(before) if each.tag == chosen]
        if not named:
            known = ', '.join(f'`{each.tag}`' for each in before)
            raise InvalidInputError(f'`{chosen}`, the parent of the level `{level.tag}`, is not among {known}')
        return named[-1]
    if below is not None:
        return below
    for rung in reversed(LADDER[: level.rung.rank + 1]):
        found = [index for index, each in enumerate(before) if each.rung is rung]
        if found:
            return min(found, key=lambda index: len(line_of(index, parents)))
    return 0 if before else -1

"""The hull that comes with the package: all stable phases of the Materials Project, of any chemical system.

Its energies are formation energies by PBE and PBE+U with the corrections MP2020. Only the phases of the chemical
systems that are asked for become objects.
"""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS, SYMBOLS
from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.thermodynamics.hull.phases import CompetingPhases, Phase

__all__ = ('DEFAULT_HULL', 'SCALE', 'ReferenceHull')

DEFAULT_HULL = Path(__file__).parent / 'reference.npz'
"""The phases that come with the package; ``card.json`` beside it says where they are from."""

SCALE = 'MP2020'
"""Level of theory of its phases: PBE and PBE+U with the corrections of A. Wang et al., Sci. Rep. 11, 15496 (2021)."""

ABOUT = 'PBE(+U) formation energies with MP2020 corrections'
"""The same in words."""

_ARRAYS = ('identifiers', 'num_elements', 'elements', 'amounts', 'energies')


class ReferenceHull:
    """An immutable set of phases in arrays. Use :meth:`default`, :meth:`load` or :meth:`from_phases`.

    :param arrays: ``identifiers`` (n,), the number in ``mp-…``; ``num_elements`` (n,); ``elements`` (m,), atomic
        numbers of all phases after each other; ``amounts`` (m,); ``energies`` (n,), eV/atom.
    :raises CorruptFileError: if an array is missing, or they do not go together.
    """

    def __init__(self, arrays: Mapping[str, NDArray[t.Any]]) -> None:
        missing = [name for name in _ARRAYS if name not in arrays]
        if missing:
            raise CorruptFileError(f'a reference hull lacks {", ".join(missing)}')
        self._identifiers, counts, self._elements, self._amounts, self._energies = (arrays[name] for name in _ARRAYS)
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        lengths = len(self._identifiers) == len(self._energies) == len(counts)
        if not lengths or not self._starts[-1] == len(self._elements) == len(self._amounts) or not counts.all():
            raise CorruptFileError('a reference hull has arrays of different lengths')

    @classmethod
    def from_phases(cls, phases: Iterable[Phase]) -> ReferenceHull:
        """Return the hull of phases with whole amounts up to 255, whose identifiers are those of Materials Project.

        :raises InvalidInputError: on other amounts or identifiers.
        """
        numbered = sorted(((_number(phase), phase) for phase in phases), key=lambda pair: pair[0])
        amounts = [amount for _, phase in numbered for amount in phase.amounts.values()]
        if any(amount != int(amount) or not 0 < amount < 256 for amount in amounts):
            raise InvalidInputError('the amounts of a reference hull are whole numbers up to 255')
        elements = [ATOMIC_NUMBERS[element] for _, phase in numbered for element in phase.elements]
        return cls(
            {
                'identifiers': np.array([number for number, _ in numbered], dtype=np.uint32),
                'num_elements': np.array([len(phase.elements) for _, phase in numbered], dtype=np.uint8),
                'elements': np.array(elements, dtype=np.uint8),
                'amounts': np.array(amounts, dtype=np.uint8),
                'energies': np.array([phase.energy_per_atom for _, phase in numbered], dtype=np.float32),
            }
        )

    @classmethod
    def load(cls, path: Path) -> ReferenceHull:
        """Read a hull.

        :raises CorruptFileError: if the file is not one.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                return cls({name: archive[name] for name in archive.files})
        except (ValueError, OSError, EOFError) as exception:
            raise CorruptFileError(f'`{path}` is not a reference hull: {exception}') from exception

    @classmethod
    @functools.cache
    def default(cls) -> ReferenceHull:
        """Return the stable phases of the Materials Project that come with the package."""
        return cls.load(DEFAULT_HULL)

    def __len__(self) -> int:
        return len(self._energies)

    @property
    def arrays(self) -> dict[str, NDArray[t.Any]]:
        """Return what the hull was made of."""
        counts = np.diff(self._starts).astype(np.uint8)
        values = (self._identifiers, counts, self._elements, self._amounts, self._energies)
        return dict(zip(_ARRAYS, values, strict=True))

    @property
    def elements(self) -> frozenset[str]:
        """Return the elements that occur in any phase."""
        return frozenset(SYMBOLS[number - 1] for number in np.unique(self._elements))

    def phases(self, elements: Iterable[str]) -> list[Phase]:
        """Return the phases that consist of ``elements`` alone, in the order of their identifiers."""
        return [self._phase(int(index)) for index in np.flatnonzero(self._within(elements))]

    def competing(self, systems: Iterable[Iterable[str]]) -> CompetingPhases:
        """Return the phases of some chemical systems, ready for distances; pure elements are at 0 eV/atom."""
        kept = np.zeros(len(self), dtype=np.bool_)
        for system in {frozenset(each) for each in systems}:
            kept |= self._within(system)
        return CompetingPhases([self._phase(int(index)) for index in np.flatnonzero(kept)], elements_at_zero=True)

    def _within(self, elements: Iterable[str]) -> NDArray[np.bool_]:
        wanted = np.isin(self._elements, [ATOMIC_NUMBERS[element] for element in elements])
        return np.logical_and.reduceat(wanted, self._starts[:-1]) if len(self) else np.zeros(0, dtype=np.bool_)

    def _phase(self, index: int) -> Phase:
        span = slice(self._starts[index], self._starts[index + 1])
        elements: Sequence[int] = self._elements[span].tolist()
        amounts = {SYMBOLS[z - 1]: float(n) for z, n in zip(elements, self._amounts[span].tolist(), strict=True)}
        return Phase(amounts, float(self._energies[index]), identifier=f'mp-{self._identifiers[index]}', level=SCALE)


def _number(phase: Phase) -> int:
    prefix, _, number = str(phase.identifier).partition('-')
    if prefix != 'mp' or not number.isdigit():
        raise InvalidInputError(f'`{phase.identifier}` is not an identifier of the Materials Project, such as mp-149')
    return int(number)

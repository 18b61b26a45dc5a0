"""Known crystals as asymmetric units, found by their stoichiometry and the size of their cell.

A crystal is stored as the setting of its space group, six lattice parameters and one site per orbit: a few bytes, and
exactly symmetric when it is expanded.
"""

from __future__ import annotations

import functools
import math
import typing as t
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.chemistry.formula import reduced_formula
from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.structures import FORMAT_VERSION, load_arrays, save_arrays
from aiida_qagenai.motifs.elements import element_properties
from aiida_qagenai.motifs.symmetry import (
    AsymmetricUnit,
    SymmetricCrystal,
    asymmetric_unit,
    expand,
    primitive_volume,
    site_signatures,
    space_group_number,
)

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('DEFAULT_LIBRARY', 'Family', 'KnownCrystal', 'MotifLibrary')

DEFAULT_LIBRARY = Path(__file__).parent / 'library.npz'
"""The library that comes with the package; its card is ``library.json`` beside it."""

TOLERANCE = 0.05
"""Distance within which a crystal of the library may break its space group, Å."""

GRID = 65_520
"""Coordinates are multiples of 1 / GRID, which has the factors 2⁴, 3², 5, 7 and 13: special positions are exact."""


class KnownCrystal(t.NamedTuple):
    """What a library is made of.

    :param e_above_hull: eV/atom; NaN where it is not known.
    """

    identifier: str
    structure: Structure
    e_above_hull: float = math.nan


class Family(t.NamedTuple):
    """All motifs of one anonymous formula. Their elements stand in the order of amount, then of Mendeleev number.

    :param amounts: of the reduced formula, ascending, shape (k,).
    :param motifs: position of each in the library, shape (m,).
    :param formula_units: in the primitive cell, shape (m,).
    :param elements: atomic numbers, shape (m, k).
    :param roles: number of the set of sites that each element occupies, shape (m, k).
    :param space_groups: shape (m,).
    """

    amounts: tuple[int, ...]
    motifs: NDArray[np.int64]
    formula_units: NDArray[np.int64]
    elements: NDArray[np.int64]
    roles: NDArray[np.int64]
    space_groups: NDArray[np.int64]


class MotifLibrary:
    """An immutable set of known crystals. Use :meth:`from_crystals`, :meth:`load` or :meth:`default`."""

    def __init__(self, arrays: Mapping[str, NDArray[t.Any]]) -> None:
        self._arrays = dict(arrays)
        missing = [name for name in _ARRAYS if name not in self._arrays]
        if missing:
            raise CorruptFileError(f'a motif library lacks {", ".join(missing)}')
        counts = self._arrays['num_orbits'].astype(np.int64)
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        if self._starts[-1] != len(self._arrays['species']) or len(counts) != len(self._arrays['hall_numbers']):
            raise CorruptFileError('a motif library has arrays of different lengths')

    @classmethod
    def from_crystals(cls, crystals: Iterable[KnownCrystal], tolerance: float = TOLERANCE) -> MotifLibrary:
        """Return the library of ordered crystals; those in which spglib finds no symmetry are left out.

        :param tolerance: of the symmetry search, Å.
        :raises InvalidInputError: if no crystal is left.
        """
        rows, units = [], []
        for crystal in crystals:
            structure = crystal.structure
            unit = asymmetric_unit(
                structure.lattice.matrix, np.array(structure.atomic_numbers), structure.frac_coords, tolerance
            )
            if unit is not None:
                rows.append(crystal)
                units.append(unit)
        if not units:
            raise InvalidInputError('no crystal for a motif library')
        signatures = [site_signatures(unit) for unit in units]
        return cls(
            {
                'identifiers': np.array([row.identifier for row in rows]),
                'e_above_hull': np.array([row.e_above_hull for row in rows], dtype=np.float32),
                'hall_numbers': np.array([unit.hall_number for unit in units], dtype=np.uint16),
                'parameters': np.array([unit.parameters for unit in units], dtype=np.float32),
                'num_orbits': np.array([len(unit.species) for unit in units], dtype=np.uint16),
                'species': np.concatenate([unit.species for unit in units]).astype(np.uint8),
                'sites': (np.rint(np.concatenate([unit.sites for unit in units]) * GRID) % GRID).astype(np.uint16),
                'multiplicities': np.concatenate([each[:, 0] for each in signatures]).astype(np.uint16),
                'freedoms': np.concatenate([each[:, 1] for each in signatures]).astype(np.uint8),
                'neighbors': np.concatenate([each[:, 2] for each in signatures]).clip(0, 255).astype(np.uint8),
            }
        )

    @classmethod
    def load(cls, path: Path) -> MotifLibrary:
        """Read a library.

        :raises CorruptFileError: if the file is not one.
        """
        return cls(load_arrays(path))

    @classmethod
    @functools.cache
    def default(cls) -> MotifLibrary:
        """Return the library that comes with the package."""
        return cls.load(DEFAULT_LIBRARY)

    def save(self, path: Path) -> None:
        """Write the library as NPZ; the same library gives the same bytes."""
        save_arrays(path, {**self._arrays, 'format_version': np.array(FORMAT_VERSION)})

    def __len__(self) -> int:
        return len(self._arrays['hall_numbers'])

    def __add__(self, other: MotifLibrary) -> MotifLibrary:
        """Return the library of the crystals of both."""
        return MotifLibrary({name: np.concatenate([self._arrays[name], other._arrays[name]]) for name in _ARRAYS})

    @property
    def identifiers(self) -> NDArray[np.str_]:
        """Return the identifier of each crystal, shape (n,)."""
        return self._arrays['identifiers']

    @property
    def e_above_hull(self) -> NDArray[np.float32]:
        """Return the energy above the hull of the source of each crystal, eV/atom, NaN where it is not known."""
        return self._arrays['e_above_hull']

    @functools.cached_property
    def compositions(self) -> list[dict[int, int]]:
        """Return atomic number → atoms in the primitive cell, of each crystal."""
        found: list[dict[int, int]] = []
        species, multiplicities = self._arrays['species'].tolist(), self._arrays['multiplicities'].tolist()
        for start, end in zip(self._starts[:-1], self._starts[1:], strict=True):
            total: dict[int, int] = {}
            for number, count in zip(species[start:end], multiplicities[start:end], strict=True):
                total[number] = total.get(number, 0) + count
            found.append(total)
        return found

    @functools.cached_property
    def volumes_per_atom(self) -> NDArray[np.float64]:
        """Return Å3 per atom of each crystal, shape (n,)."""
        return np.array(
            [
                primitive_volume(int(hall), parameters) / sum(total.values())
                for hall, parameters, total in zip(
                    self._arrays['hall_numbers'],
                    self._arrays['parameters'].astype(np.float64),
                    self.compositions,
                    strict=True,
                )
            ]
        )

    @functools.cached_property
    def formulas(self) -> NDArray[np.str_]:
        """Return the reduced formula of each crystal, shape (n,)."""
        return np.array(
            [reduced_formula({SYMBOLS[z - 1]: count for z, count in total.items()}) for total in self.compositions]
        )

    @functools.cached_property
    def families(self) -> dict[tuple[int, ...], Family]:
        """Return all motifs by anonymous formula (amounts of the reduced formula, ascending)."""
        rows: dict[tuple[int, ...], list[tuple[int, int, list[int], list[int]]]] = {}
        known: dict[tuple[tuple[int, ...], ...], int] = {}
        columns = (self._arrays[name].tolist() for name in ('multiplicities', 'freedoms', 'neighbors'))
        sites = list(zip(*columns, strict=True))
        species = self._arrays['species'].tolist()
        mendeleev = element_properties()[:, 0].tolist()
        for index, total in enumerate(self.compositions):
            order = sorted(total, key=lambda number: (total[number], mendeleev[number]))
            divisor = math.gcd(*total.values())
            orbits = range(self._starts[index], self._starts[index + 1])
            occupied = [tuple(sorted(sites[orbit] for orbit in orbits if species[orbit] == number)) for number in order]
            roles = [known.setdefault(each, len(known)) for each in occupied]
            key = tuple(total[number] // divisor for number in order)
            rows.setdefault(key, []).append((index, divisor, order, roles))
        groups = np.array([space_group_number(int(hall)) for hall in self._arrays['hall_numbers']])
        return {
            key: Family(
                key, members := np.array([row[0] for row in family]), np.array([row[1] for row in family]),
                np.array([row[2] for row in family]), np.array([row[3] for row in family]), groups[members],
            )
            for key, family in rows.items()
        }  # fmt: skip

    def unit(self, index: int) -> AsymmetricUnit:
        """Return one crystal as it is stored."""
        orbits = slice(self._starts[index], self._starts[index + 1])
        return AsymmetricUnit(
            int(self._arrays['hall_numbers'][index]),
            self._arrays['parameters'][index].astype(np.float64),
            self._arrays['species'][orbits].astype(np.int64),
            self._arrays['sites'][orbits] / GRID,
        )

    def crystal(self, index: int) -> SymmetricCrystal:
        """Return one crystal in its reduced primitive cell, exactly symmetric."""
        return expand(self.unit(index))

    def within(self, symbols: Iterable[str]) -> list[int]:
        """Return the positions of the crystals that consist of these elements alone, in the order of the library."""
        wanted = {SYMBOLS.index(symbol) + 1 for symbol in symbols}
        return [index for index, total in enumerate(self.compositions) if total.keys() <= wanted]

    def without(self, formulas: Collection[str]) -> MotifLibrary:
        """Return the library without the crystals of these reduced formulas."""
        return self.select(~np.isin(self.formulas, list(formulas)))

    def select(self, kept: NDArray[np.bool_]) -> MotifLibrary:
        """Return the library of the crystals that ``kept`` marks, shape (n,)."""
        orbits = np.repeat(kept, np.diff(self._starts))
        return MotifLibrary({name: self._arrays[name][orbits if name in _PER_ORBIT else kept] for name in _ARRAYS})


_PER_ORBIT = ('species', 'sites', 'multiplicities', 'freedoms', 'neighbors')
_ARRAYS = ('identifiers', 'e_above_hull', 'hall_numbers', 'parameters', 'num_orbits', *_PER_ORBIT)

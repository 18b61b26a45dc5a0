"""Packed structures: the exchange format between the AiiDA side and the GPU side.

One NPZ file (no pickles) holds many crystals as flat arrays, which a machine without AiiDA or pymatgen can read.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError

if t.TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

__all__ = (
    'FORMAT_VERSION',
    'StructureBatch',
    'check_shapes',
    'find_problems',
    'load_arrays',
    'load_sound',
    'pick_arrays',
    'save_arrays',
)

FORMAT_VERSION = 1
MAX_ATOMIC_NUMBER = 118

DAMAGED_ZIP = (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError, RuntimeError, zlib.error)
"""What reading a truncated or damaged ZIP file raises."""


def save_arrays(
    path: str | os.PathLike[str], arrays: t.Mapping[str, NDArray[t.Any]], *, compressed: bool = False
) -> None:
    """Write named arrays as NPZ, atomically and byte-for-byte reproducibly (fixed time stamps, sorted names).

    :param compressed: for what is kept for long; writing takes longer.
    """
    path = Path(path)
    temporary = path.with_name(path.name + '.partial')
    with zipfile.ZipFile(temporary, 'w') as archive:
        for name in sorted(arrays):
            info = zipfile.ZipInfo(f'{name}.npy')
            info.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
            with archive.open(info, 'w', force_zip64=True) as handle:
                np.lib.format.write_array(handle, np.asarray(arrays[name], order='C'), allow_pickle=False)
    temporary.replace(path)


def load_arrays(source: str | os.PathLike[str] | t.IO[bytes]) -> dict[str, NDArray[t.Any]]:
    """Read all arrays of an NPZ file, never unpickling.

    :raises CorruptFileError: if the file is truncated, not an NPZ, or of another format version.
    """
    try:
        with np.load(source, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except DAMAGED_ZIP as exception:
        if isinstance(exception, FileNotFoundError):
            raise
        raise CorruptFileError(f'cannot read packed arrays from `{source}`: {exception}') from exception
    version = int(arrays.get('format_version', np.array(-1)))
    if version != FORMAT_VERSION:
        raise CorruptFileError(f'`{source}` has format version {version}, this release reads {FORMAT_VERSION}')
    return arrays


def pick_arrays(arrays: dict[str, NDArray[t.Any]], names: t.Sequence[str]) -> dict[str, NDArray[t.Any]]:
    """Return the named arrays.

    :raises CorruptFileError: if one is missing.
    """
    missing = [name for name in names if name not in arrays]
    if missing:
        raise CorruptFileError(f'arrays missing from the packed file: {", ".join(missing)}')
    return {name: arrays[name] for name in names}


def check_shapes(owner: object, expected: dict[str, tuple[int, ...]]) -> None:
    """Check the shapes of the arrays of ``owner``.

    :raises InvalidInputError: naming the first that differs.
    """
    for name, shape in expected.items():
        found = getattr(owner, name).shape
        if found != shape:
            raise InvalidInputError(f'array `{name}` has shape {found}, expected {shape}')


@dataclasses.dataclass(frozen=True)
class StructureBatch:
    """Many periodic structures, packed.

    :param num_atoms: atoms per structure, shape (n,), int64.
    :param cells: lattice vectors as rows, shape (n, 3, 3), Å.
    :param species: atomic numbers, shape (sum of num_atoms,), int64.
    :param fractional: fractional coordinates, shape (sum of num_atoms, 3).
    :param identifiers: a name or uuid per structure, shape (n,), str.
    """

    num_atoms: NDArray[np.int64]
    cells: NDArray[np.float64]
    species: NDArray[np.int64]
    fractional: NDArray[np.float64]
    identifiers: NDArray[np.str_]

    def __post_init__(self) -> None:
        self.validate()

    def __len__(self) -> int:
        return len(self.num_atoms)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Return the start of each structure in the flat arrays and the total, shape (n + 1,)."""
        return np.concatenate([[0], np.cumsum(self.num_atoms)]).astype(np.int64)

    @property
    def owner(self) -> NDArray[np.int64]:
        """Return the structure of each atom, shape (sum of num_atoms,)."""
        return np.repeat(np.arange(len(self)), self.num_atoms)

    def __iter__(self) -> t.Iterator[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]]:
        """Yield the cell, the atomic numbers and the fractional coordinates of each structure."""
        ends = self.offsets[1:]
        return zip(self.cells, np.split(self.species, ends)[:-1], np.split(self.fractional, ends)[:-1], strict=True)

    def validate(self) -> None:
        """Check shapes and values.

        :raises InvalidInputError: naming the first structure that is wrong.
        """
        n, total = len(self.num_atoms), int(np.sum(self.num_atoms))
        expected: dict[str, tuple[int, ...]] = {
            'num_atoms': (n,),
            'cells': (n, 3, 3),
            'species': (total,),
            'fractional': (total, 3),
            'identifiers': (n,),
        }
        check_shapes(self, expected)
        for index, text in enumerate(find_problems(self.num_atoms, self.cells, self.species, self.fractional)):
            if text:
                raise InvalidInputError(f'structure {index} (`{self.identifiers[index]}`) {text}')

    def atoms_of(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions in the flat arrays of the atoms of the structures at ``indices``, in that order."""
        sizes = self.num_atoms[indices]
        firsts = np.repeat(self.offsets[indices] - (np.cumsum(sizes) - sizes), sizes)
        return np.asarray(firsts + np.arange(len(firsts)), dtype=np.int64)

    def select(self, indices: NDArray[np.int64] | list[int]) -> StructureBatch:
        """Return the structures at ``indices``, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        atoms = self.atoms_of(indices)
        return StructureBatch(
            num_atoms=self.num_atoms[indices],
            cells=self.cells[indices],
            species=self.species[atoms],
            fractional=self.fractional[atoms],
            identifiers=self.identifiers[indices],
        )

    @classmethod
    def concatenate(cls, batches: t.Sequence[StructureBatch]) -> StructureBatch:
        """Return all structures of ``batches`` in order."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(batch, name) for batch in batches]) for name in names})

    @classmethod
    def empty(cls) -> StructureBatch:
        """Return a batch without structures."""
        return cls(
            num_atoms=np.zeros(0, dtype=np.int64),
            cells=np.zeros((0, 3, 3)),
            species=np.zeros(0, dtype=np.int64),
            fractional=np.zeros((0, 3)),
            identifiers=np.zeros(0, dtype='<U1'),
        )

    @classmethod
    def from_structures(
        cls, structures: t.Sequence[Structure], identifiers: t.Sequence[str] | None = None
    ) -> StructureBatch:
        """Pack pymatgen structures; identifiers default to their index.

        :raises InvalidInputError: if a structure has partial occupancies or the identifiers do not match in number.
        """
        names = [str(i) for i in range(len(structures))] if identifiers is None else list(identifiers)
        if len(names) != len(structures):
            raise InvalidInputError(f'{len(names)} identifiers for {len(structures)} structures')
        for name, structure in zip(names, structures, strict=True):
            if not structure.is_ordered:
                raise InvalidInputError(f'structure `{name}` has partial occupancies: order it first')
        return cls(
            num_atoms=np.array([len(s) for s in structures], dtype=np.int64),
            cells=np.array([s.lattice.matrix for s in structures], dtype=np.float64).reshape(-1, 3, 3),
            species=np.array([z for s in structures for z in s.atomic_numbers], dtype=np.int64),
            fractional=np.array([f for s in structures for f in s.frac_coords], dtype=np.float64).reshape(-1, 3),
            identifiers=np.array(names, dtype=np.str_) if names else np.zeros(0, dtype='<U1'),
        )

    @classmethod
    def from_atoms(cls, crystals: t.Sequence[Atoms], identifiers: t.Sequence[str] | None = None) -> StructureBatch:
        """Pack ASE crystals, all of them as periodic; identifiers default to their index."""
        names = [str(i) for i in range(len(crystals))] if identifiers is None else list(identifiers)
        return cls(
            num_atoms=np.array([len(crystal) for crystal in crystals], dtype=np.int64),
            cells=np.array([crystal.cell.array for crystal in crystals]).reshape(-1, 3, 3),
            species=np.array([z for crystal in crystals for z in crystal.numbers], dtype=np.int64),
            fractional=np.concatenate(
                [np.zeros((0, 3)), *(crystal.get_scaled_positions(wrap=False) for crystal in crystals)]
            ),
            identifiers=np.array(names, dtype=np.str_) if names else np.zeros(0, dtype='<U1'),
        )

    def atoms(self) -> list[Atoms]:
        """Return all structures as ASE objects."""
        from ase import Atoms

        return [
            Atoms(numbers=species, scaled_positions=fractional, cell=cell, pbc=True)
            for cell, species, fractional in self
        ]

    def structure(self, index: int) -> Structure:
        """Return one structure as a pymatgen object."""
        from pymatgen.core import Lattice, Structure

        start, stop = self.offsets[index], self.offsets[index + 1]
        return Structure(
            Lattice(self.cells[index]), self.species[start:stop].tolist(), self.fractional[start:stop].copy()
        )

    def structures(self) -> list[Structure]:
        """Return all structures as pymatgen objects."""
        return [self.structure(index) for index in range(len(self))]

    def to_arrays(self) -> dict[str, NDArray[t.Any]]:
        """Return the arrays of the file format, with its version."""
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**arrays, 'format_version': np.array(FORMAT_VERSION)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[t.Any]]) -> StructureBatch:
        """Return the batch held by ``arrays`` (others are ignored).

        :raises CorruptFileError: if an array is missing.
        """
        return cls(**pick_arrays(arrays, [field.name for field in dataclasses.fields(cls)]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the batch to an NPZ file."""
        save_arrays(path, self.to_arrays())

    @classmethod
    def load(cls, source: str | os.PathLike[str] | t.IO[bytes]) -> StructureBatch:
        """Read a batch from an NPZ file or an open binary stream."""
        return cls.from_arrays(load_arrays(source))


def find_problems(
    num_atoms: NDArray[np.int64],
    cells: NDArray[np.float64],
    species: NDArray[np.int64],
    fractional: NDArray[np.float64],
) -> list[str]:
    """Return what is wrong with each structure in packed arrays, empty where nothing is."""
    n = len(num_atoms)
    if n == 0:
        return []
    owner = np.repeat(np.arange(n), num_atoms)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(cells).all(axis=(1, 2)))
    placed: NDArray[np.bool_] = np.asarray(np.isfinite(fractional).all(axis=1))
    volumes = np.abs(np.linalg.det(np.where(finite[:, None, None], cells, 0.0)))
    masks: list[tuple[str, t.Any]] = [
        ('has no atoms', num_atoms < 1),
        ('has a lattice that is not finite', ~finite),
        ('has a cell of zero volume', ~(volumes > 1e-6)),
        ('has coordinates that are not finite', _any(owner, ~placed, n)),
        ('has an unknown element', _any(owner, (species < 1) | (species > MAX_ATOMIC_NUMBER), n)),
    ]
    texts = [''] * n
    for text, mask in masks:
        for index in np.flatnonzero(mask):
            texts[index] = texts[index] or text
    return texts


def load_sound(source: str | os.PathLike[str] | t.IO[bytes]) -> tuple[StructureBatch, list[str], dict[str, t.Any]]:
    """Read packed structures of which some may be broken.

    :returns: the sound ones, what is wrong with each of all (empty for a sound one), and the arrays as they are.
    :raises CorruptFileError: if the file cannot be read at all, or its arrays do not go together.
    """
    names = [field.name for field in dataclasses.fields(StructureBatch)]
    arrays = pick_arrays(load_arrays(source), names)
    sizes = arrays['num_atoms']
    if len(arrays['cells']) != len(sizes) or not len(arrays['species']) == len(arrays['fractional']) == sizes.sum():
        raise CorruptFileError(f'the arrays of `{source}` do not go together')
    problems = find_problems(*(arrays[name] for name in ('num_atoms', 'cells', 'species', 'fractional')))
    sound = np.array([not text for text in problems], dtype=np.bool_)
    atoms = np.repeat(sound, sizes)
    kept = {name: array[atoms if name in ('species', 'fractional') else sound] for name, array in arrays.items()}
    return StructureBatch.from_arrays(kept), problems, arrays


def _any(owner: NDArray[np.int64], flags: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """Return per structure whether any of its atoms is flagged."""
    return np.bincount(owner[flags], minlength=n) > 0

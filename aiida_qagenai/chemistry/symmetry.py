"""Space groups by spglib with a ladder of tolerances, and fingerprints that group duplicates.

Neither function raises on an odd cell: a screened batch must survive its worst structure.
"""

from __future__ import annotations

import hashlib
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.geometry import neighbors, structure_problem, validate_structure
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = (
    'TOLERANCES',
    'SpaceGroup',
    'fingerprint',
    'fingerprint_vector',
    'primitive_cell',
    'smallest_cell',
    'space_group',
    'symmetrised',
    'symmetry_dataset',
)

TOLERANCES = (0.1, 0.03, 0.01, 0.001)
"""Distance tolerances tried in this order, Å: loose first, because generated structures are not relaxed."""

SHELLS = ((0, 4), (4, 12), (12, 24))
"""Ranges of the nearest neighbours whose mean distance enters the fingerprint."""

RESOLUTION = 0.05
"""Width of the bins into which the fingerprint sorts mean distances, Å."""

_BIN_OFFSET = 0.37  # keeps round numbers, at which ideal structures sit, away from the edges of the bins


class SpaceGroup(t.NamedTuple):
    """The outcome of a symmetry search.

    :param number: 1–230, or ``None`` if the search failed.
    :param symbol: Hermann–Mauguin symbol.
    :param tolerance: the distance tolerance that gave the answer, Å.
    :param failure: why there is no answer.
    """

    number: int | None
    symbol: str | None
    tolerance: float | None
    failure: str | None = None


def symmetry_dataset(cell: tuple[t.Any, t.Any, t.Any], tolerance: float) -> t.Any:
    """Return spglib's dataset, or ``None`` where it finds no consistent symmetry.

    :param cell: lattice (rows, Å), fractional coordinates, and a number per atom that tells the kinds apart.
    :param tolerance: distance tolerance, Å.
    """
    import spglib

    return _asked(spglib.get_symmetry_dataset, cell, tolerance)


def _asked(
    function: t.Callable[..., t.Any], cell: tuple[t.Any, t.Any, t.Any], tolerance: float, **options: t.Any
) -> t.Any:
    """Return what spglib says of a cell, ``None`` where it has no answer: an exception of its own from 2.7 on."""
    import spglib

    try:
        return function(cell, symprec=tolerance, **options)
    except (RuntimeError, getattr(spglib, 'SpglibError', RuntimeError)):
        return None


def space_group(structure: Structure, tolerances: t.Sequence[float] = TOLERANCES) -> SpaceGroup:
    """Return the space group found at the first of ``tolerances`` (Å) for which spglib has a consistent answer."""
    problem = structure_problem(structure)
    if problem is not None:
        return SpaceGroup(None, None, None, f'the structure {problem}')
    cell = (structure.lattice.matrix, structure.frac_coords, list(structure.atomic_numbers))
    for tolerance in tolerances:
        dataset = symmetry_dataset(cell, tolerance)
        if dataset is not None:
            return SpaceGroup(int(dataset.number), str(dataset.international), float(tolerance))
    return SpaceGroup(None, None, None, f'spglib found no consistent symmetry at any of {tuple(tolerances)} Å')


def smallest_cell(cell: tuple[t.Any, t.Any, t.Any], tolerance: float) -> tuple[t.Any, t.Any, t.Any] | None:
    """Return the primitive cell in the same orientation, or ``None`` where there is no smaller one.

    :param cell: as of :func:`symmetry_dataset`.
    :param tolerance: distance tolerance, Å: atoms move by less than that.
    """
    import spglib

    found = _asked(spglib.standardize_cell, cell, tolerance, to_primitive=True, no_idealize=True)
    return None if found is None or len(found[2]) >= len(cell[2]) else found


def primitive_cell(structure: Structure, tolerance: float = 1e-3) -> Structure:
    """Return the crystal in its primitive cell, in the same orientation; unchanged if it has no smaller one.

    :param tolerance: distance tolerance, Å: atoms move by less than that.
    """
    from pymatgen.core import Structure

    cell = (structure.lattice.matrix, structure.frac_coords, list(structure.atomic_numbers))
    found = smallest_cell(cell, tolerance)
    if found is None:
        return structure
    lattice, positions, numbers = found
    return Structure(lattice, numbers, positions)


def symmetrised(structure: Structure, tolerance: float = TOLERANCES[0]) -> Structure:
    """Return the crystal in its primitive cell with atoms and cell moved onto its symmetry.

    It is in the standard setting of spglib, and unchanged where no symmetry is found or the crystal is broken.

    :param tolerance: distance tolerance, Å: atoms move by less than that.
    """
    import spglib
    from pymatgen.core import Structure

    if structure_problem(structure) is not None:
        return structure
    cell = (structure.lattice.matrix, structure.frac_coords, list(structure.atomic_numbers))
    found = _asked(spglib.standardize_cell, cell, tolerance, to_primitive=True, no_idealize=False)
    return structure if found is None else Structure(found[0], found[2], found[1])


def fingerprint_vector(structure: Structure) -> NDArray[np.float64]:
    """Return the numbers behind :func:`fingerprint`, Å, shape (len(SHELLS) · s²,) for s elements.

    For every ordered pair of elements (sorted by atomic number), the distances from an atom of the first to its
    nearest atoms of the second, averaged over the ranks of each shell and over the atoms. They do not depend on the
    choice, order or orientation of the cell, and vary continuously with the coordinates.

    :raises InvalidInputError: if the structure is not a proper crystal.
    """
    validate_structure(structure)
    numbers = np.array(structure.atomic_numbers)
    kinds, kind_of = np.unique(numbers, return_inverse=True)
    counts = np.bincount(kind_of)
    wanted = SHELLS[-1][1]
    # a sphere that holds the neighbours wanted of the rarest element if it is spread evenly, and some more
    cutoff = 1.1 * (wanted / (4 / 3 * np.pi * counts.min() / structure.volume)) ** (1 / 3) + 0.3
    while True:
        first, second, _, distance = neighbors(structure, cutoff)
        slot = first * len(kinds) + kind_of[second]
        found = np.bincount(slot, minlength=len(numbers) * len(kinds))
        if found.min() >= wanted:
            break
        cutoff *= 1.15
    order = np.lexsort((distance, slot))
    starts = np.concatenate([[0], np.cumsum(found)[:-1]])
    nearest = distance[order][starts[:, None] + np.arange(wanted)].reshape(len(numbers), len(kinds), wanted)
    shells = np.stack([nearest[:, :, low:high].mean(axis=2) for low, high in SHELLS], axis=2)
    sums = np.zeros((len(kinds), len(kinds), len(SHELLS)))
    np.add.at(sums, kind_of, shells)
    return (sums / counts[:, None, None]).ravel()


def fingerprint(structure: Structure) -> str:
    """Return 16 hexadecimal digits that are equal for equal crystals.

    The hash covers the reduced formula and :func:`fingerprint_vector` in bins of ``RESOLUTION``. Permuting,
    translating, rotating, or repeating the cell changes nothing; a distance that changes by more than ``RESOLUTION``
    changes the hash. Noise well below it usually does not, but may where a value sits at the edge of a bin: use
    :mod:`aiida_qagenai.chemistry.duplicates` where near-duplicates must be found for certain. Mirror images are equal.

    An odd cell gets ``invalid-`` and a hash of its raw arrays, so that two failures never count as duplicates.
    """
    from aiida_qagenai.chemistry.species import plain_structure

    structure = plain_structure(structure)
    try:
        vector = fingerprint_vector(structure)
    except InvalidInputError:
        raw = hashlib.sha256(np.asarray(structure.lattice.matrix).tobytes())
        raw.update(np.asarray(structure.frac_coords).tobytes())
        raw.update(str(structure.formula).encode())
        return 'invalid-' + raw.hexdigest()[:16]
    bins = np.floor(vector / RESOLUTION + _BIN_OFFSET).astype(np.int64)
    text = f'{structure.composition.reduced_formula}|{",".join(map(str, bins))}'
    return hashlib.sha256(text.encode()).hexdigest()[:16]

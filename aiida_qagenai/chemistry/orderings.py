"""Collinear magnetic orderings of a crystal: ferromagnetic, and the symmetry-distinct others up to a cell size.

Each orbit of magnetic sites, those that the space group makes equal, is either parallel throughout or compensated, half
up and half down. All signs up to symmetry, translations and the global flip are enumerated by integers, in all
superlattices, after G. L. W. Hart and R. W. Forcade (Phys. Rev. B 77, 224115, 2008): pymatgen's enumerator needs the
binary of enumlib for the same.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing as t
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.exchange_paths import ExchangePaths, exchange_paths
from aiida_qagenai.chemistry.geometry import validate_structure
from aiida_qagenai.chemistry.species import plain_structure
from aiida_qagenai.chemistry.superlattices import (
    CrystalSymmetry,
    Hermite,
    Superlattice,
    hermite_form,
    hermite_forms,
    invariant_superlattice,
)
from aiida_qagenai.chemistry.symmetry import smallest_cell, symmetry_dataset
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('GIVEN', 'NONMAGNETIC', 'MagneticCrystal', 'Ordering', 'Orderings', 'find_orderings')

NONMAGNETIC = 'nonmagnetic'
GIVEN = 'given'

SYMPREC = 0.01
"""Tolerance of the symmetry of the crystal, Å."""

MAX_SIGNS = 20_000
"""Most sign patterns of one cell that are looked at. A larger cell with more is left out; of a primitive cell with more
there are the ferromagnetic order and the one that the couplings favour."""

_Signs = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Ordering:
    """One collinear ordering.

    :param name: unique among the orderings of a crystal, such as `antiferromagnetic_1`.
    :param kind: `nonmagnetic`, `ferromagnetic`, `antiferromagnetic` or `ferrimagnetic`.
    :param cell: its smallest cell.
    :param moments: of the sites of the cell, μB.
    :param sites: for each site of the crystal, the site of the cell at its place.
    """

    name: str
    kind: str
    cell: Structure
    moments: tuple[float, ...]
    sites: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Orderings:
    """The orderings of a crystal, smallest cells first and the likely ones of each size first.

    :param left_out: what was not enumerated or not returned, in words.
    """

    orderings: tuple[Ordering, ...]
    left_out: tuple[str, ...]


class MagneticCrystal:
    """The primitive cell of a crystal with moments, and its symmetry on the magnetic sites.

    :param structure: ordered crystal.
    :param moments: of its sites, μB; the signs do not matter here.
    :raises InvalidInputError: if no site has a moment.
    """

    def __init__(self, structure: Structure, moments: Sequence[float]) -> None:
        validate_structure(structure)
        if len(moments) != len(structure):
            raise InvalidInputError(f'{len(moments)} moments for {len(structure)} atoms')
        if not any(moments):
            raise InvalidInputError(f'{structure.formula} has no site with a moment, so that it has no magnetic order')
        self.structure = plain_structure(structure)
        self.moments = np.array(moments, dtype=float)
        self.cell, self.sizes = _primitive(self.structure, np.abs(self.moments).round(2))
        self.sites = [int(index) for index in np.flatnonzero(self.sizes)]
        self.symmetry = _symmetry(self.cell, self.sizes, self.sites)
        self.paths: ExchangePaths = exchange_paths(self.cell, self.sites)

    def canonical(self, form: Hermite, signs: _Signs) -> tuple[Hermite, tuple[int, ...]]:
        """Return the same form and signs for all that symmetry, translations and the global flip make equal.

        :param signs: ±1 of the magnetic sites of the supercell, shape (m · n,).
        """
        forms = self.symmetry.forms(form)
        target = min(forms)
        operations = [number for number, other in enumerate(forms) if other == target]
        places = self.symmetry.translations(target)[:, self.symmetry.place(form, operations, target)]
        moved = np.zeros(places.reshape(-1, len(signs)).shape, dtype=np.int64)
        np.put_along_axis(moved, places.reshape(-1, len(signs)), signs[None], axis=1)
        moved *= moved[:, :1]
        best = max(map(tuple, np.unique(moved, axis=0).tolist()))
        return target, best

    def given(self) -> tuple[Hermite, _Signs]:
        """Return the superlattice and the signs of the moments as given, in the smallest cell that has them."""
        inverse = np.linalg.inv(self.cell.lattice.matrix)
        form = hermite_form(np.rint(self.structure.lattice.matrix @ inverse).astype(np.int64))
        signs = np.zeros((len(self.sites), len(Superlattice.of(form))), dtype=np.int64)
        where = self.structure.cart_coords @ inverse
        for index in np.flatnonzero(self.moments):
            offsets = where[index] - self.cell.frac_coords[self.sites]
            site = int(np.abs(offsets - np.rint(offsets)).max(axis=1).argmin())
            coset = Superlattice.of(form).coset_of(np.rint(offsets[site]).astype(np.int64))
            signs[site, coset] = 1 if self.moments[index] > 0 else -1
        smallest = invariant_superlattice(form, signs.ravel())
        reduced = Superlattice.of(smallest)
        return smallest, signs[:, Superlattice.of(form).coset_of(reduced.cosets)].ravel()

    def signs(self, form: Hermite) -> _Signs | None:
        """Return the distinct signs whose smallest cell is that of ``form``, shape (k, m · n), or None if too many."""
        patterns = self._patterns(len(Superlattice.of(form)))
        if patterns is None:
            return None
        patterns = patterns[patterns[:, 0] > 0]
        for shifted in self.symmetry.translations(form)[1:]:
            patterns = patterns[(patterns[:, shifted] != patterns).any(axis=1)]
        weights = 2 ** np.arange(patterns.shape[1], dtype=np.int64)
        up = (patterns > 0).astype(np.int64)
        own = up @ weights
        smallest = own.copy()
        full = int(weights.sum())
        for places in self.symmetry.permutations(form):
            code = up @ weights[places]
            np.minimum(smallest, np.minimum(code, full - code), out=smallest)
        own = np.minimum(own, full - own)
        return t.cast(_Signs, patterns[own == smallest])

    def _patterns(self, num_cosets: int) -> _Signs | None:
        """Return all signs with each orbit parallel or compensated."""
        orbits = [np.flatnonzero(self.symmetry.orbits == orbit) for orbit in np.unique(self.symmetry.orbits)]
        columns = [(orbit[:, None] * num_cosets + np.arange(num_cosets)).ravel() for orbit in orbits]
        sizes = [len(column) for column in columns]
        counts = [2 + (math.comb(size, size // 2) if size % 2 == 0 else 0) for size in sizes]
        if math.prod(counts) > MAX_SIGNS or sum(sizes) > 60:
            return None
        choices = [_orbit_signs(size) for size in sizes]
        found = np.empty((math.prod(counts), sum(sizes)), dtype=np.int64)
        for row, parts in enumerate(itertools.product(*choices)):
            for column, part in zip(columns, parts, strict=True):
                found[row, column] = part
        return found

    def kind(self, signs: _Signs) -> str:
        """Return what an ordering is called."""
        sizes = self.sizes[self.sites].repeat(len(signs) // len(self.sites))
        if (signs == signs[0]).all():
            return 'ferromagnetic'
        return 'antiferromagnetic' if abs(float(sizes @ signs)) < 1e-6 else 'ferrimagnetic'

    def ordering(self, name: str, kind: str, form: Hermite, signs: _Signs | None) -> Ordering:
        """Return an ordering in its smallest cell; without ``signs`` all moments are zero."""
        lattice = Superlattice.of(form)
        moments = np.zeros((len(self.cell), len(lattice)))
        if signs is not None:
            moments[self.sites] = self.sizes[self.sites][:, None] * signs.reshape(len(self.sites), -1)
        cell = self._supercell(form)
        return Ordering(name, kind, cell, tuple(moments.ravel().tolist()), _places(self.structure, cell))

    def _supercell(self, form: Hermite) -> Structure:
        from pymatgen.core import Lattice, Structure

        cosets = Superlattice.of(form).cosets
        if len(cosets) == 1:
            return self.cell
        matrix = np.array(form) @ self.cell.lattice.matrix
        compact = Lattice(matrix).get_lll_reduced_lattice()
        where = (self.cell.frac_coords[:, None] + cosets[None]).reshape(-1, 3) @ self.cell.lattice.matrix
        species = [site.specie for site in self.cell for _ in cosets]
        return Structure(compact, species, where, coords_are_cartesian=True, to_unit_cell=True)


def find_orderings(
    structure: Structure,
    moments: Sequence[float],
    *,
    max_atoms: int,
    max_orderings: int,
    nonmagnetic: bool = False,
) -> Orderings:
    """Return the orderings of a crystal up to a cell size, each once.

    The first one is that of the moments as given if their signs differ, then come the ferromagnetic one and the others,
    smallest cells first; of a size, those first whose sites are antiparallel where exchange through an anion in between
    is strongest, then the more symmetric ones. Names do not depend on ``max_atoms`` and ``max_orderings``.

    :param moments: initial moments of the sites, μB; with different signs they are one of the orderings.
    :param max_atoms: largest cell; a primitive cell that is larger is refused.
    :param max_orderings: how many are returned, besides the non-magnetic one.
    :param nonmagnetic: whether the crystal without moments comes last, if it has an even number of electrons.
    :raises InvalidInputError: if no site has a moment, or the primitive cell has more than ``max_atoms``.
    """
    crystal = MagneticCrystal(structure, moments)
    num_atoms = len(crystal.cell)
    if num_atoms > max_atoms:
        message = f'the primitive cell of {structure.formula} has {num_atoms} atoms, orderings may have {max_atoms}'
        raise InvalidInputError(message)
    own = crystal.given() if crystal.moments.min() < 0 < crystal.moments.max() else None
    named, left_out = _enumerate(crystal, max_atoms, max_orderings, own)
    found = [crystal.ordering(*item) for item in named]
    if nonmagnetic and sum(crystal.cell.atomic_numbers) % 2:
        left_out.append('the non-magnetic solution: an odd number of electrons per cell')
    elif nonmagnetic:
        found.append(crystal.ordering(NONMAGNETIC, NONMAGNETIC, hermite_forms(1)[0], None))
    return Orderings(tuple(found), tuple(left_out))


_Named = tuple[str, str, Hermite, _Signs]


def _enumerate(
    crystal: MagneticCrystal, max_atoms: int, max_orderings: int, own: tuple[Hermite, _Signs] | None
) -> tuple[list[_Named], list[str]]:
    """Return the first orderings with their names, and what was left out."""
    given = crystal.canonical(*own) if own is not None else None
    named: list[_Named] = []
    left_out: list[str] = []
    counts: dict[str, int] = {}
    first: _Named | None = None
    num_atoms, index, skipped = len(crystal.cell), 0, 0
    while (index := index + 1) * num_atoms <= max_atoms:
        if len(named) >= max_orderings:
            left_out.append(
                f'cells with more than {(index - 1) * num_atoms} atoms: {max_orderings} smaller ones suffice'
            )
            break
        for form, signs, kind in _of_index(crystal, index, left_out):
            counts[kind] = counts.get(kind, 0) + 1
            item = (kind if kind == 'ferromagnetic' else f'{kind}_{counts[kind]}', kind, form, signs)
            if given is not None and first is None and crystal.canonical(form, signs) == given:
                first = item
            elif len(named) < max_orderings:
                named.append(item)
            else:
                skipped += 1
    if own is not None:
        item = first or (GIVEN, crystal.kind(own[1]), *own)
        skipped += len(named) >= max_orderings
        named = [item, *named[: max_orderings - 1]]
    if skipped:
        left_out.insert(0, f'{skipped} orderings beyond the {max_orderings} that are asked for')
    return named, left_out


def _of_index(crystal: MagneticCrystal, index: int, left_out: list[str]) -> list[tuple[Hermite, _Signs, str]]:
    """Return the orderings whose smallest cell has ``index`` primitive cells, the likely ones first."""
    ranked: list[tuple[tuple[float, ...], Hermite, _Signs, str]] = []
    too_many = 0
    for form in sorted({crystal.symmetry.representative(form) for form in hermite_forms(index)}):
        patterns = crystal.signs(form)
        if patterns is None:
            too_many += 1
            continue
        for signs in patterns:
            kind = crystal.kind(signs)
            rank = crystal.paths.rank(form, signs)
            ranked.append(((kind != 'ferromagnetic', *rank), form, signs, kind))
    if too_many and index == 1:
        found = np.unique([np.ones(len(crystal.sites), dtype=np.int64), crystal.paths.strongest()], axis=0)[::-1]
        ranked = [((number,), form, signs, crystal.kind(signs)) for number, signs in enumerate(found)]
    if too_many:
        atoms = index * len(crystal.cell)
        left_out.append(f'{too_many} cells with {atoms} atoms: more than {MAX_SIGNS} patterns of signs')
    return [item[1:] for item in sorted(ranked, key=lambda item: item[0])]


def _orbit_signs(size: int) -> list[_Signs]:
    """Return the signs of one orbit: all up, all down, and half of each."""
    found = [np.ones(size, dtype=np.int64), -np.ones(size, dtype=np.int64)]
    if size % 2 == 0:
        for chosen in itertools.combinations(range(size), size // 2):
            signs = -np.ones(size, dtype=np.int64)
            signs[list(chosen)] = 1
            found.append(signs)
    return found


def _kinds(structure: Structure, sizes: NDArray[np.float64]) -> list[int]:
    """Return a number per site that tells elements and sizes of moments apart."""
    pairs = [(number, float(size)) for number, size in zip(structure.atomic_numbers, sizes, strict=True)]
    known = {pair: number for number, pair in enumerate(sorted(set(pairs)), start=1)}
    return [known[pair] for pair in pairs]


def _primitive(structure: Structure, sizes: NDArray[np.float64]) -> tuple[Structure, NDArray[np.float64]]:
    """Return the primitive cell in the same orientation, the structure itself where it is one, and its moments."""
    from pymatgen.core import Structure

    kinds = _kinds(structure, sizes)
    found = smallest_cell((structure.lattice.matrix, structure.frac_coords, kinds), SYMPREC)
    if found is None:
        return structure, sizes
    lattice, positions, numbers = found
    of_kind = {kind: index for index, kind in enumerate(kinds)}
    origin = [of_kind[int(number)] for number in numbers]
    return Structure(lattice, [structure[index].specie for index in origin], positions), sizes[origin]


def _symmetry(cell: Structure, sizes: NDArray[np.float64], sites: Sequence[int]) -> CrystalSymmetry:
    """Return the space group as it acts on the magnetic ``sites``; the identity alone where spglib finds none."""
    dataset = symmetry_dataset((cell.lattice.matrix, cell.frac_coords, _kinds(cell, sizes)), SYMPREC)
    if dataset is None:
        rotations, translations, equivalent = np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)), np.arange(len(cell))
    else:
        rotations, translations = np.asarray(dataset.rotations, dtype=np.int64), np.asarray(dataset.translations)
        equivalent = np.asarray(dataset.equivalent_atoms)
    places = cell.frac_coords[list(sites)]
    moved = np.einsum('gij,mj->gmi', rotations, places) + translations[:, None]
    offsets = moved[:, :, None] - places
    apart = np.linalg.norm((offsets - np.rint(offsets)) @ cell.lattice.matrix, axis=-1)
    # An operation maps kinds on themselves, and the nearest site of all is of the right kind.
    images = apart.argmin(axis=2)
    shifts = np.rint(np.take_along_axis(offsets, images[:, :, None, None], axis=2)[:, :, 0]).astype(np.int64)
    orbits = equivalent[list(sites)].astype(np.int64)
    return CrystalSymmetry(rotations, images.astype(np.int64), shifts, orbits)


def _places(structure: Structure, cell: Structure) -> tuple[int, ...]:
    """Return for each site of a crystal the site of the cell of an ordering that stands at its place."""
    where = cell.lattice.get_fractional_coords(structure.cart_coords)
    found = []
    for position, number in zip(where, structure.atomic_numbers, strict=True):
        offsets = position - cell.frac_coords
        apart = np.linalg.norm((offsets - np.rint(offsets)) @ cell.lattice.matrix, axis=1)
        apart[np.array(cell.atomic_numbers) != number] = np.inf
        found.append(int(apart.argmin()))
    return tuple(found)

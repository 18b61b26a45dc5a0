"""Structures in CIF files: what a block says of itself has to agree with the atoms that are read."""

from __future__ import annotations

import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.cif_blocks import Block, parse_blocks
from aiida_qagenai.exchange.cif_sites import CLOSEST, Site, expand, read_sites
from aiida_qagenai.exchange.cif_symmetry import Operations, symmetry_of_block
from aiida_qagenai.exchange.claims import Claims, claims_of_block

if t.TYPE_CHECKING:
    from pymatgen.core import Lattice, Structure

__all__ = ('CifStructure', 'read_cif')

SAME_PLACE = 0.05
"""Distance within which two sites share one place, Å."""


class CifStructure(t.NamedTuple):
    """The structure of one block.

    :param name: of the block.
    :param structure: ``None`` where it cannot be read.
    :param problem: why not.
    :param warnings: what was assumed or left out.
    """

    name: str
    structure: Structure | None
    problem: str = ''
    warnings: tuple[str, ...] = ()


def read_cif(text: str) -> list[CifStructure]:
    """Return one item per block with atoms; blocks without are those of journals.

    :raises InvalidInputError: if the text is not a CIF, or no block has atoms.
    """
    blocks = parse_blocks(text)
    with_atoms = [(index, block) for index, block in enumerate(blocks, start=1) if block.has_atoms]
    if not with_atoms:
        names = ', '.join(f'`{block.name}`' for block in blocks[:5])
        message = f'no atoms: none of its blocks ({names}) has `_atom_site_fract_x`'
        raise InvalidInputError(message)
    items = []
    for index, block in with_atoms:
        try:
            structure, warnings = _structure(block)
        except InvalidInputError as exception:
            items.append(CifStructure(block.name, None, f'section {index}: {exception}'))
        else:
            items.append(CifStructure(block.name, structure, warnings=(*block.warnings, *warnings)))
    return items


def _structure(block: Block) -> tuple[Structure, tuple[str, ...]]:
    """Return the structure of a block, and warnings.

    :raises InvalidInputError: if it cannot be read, or what the block says does not agree.
    """
    lattice = _lattice(block)
    claims = claims_of_block(block)
    sites, warnings = read_sites(block, claims.elements)
    if not sites:
        message = 'no atoms: all are left out'
        raise InvalidInputError(message)
    symmetry = symmetry_of_block(block, lattice.matrix)
    good, bad = _try(symmetry.choices, sites, lattice, claims)
    if not good and symmetry.others:
        good, more = _try(symmetry.others, sites, lattice, claims)
        bad += more
    if not good:
        reasons = '; '.join(bad if len(bad) > 1 else [bad[0].partition(': ')[2]])
        message = f'{symmetry.contradiction}; {reasons}' if symmetry.contradiction else reasons
        raise InvalidInputError(message)
    if len(good) > 1 and not _are_same([structure for _, structure in good]):
        found = ', '.join(_in_words(operations, structure) for operations, structure in good)
        reason = symmetry.contradiction or '; '.join(symmetry.warnings)
        message = f'{reason}: it may be {found}; add the operations, Z or the density'
        raise InvalidInputError(message)
    operations, structure = good[0]
    notes = [*warnings, *symmetry.warnings, *([symmetry.contradiction] if symmetry.contradiction else [])]
    if symmetry.contradiction or len(symmetry.choices) > 1:
        notes.append(f'read with {operations.name}, which agrees with the rest')
    return structure, tuple(notes)


def _lattice(block: Block) -> Lattice:
    """Return the cell.

    :raises InvalidInputError: if it is not one.
    """
    from pymatgen.core import Lattice

    names = [
        f'_cell_{name}' for name in ('length_a', 'length_b', 'length_c', 'angle_alpha', 'angle_beta', 'angle_gamma')
    ]
    values = [block.number(name) for name in names]
    missing = [name for name, value in zip(names, values, strict=True) if value is None]
    if missing:
        message = f'no {", ".join(missing)}'
        raise InvalidInputError(message)
    a, b, c, alpha, beta, gamma = t.cast('list[float]', values)
    if min(a, b, c) <= 0:
        message = 'the cell has zero volume' if min(a, b, c) == 0 else 'a length of the cell is negative'
        raise InvalidInputError(message)
    cosines = np.cos(np.radians([alpha, beta, gamma]))
    if not all(0 < angle < 180 for angle in (alpha, beta, gamma)) or (
        1 + 2 * cosines.prod() - (cosines**2).sum() < 1e-9
    ):
        message = f'the cell has zero volume: its angles are {alpha:g}, {beta:g} and {gamma:g}'
        raise InvalidInputError(message)
    return Lattice.from_parameters(a, b, c, alpha, beta, gamma)


def _try(
    choices: list[Operations], sites: list[Site], lattice: Lattice, claims: Claims
) -> tuple[list[tuple[Operations, Structure]], list[str]]:
    """Return the settings with which the atoms agree with what the block says, and why the others do not."""
    good, bad = [], []
    for operations in choices:
        try:
            structure = _build(sites, operations, lattice)
        except InvalidInputError as exception:
            bad.append(f'{operations.name}: {exception}')
            continue
        found = claims.contradictions(structure) if structure.is_ordered else []
        if found:
            bad.append(f'{operations.name}: {"; ".join(found)}')
        else:
            good.append((operations, structure))
    return good, bad


def _build(sites: list[Site], operations: Operations, lattice: Lattice) -> Structure:
    """Return the structure of all atoms.

    :raises InvalidInputError: if atoms are at one place or too close.
    """
    from pymatgen.core import Structure

    images = [expand(site, operations, lattice.matrix) for site in sites]
    owners = np.repeat(np.arange(len(sites)), [len(found) for found in images])
    positions = np.concatenate(images)
    species: list[dict[str, float]] = [{sites[owner].element: sites[owner].occupancy} for owner in owners]
    removed = set()
    for first, second, distance in _close_pairs(positions, lattice.matrix):
        one, other = sites[owners[first]], sites[owners[second]]
        total = sum(species[first].values()) + other.occupancy
        if distance < SAME_PLACE and total <= 1.001 and second not in removed:
            removed.add(second)
            element = other.element
            species[first] = {**species[first], element: species[first].get(element, 0.0) + other.occupancy}
        elif one.occupancy + other.occupancy > 1.001 and not {first, second} & removed:
            message = f'`{one.label}` and `{other.label}` are {distance:.2g} Å apart'
            raise InvalidInputError(message)
    kept = [index for index in range(len(positions)) if index not in removed]
    structure = Structure(lattice, [species[index] for index in kept], positions[kept])
    return t.cast('Structure', structure.get_sorted_structure())


def _close_pairs(positions: NDArray[np.float64], matrix: NDArray[np.float64]) -> list[tuple[int, int, float]]:
    """Return the pairs of atoms that are closer than any bond is long."""
    from scipy.spatial import cKDTree

    reach = CLOSEST * float(np.linalg.norm(np.linalg.inv(matrix), 2))
    if len(positions) < 2:
        return []
    if reach >= 0.5:
        first, second = np.triu_indices(len(positions), 1)
    else:
        pairs = cKDTree(positions % 1.0 % 1.0, boxsize=1.0).query_pairs(reach, output_type='ndarray')
        first, second = pairs.T
    shifts = positions[first] - positions[second]
    distances = np.linalg.norm((shifts - np.rint(shifts)) @ matrix, axis=1)
    near = np.flatnonzero(distances < CLOSEST)
    return sorted((int(first[i]), int(second[i]), float(distances[i])) for i in near)


def _are_same(structures: list[Structure]) -> bool:
    """Return whether several readings are one crystal."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(primitive_cell=False, attempt_supercell=False, scale=False)
    return all(len(other) == len(structures[0]) and matcher.fit(structures[0], other) for other in structures[1:])


def _in_words(operations: Operations, structure: Structure) -> str:
    formula = structure.composition.formula.replace(' ', '')
    return f'{operations.name} with {formula} ({structure.density:.3g} g/cm³)'

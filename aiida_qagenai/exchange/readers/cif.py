"""Structures in CIF files: what a block says of itself has to agree with the atoms that are read."""

from __future__ import annotations

import re
import typing as t
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.readers.cif_blocks import Block, parse_blocks, parse_value
from aiida_qagenai.exchange.readers.cif_symmetry import Operations, symmetry_of_block
from aiida_qagenai.exchange.readers.claims import Claims, claims_of_block

if t.TYPE_CHECKING:
    from pymatgen.core import Lattice, Structure

__all__ = ('CifStructure', 'read_cif')

SMALLEST_TOLERANCE = 0.02
LARGEST_TOLERANCE = 0.3
"""Distances within which images of one site are one atom on a special position, by the digits of its coordinates, Å."""

CLOSEST = 0.45
"""Smallest distance of two fully occupied sites, Å; the bond of H2 is 0.74 Å long."""

_GROUPS = re.compile(
    r'(?:O-?H|OW|WAT|AQ|H2O|HOH|NH[234]|AM|CH[23])(?![a-z])|(?:O[hw]|Wat|W(?=\d*$)|Am|Hyd)(?![a-gi-z])'
)
"""Labels of groups with hydrogen, as mineral databases have them."""

_HYDROGEN = {'D': 'H', 'T': 'H'}


class Site(t.NamedTuple):
    """One site of the asymmetric unit.

    :param position: fractional, shape (3,).
    :param uncertainty: largest error of a coordinate by its digits.
    """

    label: str
    element: str
    position: NDArray[np.float64]
    occupancy: float
    uncertainty: float
    charge: float | None


def read_sites(block: Block, elements: frozenset[str]) -> tuple[list[Site], list[str]]:
    """Return the sites of a block, and warnings.

    :param elements: those of its formula, if it has one.
    :raises InvalidInputError: if an element or a number is not one, or a group stands for hydrogen that is not located.
    """
    columns = [block.values[f'_atom_site_fract_{axis}'] for axis in 'xyz' if f'_atom_site_fract_{axis}' in block.values]
    count = len(columns[0])
    types = block.values.get('_atom_site_type_symbol') or [''] * count
    labels = block.values.get('_atom_site_label') or types
    occupancies = block.values.get('_atom_site_occupancy') or [''] * count
    flags = block.values.get('_atom_site_calc_flag') or [''] * count
    if len(columns) != 3 or any(len(column) != count for column in (*columns, types, labels, occupancies)):
        raise InvalidInputError('its atoms do not have three coordinates each')
    sites, warnings, groups = [], [], []
    for index in range(count):
        label, type_ = labels[index] or types[index], types[index]
        texts = [column[index] for column in columns]
        if flags[index].lower() == 'dum':
            warnings.append(f'the dummy atom `{label}` is left out')
            continue
        if not all(texts):
            raise InvalidInputError(f'the atom `{label}` has no coordinates: the structure is incomplete')
        occupancy = parse_value('_atom_site_occupancy', occupancies[index]) if occupancies[index] else 1.0
        if not 0 <= occupancy <= 1.001:
            raise InvalidInputError(f'the occupancy of `{label}` is {occupancy:g}: expected 0 to 1')
        if occupancy == 0:
            warnings.append(f'the atom `{label}` has the occupancy 0 and is left out')
            continue
        element = element_of(type_, label, elements)
        if element in _HYDROGEN:
            warnings.append(f'`{label}` is read as H')
        if not type_ and _is_group(label, elements):
            groups.append(label)
        position, uncertainty = _position(texts)
        charge = _charge(type_)
        sites.append(Site(label, _HYDROGEN.get(element, element), position, occupancy, uncertainty, charge))
    if groups and not elements and not any(site.element == 'H' for site in sites):
        raise InvalidInputError(f'the label `{groups[0]}` stands for a group with hydrogen, but no H atom is located')
    return sites, warnings


def element_of(type_: str, label: str, elements: frozenset[str]) -> str:
    """Return the element of a site by its type symbol (``Ca2+``), or by its label (``Ca1A``, ``OW1``).

    :param elements: those of the formula; they decide where letters may be one element or two.
    :raises InvalidInputError: if it is not an element, or may be two.
    """
    text = (type_ or label).strip()
    letters = re.match(r'[A-Za-z]+', text)
    head = '' if letters is None else letters[0]
    if not type_ and _is_group(text, elements):
        return 'N' if head[0] in 'NA' and head[:2].upper() != 'AQ' else head[0] if head[0] == 'C' else 'O'
    one, two = head[:1].upper(), head[:2].capitalize()
    known = [symbol for symbol in dict.fromkeys((two, one)) if symbol in ATOMIC_NUMBERS or symbol in _HYDROGEN]
    if not known or (type_ and not _is_symbol(head)):
        raise InvalidInputError(f'`{text}` is not an element (`_atom_site_{"type_symbol" if type_ else "label"}`)')
    listed = [symbol for symbol in known if _HYDROGEN.get(symbol, symbol) in elements]
    mixed = len(head) > 1 and head[1].islower()
    if len(known) > 1 and not type_ and not mixed and not elements and len(head) == 2:
        raise InvalidInputError(f'the label `{text}` may be {one} or {two}: add `_atom_site_type_symbol`')
    if len(listed) == 1 and not type_:
        return listed[0]
    return known[0] if mixed or (type_ and len(head) == 2) else known[-1]


def _is_group(label: str, elements: frozenset[str]) -> bool:
    """Return whether a label is that of a group with hydrogen; ``W1`` is tungsten where the formula has it."""
    if _GROUPS.match(label) is None or label.rstrip('0123456789') in elements:
        return False
    plain = label.rstrip('0123456789')
    return plain not in ATOMIC_NUMBERS or (plain == 'W' and bool(elements) and 'O' in elements)


def _is_symbol(head: str) -> bool:
    """Return whether letters are an element's symbol in any case, or one with a mark (``Cval``, ``Siv``)."""
    plain = re.sub(r'(?<=[A-Za-z])(val|v)$', '', head).capitalize()
    return plain in ATOMIC_NUMBERS or plain in _HYDROGEN


def _charge(type_: str) -> float | None:
    """Return the charge in a type symbol such as ``Fe3+`` or ``O-2``."""
    found = re.search(r'(\d*\.?\d*)([+-])(\d*\.?\d*)$', type_)
    if found is None:
        return None
    size = found[1] or found[3] or '1'
    return float(f'{found[2]}{size}') if size != '.' else None


def _position(texts: list[str]) -> tuple[NDArray[np.float64], float]:
    """Return the coordinates and the largest error that their digits leave."""
    values, error = [], 0.0
    for text in texts:
        value = parse_value('_atom_site_fract_x', text)
        digits = len(re.split(r'[(eE]', text)[0].partition('.')[2])
        exact = '/' in text or abs(value * 24 - round(value * 24)) < 1e-9
        third = Fraction(value).limit_denominator(3)
        if digits >= 4 and third.denominator == 3 and abs(value - float(third)) <= 0.51 * 10.0**-digits:
            value = float(third)
        elif not exact:
            error = max(error, 0.5 * 10.0 ** -max(digits, 2))
        values.append(value)
    return np.array(values), error


def expand(site: Site, operations: Operations, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fractional positions of all atoms of a site, shape (multiplicity, 3).

    A position close to a special one is moved onto it: to the mean of its images that coincide within the digits given.

    :raises InvalidInputError: if atoms of the site are too close to each other.
    """
    if len(operations.rotations) == 1:
        return site.position[None] % 1.0
    lengths = np.linalg.norm(matrix, axis=1)
    tolerance = float(np.clip(6 * site.uncertainty * lengths.max(), SMALLEST_TOLERANCE, LARGEST_TOLERANCE))
    position = site.position
    for _ in range(6):
        shifts = _images(position, operations) - position
        shifts -= np.rint(shifts)
        near = np.linalg.norm(shifts @ matrix, axis=1) < tolerance
        step = shifts[near].mean(axis=0)
        position = position + step
        if np.abs(step).max() < 1e-9:
            break
    images = _images(position, operations) % 1.0
    kept: list[NDArray[np.float64]] = []
    for image in images:
        if kept:
            shifts = np.array(kept) - image
            distance = np.linalg.norm((shifts - np.rint(shifts)) @ matrix, axis=1).min()
            if distance < 0.5 * SMALLEST_TOLERANCE:
                continue
            if distance < CLOSEST and site.occupancy > 0.999:
                message = (
                    f'`{site.label}` is {distance:.2g} Å from its own image: its coordinates or the symmetry are wrong'
                )
                raise InvalidInputError(message)
        kept.append(image)
    return np.array(kept)


def _images(position: NDArray[np.float64], operations: Operations) -> NDArray[np.float64]:
    return operations.rotations @ position + operations.translations


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
        raise InvalidInputError(f'no atoms: none of its blocks ({names}) has `_atom_site_fract_x`')
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
    lattice = _lattice(block)
    claims = claims_of_block(block)
    sites, warnings = read_sites(block, claims.elements)
    if not sites:
        raise InvalidInputError('no atoms: all are left out')
    symmetry = symmetry_of_block(block, lattice.matrix)
    good, bad = _try(symmetry.choices, sites, lattice, claims)
    if not good and symmetry.others:
        good, more = _try(symmetry.others, sites, lattice, claims)
        bad += more
    if not good:
        reasons = '; '.join(bad if len(bad) > 1 else [bad[0].partition(': ')[2]])
        raise InvalidInputError(f'{symmetry.contradiction}; {reasons}' if symmetry.contradiction else reasons)
    if len(good) > 1 and not _are_same([structure for _, structure in good]):
        found = ', '.join(_in_words(operations, structure) for operations, structure in good)
        reason = symmetry.contradiction or '; '.join(symmetry.warnings)
        raise InvalidInputError(f'{reason}: it may be {found}; add the operations, Z or the density')
    operations, structure = good[0]
    notes = [*warnings, *symmetry.warnings, *([symmetry.contradiction] if symmetry.contradiction else [])]
    if symmetry.contradiction or len(symmetry.choices) > 1:
        notes.append(f'read with {operations.name}, which agrees with the rest')
    if any(name.startswith('_atom_site_moment') for name in block.values):
        notes.append('its magnetic moments are not read: give initial moments')
    return structure, tuple(notes)


def _lattice(block: Block) -> Lattice:
    from pymatgen.core import Lattice

    names = [
        f'_cell_{name}' for name in ('length_a', 'length_b', 'length_c', 'angle_alpha', 'angle_beta', 'angle_gamma')
    ]
    values = [block.number(name) for name in names]
    missing = [name for name, value in zip(names, values, strict=True) if value is None]
    if missing:
        raise InvalidInputError(f'no {", ".join(missing)}')
    a, b, c, alpha, beta, gamma = t.cast('list[float]', values)
    if min(a, b, c) <= 0:
        raise InvalidInputError('the cell has zero volume' if min(a, b, c) == 0 else 'a length of the cell is negative')
    cosines = np.cos(np.radians([alpha, beta, gamma]))
    if not all(0 < angle < 180 for angle in (alpha, beta, gamma)) or (
        1 + 2 * cosines.prod() - (cosines**2).sum() < 1e-9
    ):
        raise InvalidInputError(f'the cell has zero volume: its angles are {alpha:g}, {beta:g} and {gamma:g}')
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
            raise InvalidInputError(f'`{one.label}` and `{other.label}` are {distance:.2g} Å apart')
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
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(primitive_cell=False, attempt_supercell=False, scale=False)
    return all(len(other) == len(structures[0]) and matcher.fit(structures[0], other) for other in structures[1:])


def _in_words(operations: Operations, structure: Structure) -> str:
    formula = structure.composition.formula.replace(' ', '')
    return f'{operations.name} with {formula} ({structure.density:.3g} g/cm³)'

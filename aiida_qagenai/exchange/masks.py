"""Atoms that are held while the rest of a structure is sampled around them, such as ``kagome(Ni)``."""

from __future__ import annotations

import difflib
import math
import re
import typing as t
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pydantic

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('PATTERNS', 'SiteMask')

Row = tuple[float, float, float]


class _Pattern(t.NamedTuple):
    """A net of sites in the plane of a and b.

    :param hexagonal: whether a and b enclose 120 degrees, or 90.
    :param length: a over the distance of nearest sites.
    :param sublattices: fractional coordinates of the sites along a and b.
    """

    hexagonal: bool
    length: float
    sublattices: tuple[tuple[tuple[float, float], ...], ...]


PATTERNS = {
    'triangular': _Pattern(True, 1.0, (((0, 0),),)),
    'honeycomb': _Pattern(True, math.sqrt(3), (((1 / 3, 2 / 3),), ((2 / 3, 1 / 3),))),
    'kagome': _Pattern(True, 2.0, (((0.5, 0), (0, 0.5), (0.5, 0.5)),)),
    'square': _Pattern(False, 1.0, (((0, 0),),)),
    'lieb': _Pattern(False, 2.0, (((0, 0),), ((0.5, 0), (0, 0.5)))),
}
"""Nets by name. The sublattices may have an element each, as in ``lieb(Cu,O)``: corners, then edges."""

EXAMPLES = '`kagome(Ni)`, `kagome(Ni)=2.5` or `orbit(Ni,191)=1/2,0,0`'
LATTICES = ('free', 'shape', 'plane', 'fixed')
CLOSEST = 0.7
"""Smallest distance of held atoms over the sum of their covalent radii: that to which samples are projected."""

COINCIDENT = 0.05
"""Distance of atoms that are one, over their mean spacing."""

APART = 20.0
"""Length of c where it is free and must not bring atoms together, Å."""

TEXT = re.compile(
    r'(?P<name>[A-Za-z_]+)\s*\((?P<inside>[^()]*)\)\s*(?:=\s*(?P<value>[^;]*?))?\s*(?:;\s*lattice\s*=\s*(?P<lattice>\w+))?'
)


class SiteMask(StrictModel):
    """Atoms at given fractional coordinates, and what of their cell samples keep; its JSON may be a text.

    The text is ``NAME(A)`` with one of :data:`PATTERNS`, or ``NAME(A)=DISTANCE`` with the distance of nearest sites in
    Å, or ``orbit(A,NUMBER)=X,Y,Z``, all positions equivalent to one in a space group; ``; lattice=free`` may follow.

    :param cell: lattice vectors as rows, Å; of those that a lattice ``shape`` leaves free only the ratios matter.
    :param species: elements of the held atoms.
    :param fractional: their coordinates.
    :param lattice: what samples keep of the cell: nothing (``free``), its crystal system (``shape``), the vectors a and
        b with c normal to them (``plane``), or everything (``fixed``).
    """

    cell: tuple[Row, Row, Row]
    species: tuple[str, ...] = pydantic.Field(min_length=1)
    fractional: tuple[Row, ...]
    lattice: t.Literal['free', 'shape', 'plane', 'fixed'] = 'shape'

    @classmethod
    def of_text(cls, text: str) -> SiteMask:
        """Return the mask that a text says.

        :raises InvalidInputError: quoting what cannot be read.
        """
        try:
            return cls.model_validate(_parsed(text))
        except pydantic.ValidationError as exception:
            message = exception.errors()[0]['msg'].removeprefix('Value error, ')
            raise InvalidInputError(f'mask `{text}`: {message}') from exception
        except ValueError as exception:
            raise InvalidInputError(str(exception)) from exception

    @classmethod
    def of_structure(cls, structure: Structure, lattice: str = 'shape') -> SiteMask:
        """Return a mask of all atoms of a crystal.

        :raises InvalidInputError: on partial occupancies, atoms that are too close, or an unknown ``lattice``.
        """
        if not structure.is_ordered:
            raise InvalidInputError('the mask has partial occupancies: give it one element on each site')
        return cls.parse(
            {
                'cell': structure.lattice.matrix.tolist(),
                'species': [site.specie.symbol for site in structure],
                'fractional': structure.frac_coords.tolist(),
                'lattice': lattice,
            },
            'invalid mask',
        )

    @pydantic.model_validator(mode='before')
    @classmethod
    def _read(cls, value: t.Any) -> t.Any:
        return _parsed(value) if isinstance(value, str) else value

    @pydantic.model_validator(mode='after')
    def _check(self) -> SiteMask:
        problem = _problem(self)
        if problem:
            raise ValueError(problem)
        return self

    def __len__(self) -> int:
        return len(self.species)

    @property
    def amounts(self) -> Counter[str]:
        """Return how many atoms of each element are held."""
        return Counter(self.species)

    @property
    def text(self) -> str:
        """Return what is held, as in ``3 Ni``."""
        return ', '.join(f'{number} {symbol}' for symbol, number in self.amounts.items())

    def check_elements(self, known: Iterable[str], what: str) -> None:
        """Check that structures of some elements can have the held atoms.

        :param known: all elements of the structures.
        :param what: the structures, in the text of the error.
        :raises InvalidInputError: naming the elements that are absent.
        """
        present = set(known)
        absent = [symbol for symbol in self.amounts if symbol not in present]
        if absent:
            raise InvalidInputError(f'the mask holds {", ".join(absent)}, which {what} does not have')

    def check_crystals(self, structures: Sequence[Structure]) -> None:
        """Check that crystals begin with the held atoms, as those do that were sampled around them.

        :raises InvalidInputError: naming the first that does not.
        """
        for number, structure in enumerate(structures, 1):
            first = [site.species_string for site in structure[: len(self)]]
            if first != list(self.species):
                text = f'crystal {number}, {structure.composition.reduced_formula},'
                raise InvalidInputError(f'the mask holds {self.text}, but {text} does not begin with these atoms')

    def check_content(self, content: t.Mapping[str, int], what: str) -> None:
        """Check that cells can have the held atoms.

        :param content: element → number of atoms of each.
        :param what: begins the text of the error.
        :raises InvalidInputError: naming the element that there is too little of.
        """
        for symbol, number in self.amounts.items():
            if content.get(symbol, 0) < number:
                raise InvalidInputError(
                    f'the mask holds {number} {symbol}, but {what} has {content.get(symbol, 0)} in its cell'
                )


def _parsed(text: str) -> dict[str, t.Any]:
    """Return the fields of a mask from its text.

    :raises ValueError: that quotes what cannot be read.
    """
    start = f'mask `{text}`:'
    found = TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'{start} it is neither a file nor a mask: write {EXAMPLES}')
    inside = [part.strip() for part in found['inside'].split(',')]
    if found['name'].lower() == 'orbit':
        values = _orbit(start, inside, found['value'])
    elif found['name'].lower() in PATTERNS:
        values = _pattern(start, found['name'].lower(), inside, found['value'])
    else:
        names = (*PATTERNS, 'orbit')
        close = difflib.get_close_matches(found['name'].lower(), names, 1)
        hint = f'did you mean `{close[0]}`?' if close else f'it is {", ".join(names)}'
        raise ValueError(f'{start} unknown net `{found["name"]}`: {hint}')
    lattice = found['lattice']
    if lattice is None or lattice == values['lattice']:
        return values
    if lattice not in ('free', 'shape'):
        known = 'free or shape' if lattice in LATTICES else ', '.join(LATTICES)
        reason = 'no length is given for c' if lattice == 'fixed' else 'no length is given'
        raise ValueError(f'{start} `lattice={lattice}` is not possible, because {reason}: write {known}')
    return {**values, 'lattice': lattice}


def _pattern(start: str, name: str, symbols: list[str], value: str | None) -> dict[str, t.Any]:
    """Return a net of :data:`PATTERNS` in a cell with c normal to it."""
    pattern = PATTERNS[name]
    if len(symbols) not in (1, len(pattern.sublattices)):
        number = f'1 or {len(pattern.sublattices)} elements' if len(pattern.sublattices) > 1 else 'one element'
        raise ValueError(f'{start} `{name}` takes {number}, as in `{name}({symbols[0]})`')
    distance = 3.0 if value is None else _number(start, value, 'a distance in Å, as in 2.5')
    if distance <= 0:
        raise ValueError(f'{start} a distance is larger than 0')
    length = pattern.length * distance
    side = (-0.5, math.sqrt(0.75)) if pattern.hexagonal else (0.0, 1.0)
    sites, species = [], []
    for place, sublattice in enumerate(pattern.sublattices):
        sites += [(x, y, 0.0) for x, y in sublattice]
        species += [symbols[place % len(symbols)]] * len(sublattice)
    cell = [(length, 0, 0), (side[0] * length, side[1] * length, 0), (0, 0, length)]
    return {'cell': cell, 'species': species, 'fractional': sites, 'lattice': 'plane' if value else 'shape'}


def _orbit(start: str, inside: list[str], value: str | None) -> dict[str, t.Any]:
    """Return all positions that are equivalent to one in a space group, in a cell of its crystal system."""
    from pymatgen.core import Lattice
    from pymatgen.symmetry.groups import SpaceGroup

    numbers = [part.strip() for part in (value or '').split(',')]
    if len(inside) != 2 or not inside[1].isdigit() or not 1 <= int(inside[1]) <= 230 or len(numbers) != 3:
        raise ValueError(
            f'{start} an orbit is an element, a space group from 1 to 230 and a position: `orbit(Ni,191)=1/2,0,0`'
        )
    group = SpaceGroup.from_int_number(int(inside[1]))
    lattice = {
        'cubic': Lattice.cubic(5),
        'hexagonal': Lattice.hexagonal(5, 5),
        'trigonal': Lattice.hexagonal(5, 5),
        'tetragonal': Lattice.tetragonal(5, 6),
        'orthorhombic': Lattice.orthorhombic(5, 6, 7),
        'monoclinic': Lattice.monoclinic(5, 6, 7, 100),
        'triclinic': Lattice.from_parameters(5, 6, 7, 80, 85, 95),
    }[group.crystal_system]
    position = [_number(start, each, 'a fractional coordinate, as in 0.25 or 1/3') for each in numbers]
    sites = [tuple(float(x) % 1 for x in site) for site in group.get_orbit(position)]
    return {
        'cell': lattice.matrix.tolist(),
        'species': [inside[0]] * len(sites),
        'fractional': sites,
        'lattice': 'shape',
    }


def _number(start: str, text: str, what: str) -> float:
    """Return a decimal number or a fraction."""
    upper, _, lower = text.strip().partition('/')
    try:
        number = float(upper) / float(lower or 1)
    except (ValueError, ZeroDivisionError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f'{start} `{text.strip()}` is not {what}')
    return number


def _problem(mask: SiteMask) -> str:
    """Return what is wrong with a mask, empty if nothing."""
    unknown = [symbol for symbol in mask.amounts if symbol not in ATOMIC_NUMBERS]
    if unknown:
        return f'unknown element {", ".join(unknown)}'
    if len(mask.fractional) != len(mask.species):
        return f'{len(mask.species)} elements, but {len(mask.fractional)} positions'
    cell = np.array(mask.cell)
    if abs(np.linalg.det(cell)) < 1e-3:
        return 'the lattice vectors lie in a plane'
    if mask.lattice == 'plane' and np.abs(cell[:2] @ cell[2]).max() > 1e-3 * np.linalg.norm(cell[2]) ** 2:
        return 'with `lattice` plane c is normal to a and b, but in this cell it is not'
    return _closeness(mask)


def _closeness(mask: SiteMask) -> str:
    """Return which held atoms are too close whatever becomes of the cell, empty if none."""
    from pymatgen.core import Lattice, Structure

    cell = np.array(mask.cell)
    known = mask.lattice in ('plane', 'fixed')
    if mask.lattice == 'plane':
        cell[2] *= APART / np.linalg.norm(cell[2])
    structure = Structure(Lattice(cell), mask.species, mask.fractional)
    radii = np.array([COVALENT_RADII[ATOMIC_NUMBERS[symbol]] for symbol in mask.species])
    spacing = (structure.volume / len(mask)) ** (1 / 3)
    reach = 2 * CLOSEST * float(radii.max()) if known else COINCIDENT * spacing
    first, second, _, distances = structure.get_neighbor_list(reach)
    smallest = CLOSEST * (radii[first] + radii[second]) if known else np.full(len(distances), reach)
    for i, j, distance, limit in zip(first, second, distances, smallest, strict=True):
        if distance < limit:
            pair = f'{mask.species[i]} and {mask.species[j]}'
            return f'{pair} are {distance:.2f} Å apart, less than {limit:.2f} Å' if known else f'{pair} coincide'
    return ''

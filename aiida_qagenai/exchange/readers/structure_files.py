"""Structures in plain files, each in agreement with what its record says of it; nothing here loads AiiDA."""

from __future__ import annotations

import io
import json
import os
import re
import typing as t
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from aiida_qagenai.chemistry.species import plain_structure
from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, reported_as
from aiida_qagenai.exchange.readers.cif import read_cif
from aiida_qagenai.exchange.readers.claims import claims_of_fields
from aiida_qagenai.exchange.readers.formats import FORMATS, RawRecord, format_of, is_archive
from aiida_qagenai.exchange.readers.poscar import read_poscar
from aiida_qagenai.exchange.readers.raw_records import read_raw_records
from aiida_qagenai.exchange.readers.text import parse_number

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = (
    'NamedStructure',
    'ReadStructure',
    'read_attempts',
    'read_named_structures',
    'read_structures',
    'structures_of',
)


FARTHEST = 1e6
"""Fractional coordinates beyond this have fewer than ten digits left for the place in the cell, and neighbours of such
atoms are looked for in all cells in between."""

_WIDE = re.compile(r':[A-Z]:\d{4,}', re.ASCII)
"""A column of an extended XYZ file with a thousand values or more."""


class ReadStructure(t.NamedTuple):
    """One structure of a record.

    :param name: of the structure; its identifier, where it has one.
    :param structure: ``None`` where it cannot be read.
    :param fields: what came with the structure beside the columns of its record.
    :param warnings: what was assumed, left out, or warned of by a library.
    :param problem: why it cannot be read.
    """

    name: str
    structure: Structure | None
    fields: Mapping[str, t.Any]
    warnings: tuple[str, ...] = ()
    problem: str = ''


def structures_of(record: RawRecord) -> list[ReadStructure]:
    """Return the structures of a record, of which only a CIF may have several. Problems are items of their own."""
    if record.problem:
        return [ReadStructure(record.name, None, {}, problem=record.problem)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        try:
            found = list(_read(record))
        except InvalidInputError as exception:
            found = [ReadStructure(record.name, None, {}, problem=_one_line(exception))]
        except Exception as exception:  # parsers raise whatever they meet
            found = [ReadStructure(record.name, None, {}, problem=_in_words(exception))]
    texts = tuple(dict.fromkeys(_one_line(item.message) for item in caught if not _is_ours(item)))
    return [_checked(item._replace(warnings=(*item.warnings, *texts)), record) for item in found]


def _read(record: RawRecord) -> Iterator[ReadStructure]:
    if record.kind == 'cif':
        with reported_as('it cannot be read as CIF:', InvalidInputError):
            items = read_cif(record.structure)
        for index, item in enumerate(items):
            several = len(items) > 1
            unique = item.name if [other.name for other in items].count(item.name) == 1 else str(index)
            name = f'{record.name}#{unique}' if several else record.name
            yield ReadStructure(name, item.structure, {}, item.warnings, item.problem)
        return
    if record.kind == 'packed':
        yield ReadStructure(record.name, record.structure, {})
        return
    if record.kind == 'extxyz':
        structure, fields = _from_extxyz(record.structure)
        yield ReadStructure(record.name, structure, fields)
        return
    if record.kind == 'poscar':
        yield ReadStructure(record.name, read_poscar(record.structure), {})
        return
    content = json.loads(record.structure)
    yield ReadStructure(record.name, _FROM_JSON[record.kind](content), {})


def _checked(item: ReadStructure, record: RawRecord) -> ReadStructure:
    """Return an item of bare elements, or with the reason why it contradicts its record."""
    structure = item.structure
    if structure is None:
        return item
    structure = plain_structure(structure)
    farthest = float(np.abs(structure.frac_coords).max(initial=0.0))
    if not farthest < FARTHEST:
        problem = f'an atom stands {farthest:.1g} cells away: so large a coordinate does not say where in its cell'
        return item._replace(structure=None, problem=problem)
    found = []
    if structure.is_ordered:
        for row in record.rows[:1]:
            found = claims_of_fields({**item.fields, **row}).contradictions(structure)
    if found:
        return item._replace(structure=None, problem='; '.join(found))
    return item._replace(structure=structure)


def _from_pymatgen(content: t.Any) -> Structure:
    from pymatgen.core import Structure

    try:
        structure = Structure.from_dict(content)
    except Exception as exception:  # pymatgen raises whatever the dictionary lacks
        raise InvalidInputError(f'not a structure as pymatgen writes it ({exception!r:.100})') from exception
    spins = [getattr(next(iter(site.species)), 'spin', None) for site in structure]
    if any(spins) and 'magmom' not in structure.site_properties:
        # The species become bare elements.
        structure.add_site_property('magmom', [spin or 0.0 for spin in spins])
    return structure


def _from_ase(content: dict[str, t.Any]) -> Structure:
    from ase import Atoms
    from ase.io.jsonio import decode
    from pymatgen.io.ase import AseAtomsAdaptor

    values = decode(json.dumps(content))
    periodic = values.get('pbc')
    return t.cast(
        'Structure',
        AseAtomsAdaptor.get_structure(
            _periodic(
                Atoms(
                    numbers=values['numbers'],
                    positions=values['positions'],
                    cell=values['cell'],
                    pbc=True if periodic is None else periodic,
                    magmoms=values.get('initial_magmoms'),
                )
            )
        ),
    )


def _periodic(atoms: t.Any) -> t.Any:
    """Return atoms that are a crystal."""
    if not atoms.pbc.all():
        raise InvalidInputError('not periodic in three directions (no Lattice in the comment line?)')
    return atoms


def _from_jarvis(content: dict[str, t.Any]) -> Structure:
    from pymatgen.core import Structure

    cartesian = bool(content.get('cartesian'))
    elements = [str(name).strip() for name in content['elements']]
    return Structure(content['lattice_mat'], elements, content['coords'], coords_are_cartesian=cartesian)


def _from_extxyz(text: str) -> tuple[Structure, dict[str, t.Any]]:
    """Return the structure and the values of the comment line of one frame."""
    from ase.io import read
    from pymatgen.io.ase import AseAtomsAdaptor

    if (wide := _WIDE.search(text.split('\n', 2)[1])) is not None:
        raise InvalidInputError(f'no line has so many columns: {wide[0][:60]}')
    try:
        atoms = _periodic(t.cast(t.Any, read(io.StringIO(text), format='extxyz')))
    except KeyError as exception:
        raise InvalidInputError(f'unknown element {exception}') from exception
    fields = {name: value.tolist() if hasattr(value, 'tolist') else value for name, value in atoms.info.items()}
    if atoms.calc is not None and 'energy' in atoms.calc.results:
        fields.setdefault('energy', float(atoms.calc.results['energy']))
    if atoms.calc is not None and 'magmoms' in atoms.calc.results:
        atoms.set_initial_magnetic_moments(atoms.calc.results['magmoms'])
    atoms.calc = None
    return AseAtomsAdaptor.get_structure(atoms), fields


def _from_optimade(content: dict[str, t.Any]) -> Structure:
    """Return the structure of the fields of OPTIMADE."""
    from pymatgen.core import Lattice, Structure

    needed = ('lattice_vectors', 'cartesian_site_positions', 'species_at_sites')
    missing = [name for name in needed if not content[name]]
    if missing:
        raise InvalidInputError(f'the structure has no {", ".join(missing)}')
    if content.get('dimension_types') not in (None, [1, 1, 1]):
        raise InvalidInputError(f'the structure is not periodic in three directions: {content["dimension_types"]}')
    elements = {}
    for species in content.get('species') or ():
        symbols, shares = species['chemical_symbols'], species['concentration']
        if len(symbols) != 1 or symbols[0] in {'X', 'vacancy'} or abs(shares[0] - 1) > 1e-6:
            raise InvalidInputError(f'the site `{species["name"]}` is not one element: {symbols}')
        elements[species['name']] = symbols[0]
    symbols = [elements.get(name, name) for name in content['species_at_sites']]
    return Structure(
        Lattice(content['lattice_vectors']), symbols, content['cartesian_site_positions'], coords_are_cartesian=True
    )


_FROM_JSON: dict[str, t.Callable[[t.Any], Structure]] = {
    'pymatgen': _from_pymatgen,
    'ase': _from_ase,
    'jarvis': _from_jarvis,
    'optimade': _from_optimade,
}


def _is_ours(item: warnings.WarningMessage) -> bool:
    """Return whether a warning is for developers, not for those who read files."""
    return issubclass(item.category, DeprecationWarning | PendingDeprecationWarning | FutureWarning)


def _one_line(text: object) -> str:
    return ' '.join(str(text).split())[:400]


def _in_words(exception: Exception) -> str:
    """Return what the message of a parser means for a crystal."""
    text = _one_line(exception)
    if 'ingular matrix' in text:
        return 'the cell has zero volume'
    if 'nan' in text.lower():
        return f'a number is NaN ({text})'
    return f'the structure cannot be read: {text[:200] or type(exception).__name__}'


ENERGIES = ('formation_energy_per_atom', 'energy_per_atom', 'total_energy', 'energy')
"""Columns of energies: eV/atom, eV/atom, and eV per cell."""


class NamedStructure(t.NamedTuple):
    """One structure of a file.

    :param fields: columns of its row, or what its entry holds beside it.
    :param warnings: what was assumed or left out as it was read.
    """

    name: str
    structure: Structure
    fields: Mapping[str, t.Any]
    warnings: tuple[str, ...]

    @property
    def energies(self) -> dict[str, float]:
        """Return the energies that came with the structure, by the names of their columns."""
        found = {}
        for name in ENERGIES:
            try:
                number = parse_number(name, self.fields.get(name))
            except InvalidInputError:
                continue
            if number is not None:
                found[name] = number
        return found


def read_structures(path: str | os.PathLike[str]) -> list[tuple[str, Structure]]:
    """Return (name, structure) for all structures in a file; see :func:`read_named_structures`."""
    return [(item.name, item.structure) for item in read_named_structures(path)]


def read_named_structures(path: str | os.PathLike[str]) -> list[NamedStructure]:
    """Return all structures in a file, by its ending; see :data:`~aiida_qagenai.exchange.readers.formats.FORMATS`.

    Disordered and otherwise odd structures are returned as they are: screening says what is wrong with them. What a
    file says of a structure (formula, Z, density, symmetry) has to agree with its atoms.

    :raises InvalidInputError: naming the file and the place of what cannot be read or contradicts itself.
    """
    found = _read_file(Path(path), strict=True)
    return [
        NamedStructure(item.name, item.structure, item.fields, item.warnings)
        for item in found
        if item.structure is not None
    ]


def read_attempts(path: str | os.PathLike[str]) -> list[ReadStructure]:
    """Return all structures in a file as :func:`read_named_structures`, but those that cannot be read as well.

    Where structures were generated, one that cannot be read is a result: it has the reason in place of a structure.

    :raises InvalidInputError: naming the file, where it has no structures or is damaged.
    """
    return _read_file(Path(path), strict=False)


def _read_file(path: Path, *, strict: bool) -> list[ReadStructure]:
    format_ = None if is_archive(path.name) else format_of(path.name)
    if not path.is_file():
        raise InvalidInputError(f'`{path}` is not a file')
    if path.stat().st_size == 0:
        raise InvalidInputError(f'`{path}` is empty')
    if format_ is None:
        raise InvalidInputError(f'cannot tell the format of `{path}`: known are {FORMATS}')
    try:
        found = list(_structures(path, format_, strict))
    except CorruptFileError:
        raise
    except InvalidInputError as exception:
        message = str(exception) if str(exception).startswith(f'`{path}`') else f'`{path}`: {exception}'
        raise InvalidInputError(message) from exception
    except OSError as exception:
        raise InvalidInputError(f'`{path}` cannot be read: {exception.strerror}') from exception
    if not found:
        raise InvalidInputError(f'`{path}` has no structures')
    return found


def _structures(path: Path, format_: str, strict: bool) -> Iterator[ReadStructure]:
    with path.open('rb') as handle:
        for record in read_raw_records(handle, format_, path.name):
            for item in structures_of(record):
                if item.structure is None and strict:
                    place = f'`{path}`, {record.place}' if record.place else f'`{path}`'
                    raise InvalidInputError(f'{place}: {item.problem}')
                yield item._replace(fields={**item.fields, **(record.rows[0] if record.rows else {})})

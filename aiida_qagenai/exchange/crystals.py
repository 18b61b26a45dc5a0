"""Anything that is a crystal as an object of pymatgen, and back: the one place that tells kinds of structures apart.

Nothing here loads AiiDA: a node is known by its methods.
"""

from __future__ import annotations

import os
import typing as t
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.chemistry.moments import moments_of_structure
from aiida_qagenai.chemistry.species import plain_structure
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

__all__ = (
    'MOMENTS_EXTRA',
    'AnyCrystal',
    'AnyCrystals',
    'NamedCrystal',
    'as_atoms',
    'as_structure',
    'as_structures',
    'listed',
    'named_crystals',
)

MOMENTS_EXTRA = 'initial_moments'
"""Extra of a node of a structure that was given with moments: of its sites, μB."""

AnyCrystal = t.Any
"""A ``Structure`` or an entry of pymatgen, ``Atoms`` of ASE, a ``StructureData`` or ``CandidateData``, what the
functions of ``aiida_qagenai.api`` return, or the path of a file."""

AnyCrystals = t.Any
"""One of these, or any number of them; a file counts with all its structures."""


class NamedCrystal(t.NamedTuple):
    """A crystal and what it is called: its name in a file, the label or uuid of a node, else its index."""

    name: str
    structure: Structure


def as_structure(source: AnyCrystal, *, ordered: bool = True) -> Structure:
    """Return one crystal as a pymatgen ``Structure`` of bare elements.

    Magnetic moments (``magmom`` of the sites or spins of the species of pymatgen, moments of ASE, those of a node) are
    the site property ``magmom``, in μB. Oxidation states, isotopes, constraints and calculators are left out. What was
    given is never changed.

    :param ordered: whether partial occupancies are an error.
    :raises InvalidInputError: if it is not a structure, has no cell in three directions, partial occupancies, numbers
        that are not finite, a flat cell or unknown elements; or if a file does not hold exactly one.
    """
    found = named_crystals(source, ordered=ordered)
    if len(found) != 1:
        raise InvalidInputError(f'{_said(source)} holds {len(found)} structures, expected exactly one')
    return found[0].structure


def as_structures(sources: AnyCrystals, *, ordered: bool = True) -> list[Structure]:
    """Return crystals as pymatgen objects, see :func:`as_structure`.

    :raises InvalidInputError: naming the first that cannot be used.
    """
    return [each.structure for each in named_crystals(sources, ordered=ordered)]


def as_atoms(source: AnyCrystal) -> Atoms:
    """Return one crystal as ``Atoms`` of ASE, periodic in three directions, with its moments as initial ones.

    :raises InvalidInputError: as :func:`as_structure`.
    """
    from ase import Atoms

    structure = as_structure(source)
    return Atoms(
        numbers=structure.atomic_numbers,
        cell=structure.lattice.matrix,
        scaled_positions=structure.frac_coords,
        pbc=True,
        magmoms=moments_of_structure(structure),
    )


def named_crystals(sources: AnyCrystals, *, ordered: bool = True) -> list[NamedCrystal]:
    """Return crystals with their names, in the order given, see :func:`as_structure`.

    :raises InvalidInputError: naming the first that cannot be used.
    """
    from aiida_qagenai.exchange.readers.structure_files import read_named_structures

    found: list[NamedCrystal] = []
    for source in listed(sources):
        if isinstance(source, str | os.PathLike):
            found += [NamedCrystal(item.name, item.structure) for item in read_named_structures(Path(source))]
        else:
            index = len(found)
            name = _name(source) or str(index)
            try:
                found.append(NamedCrystal(name, _structure(source)))
            except InvalidInputError as exception:
                raise InvalidInputError(f'structure {index} ({_said(source)}) {exception}') from exception
    for index, (name, structure) in enumerate(found):
        problem = _problem(structure, ordered=ordered)
        if problem:
            raise InvalidInputError(f'structure {index} (`{name}`, {structure.composition.reduced_formula}) {problem}')
    return found


def listed(sources: AnyCrystals) -> list[t.Any]:
    """Return what was given as a list; crystals are sequences of sites as well, which does not make them many.

    :raises InvalidInputError: if it is neither a structure nor anything that can be gone through.
    """
    if isinstance(sources, str | os.PathLike) or _is_one(sources):
        return [sources]
    if not isinstance(sources, Iterable):
        raise InvalidInputError(f'{_said(sources)} is not a structure: {KINDS}')
    return list(sources)


KINDS = (
    'give a Structure of pymatgen, Atoms of ASE, a StructureData of AiiDA, the path of a file, or a list of these '
    '(of a stored node load it first with `load_node`)'
)


def _is_one(source: t.Any) -> bool:
    from ase import Atoms
    from pymatgen.core import SiteCollection

    return isinstance(source, Atoms | SiteCollection) or hasattr(source, 'structure') or _is_node(source)


def _is_node(source: t.Any) -> bool:
    return hasattr(source, 'get_pymatgen_structure') and hasattr(source, 'pbc')


def _structure(source: t.Any) -> Structure:
    from ase import Atoms
    from pymatgen.core import IStructure, SiteCollection

    if isinstance(source, IStructure):
        return _from_pymatgen(source)
    if isinstance(source, SiteCollection):
        raise InvalidInputError('is a molecule: put it into a cell with `get_boxed_structure`')
    if isinstance(source, Atoms):
        return _from_ase(source)
    if _is_node(source):
        return _from_node(source)
    if hasattr(source, 'structure'):  # an entry of pymatgen, or what a function of this package returned
        return _structure(source.structure)
    raise InvalidInputError(f'is not a structure: {KINDS}')


def _from_pymatgen(source: t.Any) -> Structure:
    from pymatgen.core import Structure

    structure = source if isinstance(source, Structure) else Structure.from_sites(list(source))
    moments = moments_of_structure(structure) if structure.is_ordered else None
    plain = plain_structure(structure)
    if moments is None or 'magmom' in plain.site_properties:
        return plain
    # The species became bare elements, which makes it a copy.
    plain.add_site_property('magmom', moments)
    return plain


def _from_ase(atoms: Atoms) -> Structure:
    from pymatgen.core import Lattice, Structure

    if not atoms.pbc.all():
        raise InvalidInputError(
            'is not periodic in three directions: put it into a cell and set `pbc=True`, or leave molecules out'
        )
    cell = np.asarray(atoms.cell.array)
    if not np.isfinite(cell).all():
        raise InvalidInputError('has a lattice that is not finite')
    if not abs(np.linalg.det(cell)) > 1e-6:
        raise InvalidInputError('has a cell of zero volume')
    if not atoms.numbers.all():
        raise InvalidInputError('has an unknown element (X)')
    if any(len(shares) > 1 or sum(shares.values()) < 1 for shares in atoms.info.get('occupancy', {}).values()):
        raise InvalidInputError('has partial occupancies (`info["occupancy"]`): order it first')
    results = getattr(atoms.calc, 'results', None) or {}
    moments = results.get('magmoms')
    if moments is None and atoms.has('initial_magmoms'):
        moments = atoms.get_initial_magnetic_moments()
    if moments is not None and np.ndim(moments) != 1:
        raise InvalidInputError(
            'has moments that are vectors: only collinear ones (one number per atom) are known here'
        )
    properties = None if moments is None else {'magmom': [float(moment) for moment in moments]}
    # Not `get_scaled_positions`: atoms keep the cell in which they stand.
    fractional = np.linalg.solve(cell.T, atoms.positions.T).T
    return Structure(Lattice(cell), atoms.numbers.tolist(), fractional, site_properties=properties)


def _from_node(node: t.Any) -> Structure:
    if not all(node.pbc):
        raise InvalidInputError('is not periodic in three directions: only crystals are accepted here')
    structure: Structure = node.get_pymatgen_structure()
    if 'kind_name' in structure.site_properties:
        structure.remove_site_property('kind_name')
    moments = node.base.extras.get(MOMENTS_EXTRA, None)
    if moments is not None:
        structure.add_site_property('magmom', moments)
    return plain_structure(structure)


def _problem(structure: Structure, *, ordered: bool) -> str | None:
    if not structure.is_ordered and not ordered:
        return None
    return structure_problem(structure)


def _name(source: t.Any) -> str:
    """Return the label or the uuid of a node, the identifier of an entry, or nothing."""
    if _is_node(source):
        return str(source.label or source.uuid)
    return str(getattr(source, 'name', '') or getattr(source, 'entry_id', '') or '')


def _said(source: t.Any) -> str:
    """Return in few words what was given."""
    if isinstance(source, str | os.PathLike):
        return f'`{source}`'
    formula = getattr(source, 'formula', None)
    if formula is None and hasattr(source, 'get_chemical_formula'):
        formula = source.get_chemical_formula()
    return f'{type(source).__name__}{f" {formula}" if isinstance(formula, str) else ""}'

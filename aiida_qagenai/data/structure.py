"""Structures of pymatgen, ASE or files as nodes, for builders of work chains."""

from __future__ import annotations

import typing as t

from aiida.orm import StructureData

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.crystals import MOMENTS_EXTRA, AnyCrystal, as_structure

__all__ = ('as_magnetic_node', 'as_magnetic_nodes', 'as_node', 'as_nodes')


def as_node(source: AnyCrystal) -> StructureData:
    """Return a structure as a node: the node itself, or a new one, not stored, that is labelled by its formula.

    A crystal with magnetic moments (``magmom``) keeps them as an extra, as one that the command line reads from a file:
    builders of energies begin with these moments where no others are given.

    :param source: any kind, see :func:`~aiida_qagenai.exchange.crystals.as_structure`. Molecules of pymatgen, and atoms
        of ASE that are periodic in no direction, are accepted too: isolated atoms and molecules.
    :raises InvalidInputError: if it cannot be used.
    """
    if isinstance(source, StructureData):
        return source
    molecule = _molecule(source)
    if molecule is not None:
        return molecule
    structure = as_structure(source)
    moments = structure.site_properties.get('magmom')
    plain = structure.copy(site_properties={})
    node = StructureData(pymatgen=plain, label=structure.composition.reduced_formula)
    if moments is not None and any(moments):
        node.base.extras.set(MOMENTS_EXTRA, [float(moment) for moment in moments])
    return node


def as_nodes(sources: t.Mapping[str, AnyCrystal]) -> dict[str, StructureData]:
    """Return structures by label as nodes, see :func:`as_node`.

    :raises InvalidInputError: naming the label of the first that cannot be used.
    """
    found = {}
    for label, source in sources.items():
        try:
            found[label] = as_node(source)
        except InvalidInputError as exception:
            raise InvalidInputError(f'`{label}`: {exception}') from exception
    return found


def as_magnetic_node(source: AnyCrystal, moments: t.Any = None) -> tuple[StructureData, t.Any]:
    """Return a structure as a node, and the initial moments of its energy: ``moments``, or those that it came with.

    A node comes with none: what decides an energy is an input of its calculation, and not an extra.
    """
    node = as_node(source)
    if moments is None and not isinstance(source, StructureData):
        moments = node.base.extras.get(MOMENTS_EXTRA, None)
    return node, moments


def as_magnetic_nodes(
    sources: t.Mapping[str, AnyCrystal], moments: t.Mapping[str, t.Any]
) -> tuple[dict[str, StructureData], dict[str, t.Any]]:
    """Return structures by label as nodes, and by label the initial moments of those that have any.

    :raises InvalidInputError: naming the label of the first that cannot be used.
    """
    nodes = as_nodes(sources)
    found = {label: as_magnetic_node(source, moments.get(label))[1] for label, source in sources.items()}
    return nodes, {**moments, **{label: values for label, values in found.items() if values is not None}}


def _molecule(source: t.Any) -> StructureData | None:
    """Return atoms without a cell as a node, or ``None`` for anything else."""
    from ase import Atoms
    from pymatgen.core import IMolecule

    if isinstance(source, IMolecule):
        return StructureData(pymatgen_molecule=source, label=source.composition.reduced_formula)
    if isinstance(source, Atoms) and not source.pbc.any():
        bare = Atoms(numbers=source.numbers, positions=source.positions, cell=source.cell, pbc=False)
        if not source.cell.any():
            bare.center(vacuum=5.0)
        return StructureData(ase=bare, label=source.get_chemical_formula())
    return None

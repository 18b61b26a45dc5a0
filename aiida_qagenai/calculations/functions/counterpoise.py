"""Isolated atoms with the basis functions of their neighbours in a crystal, for the counterpoise correction."""

from __future__ import annotations

import hashlib
import json
import typing as t

from aiida.engine import calcfunction
from aiida.orm import Dict, Int, StructureData

from aiida_qagenai.chemistry.neighbourhood import surrounding_sites
from aiida_qagenai.data.energy import EnergyData

__all__ = ('SITE_PREFIX', 'average_atoms', 'surround_atom', 'surroundings_of')

SITE_PREFIX = 'site'
"""Prefix of the index of a site in the name of an input."""

BOX = 20.0
"""Edge of the box that a StructureData needs, Å; the atom is computed without it."""


def surroundings_of(structure: StructureData) -> str:
    """Return the part of an atom's level tag that names its surroundings: `in-` and a hash of the crystal.

    For a molecule it is `isolated`: its atoms have no such correction.
    """
    if not any(structure.pbc):
        return 'isolated'
    sites = [(structure.get_kind(site.kind_name).symbol, _rounded(site.position)) for site in structure.sites]
    content = json.dumps([[_rounded(vector) for vector in structure.cell], sites])
    return 'in-' + hashlib.sha256(content.encode()).hexdigest()[:8]


def _rounded(vector: t.Sequence[float]) -> list[float]:
    # Without negative zeros.
    return [round(float(number), 6) + 0.0 for number in vector]


@calcfunction
def surround_atom(structure: StructureData, index: Int, shells: Int) -> dict[str, StructureData]:
    """Return the ``atom`` at a site of a crystal, moved to the origin, and its neighbours as ``ghosts``.

    :param shells: number of shells of neighbours, see :func:`~aiida_qagenai.chemistry.neighbourhood.surrounding_sites`.
    """
    sites = [(structure.get_kind(site.kind_name).symbol, site.position) for site in structure.sites]
    atom, ghosts = (StructureData(cell=[[BOX, 0, 0], [0, BOX, 0], [0, 0, BOX]], pbc=[False] * 3) for _ in range(2))
    atom.append_atom(symbols=sites[index.value][0], position=(0.0, 0.0, 0.0))
    for symbol, position in surrounding_sites(structure.cell, sites, index.value, shells.value):
        ghosts.append_atom(symbols=symbol, position=position)
    return {'atom': atom, 'ghosts': ghosts}


@calcfunction
def average_atoms(counts: Dict, **energies: EnergyData) -> EnergyData:
    """Return the mean energy of one element's atoms at the different sites of a crystal.

    :param counts: number of equal sites by label (``site`` and the index), as the energies.
    """
    weights = counts.get_dict()
    content = [energies[label].content for label in sorted(weights)]
    numbers = [weights[label] for label in sorted(weights)]
    mean = sum(n * one.total_energy for n, one in zip(numbers, content, strict=True)) / sum(numbers)
    worst = max((one.uncertainty for one in content if one.uncertainty is not None), default=None)
    values = {**energies[min(weights)].base.attributes.all, 'total_energy': mean, 'energy_per_atom': mean}
    values.update(
        uncertainty=worst,
        core_hours=sum(one.core_hours for one in content),
        wall_seconds=sum(one.wall_seconds for one in content),
        memory_mb=max((one.memory_mb for one in content if one.memory_mb), default=None),
        warnings=sorted({text for one in content for text in one.warnings}),
        warning_codes=sorted({code for one in content for code in one.warning_codes}),
        components={},
    )
    return EnergyData(**{name: value for name, value in values.items() if name != 'source'})


# A clone would name the structures of another run, see ``EnergyData.structure_uuid``.
average_atoms.is_valid_cache = lambda node: False

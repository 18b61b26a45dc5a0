"""List the magnetic orderings of a crystal, and take the energy of the lowest one for the crystal itself."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.engine import calcfunction
from aiida.orm import Dict, StructureData

from aiida_qagenai.calculations.functions.counterpoise import surroundings_of
from aiida_qagenai.calculations.functions.energy import count_atoms, formation_fields
from aiida_qagenai.chemistry.moments import initial_moments
from aiida_qagenai.chemistry.orderings import Orderings, find_orderings
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.sites import formula_of

__all__ = (
    'CELL_PREFIX',
    'NEAR_DEGENERATE',
    'ORDERING_PREFIX',
    'OrderingOptions',
    'list_orderings',
    'near_lowest',
    'orderings_of',
    'take_lowest',
)

CELL_PREFIX = 'cell_'
ORDERING_PREFIX = 'ordering_'
"""Prefixes of the name of an ordering in the names of outputs and inputs."""

NEAR_DEGENERATE = 0.010
"""Energy above the lowest ordering up to which another one is a sign of multireference character, eV/atom."""

SAME_ENERGY = 1e-4
SAME_MOMENT = 0.05
"""Two calculations that agree in energy (eV/atom) and absolute moment (μB/atom) found the same state."""

PER_CELL = ('total_energy', 'uncertainty', 'total_moment', 'absolute_moment')
PER_SITE = ('site_moments', 'initial_moments')
DERIVED = ('energy_per_atom', 'source', 'forces', 'stress', 'ordering', 'ordering_uuid')


class OrderingOptions(StrictModel):
    """Which orderings of a crystal are listed."""

    moments: list[float] | dict[str, float] | None = pydantic.Field(
        None, description='Initial moments by site or by element, μB; from oxidation states by default.'
    )
    spin_state: t.Literal['high', 'low'] = pydantic.Field('high', description='Of 3d ions whose moments are not given.')
    max_atoms: pydantic.PositiveInt = pydantic.Field(description='Largest cell of an ordering.')
    max_orderings: pydantic.PositiveInt = pydantic.Field(description='Besides the non-magnetic solution.')
    nonmagnetic: bool | None = pydantic.Field(
        None, description='Whether the crystal without moments is one; by default if it is all low spin can be.'
    )
    only: list[str] | None = pydantic.Field(
        None, description='Names of those that are taken of the list; the first one must be on it.'
    )


def orderings_of(structure: StructureData, options: OrderingOptions) -> tuple[Orderings, list[str]]:
    """Return the orderings that the options ask for, and where the initial moments come from.

    :raises InvalidInputError: as :func:`~aiida_qagenai.chemistry.orderings.find_orderings`, or for an unknown name.
    """
    crystal = structure.get_pymatgen()
    start = initial_moments(crystal, options.moments, spin_state=options.spin_state)
    nonmagnetic = options.nonmagnetic
    if nonmagnetic is None:
        by_rule = options.moments is None
        nonmagnetic = by_rule and not initial_moments(crystal, spin_state='low').magnetic
    found = find_orderings(
        crystal,
        start.values,
        max_atoms=options.max_atoms,
        max_orderings=options.max_orderings,
        nonmagnetic=nonmagnetic,
    )
    if options.only is not None:
        found = _named(found, options.only, f'{crystal.formula} in cells of up to {options.max_atoms} atoms')
    return found, start.summary


def _named(found: Orderings, names: t.Sequence[str], what: str) -> Orderings:
    """Return the orderings with these names, of which the first must be among them.

    :raises InvalidInputError: if it is not.
    """
    by_name = {each.name: each for each in found.orderings}
    if not names or names[0] not in by_name:
        raise InvalidInputError(f'no ordering `{", ".join(names[:1])}` of {what}: there are {", ".join(by_name)}')
    missing = [name for name in names if name not in by_name]
    left_out = [*found.left_out, *(f'{name}: not among those of {what}' for name in missing)]
    return Orderings(tuple(each for name, each in by_name.items() if name in names), tuple(left_out))


@calcfunction
def list_orderings(structure: StructureData, options: Dict) -> dict[str, t.Any]:
    """Return the orderings of a crystal: a ``listing``, and the cell of each by ``cell_`` and its name.

    The listing has ``orderings`` (kind, moments and the sites of the crystal in the cell, by name), what was
    ``left_out``, and the ``sources`` of the moments.

    :param options: an :class:`OrderingOptions`.
    :raises InvalidInputError: as :func:`orderings_of`.
    """
    found, sources = orderings_of(structure, OrderingOptions.parse(options.get_dict()))
    rows = {
        each.name: {'kind': each.kind, 'moments': list(each.moments), 'sites': list(each.sites)}
        for each in found.orderings
    }
    listing = {'names': list(rows), 'orderings': rows, 'left_out': list(found.left_out), 'sources': sources}
    formula = formula_of(structure)
    cells = {
        f'{CELL_PREFIX}{each.name}': StructureData(pymatgen=each.cell, label=f'{formula} {each.name}')
        for each in found.orderings
    }
    return {'listing': Dict(listing), **cells}


@calcfunction
def take_lowest(structure: StructureData, level: Dict, listing: Dict, failed: Dict, **inputs: EnergyData) -> EnergyData:
    """Return the energy of the lowest ordering as that of the crystal, in its own cell and with formation energies.

    Energies and moments of the cell are scaled to the number of atoms; the moment of a site is that of the site of the
    ordering at its place, the cost that of all orderings.

    :param level: protocol and level tag.
    :param listing: as :func:`list_orderings` returns it.
    :param failed: reason by name of those that have no energy.
    :param inputs: energies by ``ordering_`` and name; isolated atoms and reference states as in
        :func:`~aiida_qagenai.calculations.functions.energy.assemble_energy`.
    :raises InvalidInputError: if a reference is of another level or element.
    """
    energies = _of_orderings(inputs)
    references = {name: node for name, node in inputs.items() if not name.startswith(ORDERING_PREFIX)}
    name = min(energies, key=lambda each: (not energies[each].content.converged, _per_atom(energies[each])))
    lowest = energies[name]
    content = {key: value for key, value in lowest.base.attributes.all.items() if key not in DERIVED}
    row = listing['orderings'][name]
    factor = len(structure.sites) / content['num_atoms']
    scaled = {key: content[key] * factor for key in PER_CELL if content.get(key) is not None}
    if content.get('spin_squared') is not None:
        scaled['spin_squared'] = _scale_spin(content['spin_squared'], content['total_moment'], factor)
    sites = {key: [content[key][site] for site in row['sites']] for key in PER_SITE if content.get(key) is not None}
    warnings, codes = _warnings(energies, name, failed.get_dict())
    composition, tag = count_atoms(structure), level['level_tag']
    fidelity = Fidelity(content['fidelity'])
    formation = formation_fields(
        scaled['total_energy'], composition, fidelity, tag, references, surroundings=surroundings_of(structure)
    )
    return EnergyData(
        **{
            **content,
            **scaled,
            **sites,
            **formation,
            'magnetic_ordering': content.get('magnetic_ordering') or row['kind'],
            'num_atoms': len(structure.sites),
            'components': {key: value * factor for key, value in content['components'].items()},
            'structure_uuid': structure.uuid,
            'ordering': name,
            'ordering_uuid': lowest.uuid,
            'core_hours': sum(node.content.core_hours for node in energies.values()),
            'wall_seconds': sum(node.content.wall_seconds for node in energies.values()),
            'warnings': [*content['warnings'], *warnings],
            'warning_codes': sorted({*content['warning_codes'], *codes}),
        }
    )


# A clone would name the structure of another run, see ``EnergyData.structure_uuid``.
take_lowest.is_valid_cache = lambda node: False


def _scale_spin(squared: float, moment: float, factor: float) -> float:
    """Return ⟨S²⟩ of another cell: S(S + 1) of its moment, and the contamination, which grows with the cell."""

    def pure(number: float) -> float:
        return abs(number) / 2 * (abs(number) / 2 + 1)

    return pure(moment * factor) + factor * (squared - pure(moment))


def near_lowest(energies: t.Mapping[str, EnergyData], window: float) -> list[str]:
    """Return the names of the orderings up to ``window`` (eV/atom) above the lowest one, that one first.

    Of several calculations that found the same state one is returned.
    """
    order = sorted(energies, key=lambda name: (_per_atom(energies[name]), name))
    found: list[str] = []
    for name in order:
        if _per_atom(energies[name]) - _per_atom(energies[order[0]]) > window:
            break
        if not any(_is_same(energies[name], energies[other]) for other in found):
            found.append(name)
    return found


def _of_orderings(inputs: t.Mapping[str, EnergyData]) -> dict[str, EnergyData]:
    return {
        name.removeprefix(ORDERING_PREFIX): node for name, node in inputs.items() if name.startswith(ORDERING_PREFIX)
    }


def _per_atom(energy: EnergyData) -> float:
    return energy.total_energy / int(energy.base.attributes.get('num_atoms'))


def _is_same(first: EnergyData, second: EnergyData) -> bool:
    """Return whether two calculations found the same state."""
    moments = [
        (node.base.attributes.get('absolute_moment', None) or 0.0) / int(node.base.attributes.get('num_atoms'))
        for node in (first, second)
    ]
    same = abs(_per_atom(first) - _per_atom(second)) < SAME_ENERGY and abs(moments[0] - moments[1]) < SAME_MOMENT
    kinds = {node.base.attributes.get('magnetic_ordering', None) or 'nonmagnetic' for node in (first, second)}
    return same and len(kinds) == 1


def _warnings(
    energies: t.Mapping[str, EnergyData], lowest: str, failed: t.Mapping[str, str]
) -> tuple[list[str], list[int]]:
    """Return what is to be said of the orderings besides the lowest one."""
    texts, codes = [], []
    near = [name for name in near_lowest(energies, NEAR_DEGENERATE) if name != lowest]
    if near and not _is_same(energies[lowest], energies[near[0]]):
        gap = 1000 * (_per_atom(energies[near[0]]) - _per_atom(energies[lowest]))
        texts.append(f'{near[0]} is {gap:.1f} meV/atom above {lowest}: multireference character')
        codes.append(712)
    if failed:
        texts.append(f'no energy of {", ".join(sorted(failed))}: the lowest of the other orderings was taken')
        codes.append(713)
    return texts, codes

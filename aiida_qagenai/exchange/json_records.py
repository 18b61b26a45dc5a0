"""Records in the JSON of pymatgen, ASE, OPTIMADE and the databases that use them."""

from __future__ import annotations

import typing as t

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.tables import IDENTIFIERS, parse_number

__all__ = ('OPTIMADE_FIELDS', 'JsonRecord', 'entry_fields', 'json_record', 'optimade_record')

OPTIMADE_FIELDS = (
    'lattice_vectors',
    'cartesian_site_positions',
    'species_at_sites',
    'species',
    'dimension_types',
    'nsites',
)
"""What a structure of OPTIMADE needs."""

_ASE_FIELDS = ('numbers', 'positions', 'cell', 'pbc')

_ALIASES = {'e_form': 'formation_energy_per_atom', 'formation_energy_peratom': 'formation_energy_per_atom'}
"""Names of energies in Alexandria and JARVIS, both eV/atom."""


class JsonRecord(t.NamedTuple):
    """One record.

    :param kind: how the structure is written: ``pymatgen``, ``ase``, ``jarvis`` or ``optimade``.
    :param structure: it, as JSON has it.
    :param fields: all else.
    """

    kind: str
    structure: dict[str, t.Any]
    fields: dict[str, t.Any]
    identifier: str


def json_record(content: t.Any) -> JsonRecord:
    """Return the record in an object: an entry or document with a structure, or a structure itself.

    :raises InvalidInputError: if it holds none, or its energy is not a number.
    """
    if not isinstance(content, dict):
        message = f'expected an object, not {type(content).__name__}'
        raise InvalidInputError(message)
    if isinstance(content.get('attributes'), dict) and 'lattice_vectors' in content['attributes']:
        return optimade_record(content)
    if 'lattice_vectors' in content and 'species_at_sites' in content:
        return optimade_record({'id': content.get('id', ''), 'attributes': content})
    if 'numbers' in content and 'positions' in content:
        fields = {key: value for key, value in content.items() if key not in _ASE_FIELDS and key != 'data'}
        own = {**fields.pop('key_value_pairs', {}), **(content.get('data') or {}), **fields}
        return JsonRecord('ase', {key: content.get(key) for key in _ASE_FIELDS}, own, _identifier(own))
    if isinstance(atoms := content.get('atoms'), dict):
        fields = {_ALIASES.get(key, key): value for key, value in content.items() if key != 'atoms'}
        return JsonRecord('jarvis', atoms, fields, _identifier(fields))
    structure = content.get('structure', content if 'lattice' in content else None)
    if not isinstance(structure, dict):
        message = 'no `structure`: an entry needs one to be imported'
        raise InvalidInputError(message)
    fields = {} if structure is content else _entry_fields(content)
    return JsonRecord('pymatgen', structure, fields, _identifier(fields))


def optimade_record(resource: t.Any) -> JsonRecord:
    """Return the record in a resource object as an OPTIMADE server returned it.

    :raises InvalidInputError: if it is not one.
    """
    try:
        attributes, name = dict(resource['attributes']), str(resource['id'])
    except (ValueError, KeyError, TypeError) as exception:
        message = f'not a resource of OPTIMADE: {exception!r}'
        raise InvalidInputError(message) from exception
    structure = {key: attributes.pop(key, None) for key in OPTIMADE_FIELDS}
    return JsonRecord('optimade', structure, attributes, name)


def _identifier(fields: t.Mapping[str, t.Any]) -> str:
    return next((str(fields[key]) for key in IDENTIFIERS if fields.get(key) not in (None, '')), '')


def _entry_fields(content: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the fields of an entry beside its structure: those of `data` too, and the corrected energy.

    :raises InvalidInputError: if the energy is not a number.
    """
    fields = {key: value for key, value in content.items() if key != 'structure'}
    if isinstance(fields.get('data'), dict):
        fields = {**fields.pop('data'), **{key: value for key, value in fields.items() if value is not None}}
    for name, meaning in _ALIASES.items():
        if name in fields and meaning not in fields:
            fields[meaning] = fields.pop(name)
    if fields.get('energy') is not None:
        # pymatgen keeps corrections apart from the raw energy; the corrected one is what its hulls use
        try:
            fields['energy'] = float(fields['energy']) + float(fields.get('correction') or 0.0)
        except (TypeError, ValueError) as exception:
            message = f'`energy` or `correction` is not a number: {fields["energy"]!r:.40}'
            raise InvalidInputError(message) from exception
    return fields


def entry_fields(content: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the columns of a table of phases in one object: as they are, or those of a pymatgen entry.

    :raises InvalidInputError: if the entry has no composition or its energy is not a number.
    """
    composition = content.get('composition')
    if not isinstance(composition, dict) and not isinstance(content.get('structure'), dict):
        return content
    fields = _entry_fields(content)
    amounts = composition if isinstance(composition, dict) else _amounts(content['structure'])
    try:
        amounts = {str(element): float(amount) for element, amount in amounts.items()}
    except (TypeError, ValueError) as exception:
        message = f'the composition is {amounts!r:.60}'
        raise InvalidInputError(message) from exception
    energy = parse_number('energy', fields.get('energy'))
    total = sum(amounts.values())
    if energy is not None and total > 0:
        fields.setdefault('energy_per_atom', energy / total)
    return {**fields, 'formula': ''.join(f'{element}{amount:.10g}' for element, amount in amounts.items())}


def _amounts(structure: dict[str, t.Any]) -> dict[str, float]:
    """Return element → amount in a structure of pymatgen.

    :raises InvalidInputError: if it is not one.
    """
    amounts: dict[str, float] = {}
    try:
        for site in structure['sites']:
            for species in site['species']:
                amounts[species['element']] = amounts.get(species['element'], 0.0) + float(species['occu'])
    except (KeyError, TypeError, ValueError) as exception:
        message = f'not a structure as pymatgen writes it ({exception!r})'
        raise InvalidInputError(message) from exception
    return amounts

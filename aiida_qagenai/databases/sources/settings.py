"""What a user says about a source: where it comes from and what its columns mean."""

from __future__ import annotations

import re
import typing as t

import pydantic

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.model import StrictModel

__all__ = ('ENERGY_KINDS', 'EnergyColumn', 'ImportSettings', 'energy_column', 'make_settings')

ENERGY_KINDS = ('formation_energy_per_atom', 'energy_per_atom', 'total_energy')
"""What a column of energies may hold: eV/atom, eV/atom, and eV per cell."""

_ENERGY_NAME = re.compile(r'^(formation_energy_per_atom|energy_per_atom|total_energy|energy)(?:[_:. ](.+))?$', re.I)

_PROVIDER_PREFIX = re.compile(r'^_[a-z]+_')

FORMATS = ('csv', 'cif', 'extxyz', 'json', 'optimade', 'poscar', 'npz')


class EnergyColumn(t.NamedTuple):
    """The meaning of a column of energies."""

    kind: str
    fidelity: Fidelity


class ImportSettings(StrictModel):
    """Origin and meaning of the records of one source; all of it is stored with what is imported."""

    database: str = pydantic.Field(pattern=r'^[a-z0-9][a-z0-9.-]*$', description='Short name: mp, oqmd, mpts-52')
    version: str = pydantic.Field(min_length=1, description='Version or date of the database')
    license: str = pydantic.Field(min_length=1, description='Licence of the data: CC-BY-4.0')
    url: str = ''
    format: str = pydantic.Field(pattern='^(' + '|'.join(FORMATS) + ')$')
    level: str = pydantic.Field('', description='Level of theory of the energies, beyond the fidelity: PBE+U, MP2020')
    fidelity: str = pydantic.Field('PBE', description='Fidelity of columns that name none')
    identifier: str | None = pydantic.Field(None, description='Column with the identifiers')
    experimental: bool | None = pydantic.Field(None, description='Whether all structures were measured')
    energies: dict[str, str] = pydantic.Field(default_factory=dict, description='Column → KIND or KIND:FIDELITY')
    formation_scheme: str = pydantic.Field('elements', description='Reference of the formation energies')

    @pydantic.field_validator('fidelity')
    @classmethod
    def _fidelity(cls, value: str) -> str:
        return Fidelity.parse(value).value

    @pydantic.field_validator('energies')
    @classmethod
    def _energies(cls, value: dict[str, str]) -> dict[str, str]:
        for text in value.values():
            _parse_meaning(text, 'PBE')
        return value

    def level_tag(self, fidelity: Fidelity) -> str:
        """Return the tag that energies of one level of theory share: ``mp:PBE:PBE+U, MP2020``."""
        return f'{self.database}:{fidelity.value}' + (f':{self.level}' if self.level else '')


def make_settings(**values: t.Any) -> ImportSettings:
    """Return checked settings.

    :raises InvalidInputError: naming each value that is missing, unknown or wrong.
    """
    return ImportSettings.parse(values, 'invalid settings of the import')


def energy_column(name: str, settings: ImportSettings, row_fidelity: str | None = None) -> EnergyColumn | None:
    """Return what a column of energies means, or ``None`` if it holds something else.

    Known are ``formation_energy_per_atom``, ``energy_per_atom``, ``total_energy`` and ``energy`` (eV per cell), each
    with or without a fidelity behind it (``formation_energy_per_atom_hse06``); others as the settings say. Of OPTIMADE
    also behind the prefix of a provider (``_mp_``), but not a bare ``energy``, whose unit is anybody's guess.

    :param row_fidelity: fidelity of the row, where the table has a column for it.
    """
    fidelity = row_fidelity or settings.fidelity
    if name in settings.energies:
        return _parse_meaning(settings.energies[name], fidelity)
    match = _ENERGY_NAME.match(_PROVIDER_PREFIX.sub('', name) if settings.format == 'optimade' else name)
    if match is None or (settings.format == 'optimade' and match[1].lower() == 'energy'):
        return None
    kind = 'total_energy' if match[1].lower() == 'energy' else match[1].lower()
    try:
        return EnergyColumn(kind, Fidelity.parse(match[2] or fidelity))
    except InvalidInputError:
        if match[2] is None:
            raise
        return None


def _parse_meaning(text: str, fidelity: str) -> EnergyColumn:
    """Return the meaning in ``KIND`` or ``KIND:FIDELITY``."""
    kind, _, name = text.partition(':')
    if kind not in ENERGY_KINDS:
        message = f'`{text}` is not the meaning of a column: write one of {", ".join(ENERGY_KINDS)}, and :FIDELITY'
        raise InvalidInputError(message)
    return EnergyColumn(kind, Fidelity.parse(name or fidelity))

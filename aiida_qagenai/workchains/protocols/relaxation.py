"""Typed protocols of relaxations at PBE."""

from __future__ import annotations

import importlib.util
import typing as t
from pathlib import Path

import pydantic

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.workchains.protocols.energy import EnergySettings, energy_settings
from aiida_qagenai.workchains.protocols.loader import (
    DEFAULT_PROTOCOL,
    describe_protocols,
    merge_overrides,
    protocol_values,
    take_protocol,
)

__all__ = (
    'MAX_FORCE',
    'Engine',
    'RelaxationSettings',
    'available_protocols',
    'relax_section',
    'relaxation_settings',
)

PROTOCOLS_FILE = Path(__file__).with_name('relaxation.yaml')

MAX_FORCE = 0.1
"""eV/Å: a structure with a force of that size or more counts as not relaxed."""

Engine = t.Literal['pyscf', 'espresso']


class GammaPhononSettings(StrictModel):
    """The phonons at Γ, by finite displacements in the cell itself."""

    displacement: float = pydantic.Field(gt=0, le=0.1, description='Å')
    imaginary_tolerance: float = pydantic.Field(ge=0, description='A mode below minus this is imaginary, THz')


class PyscfRelaxSettings(StrictModel):
    """Numerics of PySCF: those that energies at PBE have."""

    energy: EnergySettings = pydantic.Field(description='Complete settings of the energies')


class EspressoRelaxSettings(StrictModel):
    """Numerics of pw.x."""

    pseudo_family: str = pydantic.Field(description='Label of a family of aiida-pseudo, of PBE')
    kpoints_distance: pydantic.PositiveFloat = pydantic.Field(description='Largest distance of k-points, 1/Å')
    degauss: pydantic.PositiveFloat = pydantic.Field(description='Width of the cold smearing, Ry')
    conv_thr_per_atom: pydantic.PositiveFloat = pydantic.Field(description='Energy threshold of the SCF, Ry/atom')
    ecutwfc: pydantic.PositiveFloat | None = pydantic.Field(
        None, description='Cutoff of the orbitals, Ry; recommended by the family by default'
    )
    ecutrho: pydantic.PositiveFloat | None = pydantic.Field(None, description='Cutoff of the density, Ry; likewise')

    @pydantic.model_validator(mode='after')
    def _both(self) -> EspressoRelaxSettings:
        if (self.ecutwfc is None) != (self.ecutrho is None):
            raise ValueError('`ecutwfc` and `ecutrho` go together')
        return self


class RelaxationSettings(StrictModel):
    """Everything that decides a relaxation beside the structure, the code and the pseudopotentials."""

    engine: Engine
    description: str = ''
    scientific: bool
    freedom: t.Literal['atoms', 'cell'] | None = pydantic.Field(
        None, description='What moves: the atoms, or the cell as well; by default what the engine can do'
    )
    max_force: float = pydantic.Field(gt=0, lt=MAX_FORCE, description='On any atom after the relaxation, eV/Å')
    max_pressure: float = pydantic.Field(gt=0, description='After relaxing the cell, GPa')
    max_steps: int = pydantic.Field(ge=1, le=1000, description='Ionic steps')
    max_volume_change: float = pydantic.Field(gt=0, description='Relative; a larger one is a warning')
    check_phonons: bool = pydantic.Field(False, description='Also compute the phonons at Γ')
    phonons: GammaPhononSettings
    pyscf: PyscfRelaxSettings | None = pydantic.Field(None, description='Numerics of the engine pyscf')
    espresso: EspressoRelaxSettings | None = pydantic.Field(None, description='Numerics of the engine espresso')

    @pydantic.model_validator(mode='after')
    def _has_numerics(self) -> RelaxationSettings:
        if getattr(self, self.engine) is None:
            raise ValueError(f'the engine {self.engine} needs its section `{self.engine}`')
        return self

    @property
    def moves_cell(self) -> bool:
        """Return whether the cell is relaxed."""
        return (self.freedom or {'espresso': 'cell', 'pyscf': 'atoms'}[self.engine]) == 'cell'

    def missing_package(self) -> str | None:
        """Return what has to be installed here for these settings, if anything."""
        if self.check_phonons and importlib.util.find_spec('phonopy') is None:
            return '`check_phonons` needs phonopy: install the extra: pip install "aiida-qagenai[phonons]"'
        return None


def available_protocols() -> dict[str, str]:
    """Return the description of each protocol by its name."""
    return describe_protocols(PROTOCOLS_FILE)


def relaxation_settings(
    protocol: str = DEFAULT_PROTOCOL,
    engine: Engine = 'pyscf',
    overrides: t.Mapping[str, t.Any] | None = None,
    section: str = '',
) -> RelaxationSettings:
    """Return the settings of ``protocol`` for one engine with nested ``overrides`` applied.

    The numerics of PySCF are those of the energy protocol that ``pyscf.energy.protocol`` names, with the other keys of
    ``pyscf.energy`` as changes to it.

    :param section: name of the section that the overrides are, for error texts.
    :raises InvalidInputError: for an unknown protocol, engine or key, or a value out of range.
    """
    base = {**protocol_values(PROTOCOLS_FILE, protocol, 'relaxations'), 'engine': engine}
    values = merge_overrides(base, overrides or {})
    if isinstance(values['pyscf'], dict) and isinstance(values['pyscf'].get('energy', {}), dict):
        name, changes = take_protocol(values['pyscf'].get('energy', {}))
        path = f'{section}.pyscf.energy' if section else 'pyscf.energy'
        values['pyscf'] = {**values['pyscf'], 'energy': energy_settings(name, changes, path).dump()}
    settings = RelaxationSettings.parse(values, 'invalid settings of the relaxation', section)
    # What the other engine would do decides nothing.
    other = {'pyscf': 'espresso', 'espresso': 'pyscf'}[settings.engine]
    return settings.model_copy(update={other: None})


def relax_section(section: t.Mapping[str, t.Any] | None) -> RelaxationSettings | None:
    """Return the settings that a section of other settings stands for: ``engine``, ``protocol`` and changes to it.

    :raises InvalidInputError: as :func:`relaxation_settings`, or if no engine is named.
    """
    if section is None:
        return None
    name, changes = take_protocol(section)
    engine = changes.pop('engine', None)
    if engine is None:
        raise InvalidInputError('`relax.engine` is missing: expected one of pyscf, espresso')
    return relaxation_settings(name, engine, changes, 'relax')

"""Typed protocols of relaxations at PBE."""

from __future__ import annotations

import importlib.util
import typing as t
from pathlib import Path

import pydantic

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.data.record import explain
from aiida_qagenai.workchains.protocols.overrides import merge_overrides, read_protocols

__all__ = ('MAX_FORCE', 'Engine', 'RelaxFirst', 'RelaxationSettings', 'available_protocols', 'relaxation_settings')

PROTOCOLS_FILE = Path(__file__).with_name('relaxation.yaml')

MAX_FORCE = 0.1
"""eV/Å: a structure with a force of that size or more counts as not relaxed."""

Engine = t.Literal['pyscf', 'espresso']


class GammaPhononSettings(StrictModel):
    """The phonons at Γ, by finite displacements in the cell itself."""

    displacement: float = pydantic.Field(gt=0, le=0.1, description='Å')
    imaginary_tolerance: float = pydantic.Field(ge=0, description='A mode below minus this is imaginary, THz')


class PyscfRelaxSettings(StrictModel):
    """Numerics of PySCF: those that a protocol of energies has for PBE."""

    energy_protocol: str = pydantic.Field(description='Protocol of the EnergyWorkChain')
    overrides: dict[str, t.Any] = pydantic.Field({}, description='Changes to it')


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
            message = '`ecutwfc` and `ecutrho` go together'
            raise ValueError(message)
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
    pyscf: PyscfRelaxSettings
    espresso: EspressoRelaxSettings

    @property
    def moves_cell(self) -> bool:
        """Return whether the cell is relaxed."""
        return (self.freedom or {'espresso': 'cell', 'pyscf': 'atoms'}[self.engine]) == 'cell'

    def missing_package(self) -> str | None:
        """Return what has to be installed here for these settings, if anything."""
        if self.check_phonons and importlib.util.find_spec('phonopy') is None:
            return '`check_phonons` needs phonopy: install the extra: pip install "aiida-qagenai[phonons]"'
        return None

    @classmethod
    def parse(cls, values: t.Mapping[str, t.Any]) -> RelaxationSettings:
        """Return validated settings.

        :raises InvalidInputError: naming every key that is unknown, missing or out of range.
        """
        try:
            return cls.model_validate(dict(values))
        except pydantic.ValidationError as exception:
            message = f'invalid settings of the relaxation: {explain(exception)}'
            raise InvalidInputError(message) from exception


class RelaxFirst(StrictModel):
    """How structures are relaxed before their energies are computed."""

    engine: Engine
    protocol: str = 'fast'
    overrides: dict[str, t.Any] = pydantic.Field({}, description='Nested changes to the settings of the protocol')

    @pydantic.model_validator(mode='after')
    def _valid(self) -> RelaxFirst:
        """Check the settings of the protocol now, not when the first structure is to be relaxed."""
        self.settings()
        return self

    def settings(self) -> RelaxationSettings:
        """Return all settings of the relaxation."""
        return relaxation_settings(self.protocol, self.engine, self.overrides)

    @classmethod
    def parse(cls, values: t.Mapping[str, t.Any]) -> RelaxFirst:
        """Return validated settings, those of the protocol included.

        :raises InvalidInputError: naming every key that is unknown, missing or out of range.
        """
        try:
            return cls.model_validate(dict(values))
        except pydantic.ValidationError as exception:
            raise InvalidInputError(explain(exception)) from exception


def available_protocols() -> dict[str, str]:
    """Return the description of each protocol by its name."""
    return {name: values['description'] for name, values in read_protocols(PROTOCOLS_FILE).items()}


def relaxation_settings(protocol: str, engine: Engine, overrides: dict[str, t.Any] | None = None) -> RelaxationSettings:
    """Return the settings of ``protocol`` for one engine with nested ``overrides`` applied.

    :raises InvalidInputError: for an unknown protocol, engine or key, or a value out of range.
    """
    protocols = read_protocols(PROTOCOLS_FILE)
    if protocol not in protocols:
        message = f'unknown protocol of relaxations `{protocol}`: choose from {", ".join(protocols)}'
        raise InvalidInputError(message)
    return RelaxationSettings.parse(merge_overrides({**protocols[protocol], 'engine': engine}, overrides or {}))

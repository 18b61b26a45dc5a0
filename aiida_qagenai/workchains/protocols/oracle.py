"""Typed settings of oracles: what gives the energies of a campaign in place of quantum chemistry."""

from __future__ import annotations

import typing as t

import pydantic

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.thermodynamics.vibrations.settings import Potential
from aiida_qagenai.workchains.protocols.atomistic import parse_potential

__all__ = ('ORACLES', 'Oracle', 'PotentialOracle', 'TableOracle', 'parse_oracle')

ORACLES: dict[str, dict[str, t.Any]] = {
    'sevennet': {'kind': 'potential', 'levels': {'PBE': 'sevennet:mf-0:PBE', 'SCAN': 'sevennet:mf-0:R2SCAN'}},
    'chgnet': {'kind': 'potential', 'levels': {'PBE': 'chgnet:0.3.0', 'SCAN': 'chgnet:r2scan'}},
}
"""Name of an oracle → its settings; r2SCAN stands on the rung of SCAN."""


class _Levels(StrictModel):
    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """Return the rungs that the oracle has, lowest first."""
        return tuple(level for level in LADDER if level in self.levels)  # type: ignore[attr-defined]

    @pydantic.model_validator(mode='after')
    def _has_pbe(self) -> t.Any:
        """Check that the ladder has its lowest rung."""
        if Fidelity.PBE not in self.fidelities:
            raise ValueError('`levels` needs PBE, the lowest rung of every ladder')
        return self


class PotentialOracle(_Levels):
    """Foundation potentials, one a rung: their formation energies refer to the elements by the same potential."""

    kind: t.Literal['potential']
    levels: dict[Fidelity, Potential] = pydantic.Field(
        description='Potential of each rung, by its name with options as `sevennet:mf-0:PBE`, or with its other keys'
    )
    batch_atoms: int = pydantic.Field(256, ge=1, description='Most atoms evaluated at once')

    @pydantic.field_validator('levels', mode='before')
    @classmethod
    def _by_name(cls, value: t.Any) -> t.Any:
        """Take names for the potentials."""
        if not isinstance(value, dict):
            return value
        return {name: parse_potential(each) if isinstance(each, str) else each for name, each in value.items()}

    @pydantic.field_validator('levels')
    @classmethod
    def _fixed(cls, value: dict[Fidelity, Potential]) -> dict[Fidelity, Potential]:
        """Check that the levels stay what they are while a campaign runs."""
        if any(potential.name == 'validator' for potential in value.values()):
            raise ValueError('the validator learns from the energies: it cannot be what gives them')
        return value

    def tag(self, fidelity: Fidelity) -> str:
        """Return the level tag of the energies of a rung."""
        return f'potential:{self.levels[fidelity].tag}'


class TableOracle(_Levels):
    """A CSV file with formation energies, eV/atom: a structure that it does not have fails."""

    kind: t.Literal['table']
    levels: dict[Fidelity, str] = pydantic.Field(description='Column of each rung with formation energies, eV/atom')
    key: t.Literal['formula', 'fingerprint'] = pydantic.Field(
        'formula',
        description='Column that tells the rows apart: a formula, whose lowest energy counts, or the fingerprint of a '
        'structure',
    )


Oracle = t.Annotated[PotentialOracle | TableOracle, pydantic.Field(discriminator='kind')]


def parse_oracle(value: t.Any) -> t.Any:
    """Return the settings of an oracle that is given by its name; others stay as they are.

    :raises ValueError: for an unknown name.
    """
    if not isinstance(value, str):
        return value
    if value not in ORACLES:
        raise ValueError(f'unknown oracle `{value}`: choose from {", ".join(ORACLES)}, or name its `kind` and `levels`')
    return ORACLES[value]

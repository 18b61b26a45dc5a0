"""Settings of the energies by DFT that end a search on potentials."""

from __future__ import annotations

import typing as t

import pydantic

from aiida_qagenai.common.model import StrictModel

__all__ = ('RecomputationSettings',)


class RecomputationSettings(StrictModel):
    """Which crystals are computed again, and on which level."""

    level: t.Literal['PBE', 'SCAN', 'HSE06'] = pydantic.Field('PBE', description='Level of theory')
    max_crystals: int = pydantic.Field(3, ge=1, description='Most crystals that are computed, the best first')
    max_atoms: int = pydantic.Field(8, ge=1, description='Larger cells are left out')

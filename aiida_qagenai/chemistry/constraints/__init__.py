"""Physical constraints (paper Table 1): each a named object with a value, a threshold, a verdict and its stages."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from aiida_qagenai.chemistry.constraints.base import STAGES, Constraint, Screening, Stage, Verdict, apply
from aiida_qagenai.chemistry.constraints.bond_valence import BondValence
from aiida_qagenai.chemistry.constraints.charges import AnionSaturation, ChargeAlternation, ChargeNeutrality
from aiida_qagenai.chemistry.constraints.geometry import (
    Density,
    Dimensionality,
    MinimumDistance,
    Symmetry,
    VolumePerAtom,
)
from aiida_qagenai.chemistry.constraints.pauling import Coordination, ElectrostaticValence, PolyhedronLinking

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = (
    'STAGES',
    'AnionSaturation',
    'BondValence',
    'ChargeAlternation',
    'ChargeNeutrality',
    'Constraint',
    'Coordination',
    'Density',
    'Dimensionality',
    'ElectrostaticValence',
    'MinimumDistance',
    'PolyhedronLinking',
    'Screening',
    'Stage',
    'Symmetry',
    'Verdict',
    'VolumePerAtom',
    'default_constraints',
    'screen',
)


def default_constraints() -> tuple[Constraint, ...]:
    """Return the constraints that a campaign applies, in the order applied, cheap ones first.

    ``Density`` and ``Dimensionality`` are wishes of a user, not laws, and are added on demand.
    """
    return (
        VolumePerAtom(),
        MinimumDistance(),
        ChargeNeutrality(),
        ChargeAlternation(),
        AnionSaturation(),
        Coordination(),
        ElectrostaticValence(),
        PolyhedronLinking(),
        BondValence(),
        Symmetry(),
    )


def screen(
    structure: Structure, constraints: Sequence[Constraint] | None = None, stage: Stage = 'validation'
) -> Screening:
    """Return the verdicts on ``structure`` of ``constraints``, by default those of :func:`default_constraints`.

    :raises InvalidInputError: on an unknown stage.
    """
    return apply(structure, default_constraints() if constraints is None else constraints, stage)

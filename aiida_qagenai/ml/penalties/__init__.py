"""Constraints as differentiable penalties and as projections, for the generator (paper sections 3.2.1 and 3.2.2)."""

from __future__ import annotations

from aiida_qagenai.ml.penalties.cells import CrystalBatch, Pairs
from aiida_qagenai.ml.penalties.descent import Descent, descend
from aiida_qagenai.ml.penalties.ionic import IonicTable
from aiida_qagenai.ml.penalties.neutrality import charge_penalty, neutral_types
from aiida_qagenai.ml.penalties.terms import (
    PENALTIES,
    AnionSaturationPenalty,
    BondValencePenalty,
    ChargeAlternationPenalty,
    CoordinationPenalty,
    DensityPenalty,
    ElectrostaticValencePenalty,
    MinimumDistancePenalty,
    Penalty,
    SoftCrystals,
    SoftVerdict,
    VolumePenalty,
    total_penalty,
)

__all__ = (
    'PENALTIES',
    'AnionSaturationPenalty',
    'BondValencePenalty',
    'ChargeAlternationPenalty',
    'CoordinationPenalty',
    'CrystalBatch',
    'DensityPenalty',
    'Descent',
    'ElectrostaticValencePenalty',
    'IonicTable',
    'MinimumDistancePenalty',
    'Pairs',
    'Penalty',
    'SoftCrystals',
    'SoftVerdict',
    'VolumePenalty',
    'charge_penalty',
    'descend',
    'neutral_types',
    'total_penalty',
)

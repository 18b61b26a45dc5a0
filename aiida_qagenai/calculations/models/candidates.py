"""The ports of every job that proposes candidates, so that one can take the place of another."""

from __future__ import annotations

import typing as t

from aiida.engine import CalcJobProcessSpec
from aiida.orm import Int

from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData

__all__ = ('define_candidates',)


def define_candidates(spec: CalcJobProcessSpec) -> None:
    """Add the cycle to the inputs, and the candidates and the set that packs them to the outputs."""
    spec.input(
        'cycle',
        valid_type=Int,
        validator=validate_cycle,
        help='Number of the cycle that the candidates belong to, from 1.',
    )
    spec.output_namespace(
        'candidates',
        valid_type=CandidateData,
        required=False,
        help='Generated candidates, labelled `c00000` onwards.',
    )
    spec.output(
        'candidate_set',
        valid_type=DatasetData,
        required=False,
        help='All generated candidates, packed in the order of their labels.',
    )


def validate_cycle(value: Int, _: t.Any) -> str | None:
    """Refuse cycles before the first."""
    return None if value.value >= 1 else f'cycles of generation start at 1, got {value.value}'

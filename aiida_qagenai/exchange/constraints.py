"""Settings of the constraints that pull on structures while they are generated."""

from __future__ import annotations

import typing as t

import pydantic

from aiida_qagenai.common.model import StrictModel

__all__ = ('ConstraintName', 'ConstraintOptions')

ConstraintName = t.Literal[
    'minimum_distance',
    'volume_per_atom',
    'density',
    'charge_neutrality',
    'charge_alternation',
    'anion_saturation',
    'coordination',
    'electrostatic_valence',
    'bond_valence',
]


class ConstraintOptions(StrictModel):
    """Constraints that pull on generated structures, by the names of ``chemistry.constraints``.

    Those on ions need pymatgen on the machine that samples.

    :param names: which of them; ``charge_neutrality`` decides the elements that a request leaves open.
    :param thresholds: thresholds that differ from the default ones, by constraint and name of the threshold, such as
        ``{"minimum_distance": {"alpha": 0.75}}``.
    :param begin: time of the reverse process, 1 is noise and 0 the end, at which open elements are decided.
    :param final_steps: most steps down the penalties of the finished structures.
    """

    names: tuple[ConstraintName, ...] = pydantic.Field(
        (
            'minimum_distance',
            'volume_per_atom',
            'charge_neutrality',
            'charge_alternation',
            'anion_saturation',
            'coordination',
            'electrostatic_valence',
            'bond_valence',
        ),
        min_length=1,
    )
    thresholds: dict[ConstraintName, dict[str, float]] = pydantic.Field(default_factory=dict)
    begin: float = pydantic.Field(0.4, ge=0, le=1)
    final_steps: int = pydantic.Field(60, ge=0, le=1000)

"""What a benchmark wants to show, written down before it is run: hypotheses, arms, seeds, comparisons.

The hash of a plan stands in every result of the benchmark, so that a plan that was changed afterwards is seen.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import pydantic

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.evaluation.comparisons import Compared, Declared, Values, compare_declared

__all__ = ('Plan', 'read_plan')


class Comparison(StrictModel):
    """An arm and what it is compared with."""

    arm: str
    control: str


class Plan(StrictModel):
    """A pre-registration.

    :param title: the question.
    :param hypotheses: what is expected, in words.
    :param arms: what is run.
    :param comparisons: of arms; nothing else is tested.
    :param seeds: of the runs.
    :param unit: what one value of a sample is.
    :param tests: how the comparisons are made, in words.
    :param settings: all that decides what is a hit, by name.
    """

    title: str
    hypotheses: tuple[str, ...] = pydantic.Field(min_length=1)
    arms: tuple[str, ...] = pydantic.Field(min_length=2)
    comparisons: tuple[Comparison, ...] = pydantic.Field(min_length=1)
    seeds: tuple[int, ...] = pydantic.Field(min_length=1)
    unit: str
    tests: str
    settings: dict[str, str | int | float | bool] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode='after')
    def _arms_are_run(self) -> t.Self:
        unknown = {name for each in self.comparisons for name in (each.arm, each.control)} - {*self.arms}
        if unknown:
            raise ValueError(f'comparisons of arms that are not run: {", ".join(sorted(unknown))}')
        return self

    @property
    def sha256(self) -> str:
        """Return the checksum of the content, whatever the order of the keys and the spaces in a file."""
        return hashlib.sha256(json.dumps(self.dump(), sort_keys=True).encode()).hexdigest()

    def judge(self, samples: Mapping[str, Values]) -> Sequence[Compared]:
        """Return what came out of every comparison of the plan, in their order.

        :param samples: values by arm; all arms of the plan, and no others.
        :raises InvalidInputError: if an arm is missing or was not planned, or has fewer than two values.
        """
        if set(samples) != set(self.arms):
            wrong = ', '.join(sorted(set(samples) ^ set(self.arms)))
            raise InvalidInputError(f'the samples are not those of the plan: {wrong}')
        return compare_declared([Declared(each.arm, each.control) for each in self.comparisons], samples)


def read_plan(path: Path) -> Plan:
    """Read a plan, a JSON file.

    :raises InvalidInputError: if there is none, or a key is unknown, missing or wrong.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f'`{path}` is not a plan: {error}') from error
    return Plan.parse(content, f'the plan `{path}`')

"""What decides between entries of one material, as data."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pydantic
import yaml

from aiida_qagenai.common.errors import InvalidInputError, reported_as
from aiida_qagenai.common.model import StrictModel

__all__ = ('MergeRules', 'Rule', 'default_rules', 'read_rules')


class Rule(StrictModel):
    """One way to tell which of two entries is right; see ``rules.yaml``."""

    name: str
    fields: tuple[str, ...] = ()
    order: t.Literal['highest', 'lowest', 'true', 'most']
    databases: list[str] | None = None


class MergeRules(StrictModel):
    """Tolerances and rules of a merge; see ``rules.yaml``."""

    version: t.Literal[1]
    symprec: float = pydantic.Field(gt=0)
    symprec_tight: float = pydantic.Field(gt=0)
    lattice_tolerance: float = pydantic.Field(gt=0, lt=1)
    on_lattice_mismatch: t.Literal['discard', 'separate']
    energy_tolerance: float = pydantic.Field(gt=0)
    property_tolerance: float = pydantic.Field(ge=0)
    databases: list[str]
    rules: list[Rule]


def default_rules() -> MergeRules:
    """Return the rules of the paper."""
    return read_rules(Path(__file__).with_name('rules.yaml'))


def read_rules(path: Path) -> MergeRules:
    """Return the rules in a YAML file.

    :raises InvalidInputError: naming each value that is missing, unknown or wrong.
    """
    with reported_as(f'`{path}` holds no rules:', yaml.YAMLError):
        content = yaml.safe_load(path.read_text(encoding='utf8'))
    if not isinstance(content, dict):
        raise InvalidInputError(f'`{path}` holds no rules: expected a mapping, got {content!r:.80}')
    return MergeRules.parse(content, f'`{path}` holds no valid rules')

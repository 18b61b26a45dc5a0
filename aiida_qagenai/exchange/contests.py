"""Configuration of the contest between the multi-fidelity network and its alternatives."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pydantic

from aiida_qagenai.exchange.arms import ABOUT, CHEAP
from aiida_qagenai.exchange.requests import Count
from aiida_qagenai.exchange.runtime import Rate, RuntimeConfig, Size

__all__ = ('ContestConfig',)


class ContestConfig(RuntimeConfig):
    """Grouped cross-validation of several ways to the energies of one level of theory.

    :param dataset: packed training set with energies on two or more levels.
    :param target: tag of the level that is learned; the highest with labels if not given.
    :param arms: what takes part; all that train no network if not given.
    :param numbers: numbers of labels of the target; the contest is held with each, and with all there are.
    :param given: whether the levels below the target are known where it is asked for, as in a ladder of calculations;
        otherwise only the structure is, as for a new candidate.
    :param features: what the Gaussian processes see: the pooled features of the shipped validator, or what the periodic
        table says about the elements. The former was trained on energies of the Materials Project, and on labels of a
        teacher at PBE and r2SCAN.
    :param folds: parts of the formulas, each of which judges what the others trained.
    :param repeats: how often the formulas are drawn into parts.
    :param validator: checkpoint whose features and energies the arms use; the one that comes with the package if not
        given.
    :param num_members: networks of an arm; σ is their spread, and with one there is none.
    :param steps: optimiser steps of each network, over all its stages.
    :param journal: what has been measured; a run that was cut goes on from it.
    :param output: all results.
    """

    dataset: Path
    target: str | None = None
    arms: tuple[str, ...] = pydantic.Field(CHEAP, min_length=1)
    numbers: tuple[Count, ...] = (10, 25, 50, 100, 250, 500)
    given: bool = False
    features: t.Literal['foundation', 'composition'] = 'foundation'
    folds: int = pydantic.Field(5, ge=2, le=20)
    repeats: int = pydantic.Field(5, ge=1, le=100)
    validator: Path | None = None
    size: Size = 'tiny'
    num_members: int = pydantic.Field(2, ge=1, le=32)
    steps: int = pydantic.Field(500, ge=4)
    batch_size: Count = 8
    learning_rate: Rate = 5e-3
    journal: Path = Path('contest.jsonl')
    output: Path = Path('contest.json')

    @pydantic.field_validator('arms')
    @classmethod
    def _check_arms(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(arms) - set(ABOUT))
        if unknown:
            raise ValueError(f'unknown arms {", ".join(unknown)}: choose from {", ".join(ABOUT)}')
        return tuple(name for name in ABOUT if name in arms)

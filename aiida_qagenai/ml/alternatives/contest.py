"""The command ``contest``: grouped cross-validation of all arms, at several numbers of labels of the target.

The formulas are drawn into folds; each fold judges what the others trained. Of the labels of the target in the training
part a random sample is shown, and smaller samples are parts of larger ones. Every arm sees the same. Of the formulas
that judge, an arm never sees the target, and sees the levels below only where the settings say that they are ``given``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.level import Level
from aiida_qagenai.evaluation.contests import Result, standings
from aiida_qagenai.exchange.arms import NETWORKS
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.contests import ContestConfig
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.ml.alternatives.arms import METHODS, NEEDS_BASE, NEEDS_LEVELS
from aiida_qagenai.ml.alternatives.features import composition_features, knowledge_of
from aiida_qagenai.ml.alternatives.kriging import require_gpytorch
from aiida_qagenai.ml.alternatives.networks import unfit
from aiida_qagenai.ml.alternatives.problem import Problem
from aiida_qagenai.ml.alternatives.regressions import components, surrogate
from aiida_qagenai.ml.elements import composition_fractions
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('Field', 'compete', 'contest', 'folds_of', 'seen_in_fold')

NORMAL_90 = 1.645
"""Multiple of σ within which nine errors in ten are, if they are normal."""

Values = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Field:
    """What is competed on.

    :param energies: on the levels, the target last, shape (n, L), eV/atom, NaN where unknown.
    :param groups: what a fold never separates, shape (n,).
    :param fractions: atomic fractions, shape (n, elements).
    :param features: shape (n, d).
    :param base: energies by the shipped validator, shape (n,), or None.
    :param labels: the structures with their forces and stresses, for arms that train networks.
    """

    energies: Values
    levels: tuple[Level, ...]
    groups: NDArray[np.str_]
    fractions: Values
    features: Values
    base: Values | None = None
    labels: LabelledBatch | None = None

    @classmethod
    def of(cls, labels: LabelledBatch, config: ContestConfig, runtime: Runtime) -> Field:
        """Return the field of a training set: its levels with labels up to the target."""
        columns = _columns(labels, config.target)
        levels = tuple(labels.levels[k] for k in columns)
        elements = tuple(int(number) for number in np.unique(labels.structures.species))
        fractions = composition_fractions(labels.structures, elements)
        base, features = None, composition_features(fractions, elements)
        if config.features == 'foundation':
            known = knowledge_of(labels.structures, levels[-1].rung, config.validator, runtime)
            base, features = known.base, known.features
        return cls(labels.energies[:, columns], levels, labels.groups, fractions, features, base, labels)


def contest(config: ContestConfig, runtime: Runtime, record: Record) -> None:
    """Hold the contest on ``config.dataset`` and write all results and who is taken at each number of labels.

    :raises InvalidInputError: if there are too few levels, formulas or labels.
    """
    with record.stage('features'):
        field = Field.of(LabelledBatch.load(config.dataset), config, runtime)
    with record.stage('contest'):
        results = compete(field, config, runtime, record)
    found = [dataclasses.asdict(each) for each in standings(results, config.arms, config.folds)]
    record.counts.update(
        levels=[level.tag for level in field.levels],
        num_labels=np.isfinite(field.energies).sum(axis=0).tolist(),
        standings=found,
    )
    content = {'results': [dataclasses.asdict(each) for each in results], 'standings': found}
    config.output.write_text(json.dumps(content) + '\n', encoding='utf8')


def compete(field: Field, config: ContestConfig, runtime: Runtime, record: Record) -> list[Result]:
    """Return what every arm reached in every fold, and keep a journal of it.

    :raises InvalidInputError: if there are too few formulas or labels, or a journal of another contest.
    """
    arms = _able(field, config, record)
    judged = np.isfinite(field.energies[:, -1])
    formulas = len(set(field.groups[judged]))
    if formulas < 2 * config.folds and formulas != config.folds:
        message = (
            f'`{field.levels[-1].tag}` has labels of {formulas} formulas: {config.folds} folds need at least '
            f'{2 * config.folds}, or as many as folds, to leave out one at a time'
        )
        raise InvalidInputError(message)
    known = _read_journal(config.journal, _key(field, config))
    results = [result for result in known.values() if result.arm in arms]
    progress = Progress(config.folds * config.repeats)
    with config.journal.open('a', encoding='utf8') as journal:
        for repeat in range(config.repeats):
            folds = folds_of(field.groups, config.folds, config.seed + repeat)
            for fold in range(config.folds):
                outside = folds == fold
                for result in _fold(
                    field, config, runtime, arms=arms, place=(repeat, fold), outside=outside, known=known
                ):
                    journal.write(json.dumps(dataclasses.asdict(result)) + '\n')
                    journal.flush()
                    results.append(result)
                progress.advance('contest')
    return results


def _fold(
    field: Field,
    config: ContestConfig,
    runtime: Runtime,
    *,
    arms: list[str],
    place: tuple[int, int],
    outside: NDArray[np.bool_],
    known: t.Mapping[tuple[t.Any, ...], Result],
) -> Iterator[Result]:
    """Yield the results of one fold that are not ``known``."""
    judges = np.flatnonzero(outside & np.isfinite(field.energies[:, -1]))
    shown = np.flatnonzero(~outside & np.isfinite(field.energies[:, -1]))
    seed = config.seed + 1000 * place[0] + place[1]
    order = np.random.default_rng(seed).permutation(shown)
    numbers = [number for number in sorted(set(config.numbers)) if number < len(order)]
    missing = [(arm, number) for number in [*numbers, 0] for arm in arms if (arm, *place, number) not in known]
    if not missing or not len(judges):
        return
    hidden = seen_in_fold(field, config, runtime, outside, seed)
    for arm, number in missing:
        energies = hidden.energies.copy()
        energies[order[number:] if number else [], -1] = np.nan
        problem = dataclasses.replace(hidden, energies=energies)
        hidden.shared['used'] = {'surrogate'} if not arm.startswith(('network', 'mf')) else set()
        before = dict(hidden.shared['spent'])
        begin = time.process_time()
        mean, sigma = METHODS[arm](problem)(judges)
        seconds = time.process_time() - begin
        spent = hidden.shared['spent']
        seconds += sum(spent[key] for key in hidden.shared['used'] if key in before)
        errors = np.abs(mean - field.energies[judges, -1])
        yield Result(
            arm=arm,
            repeat=place[0],
            fold=place[1],
            number=number,
            labels=number or len(order),
            error=round(float(errors.mean()), 6),
            rmse=round(float(np.sqrt((errors**2).mean())), 6),
            covered=round(float((errors <= NORMAL_90 * sigma).mean()), 4) if np.isfinite(sigma).all() else None,
            seconds=round(seconds, 3),
        )


def seen_in_fold(
    field: Field, config: ContestConfig, runtime: Runtime, outside: NDArray[np.bool_], seed: int
) -> Problem:
    """Return what may be seen of a field with all labels but those of the target that are ``outside``, shape (n,)."""
    energies = field.energies.copy()
    energies[outside, -1] = np.nan
    if not config.given:
        energies[outside] = np.nan
    problem = Problem(
        energies=energies,
        lower=energies[:, :-1],
        lower_sigma=np.zeros_like(energies[:, :-1]),
        levels=field.levels,
        fractions=field.fractions,
        features=field.features,
        base=field.base,
        labels=field.labels,
        config=config,
        runtime=runtime,
        seed=seed,
        shared={'spent': {}, 'used': set()},
    )
    begin = time.process_time()
    places = components(problem)
    lower, sigma = surrogate(energies[:, :-1], field.fractions, places, seed)
    problem.shared['spent']['surrogate'] = time.process_time() - begin
    return dataclasses.replace(problem, lower=lower, lower_sigma=sigma)


def folds_of(groups: NDArray[np.str_], number: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each row, shape (n,): groups are never separated, and are spread evenly."""
    names = np.unique(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = dict(zip(names[order].tolist(), (np.arange(len(names)) % number).tolist(), strict=True))
    return np.array([fold_of[group] for group in groups.tolist()])


def _columns(labels: LabelledBatch, target: str | None) -> list[int]:
    """Return the columns of the levels with labels, lowest rung first, up to the target.

    :raises InvalidInputError: if the target has no labels, or no level is below it.
    """
    counts = np.isfinite(labels.energies).sum(axis=0)
    found = sorted(np.flatnonzero(counts).tolist(), key=lambda k: labels.levels[k].rung.rank)
    tags = [labels.levels[k].tag for k in found]
    if target is not None and target not in tags:
        raise InvalidInputError(f'there are no labels on `{target}`: choose one of {", ".join(tags)}')
    end = len(found) if target is None else tags.index(target) + 1
    if end < 2:
        message = f'a contest needs labels on a level below the target, got {", ".join(tags[:end]) or "none"}'
        raise InvalidInputError(message)
    return found[:end]


def _able(field: Field, config: ContestConfig, record: Record) -> list[str]:
    """Return the arms that can take part, and warn of the others.

    :raises InvalidInputError: if GPyTorch is needed and not installed.
    """
    reasons: dict[str, str] = {}
    if field.labels is None:
        reasons |= dict.fromkeys(NETWORKS, 'there are no structures')
    if field.base is None:
        reasons |= dict.fromkeys(NEEDS_BASE, 'the shipped validator is not used')
    if len(field.levels) < 3:
        reasons |= dict.fromkeys(NEEDS_LEVELS, 'there is one level below the target')
    heads = 'mf-ennp-shipped'
    if heads in config.arms and heads not in reasons and field.labels is not None:
        reason = unfit(config.validator or VALIDATOR_FOUNDATION, field.labels, field.levels[-1])
        reasons |= {heads: reason} if reason else {}
    for arm in config.arms:
        if arm in reasons:
            record.warn(f'`{arm}` does not take part: {reasons[arm]}')
    arms = [arm for arm in config.arms if arm not in reasons]
    if 'co-kriging' in arms:
        require_gpytorch()
    return arms


def _key(field: Field, config: ContestConfig) -> str:
    """Return what tells a contest from all others, whatever its arms, numbers and repeats."""
    left_out = {'dataset', 'arms', 'numbers', 'repeats', 'journal', 'output', 'num_threads'}
    settings = config.model_dump(mode='json', exclude=left_out)
    digest = hashlib.sha256(json.dumps([settings, field.groups.tolist()], sort_keys=True).encode())
    for array in (field.energies, field.fractions, field.features):
        digest.update(np.round(array, 4).tobytes())
    return digest.hexdigest()[:32]


def _read_journal(path: Path, key: str) -> dict[tuple[t.Any, ...], Result]:
    """Return the results of an earlier run by arm, repeat, fold and number; a line that was cut is left out.

    :raises InvalidInputError: if the journal is of another contest.
    """
    if not path.exists() or not path.read_bytes().strip():
        path.write_text(json.dumps({'key': key}) + '\n', encoding='utf8')
        return {}
    head, *lines = path.read_text(encoding='utf8').splitlines()
    if json.loads(head) != {'key': key}:
        raise InvalidInputError(f'`{path}` is the journal of another contest: remove it, or choose another name')
    found = {}
    for line in lines:
        try:
            result = Result(**json.loads(line))
        except (json.JSONDecodeError, TypeError):
            continue
        found[result.arm, result.repeat, result.fold, result.number] = result
    return found

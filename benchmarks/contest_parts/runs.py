"""The contests of the benchmark: which arms, on which set, with what known."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import typing as t
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.evaluation.contests import Result
from aiida_qagenai.exchange.arms import CHEAP
from aiida_qagenai.exchange.contests import ContestConfig
from aiida_qagenai.ml.alternatives.contest import Field, compete
from aiida_qagenai.ml.alternatives.features import composition_features
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.runtime import setup
from contest_parts import data

RECORDS = Path(__file__).parent / 'records.json'
NETWORK = {'num_members': 1, 'steps': 300, 'batch_size': 16}
"""Networks of the size `tiny`, one per arm: what they lack in training they lack alike."""

CORRECTIONS = ('lower', 'linear', 'high-only', 'difference', 'co-kriging')
CONTESTS: dict[str, dict[str, t.Any]] = {
    'teacher-ladder': {
        'set': 'teacher', 'given': True, 'features': 'composition', 'arms': CORRECTIONS,
        'numbers': (10, 25, 50, 100, 250),
    },
    'teacher-foundation': {
        'set': 'teacher', 'given': False, 'features': 'foundation', 'numbers': (10, 25, 50, 100, 250),
        'arms': ('linear', 'high-only', 'difference', 'foundation-linear', 'foundation'),
    },
    'compositions': {
        'set': 'compositions', 'given': True, 'features': 'composition', 'arms': (*CORRECTIONS, 'levels'),
        'numbers': (10, 25, 50, 100, 250),
    },
    'experiment': {
        'set': 'experiment', 'given': False, 'features': 'foundation', 'arms': CHEAP, 'numbers': (10, 25, 50, 100),
    },
    'experiment-ladder': {
        'set': 'experiment', 'given': True, 'features': 'foundation', 'arms': CHEAP, 'numbers': (10, 25, 50, 100),
    },
    'teacher-networks': {
        'set': 'teacher', 'given': False, 'features': 'composition', 'numbers': (25, 55),
        'arms': ('network-linear', 'network-high-only', 'mf-ennp'), **NETWORK,
    },
    'teacher-ladder-networks': {
        'set': 'teacher', 'given': True, 'features': 'composition', 'numbers': (55,),
        'arms': ('network-difference', 'mf-ennp', 'mf-ennp-no-stop', 'mf-ennp-direct'), **NETWORK,
    },
    'teacher-ladder-variants': {
        'set': 'teacher', 'given': True, 'features': 'composition', 'numbers': (55,), 'repeats': 1,
        'arms': ('network-transfer', 'mf-ennp', 'mf-ennp-frozen', 'mf-ennp-pairs'), **NETWORK,
    },
    'experiment-ladder-networks': {
        'set': 'experiment', 'given': True, 'features': 'composition', 'numbers': (50,),
        'arms': ('network-difference', 'mf-ennp', 'mf-ennp-outer', 'mf-ennp-upper', 'mf-ennp-direct'), **NETWORK,
    },
}  # fmt: skip
"""Settings of each contest; `teacher-foundation` uses a model that knows the teacher's labels of other formulas."""

NETWORKS = tuple(name for name in CONTESTS if name.endswith('networks'))
NUMBER_OF_RESULT = len(dataclasses.fields(Result))


def config_of(name: str, **settings: t.Any) -> ContestConfig:
    """Return the configuration of a contest."""
    known = {key: value for key, value in CONTESTS[name].items() if key != 'set'}
    return ContestConfig(dataset=Path(name), **{**known, **settings})


@functools.cache
def field_of(name: str, folder: Path) -> Field:
    """Return what is competed on."""
    config = config_of(name)
    runtime = setup(config)
    which = CONTESTS[name]['set']
    if which == 'teacher':
        labels = data.teacher_set(folder)
        known = np.flatnonzero(np.isfinite(labels.energies).all(axis=1))
        return Field.of(labels.select(known), config, runtime)
    if which == 'experiment':
        return Field.of(data.experiment_set(folder), config, runtime)
    _, formulas, energies = data.compounds(folder)
    compositions = [data.composition_of(formula) for formula in formulas]
    readable = [row for row, composition in enumerate(compositions) if composition is not None]
    print(f'{name}: {len(readable)} of {len(formulas)} formulas can be read', file=sys.stderr)
    formulas, energies = [formulas[row] for row in readable], energies[readable]
    elements, fractions = fractions_of([compositions[row] for row in readable])
    features = composition_features(fractions, elements)
    return Field(energies, data.EXPERIMENT, np.array(formulas), fractions, features)


def fractions_of(compositions: Sequence[Composition]) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return the elements of some compositions and the atomic fractions of each."""
    shares = [composition.fractional_composition.get_el_amt_dict() for composition in compositions]
    elements = tuple(sorted({ATOMIC_NUMBERS[symbol] for each in shares for symbol in each}))
    fractions = np.zeros((len(compositions), len(elements)))
    for row, each in enumerate(shares):
        for symbol, share in each.items():
            fractions[row, elements.index(ATOMIC_NUMBERS[symbol])] = share
    return elements, fractions


def hold(name: str, folder: Path, work: Path, repeats: int, arms: Sequence[str] = ()) -> list[Result]:
    """Hold one contest, or go on with one that was cut, and return its results."""
    work.mkdir(parents=True, exist_ok=True)
    chosen = {'arms': tuple(arms)} if arms else {}
    config = config_of(
        name, repeats=min(repeats, CONTESTS[name].get('repeats', repeats)), journal=work / f'{name}.jsonl', **chosen
    )
    return compete(field_of(name, folder), config, setup(config), Record())


def store(results: dict[str, Iterable[Result]]) -> None:
    """Write results compactly: per contest the names of the fields and a row for each result."""
    fields = [field.name for field in dataclasses.fields(Result)]
    content: dict[str, t.Any] = {'fields': fields}
    content |= {
        name: sorted(([getattr(each, field) for field in fields] for each in found), key=lambda row: row[:4])
        for name, found in results.items()
    }
    text = json.dumps(content, separators=(',', ':')).replace('],[', '],\n[')
    RECORDS.write_text(text + '\n')


def stored() -> dict[str, list[Result]]:
    """Return the stored results of each contest."""
    content = json.loads(RECORDS.read_text())
    fields = content.pop('fields')
    return {name: [Result(**dict(zip(fields, row, strict=True))) for row in rows] for name, rows in content.items()}

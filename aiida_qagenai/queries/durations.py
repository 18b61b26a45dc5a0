"""How long something takes on this machine: the durations of the processes of the same kind that have finished."""

from __future__ import annotations

import collections
import dataclasses
import math
import statistics
import typing as t

from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.queries.campaigns import CALL

__all__ = (
    'REFER',
    'RELAX',
    'Estimate',
    'History',
    'Kind',
    'history_of_machine',
    'remaining_seconds',
    'split_task',
    'step_size',
    'step_task',
    'task_name',
)

RELAX, REFER = 'relax', 'references'
"""Tasks of a LadderWorkChain that are no energies: relaxations, and what formation energies refer to."""

LATEST = 2000
"""How many processes are asked for, latest first: the machine may have changed since the others."""

SAMPLES = 20
"""How many of the same kind and size, latest first, count."""

MAX_RATIO = 3.0
"""How far outside the known sizes a duration is still estimated, as a factor."""

MAX_EXPONENT = 4.0
"""Bound of the power of the size: no method here scales worse in cells of this size."""


class Kind(t.NamedTuple):
    """What makes two processes alike, but for their size.

    :param process: label of the process; empty for any.
    :param task: level of theory, `relax` or `references PBE` of a ladder; link label of a step of a campaign.
    :param protocol: protocol of the energies.
    :param computer: pk of the computer of the code.
    """

    process: str
    task: str
    protocol: str
    computer: int | None


@dataclasses.dataclass(frozen=True)
class Estimate:
    """How long a process is expected to take.

    :param seconds: from its creation to its end.
    :param num_samples: on how many processes the number rests.
    :param same_size: whether these have the same size; else the number follows a power of the size.
    """

    seconds: float
    num_samples: int
    same_size: bool


class History:
    """Durations (s) of finished processes by kind, latest first, each with its size: atoms, candidates or steps."""

    def __init__(self) -> None:
        self.samples: dict[Kind, list[tuple[float | None, float]]] = collections.defaultdict(list)

    def add(self, kind: Kind, size: float | None, seconds: float) -> None:
        """Add a process, the latest first; it counts under its own label and under that of any process."""
        for key in dict.fromkeys((kind, kind._replace(process=''))):
            self.samples[key].append((size, seconds))

    def expected(self, kind: Kind, size: float | None = None) -> Estimate | None:
        """Return how long a process of this kind takes, or None if nothing like it has finished here.

        The median of those of the same size, or else the power of the size through the medians of the known sizes,
        which is a proportion if only one is known. Sizes beyond ``MAX_RATIO`` times the known ones are not estimated.
        Where no process has this label, those with another label that do the same task count.
        """
        samples = self.samples.get(kind) or self.samples.get(kind._replace(process='')) or []
        same = [seconds for known, seconds in samples if known == size][:SAMPLES]
        if same:
            return Estimate(statistics.median(same), len(same), True)
        by_size: dict[float, list[float]] = collections.defaultdict(list)
        for known, seconds in samples:
            if known:
                by_size[known].append(seconds)
        if not size or not by_size or not min(by_size) / MAX_RATIO <= size <= max(by_size) * MAX_RATIO:
            return None
        medians = {known: statistics.median(values[:SAMPLES]) for known, values in by_size.items()}
        return Estimate(_power_law(medians, size), len(samples), False)


def _power_law(medians: dict[float, float], size: float) -> float:
    """Return the value at ``size`` of the power law through durations by size, fitted to their logarithms."""
    points = [(math.log(known), math.log(max(seconds, 1e-3))) for known, seconds in medians.items()]
    slope = statistics.linear_regression(*zip(*points, strict=True)).slope if len(points) > 1 else 1.0
    slope = min(max(slope, 0.0), MAX_EXPONENT)
    level = statistics.mean(log - slope * known for known, log in points)
    return math.exp(level + slope * math.log(size))


def remaining_seconds(left: t.Sequence[float], width: int) -> float:
    """Return how long tasks take of which ``width`` run at a time, from the seconds that each has left."""
    return max(max(left, default=0.0), sum(left) / max(1, width))


def split_task(link: str) -> tuple[str, str]:
    """Return the task and the label of the structure from the link label of a child of a LadderWorkChain.

    A child that the machine lost is called again under a longer label. The task is a level of theory, `relax`, or
    `references` with the level as the label.
    """
    while link.endswith('again'):
        link = link.removesuffix('again')
    for level in LADDER:
        if link.endswith(level.label):
            name = link.removesuffix(level.label)
            return (REFER, level.value) if name == REFER else (level.value, name)
    return RELAX, link.removeprefix(RELAX)


def task_name(task: str, label: str) -> str:
    """Return what a task of a ladder is called in a kind; of references the level belongs to it."""
    return f'{REFER} {label}' if task == REFER else task


def history_of_machine() -> History:
    """Return the durations of what has finished in this profile, by four queries for scalars.

    What came from the cache is left out: steps with the mark of the cache, and energies that took less than half of the
    wall time of their calculation.
    """
    history = History()
    for row in (*_tasks(), *_references(), *_steps(), *_cycles()):
        history.add(*row)
    return history


def step_size(link: str, settings: t.Mapping[str, t.Any], *, initial: bool) -> float | None:
    """Return the size of a step of a campaign: candidates to generate, predict or relax, steps of a training.

    :param settings: those of the campaign; only `generate.num_candidates` and `learn` are read.
    :param initial: whether the step belongs to the initial set.
    """
    if link.startswith('train'):
        training = settings.get('learn', {}).get(link.removeprefix('train'), {})
        return training.get('initial_steps' if initial else 'tune_steps')
    candidates = settings.get('generate', {}).get('num_candidates')
    return candidates if link in {'generate', 'predict', 'relax', 'predictrelaxed'} else None


def step_task(stage: str, link: str) -> str:
    """Return what a step of a stage is called in a kind: the energies of the initial set are like those of no cycle."""
    return f'initial {link}' if stage == 'SeedWorkChain' and link == 'energies' else link


Row = tuple[Kind, float | None, float]


def _finished() -> dict[str, t.Any]:
    return {'attributes.process_state': 'finished', 'attributes.exit_status': 0}


def _tasks() -> t.Iterator[Row]:
    """Yield the finished children of ladders that returned an energy; sizes are numbers of atoms."""
    builder = orm.QueryBuilder()
    builder.append(orm.WorkChainNode, filters={'attributes.process_label': 'LadderWorkChain'}, tag='ladder')
    builder.append(
        orm.WorkChainNode,
        with_incoming='ladder',
        edge_filters=CALL,
        filters=_finished(),
        tag='task',
        project=['attributes.process_label', 'ctime', 'mtime'],
    )
    builder.append(
        EnergyData,
        with_incoming='task',
        edge_filters={'type': LinkType.RETURN.value, 'label': 'energy'},
        project=[f'attributes.{name}' for name in ('fidelity', 'protocol', 'num_atoms', 'wall_seconds')],
    )
    builder.append(orm.AbstractCode, with_outgoing='ladder', edge_filters={'label': 'code'}, tag='code')
    builder.append(orm.Computer, with_node='code', project='id')
    builder.order_by({'task': {'ctime': 'desc'}}).limit(LATEST)
    for label, created, ended, fidelity, protocol, atoms, wall, computer in builder.iterall():
        seconds = (ended - created).total_seconds()
        if seconds >= 0.5 * (wall or 0.0):
            yield Kind(label, fidelity, protocol, computer), atoms, seconds


def _references() -> t.Iterator[Row]:
    """Yield the finished children of ladders that are no energies; those of references are as large as the system."""
    builder = orm.QueryBuilder()
    builder.append(orm.WorkChainNode, filters={'attributes.process_label': 'LadderWorkChain'}, tag='ladder')
    labels = {'attributes.process_label': {'in': ['ReferenceWorkChain', 'PbeRelaxWorkChain']}}
    builder.append(
        orm.WorkChainNode,
        with_incoming='ladder',
        edge_filters=CALL,
        edge_project='label',
        filters=_finished() | labels,
        tag='task',
        project=['attributes.process_label', 'ctime', 'mtime'],
    )
    edge = {'label': 'settings'}
    builder.append(orm.Dict, with_outgoing='ladder', edge_filters=edge, project='attributes.protocol')
    builder.append(orm.AbstractCode, with_outgoing='ladder', edge_filters={'label': 'code'}, tag='code')
    builder.append(orm.Computer, with_node='code', project='id')
    builder.order_by({'task': {'ctime': 'desc'}}).limit(LATEST)
    for label, created, ended, protocol, computer, link in builder.iterall():
        yield Kind(label, task_name(*split_task(link)), protocol, computer), None, (ended - created).total_seconds()


def _of_stages(filters: dict[str, t.Any], project: list[str]) -> orm.QueryBuilder:
    """Return a query for stages of campaigns, with the settings and the computer of the models."""
    builder = orm.QueryBuilder()
    builder.append(orm.WorkChainNode, filters=filters, tag='stage', project=project)
    names = ['energy.protocol', 'generate.num_candidates', 'learn']
    builder.append(
        orm.Dict,
        with_outgoing='stage',
        edge_filters={'label': 'parameters'},
        project=[f'attributes.{name}' for name in names],
    )
    builder.append(orm.AbstractCode, with_outgoing='stage', edge_filters={'label': 'ml_code'}, tag='code')
    return builder.append(orm.Computer, with_node='code', project='id').limit(LATEST)


def _steps() -> t.Iterator[Row]:
    """Yield the finished steps of initial sets and cycles."""
    labels = {'attributes.process_label': {'in': ['SeedWorkChain', 'CycleWorkChain']}}
    builder = _of_stages(labels, ['attributes.process_label'])
    builder.append(
        orm.ProcessNode,
        with_incoming='stage',
        edge_filters=CALL,
        edge_project='label',
        filters={**_finished(), 'extras': {'!has_key': '_aiida_cached_from'}},
        tag='step',
        project=['ctime', 'mtime'],
    )
    builder.order_by({'step': {'ctime': 'desc'}})
    for stage, protocol, candidates, learn, computer, created, ended, link in builder.iterall():
        settings = {'generate': {'num_candidates': candidates}, 'learn': learn or {}}
        size = step_size(link, settings, initial=stage == 'SeedWorkChain')
        yield Kind(stage, step_task(stage, link), protocol, computer), size, (ended - created).total_seconds()


def _cycles() -> t.Iterator[Row]:
    """Yield the finished cycles as a whole."""
    builder = _of_stages({**_finished(), 'attributes.process_label': 'CycleWorkChain'}, ['ctime', 'mtime'])
    builder.order_by({'stage': {'ctime': 'desc'}})
    for created, ended, protocol, candidates, _, computer in builder.iterall():
        yield Kind('CycleWorkChain', 'cycle', protocol, computer), candidates, (ended - created).total_seconds()

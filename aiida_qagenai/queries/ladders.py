"""How far a ladder of energies is: tasks done and to come by rung, and how long the others take."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import typing as t

from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.queries.children import children_of
from aiida_qagenai.queries.durations import (
    REFER,
    RELAX,
    History,
    Kind,
    remaining_seconds,
    split_task,
    task_name,
)

__all__ = ('Count', 'LadderPlan', 'LadderProgress', 'Task', 'ladder_plan', 'ladder_progress')


@dataclasses.dataclass(frozen=True)
class Count:
    """How many tasks of one rung have ended, of how many; ``total`` is None where it is not known."""

    done: int
    total: int | None
    failed: int = 0


@dataclasses.dataclass(frozen=True)
class LadderPlan:
    """What a LadderWorkChain computes, from its inputs, which never change.

    :param tasks: pairs of task and label, as :func:`~aiida_qagenai.queries.durations.split_task` returns them.
    :param sizes: number of atoms by label of the structure.
    :param width: how many tasks run at a time.
    :param computer: pk of the computer of the code.
    """

    tasks: tuple[tuple[str, str], ...]
    sizes: dict[str, int]
    protocol: str
    width: int
    computer: int | None


@dataclasses.dataclass(frozen=True)
class Task:
    """A child of a ladder, the latest of its label.

    :param expected: seconds that it is expected to take in all, of one that runs; None if nothing like it has finished.
    """

    pk: int
    task: str
    label: str
    process: str
    has_ended: bool
    is_ok: bool
    created: datetime.datetime
    expected: float | None = None


@dataclasses.dataclass(frozen=True)
class LadderProgress:
    """How far a ladder is.

    :param counts: by `relax`, `references` and level of theory, in the order of the ladder.
    :param running: tasks that have been started and have not ended.
    :param num_waiting: how many have not been started.
    :param width: how many may run at a time.
    :param left: expected seconds until all have ended, of those whose duration is known.
    :param unknown: tasks whose duration is not known, such as `HSE06`, without repetition.
    """

    counts: dict[str, Count]
    running: tuple[Task, ...]
    num_waiting: int
    width: int
    left: float
    unknown: tuple[str, ...]


def ladder_plan(ladder: int | str) -> LadderPlan:
    """Return what a LadderWorkChain computes.

    :param ladder: its pk or uuid.
    """
    node = orm.load_node(ladder)
    inputs = node.base.links.get_incoming(link_type=LinkType.INPUT_WORK).all_link_labels()
    plan: dict[str, list[str]] = node.inputs.plan.get_dict() if 'plan' in inputs else {}
    tasks = [(RELAX, label) for label in plan] if 'relax' in inputs else []
    levels = {name for names in plan.values() for name in names}
    if 'reference_elements' in inputs:
        tasks += [(REFER, level.value) for level in LADDER if level.value in levels]
    tasks += [(Fidelity.parse(name).value, label) for label, names in plan.items() for name in names]
    settings = node.inputs.settings.get_dict() if 'settings' in inputs else {}
    code = node.inputs.code if 'code' in inputs else None
    return LadderPlan(
        tasks=tuple(tasks),
        sizes=_sizes(node.pk),
        protocol=settings.get('protocol', ''),
        width=int(node.inputs.max_concurrent.value) if 'max_concurrent' in inputs else 1,
        computer=None if code is None or code.computer is None else code.computer.pk,
    )


def _sizes(ladder: int) -> dict[str, int]:
    """Return the number of atoms of the structures of a ladder, by label."""
    builder = orm.QueryBuilder().append(orm.WorkChainNode, filters={'id': ladder}, tag='ladder')
    builder.append(
        orm.Data,
        with_outgoing='ladder',
        edge_filters={'label': {'like': 'structures\\_\\_%'}},
        edge_project='label',
        project='attributes.sites',
    )
    return {link.removeprefix('structures__'): len(sites or ()) for sites, link in builder.all()}


def ladder_progress(
    ladder: int, plan: LadderPlan, history: History, now: datetime.datetime, *, has_ended: bool = False
) -> LadderProgress:
    """Return how far a ladder is, by one query for its children.

    :param history: durations of what has finished on this machine.
    :param has_ended: whether the ladder itself has: what it did not start will not be.
    """
    tasks = {(task.task, task.label): task for task in _children(ladder)}
    waiting = [] if has_ended else [key for key in plan.tasks if key not in tasks]
    running = [
        dataclasses.replace(task, expected=_seconds(plan, history, task.process, task.task, task.label))
        for task in tasks.values()
        if not task.has_ended
    ]
    labels = {task.label: task.process for task in tasks.values() if task.task not in {RELAX, REFER}}
    common = collections.Counter(labels.values()).most_common(1)
    left, unknown = [], []
    for task in running:
        age = (now - task.created).total_seconds()
        left.append(None if task.expected is None else max(0.0, task.expected - age))
        unknown += [task.task] if task.expected is None else []
    for name, label in waiting:
        # Whether magnetic orderings are compared is known from the same structure, or else from most of them.
        process = labels.get(label, common[0][0] if common else '')
        left.append(_seconds(plan, history, process if name in LADDER else '', name, label))
        unknown += [name] if left[-1] is None else []
    return LadderProgress(
        counts=_counts(plan, tasks),
        running=tuple(running),
        num_waiting=len(waiting),
        width=plan.width,
        left=remaining_seconds([seconds for seconds in left if seconds is not None], plan.width),
        unknown=tuple(dict.fromkeys(unknown)),
    )


def _seconds(plan: LadderPlan, history: History, process: str, task: str, label: str) -> float | None:
    kind = Kind(process, task_name(task, label), plan.protocol, plan.computer)
    estimate = history.expected(kind, plan.sizes.get(label))
    return None if estimate is None else estimate.seconds


def _counts(plan: LadderPlan, tasks: t.Mapping[tuple[str, str], Task]) -> dict[str, Count]:
    totals = collections.Counter(name for name, _ in plan.tasks)
    done = collections.Counter(task.task for task in tasks.values() if task.has_ended)
    failed = collections.Counter(task.task for task in tasks.values() if task.has_ended and not task.is_ok)
    return {name: Count(done[name], total, failed[name]) for name, total in totals.items()}


def _children(ladder: int) -> t.Iterator[Task]:
    """Yield the children of a ladder, oldest first: of those with the same label the latest counts."""
    for child in children_of(ladder):
        is_ok = child.state == 'finished' and child.exit_status == 0
        yield Task(child.pk, *split_task(child.link), child.process, child.has_ended, is_ok, child.created)

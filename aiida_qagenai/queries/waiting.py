"""Why a process waits, in sentences that name the way out, from what can be read at once."""

from __future__ import annotations

import collections
import datetime
import typing as t

from aiida import orm

from aiida_qagenai.engine.machine import MachineState
from aiida_qagenai.queries.ladders import LadderProgress
from aiida_qagenai.queries.running import Job, OpenProcess

__all__ = ('disabled_computers', 'duration', 'reasons_to_wait')

MIN_FREE_MB = 1000.0
"""Less free space than that is named: the checkpoint of one PySCF job may take as much."""

TRANSPORT_SECONDS = 120.0
"""A file transfer that takes longer is named: AiiDA repeats a failed one, five times in about five minutes."""

WORKER_SECONDS = 120.0
"""A process that no worker has begun for longer is named."""

QUIET_SECONDS = 600.0
"""Nothing has changed for longer: said as such, with what is waited for."""

SLOW_RATIO, SLOW_SECONDS = 3.0, 300.0
"""A calculation is slow that has run for so many times its expected duration, and at least so long."""

TRANSFERS = frozenset({'uploading', 'submitting', 'retrieving', 'stashing files'})


def reasons_to_wait(
    processes: t.Sequence[OpenProcess],
    jobs: t.Sequence[Job],
    machine: MachineState,
    now: datetime.datetime,
    *,
    ladder: LadderProgress | None = None,
    is_held: bool | None = None,
    disabled: t.Collection[str] = (),
    again: str,
) -> list[str]:
    """Return why a process waits, what stops everything first.

    :param processes: it and what it called, as far as these have not ended; it is the first.
    :param jobs: those among them.
    :param ladder: how far the energies are that are computed now.
    :param is_held: whether a worker runs the process; None if that is not known.
    :param disabled: labels of computers that are disabled or not configured.
    :param again: command that takes the process up again.
    """
    if not processes:
        return []
    reasons = _machine(machine, again)
    reasons += _paused(processes, again)
    reasons += _computers(jobs, disabled)
    if machine.daemon and not _is_full(machine):
        reasons += _unattended(processes, is_held, now, again)
    reasons += _transfers(jobs, now)
    reasons += _queues(jobs)
    reasons += _slow(ladder, now)
    reasons += _limits(ladder)
    return [*_quiet(processes, jobs, ladder, now, again, known=bool(reasons)), *reasons]


def disabled_computers(labels: t.Collection[str]) -> set[str]:
    """Return which of these computers are disabled or not configured for the user of the profile."""
    user = orm.User.collection.get_default()
    computers = {label: orm.load_computer(label) for label in labels}
    return {
        label
        for label, computer in computers.items()
        if not (computer.is_user_configured(user) and computer.is_user_enabled(user))
    }


def duration(seconds: float) -> str:
    """Return a time span in words: `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    if minutes < 120:
        return f'{minutes} min'
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f'{hours} h {minutes} min'
    return f'{hours // 24} d {hours % 24} h'


def _machine(machine: MachineState, again: str) -> list[str]:
    reasons = []
    if not machine.daemon:
        reasons.append(f'The daemon is not running. To go on: {again}')
    elif not machine.broker:
        reasons.append(f'The message broker does not answer (`verdi status`). To start an embedded one again: {again}')
    elif machine.workers == 0:
        reasons.append('The daemon has no worker: `verdi daemon incr` adds one.')
    elif _is_full(machine):
        slots = (machine.workers or 0) * machine.slots
        reasons.append(
            f'All {slots} slots of the daemon are taken by {machine.processes} processes; what is new waits for one: '
            '`verdi daemon incr` adds a worker.'
        )
    for folder, free in machine.free_mb.items():
        if free < MIN_FREE_MB:
            reasons.append(f'The disk of {folder} has {free:.0f} MB left: free some, or jobs fail when it is full.')
    return reasons


def _is_full(machine: MachineState) -> bool:
    """Return whether new processes find no slot; the daemon keeps a tenth for nobody, but AiiDA warns from there on."""
    return machine.workers is not None and machine.processes >= machine.workers * machine.slots


def _paused(processes: t.Sequence[OpenProcess], again: str) -> list[str]:
    paused = [process for process in processes if process.paused]
    if not paused:
        return []
    first = paused[0]
    others = f' and {len(paused) - 1} more' if len(paused) > 1 else ''
    why = f' ({_first_line(first.status)})' if first.status else ''
    pks = ' '.join(str(process.pk) for process in paused[:10])
    return [
        f'{first.process} {first.pk}{others} is paused{why}. Once the cause is gone: `verdi process play {pks}`, or '
        f'{again}'
    ]


def _first_line(text: str, length: int = 160) -> str:
    line = text.strip().splitlines()[0]
    return line if len(line) <= length else f'{line[: length - 1]}…'


def _computers(jobs: t.Sequence[Job], disabled: t.Collection[str]) -> list[str]:
    return [
        f'Computer {label} is disabled or not configured: `verdi computer enable {label} USER`, or '
        f'`verdi computer configure`.'
        for label in sorted({job.computer for job in jobs} & set(disabled))
    ]


def _unattended(
    processes: t.Sequence[OpenProcess], is_held: bool | None, now: datetime.datetime, again: str
) -> list[str]:
    root = processes[0]
    waiting = [
        process for process in processes if process.state == 'created' and _age(process.created, now) > WORKER_SECONDS
    ]
    if is_held is False and not root.paused and _age(root.changed, now) > WORKER_SECONDS:
        return [f'No worker runs {root.process} {root.pk}. To send it again: {again}']
    if waiting:
        oldest = waiting[0]
        since = duration(_age(oldest.created, now))
        return [
            f'{_several(len(waiting), "process")} for a worker to begin, {oldest.process} {oldest.pk} for {since}: the '
            f'workers are busy, or lost it. If it lasts: {again}'
        ]
    return []


def _several(count: int, noun: str) -> str:
    return f'One {noun} waits' if count == 1 else f'{count} {noun}{"es" if noun.endswith("s") else "s"} wait'


def _transfers(jobs: t.Sequence[Job], now: datetime.datetime) -> list[str]:
    slow = [job for job in jobs if job.state in TRANSFERS and _age(job.since, now) > TRANSPORT_SECONDS]
    by_computer = collections.defaultdict(list)
    for job in slow:
        by_computer[job.computer].append(job)
    return [
        f'{_several(len(found), "job")} for {computer}, {found[0].pk} is {found[0].state} for '
        f'{duration(_age(found[0].since, now))}: `verdi computer test {computer}` says whether it answers. AiiDA tries '
        'five times, then pauses the job.'
        for computer, found in by_computer.items()
    ]


def _queues(jobs: t.Sequence[Job]) -> list[str]:
    queued = [job for job in jobs if job.state in {'queued', 'held', 'suspended'} and job.has_queue]
    counts = collections.Counter((job.computer, job.state) for job in queued)
    first = {(job.computer, job.state): job for job in reversed(queued)}
    return [
        f'{count} {"job is" if count == 1 else "jobs are"} {state} by the scheduler of {computer}, the first as its '
        f'job {first[computer, state].job_id}.'
        for (computer, state), count in counts.items()
    ]


def _slow(ladder: LadderProgress | None, now: datetime.datetime) -> list[str]:
    reasons = []
    for task in ladder.running if ladder else ():
        age = _age(task.created, now)
        if task.expected and age > SLOW_SECONDS and age > SLOW_RATIO * task.expected:
            reasons.append(
                f'{task.task} ({task.label}) has run for {duration(age)}; the like took {duration(task.expected)} '
                f'here: `verdi process report {task.pk}` says what it did.'
            )
    return reasons


def _limits(ladder: LadderProgress | None) -> list[str]:
    if ladder is None or not ladder.num_waiting:
        return []
    count, running = ladder.num_waiting, len(ladder.running)
    if running >= ladder.width:
        calculations = '1 calculation waits' if count == 1 else f'{count} calculations wait'
        return [f'{calculations} until one of {running} has ended: the limit is `max_concurrent`.']
    if running:
        return [
            f'{"1 calculation waits" if count == 1 else f"{count} calculations wait"} for those that run: an energy '
            'for the references of its level, one above PBE for what PBE finds.'
        ]
    return []


def _quiet(
    processes: t.Sequence[OpenProcess],
    jobs: t.Sequence[Job],
    ladder: LadderProgress | None,
    now: datetime.datetime,
    again: str,
    *,
    known: bool,
) -> list[str]:
    """Return that nothing has changed for longer than expected, and what is waited for."""
    quiet = _age(max(process.changed for process in processes), now)
    expected = [task.expected for task in ladder.running if task.expected] if ladder else []
    if quiet < max([QUIET_SECONDS, *expected]):
        return []
    if jobs:
        first = min(jobs, key=lambda job: job.since)
        more = f' and {len(jobs) - 1} more jobs' if len(jobs) > 1 else ''
        since = duration(_age(first.since, now))
        waits = f'it waits for {first.what} ({first.state} on {first.computer} for {since}){more}.'
    elif known:
        waits = 'it waits for the following.'
    else:
        root = processes[0].pk
        waits = f'no job runs. `verdi process report {root}` shows the last messages; to ask the workers: {again}'
    return [f'Nothing has changed for {duration(quiet)}: {waits}']


def _age(since: datetime.datetime, now: datetime.datetime) -> float:
    return max(0.0, (now - since).total_seconds())

"""The progress of a process as a table for a terminal, as one line for a pipe, and as JSON."""

from __future__ import annotations

import collections
import dataclasses
import json
import typing as t

from aiida_qagenai.cli.last_lines import last_line

if t.TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from aiida_qagenai.queries.ladders import Count
    from aiida_qagenai.queries.progress import Progress
    from aiida_qagenai.queries.running import Job
    from aiida_qagenai.queries.stages import Step

__all__ = ('as_csv', 'as_json', 'clock', 'line', 'panel')

SHOWN = 6
"""Jobs that are shown one by one."""

STYLES = {'done': 'green', 'running': 'bold', 'failed': 'red', 'to come': 'dim', 'left out': 'dim'}


def panel(progress: Progress, words: str = '') -> RenderableType:
    """Return the progress for a terminal: stages and steps, what runs now, and why it waits.

    :param words: what the process is doing, where its steps are not known.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(title(progress), style='bold')]
    if words:
        parts.append(Text(f'  {words}'))
    if progress.stages:
        parts.append(steps_table(progress))
    if progress.jobs:
        parts.append(Text('now', style='bold'))
        parts += [Text(f'  {text}') for text in job_lines(progress.jobs)]
    if progress.reasons:
        parts.append(Text('waits', style='bold'))
        parts += [Text(f'  {reason}', style='yellow') for reason in progress.reasons]
    return Group(*parts)


def title(progress: Progress) -> str:
    """Return what is followed, where it is, and how long it has taken and will take."""
    system = f'{"-".join(sorted(progress.elements))} ' if progress.elements else ''
    name = 'campaign' if progress.process == 'CampaignWorkChain' else progress.process
    label = f' ({progress.label})' if progress.label else ''
    where = f', {place(progress)}' if progress.num_cycles and progress.stages else ''
    ended = progress.state != 'running'
    times = f'{progress.state} after {clock(progress.elapsed)}' if ended else f'{clock(progress.elapsed)} so far'
    left = '' if ended or not progress.stages else f', {time_left(progress.left, progress.unknown)}'
    return f'{system}{name} {progress.pk}{label}{where}: {times}{left}'


def place(progress: Progress) -> str:
    """Return the stage that runs, and of a cycle how many there are at most."""
    if not progress.stages:
        return 'not begun'
    name = progress.stages[-1].name
    return f'{name} of {progress.num_cycles}' if name.startswith('cycle') and progress.num_cycles else name


def time_left(seconds: float | None, unknown: t.Sequence[str] = ()) -> str:
    """Return the time left in words, and what this machine has no history of."""
    from aiida_qagenai.queries.waiting import duration

    if not unknown:
        return 'time left unknown' if seconds is None else f'about {duration(seconds)} left'
    known = f'more than {duration(seconds)} left' if seconds else 'time left unknown'
    return f'{known} (no history here of {", ".join(unknown)})'


def steps_table(progress: Progress) -> Table:
    """Return a row for each stage, and for each step of the last one."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, justify in (('', 'left'), ('', 'left'), ('done', 'left'), ('time', 'right'), ('left', 'right')):
        table.add_column(name, justify=t.cast('t.Any', justify), header_style='dim', overflow='fold')
    for stage in progress.stages:
        alone = len(stage.steps) == 1
        if not alone:
            row = (f'  {stage.name}', stage.state, '', clock(stage.elapsed), '')
            table.add_row(*row, style=STYLES[stage.state])
        for step in stage.steps:
            elapsed = '' if step.elapsed is None else clock(step.elapsed)
            row = ('  ' * (1 if alone else 2) + step.name, step.state, counts(step), elapsed, step_left(step))
            table.add_row(*row, style=STYLES[step.state])
    return table


def step_left(step: Step) -> str:
    """Return the time that a step still takes, in a few characters."""
    from aiida_qagenai.queries.waiting import duration

    if step.state not in {'running', 'to come'}:
        return ''
    if step.left is not None:
        return duration(step.left)
    least = step.ladder.left if step.ladder else 0.0
    return f'> {duration(least)}' if least else 'unknown'


def counts(step: Step) -> str:
    """Return what a step has done of what."""
    return ', '.join(_count(name, count) for name, count in step.counts.items())


def _count(name: str, count: Count) -> str:
    total = '' if count.total is None else f'/{count.total}'
    failed = f' ({count.failed} failed)' if count.failed else ''
    return f'{name} {count.done}{total}{failed}'


def job_lines(jobs: t.Sequence[Job]) -> list[str]:
    """Return a line for each of the first jobs, those that run before the others, and how many more there are."""
    ordered = sorted(jobs, key=lambda job: (job.state != 'running', job.since))
    lines = [job_line(job) for job in ordered[:SHOWN]]
    others = collections.Counter(job.state for job in ordered[SHOWN:])
    if others:
        lines.append('and ' + ', '.join(f'{count} more {state}' for state, count in others.items()))
    return lines


def job_line(job: Job) -> str:
    """Return what one job is doing, where, since when, and the last line of its output that says so."""
    from aiida.common import timezone
    from aiida.orm import load_node

    since = timezone.localtime(job.since)
    day = '%H:%M' if since.date() == timezone.localtime(timezone.now()).date() else '%Y-%m-%d %H:%M'
    text = f'{job.what}: {job.state} on {job.computer} since {since:{day}} (pk {job.pk})'
    said = last_line(t.cast('t.Any', load_node(job.pk)))
    return f'{text}; {said}' if said else text


def line(progress: Progress, words: str = '') -> str:
    """Return the progress in one line: place, counts and reasons; behind a semicolon, what changes all the time."""
    step = progress.step
    if progress.stages and step is not None:
        where = f'{place(progress)}: ' if progress.num_cycles else ''
        done = counts(step)
        words = f'{where}{step.name}' + (f' {done}' if done else f' {step.state}')
    elif progress.process == 'CampaignWorkChain':
        words = 'waits for the daemon to begin'
    reasons = ' '.join(reason.replace(';', ',') for reason in progress.reasons)
    words += f' [{reasons}]' if reasons else ''
    ended = progress.state != 'running'
    times = [] if ended or not progress.stages else [time_left(progress.left, progress.unknown)]
    return '; '.join([part for part in [words, *times, *job_lines(progress.jobs)[:1]] if part])


def as_csv(progress: Progress) -> str:
    """Return a row for each count of each step; times in seconds."""
    import pandas as pd

    columns = ['stage', 'step', 'state', 'what', 'done', 'total', 'failed', 'elapsed', 'left']
    rows: list[list[t.Any]] = []
    for stage in progress.stages:
        if not stage.steps:
            rows.append([stage.name, '', stage.state, '', None, None, None, stage.elapsed, None])
        for step in stage.steps:
            first, last = [stage.name, step.name, step.state], [step.elapsed, step.left]
            rows += [[*first, what, *dataclasses.astuple(count), *last] for what, count in step.counts.items()]
            rows += [] if step.counts else [[*first, '', None, None, None, *last]]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(('done', 'total', 'failed'), 'Int64'))
    return table.to_csv(index=False)


def as_json(progress: Progress) -> str:
    """Return the progress for programs: times in seconds, moments in ISO 8601."""
    return json.dumps(dataclasses.asdict(progress), indent=2, default=str)


def clock(seconds: float) -> str:
    """Return a time span as minutes and seconds, or from an hour on with the hours."""
    minutes, rest = divmod(int(seconds), 60)
    return f'{minutes // 60:d}:{minutes % 60:02d}:{rest:02d}' if minutes >= 60 else f'{minutes:d}:{rest:02d}'

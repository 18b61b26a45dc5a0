"""What runs under a process: those that have not ended, and for each job where it is and since when."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import re
import typing as t

from aiida import orm

from aiida_qagenai.chemistry.formula import reduced_formula
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.queries.campaigns import CALL, among
from aiida_qagenai.queries.durations import REFER, RELAX, split_task

__all__ = ('Job', 'OpenProcess', 'jobs_among', 'open_processes', 'task_in_words')

OPEN = {'attributes.process_state': {'in': ['created', 'running', 'waiting']}}
"""Filter for processes that have not ended."""

STATES = {
    'uploading': 'uploading',
    'submitting': 'submitting',
    'stashing': 'stashing files',
    'retrieving': 'retrieving',
    'parsing': 'reading the results',
}
"""State of a job in AiiDA → what a reader would call it; `withscheduler` is what the scheduler says."""

SCHEDULER_STATES = {'running': 'running', 'queued': 'queued', 'queued held': 'held', 'suspended': 'suspended'}

OWN_JOBS = 'aiida.calculations:qagenai.'
"""Their record is written only when the state changes, so that it says since when they are in it."""


@dataclasses.dataclass(frozen=True)
class OpenProcess:
    """A process that has not ended.

    :param path: labels of the calls from the process that is followed to this one.
    :param changed: when its record was written last; of the first one also when anything ended that these called.
    """

    pk: int
    process: str
    path: tuple[str, ...]
    state: str
    status: str
    paused: bool
    created: datetime.datetime
    changed: datetime.datetime
    is_job: bool


@dataclasses.dataclass(frozen=True)
class Job:
    """A job that has not ended.

    :param what: level, formula and label of the structure, or the step of the campaign.
    :param state: such as ``preparing``, ``uploading``, ``queued``, ``running``, ``retrieving`` or ``paused``.
    :param since: when it came into this state, or where that is not known, when it was created.
    :param job_id: number that the scheduler gave it; empty before it is submitted.
    :param has_queue: whether the computer has a scheduler with a queue.
    """

    pk: int
    process: str
    path: tuple[str, ...]
    what: str
    computer: str
    state: str
    since: datetime.datetime
    created: datetime.datetime
    status: str
    job_id: str
    has_queue: bool


def open_processes(process: int) -> list[OpenProcess]:
    """Return the processes under ``process`` that have not ended, and itself: one query per level of nesting."""
    names = ['process_label', 'process_state', 'process_status', 'paused']
    project = ['id', *(f'attributes.{name}' for name in names), 'ctime', 'mtime', 'node_type']
    builder = orm.QueryBuilder().append(orm.ProcessNode, filters={'id': process, **OPEN}, project=project)
    level = {row[0]: _open(row, ()) for row in builder.all()}
    found: list[OpenProcess] = []
    while level:
        found.extend(level.values())
        builder = orm.QueryBuilder()
        builder.append(orm.ProcessNode, filters=among('id', level), tag='caller', project='id')
        builder.append(
            orm.ProcessNode,
            with_incoming='caller',
            edge_filters=CALL,
            edge_project='label',
            filters=OPEN,
            tag='called',
            project=project,
        )
        builder.order_by({'called': 'ctime'})
        level = {row[0]: _open(row, (*level[caller].path, link)) for caller, *row, link in builder.all()}
    if found:
        # What has just ended is no longer open, and its caller may be asleep still.
        changed = max([found[0].changed, *_last_calls(found)])
        found[0] = dataclasses.replace(found[0], changed=changed)
    return found


def _last_calls(processes: t.Sequence[OpenProcess]) -> tuple[datetime.datetime, ...]:
    """Return when what these processes called changed last; nothing where they called nothing."""
    builder = orm.QueryBuilder()
    builder.append(orm.ProcessNode, filters=among('id', {process.pk for process in processes}), tag='caller')
    builder.append(orm.ProcessNode, with_incoming='caller', edge_filters=CALL, tag='called', project='mtime')
    builder.order_by({'called': {'mtime': 'desc'}}).limit(1)
    return tuple(changed for (changed,) in builder.all())


def _open(row: t.Sequence[t.Any], path: tuple[str, ...]) -> OpenProcess:
    pk, label, state, status, paused, created, changed, node_type = row
    is_job = node_type.startswith('process.calculation.calcjob.')
    return OpenProcess(pk, label or '', path, state, status or '', bool(paused), created, changed, is_job)


def jobs_among(processes: t.Sequence[OpenProcess]) -> list[Job]:
    """Return the jobs among processes that have not ended, by two queries."""
    known = {process.pk: process for process in processes if process.is_job}
    formulas = _formulas(list(known))
    builder = orm.QueryBuilder()
    names = ['state', 'scheduler_state', 'scheduler_lastchecktime', 'job_id']
    project = ['id', 'process_type', *(f'attributes.{name}' for name in names)]
    builder.append(orm.CalcJobNode, filters=among('id', known), tag='job', project=project)
    builder.append(orm.Computer, with_node='job', project=['label', 'scheduler_type'])
    jobs = {}
    for pk, process_type, state, scheduler_state, checked, job_id, computer, scheduler in builder.all():
        process = known[pk]
        jobs[pk] = Job(
            pk=pk,
            process=process.process,
            path=process.path,
            what=_what(process.path, formulas.get(pk, '')) or process.process,
            computer=computer,
            state='paused' if process.paused else _state(state, scheduler_state),
            since=_since(process, process_type, state, checked),
            created=process.created,
            status=process.status,
            job_id=job_id or '',
            has_queue=scheduler != 'core.direct',
        )
    return [jobs[pk] for pk in known if pk in jobs]


def _state(state: str | None, scheduler_state: str | None) -> str:
    if state == 'withscheduler':
        return SCHEDULER_STATES.get(scheduler_state or '', 'submitted')
    return STATES.get(state or '', 'preparing')


def _since(process: OpenProcess, process_type: str | None, state: str | None, checked: str | None) -> datetime.datetime:
    """Return since when a job is in its state."""
    if not (process_type or '').startswith(OWN_JOBS):
        return process.created
    if state == 'withscheduler' and checked:
        return datetime.datetime.fromisoformat(checked)
    return process.changed


def _formulas(jobs: list[int]) -> dict[int, str]:
    """Return the formulas of the structures that jobs compute, by the pk of the job."""
    builder = orm.QueryBuilder()
    builder.append(orm.CalcJobNode, filters=among('id', jobs), tag='job', project='id')
    builder.append(
        orm.Data,  # of candidates as well, whose type of node is not below that of structures
        with_outgoing='job',
        edge_filters={'label': 'structure'},
        project=['attributes.kinds', 'attributes.sites'],
    )
    formulas = {}
    for pk, kinds, sites in builder.all():
        symbols = {kind['name']: kind['symbols'][0] for kind in kinds}
        formulas[pk] = reduced_formula(collections.Counter(symbols[site['kind_name']] for site in sites))
    return formulas


def _what(path: t.Sequence[str], formula: str) -> str:
    """Return what a job computes, in the words of the last label of its path that says so."""
    for index in range(len(path) - 1, -1, -1):
        words = task_in_words(path[index], reference=any(part.startswith(REFER) for part in path[:index]))
        if words:
            more = ', '.join(part for part in path[index + 1 :] if not TECHNICAL.fullmatch(part))
            return words.format(formula=formula or 'one structure') + (f', {more}' if more else '')
    return formula


TECHNICAL = re.compile(r'calculation|iteration_\d+|relax|base')
"""Labels of calls that say nothing about what is computed."""

STEPS = {
    'seedset': 'the initial structures',
    'generate': 'candidates',
    'known': 'known crystals',
    'filter': 'which candidates to relax',
    'predict': 'predictions of all levels',
    'relax': 'relaxation of candidates and known crystals',
    'predictrelaxed': 'predictions for the relaxed candidates',
    'assess': 'screening and selection',
    'hits': 'hulls of the computed energies',
    'dataset': 'the training set',
    'ledger': 'the ledger',
}
"""Link label of a step of a campaign → what it makes."""


def task_in_words(link: str, *, reference: bool = False) -> str:
    """Return what the child with this link label of a stage or a ladder makes, with a field for the formula.

    :param reference: whether it is called by what computes references: atoms, elements or compounds.
    :return: empty for a label that says nothing of it.
    """
    task, label = split_task(link)
    if task == REFER:
        return f'references at {label}'
    if task in LADDER and reference:
        return f'{task} of the reference {label.replace("element", " as an element")}'
    if task in LADDER:
        return f'{task} of {{formula}} ({label})'
    return _step_in_words(link.partition('again')[0], label)


def _step_in_words(link: str, label: str) -> str:
    """Return what the child of a stage makes, or the relaxation of a ladder."""
    if link in STEPS:
        return STEPS[link]
    if link.startswith('train'):
        return f'training of the {link.removeprefix("train")}'
    return f'relaxation of {{formula}} ({label})' if link.startswith(RELAX) else ''

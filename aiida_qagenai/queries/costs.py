"""What a process cost: core hours, wall time and memory of every job under it, failed ones included."""

from __future__ import annotations

import typing as t

import pandas as pd
from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.queries.campaigns import Called, among, called_by
from aiida_qagenai.queries.tables import load

__all__ = ('core_hours', 'costs', 'count_cores', 'sum_costs')

COLUMNS = ['pk', 'path', 'process', 'what', 'core_hours', 'wall_seconds', 'memory_mb', 'exit_status', 'cached']

RESULTS = ('core_hours', 'wall_seconds', 'memory_mb', 'method', 'fidelity')
"""Of a PySCF job; a job of the models has its `timings` and its peak memory, one of pw.x its wall time."""

PROGRAMS = {
    'PyscfCellCalculation': 'pyscf',
    'PwCalculation': 'espresso',
    'PwDescribeCalculation': 'espresso',
    'LabelCalculation': 'potential',
}
"""Which component of the ledger pays for a process; all others belong to the models."""


def costs(process: int | str) -> pd.DataFrame:
    """Return a row for every job that a process called, directly or not, and for the process if it is a job itself.

    :param process: pk or uuid.
    :return: columns ``pk``, ``path`` (labels of the calls, by slashes), ``process``, ``what`` (level, method
        or, of pw.x, the kind of calculation), ``core_hours``, ``wall_seconds``, ``memory_mb`` (largest resident; pw.x
        does not measure it), ``exit_status`` and ``cached``. A job that came from the cache was paid for before: it
        costs nothing. One that left no results has no values.
    :raises InvalidInputError: if there is no such process.
    """
    root = load(process, orm.ProcessNode, 'only processes cost something')
    called = called_by([root.pk])
    paths = _paths(root.pk, called)
    if isinstance(root, orm.CalcJobNode):
        paths[root.pk] = ''
    jobs = _jobs(list(paths))
    rows = [{**values, 'path': paths[pk]} for pk, values in jobs.items()]
    table = pd.DataFrame(rows, columns=COLUMNS).sort_values('pk').reset_index(drop=True)
    numbers = ['core_hours', 'wall_seconds', 'memory_mb']
    table[numbers] = table[numbers].astype(float)
    table['cached'] = table['cached'].astype(bool)
    table.loc[table['cached'], numbers[:2]] = 0.0
    return table.astype({'exit_status': 'Int64'})


def core_hours(process: int | str) -> dict[str, float]:
    """Return the core hours of all jobs under a process, failed ones included, by component of the ledger.

    :return: ``pyscf`` (energies and relaxations by PySCF), ``espresso`` (those by pw.x), ``potential``
        (labels of a foundation potential) and ``ml`` (the models).
    """
    table = costs(process)
    components = table['process'].map(PROGRAMS).fillna('ml')
    hours = table['core_hours'].groupby(components).sum()
    return {name: float(hours.get(name, 0.0)) for name in (*PROGRAMS.values(), 'ml')}


def sum_costs(table: pd.DataFrame, by: t.Sequence[str] = ('process', 'what')) -> pd.DataFrame:
    """Return the sums of a table of :func:`costs` by some of its columns; of the memory the largest.

    :return: the columns of ``by`` with ``jobs``, ``failed``, ``core_hours``, ``wall_seconds`` and ``memory_mb``.
    """
    groups = table.assign(failed=table['exit_status'].ne(0).fillna(True)).groupby(list(by), sort=True)
    return groups.agg(
        jobs=('pk', 'size'),
        failed=('failed', 'sum'),
        core_hours=('core_hours', 'sum'),
        wall_seconds=('wall_seconds', 'sum'),
        memory_mb=('memory_mb', 'max'),
    ).reset_index()


def _paths(root: int, called: t.Sequence[Called]) -> dict[int, str]:
    """Return the labels of the calls from the root to each process; callers come before what they called."""
    paths = {root: ''}
    for process in called:
        paths[process.pk] = f'{paths[process.caller]}/{process.link_label}'.lstrip('/')
    del paths[root]
    return paths


def _jobs(pks: list[int]) -> dict[int, dict[str, t.Any]]:
    builder = orm.QueryBuilder()
    names = ['id', 'attributes.process_label', 'attributes.exit_status', 'extras._aiida_cached_from']
    builder.append(orm.CalcJobNode, filters=among('id', pks), project=[*names, 'attributes.resources'])
    rows = builder.all()
    jobs: dict[int, dict[str, t.Any]] = {
        pk: {'pk': pk, 'process': label, 'what': '', 'exit_status': status, 'cached': source is not None}
        for pk, label, status, source, _ in rows
    }
    for pk, values in _results(list(jobs)):
        jobs[pk].update(values)
    cores = {pk: count_cores(resources or {}) for pk, *_, resources in rows}
    for pk, calculation, seconds in _espresso_results(list(jobs)):
        hours = None if seconds is None else seconds * cores[pk] / 3600
        jobs[pk].update(what=calculation or '', core_hours=hours, wall_seconds=seconds)
    return jobs


def _results(jobs: list[int]) -> t.Iterator[tuple[int, dict[str, t.Any]]]:
    """Yield what the jobs of this package say of themselves, by pk, by one query."""
    builder = orm.QueryBuilder()
    builder.append(orm.CalcJobNode, filters=among('id', jobs), project='id', tag='job')
    more = ('peak_memory_mb', 'timings.wall_seconds', 'timings.cpu_seconds', 'task')
    builder.append(
        orm.Dict,
        with_incoming='job',
        edge_filters={'type': LinkType.CREATE.value, 'label': 'results'},
        project=[f'attributes.{name}' for name in (*RESULTS, *more)],
    )
    for pk, hours, wall, memory, method, fidelity, peak, wall_of_models, cpu, task in builder.iterall():
        yield (
            pk,
            {
                'what': method or fidelity or task or '',
                'core_hours': hours if hours is not None else (cpu or 0.0) / 3600,
                'wall_seconds': wall if wall is not None else wall_of_models,
                'memory_mb': memory if memory is not None else peak,
            },
        )


def _espresso_results(jobs: list[int]) -> t.Iterator[list[t.Any]]:
    """Yield pk, kind of calculation and wall time (s) of the jobs of Quantum ESPRESSO that left a result."""
    builder = orm.QueryBuilder()
    builder.append(orm.CalcJobNode, filters=among('id', jobs), project='id', tag='job')
    builder.append(
        orm.Dict,
        with_outgoing='job',
        edge_filters={'type': LinkType.INPUT_CALC.value, 'label': 'parameters'},
        project='attributes.CONTROL.calculation',
    )
    builder.append(
        orm.Dict,
        with_incoming='job',
        edge_filters={'type': LinkType.CREATE.value, 'label': 'output_parameters'},
        project='attributes.wall_time_seconds',
    )
    yield from builder.iterall()


def count_cores(resources: t.Mapping[str, int | None]) -> int:
    """Return how many cores a job was given, from what it asked the scheduler for, idle ones included."""
    machines = resources.get('num_machines') or 1
    per_machine = resources.get('num_cores_per_machine')
    if per_machine:
        return machines * per_machine
    processes = resources.get('tot_num_mpiprocs') or machines * (resources.get('num_mpiprocs_per_machine') or 1)
    return processes * (resources.get('num_cores_per_mpiproc') or 1)

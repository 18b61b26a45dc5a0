"""The one loop that follows a process until it ends, and what jobs are doing in the meantime."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from aiida.orm import CalcJobNode, ProcessNode
    from rich.console import Console

__all__ = ('called', 'count_jobs', 'follow', 'running_jobs')

SHOWN = 3
"""Jobs whose last line is shown."""

Describe = t.Callable[['ProcessNode', float], str]
"""What a process is doing, from its node and the seconds since it is followed."""


def follow(
    node: ProcessNode, describe: Describe, again: str, *, console: Console | None = None, interval: float = 2.0
) -> None:
    """Show what ``node`` is doing until it ends, and how it ended.

    A terminal has one line that is kept up to date; elsewhere a line is printed whenever something changes. Ctrl-C ends
    the watching, never the process.

    :param again: command that takes the process up again.
    :param interval: seconds between two queries.
    """
    from rich.console import Console

    from aiida_qagenai.engine.daemon import daemon_runs

    console = console or Console(markup=False, highlight=False, soft_wrap=True)
    start, last = time.monotonic(), ''
    try:
        with console.status('…') as status:
            while not node.is_terminated:
                if not daemon_runs():
                    console.print(f'The daemon is not running. To go on: {again}')
                    return
                text = describe(node, time.monotonic() - start)
                status.update(f'[{_clock(start)}] {text}')
                if text != last and not console.is_terminal:
                    console.print(f'[{_clock(start)}] {text}', markup=False)
                last = text
                time.sleep(interval)
    except KeyboardInterrupt:
        console.print(f'No longer watching; process {node.pk} goes on. To watch it again: {again}')
        return
    message = f': {node.exit_message}' if node.exit_message else ''
    state = 'was killed' if node.is_killed else f'ended with exit status {node.exit_status}{message}'
    console.print(f'[{_clock(start)}] {node.process_label} {node.pk} {state}', markup=False)


def count_jobs(node: ProcessNode, elapsed: float) -> str:
    """Return how many jobs are done, which run, and the last line that each of them printed on this machine."""
    from aiida.common.links import LinkType
    from aiida.orm import CalcJobNode

    inputs = node.base.links.get_incoming(link_type=LinkType.INPUT_WORK).all_link_labels()
    wanted = sum(name.startswith(('structures__', 'competing__')) for name in inputs)
    jobs = [child for child in node.called_descendants if isinstance(child, CalcJobNode)]
    done = [job for job in jobs if job.is_terminated]
    total = max(wanted, len(jobs))
    failed = sum(not job.is_finished_ok for job in done)
    text = f'{len(done)} of {total} jobs done'
    if failed:
        text += f' ({failed} failed)'
    if done and total > len(done):
        text += f', about {elapsed / len(done) * (total - len(done)) / 60:.0f} min left'
    return '; '.join([text, *running_jobs(jobs)])


def running_jobs(jobs: t.Iterable[CalcJobNode]) -> list[str]:
    """Return the last line of each job on this machine that has printed something of use."""
    running = [job for job in jobs if not job.is_terminated]
    lines = [f'{job.process_label} {job.pk}: {line}' for job in running if (line := last_line(job))]
    return lines[:SHOWN]


def last_line(job: CalcJobNode) -> str:
    """Return the last line that says how far a job on this machine is; nothing for one elsewhere."""
    folder = job.get_remote_workdir()
    if folder is None or job.computer.transport_type != 'core.local':
        return ''
    path = Path(folder) / (job.get_option('output_filename') or job.process_class.FILENAME_STDOUT)
    try:
        lines = path.read_text(encoding='utf8', errors='replace').splitlines()
    except OSError:
        return ''
    marks = (': step ', 'cycle= ', 'cycle = ', 'fragment ', 'ionic step ')
    found = (line for line in reversed(lines) if any(mark in line for mark in marks))
    return ' '.join(next(found, '').split(' elapsed')[0].split())


def called(node: ProcessNode) -> list[tuple[str, ProcessNode]]:
    """Return the children of ``node`` with their call link labels, oldest first, read afresh from the database."""
    from aiida import orm
    from aiida.common.links import LinkType

    builder = orm.QueryBuilder()
    builder.append(orm.ProcessNode, filters={'id': node.pk}, tag='parent')
    builder.append(
        orm.ProcessNode,
        with_incoming='parent',
        edge_filters={'type': {'in': [LinkType.CALL_WORK.value, LinkType.CALL_CALC.value]}},
        edge_project='label',
        project='*',
        tag='child',
    )
    builder.order_by({'child': 'ctime'})
    return [(label, child) for child, label in builder.all()]


def _clock(start: float) -> str:
    """Return the minutes and seconds since ``start``."""
    seconds = int(time.monotonic() - start)
    return f'{seconds // 60:3d}:{seconds % 60:02d}'

"""The one loop that follows a process until it ends, and the words for what its jobs do in the meantime."""

from __future__ import annotations

import re
import time
import typing as t

if t.TYPE_CHECKING:
    from aiida.orm import ProcessNode
    from rich.console import Console

    from aiida_qagenai.queries.progress import Progress, Watch

__all__ = ('Describe', 'called', 'count_jobs', 'follow')

QUIET = 30.0
"""Seconds between two lines that differ only in what the jobs are doing."""

SHARE = 0.05
"""Of a core that is taken for following: where a query takes longer, they are further apart."""

TIME_SPAN = re.compile(r'\b\d+ (s|min|h|d)\b')

Describe = t.Callable[['ProcessNode', float], str]
"""What a process is doing, from its node and the seconds since it is followed."""


def follow(
    node: ProcessNode,
    describe: Describe | None,
    again: str,
    *,
    watch_again: str = '',
    console: Console | None = None,
    interval: float = 2.0,
) -> None:
    """Show what ``node`` is doing until it ends, and how it ended.

    A terminal has a table that is kept up to date, with the jobs and why they wait. Elsewhere a line is printed when
    the counts or the reasons change (what comes before the first semicolon), and at most once in ``QUIET`` seconds for
    the rest. Ctrl-C ends the watching, never the process.

    :param describe: what the process is doing; None for one whose steps are known, a campaign or a ladder of energies.
    :param again: command that takes the process up again.
    :param watch_again: command that only watches it, where there is one.
    :param interval: seconds between two queries, more where a query takes more than ``SHARE`` of them.
    """
    from rich.console import Console

    from aiida_qagenai.cli.panel import clock
    from aiida_qagenai.queries.progress import Watch

    console = console or Console(markup=False, highlight=False)
    watch, start = Watch(node, again), time.monotonic()
    try:
        words = (lambda: describe(node, time.monotonic() - start)) if describe else (lambda: '')
        show = _follow_screen if console.is_terminal else _follow_lines
        progress = show(watch, words, console, interval)
    except KeyboardInterrupt:
        console.print(
            f'No longer watching; process {node.pk} goes on. To watch it again: {watch_again or again}', soft_wrap=True
        )
        return
    if progress.state == 'running':
        console.print(f'The daemon is not running. To go on: {again}', soft_wrap=True)
        return
    message = f': {node.exit_message}' if node.exit_message else ''
    state = 'was killed' if node.is_killed else f'ended with exit status {node.exit_status}{message}'
    console.print(f'[{clock(progress.elapsed)}] {node.process_label} {node.pk} {state}', markup=False, soft_wrap=True)


def _daemon_is_missed(progress: Progress) -> bool:
    """Return whether a process that has not ended has no daemon to go on."""
    from aiida_qagenai.engine.daemon import daemon_runs

    return progress.state == 'running' and not daemon_runs()


def pause(interval: float, spent: float) -> float:
    """Return the seconds to the next query, after one that took ``spent`` seconds of the processor."""
    return max(interval, spent / SHARE)


def _follow_screen(watch: Watch, words: t.Callable[[], str], console: Console, interval: float) -> Progress:
    """Keep a table on the terminal up to date, and return the last progress."""
    from rich.live import Live

    from aiida_qagenai.cli.panel import panel

    with Live(console=console, auto_refresh=False, vertical_overflow='ellipsis') as live:
        while True:
            begin = time.process_time()
            progress = watch.read()
            live.update(panel(progress, words()), refresh=True)
            if progress.state != 'running' or _daemon_is_missed(progress):
                return progress
            time.sleep(pause(interval, time.process_time() - begin))


def _follow_lines(watch: Watch, words: t.Callable[[], str], console: Console, interval: float) -> Progress:
    """Print a line for each change, and return the last progress."""
    from aiida_qagenai.cli.panel import clock, line

    printed, printed_at = '', time.monotonic() - QUIET
    while True:
        begin = time.process_time()
        progress = watch.read()
        if _daemon_is_missed(progress):
            return progress
        text = line(progress, words())
        if _news(text) != _news(printed) or (text != printed and time.monotonic() - printed_at > QUIET):
            console.print(f'[{clock(progress.elapsed)}] {text}', markup=False, soft_wrap=True)
            printed, printed_at = text, time.monotonic()
        if progress.state != 'running':
            return progress
        time.sleep(pause(interval, time.process_time() - begin))


def _news(text: str) -> str:
    """Return the part of a line whose change is worth another line: counts and reasons, not how long they last."""
    return TIME_SPAN.sub('', text.partition(';')[0])


def count_jobs(node: ProcessNode, elapsed: float) -> str:
    """Return how many jobs of a work chain are done, of those that its inputs ask for and those that it called."""
    from aiida.common.links import LinkType
    from aiida.orm import CalcJobNode

    inputs = node.base.links.get_incoming(link_type=LinkType.INPUT_WORK).all_link_labels()
    wanted = sum(name.startswith(('structures__', 'competing__')) for name in inputs)
    jobs = [child for child in node.called_descendants if isinstance(child, CalcJobNode)]
    done = [job for job in jobs if job.is_terminated]
    total = max(wanted, len(jobs))
    failed = sum(not job.is_finished_ok for job in done)
    text = f'{len(done)} of {total} jobs done' + (f' ({failed} failed)' if failed else '')
    if done and total > len(done):
        text += f', about {elapsed / len(done) * (total - len(done)) / 60:.0f} min left'
    return text


def called(node: ProcessNode) -> list[tuple[str, ProcessNode]]:
    """Return the children of ``node`` with their call link labels, oldest first, read afresh from the database."""
    from aiida.common.links import LinkType

    links = node.base.links.get_outgoing(link_type=(LinkType.CALL_WORK, LinkType.CALL_CALC)).all()
    return [(link.link_label, link.node) for link in sorted(links, key=lambda link: link.node.ctime)]

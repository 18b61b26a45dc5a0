"""The one loop that follows a process until it ends, and what jobs, energies and campaigns do in the meantime."""

from __future__ import annotations

import re
import time
import typing as t
from pathlib import Path

from aiida_qagenai.common.fidelity import LADDER

if t.TYPE_CHECKING:
    from aiida.orm import CalcJobNode, ProcessNode
    from rich.console import Console

__all__ = ('called', 'count_jobs', 'count_ladder', 'describe_campaign', 'describe_job', 'follow')

SHOWN = 3
"""Jobs whose last line is shown."""

QUIET = 30.0
"""Seconds between two lines that differ only in what the jobs are doing."""

STAGES = {
    'seedset': 'building the initial structures',
    'energies': 'computing energies',
    'dataset': 'building the training set',
    'generate': 'generating candidates',
    'known': 'looking up known crystals',
    'filter': 'choosing the candidates to relax',
    'predict': 'predicting all levels',
    'relax': 'relaxing candidates and known crystals',
    'predictrelaxed': 'predicting all levels for the relaxed candidates',
    'assess': 'screening and selecting',
    'ledger': 'writing the ledger',
}
"""Call link label of a step of a campaign → what a reader would call it."""

Describe = t.Callable[['ProcessNode', float], str]
"""What a process is doing, from its node and the seconds since it is followed."""


def follow(
    node: ProcessNode, describe: Describe, again: str, *, console: Console | None = None, interval: float = 2.0
) -> None:
    """Show what ``node`` is doing until it ends, and how it ended.

    A terminal has one line that is kept up to date. Elsewhere a line is printed when its first part changes (up to the
    first semicolon), and at most once in ``QUIET`` seconds for the rest. Ctrl-C ends the watching, never the process.

    :param again: command that takes the process up again.
    :param interval: seconds between two queries.
    """
    from rich.console import Console

    from aiida_qagenai.engine.daemon import daemon_runs

    console = console or Console(markup=False, highlight=False, soft_wrap=True)
    start = time.monotonic()
    printed, printed_at = '', start - QUIET
    try:
        with console.status('…') as status:
            while True:
                # Asked first, so that what is printed last is how far the process came.
                has_ended = node.is_terminated
                if not has_ended and not daemon_runs():
                    console.print(f'The daemon is not running. To go on: {again}')
                    return
                text = describe(node, time.monotonic() - start)
                status.update(f'[{_clock(start)}] {text}')
                counts_changed = text.partition(';')[0] != printed.partition(';')[0]
                is_news = counts_changed or (text != printed and time.monotonic() - printed_at > QUIET)
                if is_news and not console.is_terminal:
                    console.print(f'[{_clock(start)}] {text}', markup=False)
                    printed, printed_at = text, time.monotonic()
                if has_ended:
                    break
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
    text = f'{len(done)} of {total} jobs done{failures(done)}'
    if done and total > len(done):
        text += f', about {elapsed / len(done) * (total - len(done)) / 60:.0f} min left'
    return '; '.join([text, *running_jobs(jobs)])


def describe_job(node: ProcessNode, _: float) -> str:
    """Return what a single job is doing."""
    return 'finished' if node.is_terminated else activity(node)


def count_ladder(node: ProcessNode, _: float) -> str:
    """Return how many energies of a LadderWorkChain are done, and what those that run are doing."""
    children = called(node)
    done = [child for _, child in children if child.is_terminated]
    text = f'{len(done)} of {num_tasks(node)} done{failures(done)}'
    running = [f'{task_in_words(link)}: {activity(child)}' for link, child in children if not child.is_terminated]
    return '; '.join([text, *running[:SHOWN]])


def failures(done: t.Iterable[ProcessNode]) -> str:
    """Return how many of the processes that have ended failed, in brackets; empty if none did."""
    failed = sum(not process.is_finished_ok for process in done)
    return f' ({failed} failed)' if failed else ''


def describe_campaign(node: ProcessNode, _: float) -> str:
    """Return where the campaign of ``node`` stands now: the stage, what runs, and how much of that is done."""
    stages = called(node)
    if not stages:
        return 'campaign: waiting for the daemon'
    label, stage = stages[-1]
    name = 'initial set' if label == 'seed' else f'cycle {int(label.removeprefix("cycle"))}'
    children = called(stage)
    link, child = next(((link, child) for link, child in children if not child.is_terminated), ('', None))
    if child is None:
        return f'{name}: {"finished" if stage.is_terminated else "between two steps"}'
    if link == 'energies':
        done = [each for _, each in called(child) if each.is_terminated]
        total = num_tasks(child)
        return f'{name}: {STAGES[link]}' + (f' {len(done)}/{total}' if total else '') + failures(done)
    if link.startswith('train'):
        models = {each.removeprefix('train'): model for each, model in children if each.startswith('train')}
        training = [each for each, model in models.items() if not model.is_terminated]
        return f'{name}: training the models ({", ".join(training)}) {len(models) - len(training)}/{len(models)}'
    link = link.replace('again', '')
    detail = f'; {activity(child)}' if link == 'relax' else ''
    return f'{name}: {STAGES.get(link, link)}{detail}'


def task_in_words(link: str) -> str:
    """Return what the child of a LadderWorkChain with this link label computes."""
    for level in LADDER:
        # A child that the machine lost is called again under a longer label.
        name, found, again = link.partition(level.label)
        if found and not again.replace('again', ''):
            return f'{name} at {level.value}'
    return f'relaxation of {link.removeprefix("relax")}'


def num_tasks(ladder: ProcessNode) -> int:
    """Return how many processes a LadderWorkChain calls in all, if none is refused."""
    plan = ladder.inputs.plan.get_dict()
    relaxations = len(plan) if 'relax' in ladder.inputs else 0
    references = len(set().union(*plan.values())) if 'reference_elements' in ladder.inputs else 0
    return sum(len(levels) for levels in plan.values()) + relaxations + references


def activity(node: ProcessNode) -> str:
    """Return what the jobs under ``node`` are doing: where they are, and the last line that one of them printed."""
    from aiida.orm import CalcJobNode

    jobs = [child for child in (node, *node.called_descendants) if isinstance(child, CalcJobNode)]
    running = [job for job in jobs if not job.is_terminated]
    if not running:
        return 'preparing'
    lines = [line for job in running if (line := last_line(job))]
    if lines:
        return lines[0]
    state, scheduler = running[0].get_state(), running[0].get_scheduler_state()
    name = 'preparing' if state is None else str(state.value)
    if name == 'withscheduler':
        return 'submitted' if scheduler is None else str(scheduler.value)
    return name if name in {'uploading', 'submitting', 'retrieving', 'parsing'} else 'preparing'


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
    return next((text for line in reversed(lines) if (text := _in_words(line))), '')


def _in_words(line: str) -> str:
    """Return what a line of output says about how far the job is, empty if it says nothing."""
    if ': step ' in line or re.match(r'(fragment|ionic step) \d', line):
        return line.split(' elapsed', maxsplit=1)[0].strip()
    if found := re.match(r'cycle *= *(\d+) +E(_corr)?\(?(\w*)\)? *= *(\S+)', line):
        number, correlation, method, energy = found.groups()
        what = f'{method} cycle {number}, correlation energy' if correlation else f'SCF cycle {number}, energy'
        return f'{what} {float(energy):.6f} Ha'
    return ''


def called(node: ProcessNode) -> list[tuple[str, ProcessNode]]:
    """Return the children of ``node`` with their call link labels, oldest first, read afresh from the database."""
    from aiida.common.links import LinkType

    links = node.base.links.get_outgoing(link_type=(LinkType.CALL_WORK, LinkType.CALL_CALC)).all()
    return [(link.link_label, link.node) for link in sorted(links, key=lambda link: link.node.ctime)]


def _clock(start: float) -> str:
    seconds = int(time.monotonic() - start)
    return f'{seconds // 60:3d}:{seconds % 60:02d}'

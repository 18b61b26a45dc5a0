"""What the commands `free-energy`, `barrier` and `relax` share."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import click

from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from aiida.orm import ProcessNode

__all__ = (
    'COMMON',
    'FILE',
    'PICTURE',
    'find_process',
    'follow_jobs',
    'launch',
    'load_checkpoint',
    'load_structure',
    'read_files',
    'read_one',
    'resume',
)

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
PICTURE = click.Path(path_type=Path)

_OPTIONS = (
    click.option('--potential', required=True, help='emt, chgnet, chgnet:r2scan, validator, validator:SCAN.'),
    click.option('--checkpoint', metavar='PK|UUID', help='The validator, if that is the potential.'),
    click.option('--protocol', default='moderate', show_default=True, help='fast, moderate or precise.'),
    click.option('--code', default='qagenai-ml@localhost', show_default=True, help='Python with ase and phonopy.'),
    click.option('--follow/--no-follow', 'watch', default=True, show_default=True, help='Show progress to the end.'),
    click.option('--set', 'settings', multiple=True, metavar='NAME=VALUE', help='Change a setting; may be repeated.'),
)


def COMMON(command: t.Any) -> t.Any:  # noqa: N802 - reads as the other shared options
    """Add the options that all commands on a potential take."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_files(files: t.Sequence[Path], prefix: str) -> dict[str, t.Any]:
    """Return the structures of plain files as nodes, by label.

    :raises InvalidInputError: naming the file that cannot be read.
    """
    from aiida.orm import StructureData

    from aiida_qagenai.exchange.structure_files import read_structures

    nodes: dict[str, StructureData] = {}
    for file in files:
        for name, structure in read_structures(file):
            if not structure.is_ordered:
                message = f'`{file}`, {name}: partial occupancies, order the structure first'
                raise InvalidInputError(message)
            label = f'{prefix}{len(nodes):03d}{structure.composition.reduced_formula}'
            nodes[label] = StructureData(pymatgen=structure, label=f'{file.name}: {name}')
    return nodes


def read_one(file: Path) -> t.Any:
    """Return the only structure of a file.

    :raises InvalidInputError: if it holds more.
    """
    nodes = read_files([file], 's')
    if len(nodes) != 1:
        message = f'`{file}` holds {len(nodes)} structures, needed is one'
        raise InvalidInputError(message)
    return next(iter(nodes.values()))


def load_structure(identifier: str) -> t.Any:
    """Return the structure with that pk or uuid.

    :raises InvalidInputError: if there is none.
    """
    from aiida.orm import StructureData

    return _load(identifier, StructureData, 'structure', ': see `aiida-qagenai candidates`')


def load_checkpoint(identifier: str | None) -> t.Any:
    """Return the checkpoint with that pk or uuid, or None.

    :raises InvalidInputError: if there is none, or the node is something else.
    """
    if identifier is None:
        return None
    from aiida_qagenai.data.checkpoint import CheckpointData

    return _load(identifier, CheckpointData, 'checkpoint')


def _load(identifier: str, kind: type, name: str, advice: str = '') -> t.Any:
    """Return the node with that pk or uuid.

    :raises InvalidInputError: if there is none, or it is of another kind.
    """
    from aiida.common.exceptions import MultipleObjectsError, NotExistent
    from aiida.orm import load_node

    try:
        node = load_node(identifier)
    except (NotExistent, MultipleObjectsError, ValueError) as exception:
        message = f'no node `{identifier}`{advice}'
        raise InvalidInputError(message) from exception
    if not isinstance(node, kind):
        message = f'node {identifier} is no {name}{advice}'
        raise InvalidInputError(message)
    return node


def launch(builder: t.Any, *, watch: bool) -> ProcessNode:
    """Submit a work chain to the daemon, which is started if need be, and show its progress.

    :raises InvalidInputError: if inputs are invalid, before anything is computed.
    """
    from aiida.engine import submit

    from aiida_qagenai.engine.daemon import ensure_daemon

    ensure_daemon()
    try:
        node: ProcessNode = submit(builder)
    except ValueError as exception:
        message = f'the inputs were refused: {exception}'
        raise InvalidInputError(message) from exception
    click.echo(f'{node.process_label} {node.pk} started')
    if watch:
        follow_jobs(node)
    return node


def resume(identifier: str, label: str) -> ProcessNode:
    """Bring a run back after an interruption, what was running goes on, and show its progress.

    :raises InvalidInputError: if there is no such run.
    """
    from aiida_qagenai.engine.daemon import revive

    node: ProcessNode = find_process(identifier, label)
    if not node.is_terminated:
        revive(node)
    follow_jobs(node)
    return node


def follow_jobs(node: ProcessNode, *, interval: float = 2.0) -> None:
    """Show how many jobs are done until ``node`` ends, with the time that the rest will take; Ctrl-C stops watching.

    :param interval: seconds between two looks at the database.
    """
    start, last = time.monotonic(), ''
    try:
        while not node.is_terminated:
            text = progress(node, time.monotonic() - start)
            if text != last:
                click.echo(text)
            last = text
            time.sleep(interval)
    except KeyboardInterrupt:
        click.echo(f'no longer watching; process {node.pk} goes on')
        return
    message = f': {node.exit_message}' if node.exit_message else ''
    click.echo(f'process {node.pk} ended with exit status {node.exit_status}{message}')


def progress(node: ProcessNode, elapsed: float) -> str:
    """Return how many jobs are done, which run, and the last line that one of them printed here."""
    from aiida.common.links import LinkType
    from aiida.orm import CalcJobNode

    inputs = node.base.links.get_incoming(link_type=LinkType.INPUT_WORK).all_link_labels()
    wanted = sum(name.startswith(('structures__', 'competing__')) for name in inputs)
    jobs = [child for child in node.called_descendants if isinstance(child, CalcJobNode)]
    done = [job for job in jobs if job.is_terminated]
    running = [job for job in jobs if not job.is_terminated]
    total = max(wanted, len(jobs))
    failed = sum(not job.is_finished_ok for job in done)
    text = f'{len(done)} of {total} jobs done'
    if failed:
        text += f' ({failed} failed)'
    if done and total > len(done):
        text += f', about {elapsed / len(done) * (total - len(done)) / 60:.0f} min left'
    lines = [f'{job.process_label} {job.pk}: {line}' for job in running if (line := last_line(job))]
    return '; '.join([text, *lines])


def last_line(job: t.Any) -> str:
    """Return the last line that a job on this machine printed, nothing for one elsewhere."""
    folder = job.get_remote_workdir()
    if folder is None or job.computer.transport_type not in ('core.local',):
        return ''
    path = Path(folder) / (job.get_option('output_filename') or job.process_class.FILENAME_STDOUT)
    try:
        lines = path.read_text(encoding='utf8').splitlines()
    except OSError:
        return ''
    return next((line.split(' elapsed')[0] for line in reversed(lines) if ': step ' in line), '')


def find_process(identifier: str, label: str) -> t.Any:
    """Return the work chain with that pk or uuid.

    :raises InvalidInputError: if there is none of the class called ``label``.
    """
    from aiida.common.exceptions import MultipleObjectsError, NotExistent
    from aiida.orm import WorkChainNode, load_node

    try:
        node = load_node(identifier)
    except (NotExistent, MultipleObjectsError, ValueError) as exception:
        message = f'no node `{identifier}`'
        raise InvalidInputError(message) from exception
    if not isinstance(node, WorkChainNode) or node.process_label != label:
        message = f'node {identifier} is no {label}'
        raise InvalidInputError(message)
    return node

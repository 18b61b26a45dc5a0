"""How processes ended: well, not well, or with the worker that ran them, which had no time to say so.

Upstream: AiiDA seals a process after it has written that it finished, and never returns to one that was killed between;
its launcher could seal what it finds finished.
"""

from __future__ import annotations

from aiida.engine import ProcessState
from aiida.orm import ProcessNode

__all__ = ('close', 'ending', 'mark_killed', 'mark_lost', 'never_started', 'was_lost')


def was_lost(node: ProcessNode) -> bool:
    """Return whether the machine ended ``node`` rather than what it computes, so that it is worth another attempt.

    An exception in the daemon is of that kind (a database that went away), and so is an exit status that the process
    class declares in ``MACHINE_FAILURES``.
    """
    if node.is_excepted or not node.exit_status:
        return bool(node.is_excepted)
    return node.exit_status in getattr(node.process_class, 'MACHINE_FAILURES', ())


def never_started(node: ProcessNode) -> bool:
    """Return whether the worker died between storing ``node`` and saving what it could be continued from."""
    return node.process_state in {None, ProcessState.CREATED} and node.checkpoint is None


def mark_lost(node: ProcessNode) -> None:
    """Mark a process that never started as excepted: nothing can continue it."""
    node.set_process_state(ProcessState.EXCEPTED)
    node.set_exception('the worker was killed before it could continue or end this process')
    node.seal()


def mark_killed(node: ProcessNode, status: str) -> None:
    """Mark a function whose interpreter died with it as killed, with the reason as its ``status``."""
    if not node.is_terminated:
        node.set_process_state(ProcessState.KILLED)
        node.set_process_status(status)
    if not node.is_sealed:
        node.seal()


def ending(node: ProcessNode) -> str:
    """Return why ``node`` did not succeed, also if it was killed or raised an exception."""
    if node.exit_message:
        return f'{node.process_label}<{node.pk}> ended with status {node.exit_status}: {node.exit_message}'
    if node.is_excepted:
        return f'{node.process_label}<{node.pk}> raised an exception, see `verdi process report {node.pk}`'
    return f'{node.process_label}<{node.pk}> is {node.process_state.value}'


def close(node: ProcessNode) -> None:
    """Seal a process that has ended, which its worker did not do if it was killed just then.

    AiiDA writes in this order: the outputs, that a process has finished, its exit status, the seal. It never returns to
    a process that has finished, and an open one cannot be exported. Without an exit status it counts as lost.
    """
    if not node.is_terminated or node.is_sealed:
        return
    if node.is_finished and node.exit_status is None:
        mark_lost(node)
    else:
        node.seal()

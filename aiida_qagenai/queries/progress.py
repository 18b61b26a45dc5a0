"""The progress of a process at one moment: steps, counts, time left, what runs and why it waits."""

from __future__ import annotations

import dataclasses
import datetime
import time
import typing as t

from aiida import orm
from aiida.common import timezone

from aiida_qagenai.engine.exclusive import process_locks
from aiida_qagenai.engine.machine import machine_state
from aiida_qagenai.engine.profile import read_latest
from aiida_qagenai.queries.durations import History, Kind, history_of_machine
from aiida_qagenai.queries.ladders import LadderProgress, ladder_plan, ladder_progress
from aiida_qagenai.queries.running import Job, jobs_among, open_processes
from aiida_qagenai.queries.stages import Context, Stage, Step, cycle_number, read_stage, stage_alone, stages_of
from aiida_qagenai.queries.waiting import disabled_computers, reasons_to_wait

__all__ = ('Progress', 'Watch')

HISTORY_SECONDS = 60.0
"""How often the durations of what has finished are read again."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """A process at one moment.

    :param state: ``running``, or how it ended: ``finished``, ``failed``, ``excepted`` or ``killed``.
    :param elapsed: seconds since it was created, or that it took.
    :param num_cycles: most cycles that a campaign may have; None for another process.
    :param stages: of a campaign the stages, of which only the last has steps; of a ladder of energies one.
    :param jobs: those that have not ended.
    :param reasons: why it waits, in sentences.
    :param left: expected seconds until it ends, of a campaign if it runs all cycles; what is not known is left out.
    :param unknown: what the machine has no history of.
    """

    pk: int
    process: str
    label: str
    elements: tuple[str, ...]
    state: str
    elapsed: float
    num_cycles: int | None
    stages: tuple[Stage, ...]
    jobs: tuple[Job, ...]
    reasons: tuple[str, ...]
    left: float | None
    unknown: tuple[str, ...]

    @property
    def step(self) -> Step | None:
        """The step that runs now, or the last one that has begun."""
        steps = self.stages[-1].steps if self.stages else ()
        begun = [step for step in steps if step.state in {'running', 'done', 'failed'}]
        running = [step for step in begun if step.state == 'running']
        return (running or begun)[-1] if begun else None


class Watch:
    """Reads the progress of a process again and again; what never changes is read once.

    :param node: the process.
    :param again: command that takes it up again.
    """

    def __init__(self, node: orm.ProcessNode, again: str) -> None:
        self.node = node
        self.again = again
        self._history: History | None = None
        self._read_at = 0.0
        inputs = node.base.links.get_incoming().all_link_labels()
        self.settings = node.inputs.parameters.get_dict() if 'parameters' in inputs else {}
        self.elements = tuple(node.inputs.elements.get_list()) if 'elements' in inputs else ()
        self.computer = node.inputs.ml_code.computer.pk if 'ml_code' in inputs else None
        self.plan = ladder_plan(node.pk) if node.process_label == 'LadderWorkChain' else None

    @property
    def history(self) -> History:
        """The durations of what has finished on this machine, at most a minute old."""
        if self._history is None or time.monotonic() - self._read_at > HISTORY_SECONDS:
            self._history, self._read_at = history_of_machine(), time.monotonic()
        return self._history

    def read(self) -> Progress:
        """Return the progress now."""
        read_latest()
        now = timezone.now()
        node = self.node
        stages = self._stages(now)
        ladder = next((step.ladder for stage in stages for step in stage.steps if step.state == 'running'), None)
        processes = [] if node.is_terminated else open_processes(node.pk)
        jobs = jobs_among(processes)
        left, unknown = (None, ()) if node.is_terminated else self._left(stages)
        end = node.mtime if node.is_terminated else now
        return Progress(
            pk=node.pk,
            process=node.process_label or '',
            label=node.label,
            elements=self.elements,
            state=_state(node),
            elapsed=(end - node.ctime).total_seconds(),
            num_cycles=self.settings.get('stop', {}).get('max_cycles'),
            stages=tuple(stages),
            jobs=tuple(jobs),
            reasons=tuple(self._reasons(processes, jobs, ladder, now)),
            left=left,
            unknown=unknown,
        )

    def _reasons(
        self, processes: list[t.Any], jobs: list[Job], ladder: LadderProgress | None, now: datetime.datetime
    ) -> list[str]:
        if not processes:
            return []
        return reasons_to_wait(
            processes,
            jobs,
            machine_state(),
            now,
            ladder=ladder,
            is_held=process_locks().is_held(self.node.pk),
            disabled=disabled_computers({job.computer for job in jobs}),
            again=self.again,
        )

    def _stages(self, now: datetime.datetime) -> list[Stage]:
        """Return the stages of a campaign, with the steps of the last one, or the one stage of a ladder."""
        if self.plan is not None:
            return [self._ladder(now)]
        if self.node.process_label != 'CampaignWorkChain':
            return []
        context = Context(self.settings, self.computer, self.history, now)
        children = stages_of(self.node.pk)
        ended = [stage_alone(child, context) for child in children[:-1]]
        return [*ended, *(read_stage(child, context) for child in children[-1:])]

    def _ladder(self, now: datetime.datetime) -> Stage:
        node, plan = self.node, self.plan
        assert plan is not None
        progress = ladder_progress(node.pk, plan, self.history, now, has_ended=node.is_terminated)
        end = node.mtime if node.is_terminated else now
        elapsed = (end - node.ctime).total_seconds()
        left = None if progress.unknown or node.is_terminated else progress.left
        state = 'running' if not node.is_terminated else 'done' if node.is_finished_ok else 'failed'
        step = Step('compute', state, progress.counts, elapsed, left, progress)
        return Stage(node.pk, 'energies', state, elapsed, (step,))

    def _left(self, stages: list[Stage]) -> tuple[float | None, tuple[str, ...]]:
        """Return the expected seconds until the end, and what is unknown of them."""
        if not stages:
            return None, ()
        steps = [step for step in stages[-1].steps if step.state in {'running', 'to come'}]
        unknown = [name for step in steps if step.left is None for name in _unknown(step)]
        left = sum(step.left or (step.ladder.left if step.ladder else 0.0) for step in steps)
        done = cycle_number(f'cycle{stages[-1].name.partition(" ")[2]}') if 'cycle' in stages[-1].name else 0
        cycles = self.settings.get('stop', {}).get('max_cycles', 0) - done if self.plan is None else 0
        if cycles > 0:
            protocol = self.settings.get('energy', {}).get('protocol', '')
            candidates = self.settings.get('generate', {}).get('num_candidates')
            cycle = self.history.expected(Kind('CycleWorkChain', 'cycle', protocol, self.computer), candidates)
            left += cycles * cycle.seconds if cycle else 0.0
            unknown += [] if cycle else ['whole cycles']
        return (left or None if unknown else left), tuple(dict.fromkeys(unknown))


def _unknown(step: Step) -> tuple[str, ...]:
    return step.ladder.unknown if step.ladder and step.ladder.unknown else (step.name,)


def _state(node: orm.ProcessNode) -> str:
    if not node.is_terminated:
        return 'running'
    if node.is_finished:
        return 'finished' if node.is_finished_ok or (node.exit_status or 0) >= 700 else 'failed'
    return str(node.process_state.value) if node.process_state else 'running'

"""What a running campaign is doing, read from the provenance graph and shown as it changes."""

from __future__ import annotations

import dataclasses
import time
import typing as t

if t.TYPE_CHECKING:
    from aiida.orm import ProcessNode
    from rich.console import Console

__all__ = ('Snapshot', 'follow', 'snapshot')

STAGES = {
    'prototypes': 'building the initial structures',
    'energies': 'computing energies',
    'dataset': 'building the training set',
    'traindescriptor': 'training',
    'traingenerator': 'training',
    'trainvalidator': 'training',
    'generate': 'generating candidates',
    'predict': 'predicting all levels',
    'assess': 'screening and selecting',
    'ledger': 'closing the books',
}
"""Call link label → what a reader would call it."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Where a campaign stands.

    :param stage: `initial set` or `cycle N`.
    :param activity: what runs now.
    :param done: finished calculations of the activity; ``total`` is 0 where it has none to count.
    :param failed: failed ones among them.
    """

    stage: str
    activity: str
    done: int = 0
    total: int = 0
    failed: int = 0

    def __str__(self) -> str:
        counts = f' {self.done}/{self.total}' if self.total else ''
        failed = f' ({self.failed} failed)' if self.failed else ''
        return f'{self.stage}: {self.activity}{counts}{failed}'


def snapshot(node: ProcessNode) -> Snapshot:
    """Return where the campaign of ``node`` stands now."""
    stages = _called(node)
    if not stages:
        return Snapshot('campaign', 'waiting for the daemon')
    label, stage = stages[-1]
    name = 'initial set' if label == 'seed' else f'cycle {int(label.removeprefix("cycle"))}'
    children = _called(stage)
    active = [(link, child) for link, child in children if not child.is_terminated]
    if not active:
        return Snapshot(name, 'between two steps' if not stage.is_terminated else 'finished')
    link, child = active[0]
    if link == 'energies':
        calculations = [each for _, each in _called(child)]
        total = _number_of_tasks(child)
        finished = [each for each in calculations if each.is_terminated]
        return Snapshot(name, STAGES[link], len(finished), total, sum(not each.is_finished_ok for each in finished))
    if link.startswith('train'):
        models = [(each, model) for each, model in children if each.startswith('train')]
        names = ', '.join(each.removeprefix('train') for each, model in models if not model.is_terminated)
        done = sum(model.is_terminated for _, model in models)
        return Snapshot(name, f'training the models ({names})', done, len(models))
    return Snapshot(name, STAGES.get(link, link))


def _number_of_tasks(ladder: ProcessNode) -> int:
    """Return how many processes a LadderWorkChain calls in all, if none is refused."""
    plan = ladder.inputs.plan.get_dict()
    relaxations = len(plan) if 'relax' in ladder.inputs else 0
    references = len(set().union(*plan.values())) if 'reference_elements' in ladder.inputs else 0
    return sum(len(levels) for levels in plan.values()) + relaxations + references


def follow(node: ProcessNode, console: Console, *, interval: float = 2.0) -> None:
    """Show progress until the campaign of ``node`` ends.

    In a terminal the line is kept up to date; elsewhere a line is printed whenever something changes. Ctrl-C stops
    the watching, never the campaign.

    :param interval: seconds between two looks at the database.
    """
    start = time.monotonic()
    try:
        with console.status('…') as status:
            last = ''
            while not node.is_terminated and _daemon_runs(node, console):
                text = str(snapshot(node))
                status.update(f'[{_clock(start)}] {text}')
                if text != last and not console.is_terminal:
                    console.print(f'[{_clock(start)}] {text}', markup=False)
                last = text
                time.sleep(interval)
    except KeyboardInterrupt:
        console.print(f'no longer watching; the campaign goes on: aiida-qagenai campaign follow {node.pk}')
        return
    if node.is_terminated:
        console.print(f'[{_clock(start)}] campaign {node.pk} ended', markup=False)


def _daemon_runs(node: ProcessNode, console: Console) -> bool:
    """Return whether the campaign has a daemon to run it, and say what to do if not."""
    from aiida_qagenai.engine.daemon import daemon_runs

    if daemon_runs():
        return True
    console.print(f'The daemon is not running. Bring the campaign back: aiida-qagenai campaign continue {node.pk}')
    return False


def _called(node: ProcessNode) -> list[tuple[str, ProcessNode]]:
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

"""What a running campaign is doing, read from the provenance graph."""

from __future__ import annotations

import dataclasses
import typing as t

from aiida_qagenai.cli.progress import called, num_tasks

if t.TYPE_CHECKING:
    from aiida.orm import ProcessNode

__all__ = ('Snapshot', 'describe', 'snapshot')

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
    'ledger': 'writing the ledger',
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
    stages = called(node)
    if not stages:
        return Snapshot('campaign', 'waiting for the daemon')
    label, stage = stages[-1]
    name = 'initial set' if label == 'seed' else f'cycle {int(label.removeprefix("cycle"))}'
    children = called(stage)
    active = [(link, child) for link, child in children if not child.is_terminated]
    if not active:
        return Snapshot(name, 'between two steps' if not stage.is_terminated else 'finished')
    link, child = active[0]
    if link == 'energies':
        calculations = [each for _, each in called(child)]
        total = num_tasks(child)
        finished = [each for each in calculations if each.is_terminated]
        return Snapshot(name, STAGES[link], len(finished), total, sum(not each.is_finished_ok for each in finished))
    if link.startswith('train'):
        models = [(each, model) for each, model in children if each.startswith('train')]
        names = ', '.join(each.removeprefix('train') for each, model in models if not model.is_terminated)
        done = sum(model.is_terminated for _, model in models)
        return Snapshot(name, f'training the models ({names})', done, len(models))
    return Snapshot(name, STAGES.get(link, link))


def describe(node: ProcessNode, _: float) -> str:
    """Return where the campaign of ``node`` stands now, in words."""
    return str(snapshot(node))

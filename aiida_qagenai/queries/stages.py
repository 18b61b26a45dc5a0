"""Where a campaign stands: the steps of its initial set and of its cycles, with counts and times."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import typing as t

from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.queries.children import Child, children_of
from aiida_qagenai.queries.durations import History, Kind, step_size, step_task
from aiida_qagenai.queries.ladders import Count, LadderPlan, LadderProgress, ladder_plan, ladder_progress

__all__ = (
    'Child',
    'Context',
    'Stage',
    'Step',
    'children_of',
    'cycle_number',
    'read_stage',
    'stage_alone',
    'stage_name',
    'stages_of',
)

SEED, CYCLE, ENERGIES, HITS = 'SeedWorkChain', 'CycleWorkChain', 'energies', 'hits'

LADDER_PROCESS = 'LadderWorkChain'
"""Process whose energies are counted one by one; an oracle gives them all at once."""

STEPS: dict[str, dict[str, tuple[str, ...]]] = {
    SEED: {
        'seed': ('seedset',),
        'compute': (ENERGIES,),
        'learn': ('dataset', 'train', 'ledger'),
    },
    CYCLE: {
        'generate': ('generate',),
        'screen': ('known', 'filter'),
        'predict': ('predict',),
        'relax': ('relax', 'predictrelaxed'),
        'select': ('assess',),
        'compute': (ENERGIES,),
        'hull': (HITS,),
        'learn': ('dataset', 'train', 'ledger'),
    },
}
"""Process label of a stage → its steps in their order, each with the link labels of what it calls."""

MADE = {'generate': 'candidates\\_\\_%', 'predict': 'predictions\\_\\_%', 'relax': 'candidates\\_\\_%'}
"""Job that makes a node per candidate → link labels of these nodes."""

QUICK = frozenset({'seedset', 'known', 'filter', 'assess', HITS, 'dataset', 'ledger'})
"""Calculation functions, which take seconds: nothing is unknown where none has finished yet."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a stage.

    :param state: ``to come``, ``running``, ``done``, ``failed`` or ``left out``.
    :param counts: what is counted → how much of it is done: levels of theory, or `candidates`, `models`, ….
    :param elapsed: seconds since the step began, or that it took; None before.
    :param left: expected seconds until it ends; None where nothing like it has finished here yet.
    :param ladder: how far the energies are, of a step that computes some.
    """

    name: str
    state: str
    counts: dict[str, Count]
    elapsed: float | None = None
    left: float | None = None
    ladder: LadderProgress | None = None


@dataclasses.dataclass(frozen=True)
class Stage:
    """The initial set, or a cycle.

    :param name: ``initial set`` or ``cycle 2``.
    :param elapsed: seconds since it began, or that it took.
    """

    pk: int
    name: str
    state: str
    elapsed: float
    steps: tuple[Step, ...]


@dataclasses.dataclass(frozen=True)
class Context:
    """What the steps of a campaign are judged by.

    :param settings: those of the campaign.
    :param computer: pk of the computer of the models.
    """

    settings: t.Mapping[str, t.Any]
    computer: int | None
    history: History
    now: datetime.datetime

    def seconds(self, process: str, link: str) -> float | None:
        """Return how long a step of the stage ``process`` takes, None if nothing like it has finished here."""
        kind = Kind(
            process, step_task(process, link), self.settings.get('energy', {}).get('protocol', ''), self.computer
        )
        size = step_size(link, self.settings, initial=process == SEED)
        estimate = self.history.expected(kind, size)
        if estimate is None:
            return 0.0 if link in QUICK else None
        return estimate.seconds

    def age(self, children: t.Collection[Child]) -> float:
        """Return how long processes have run, from the first to the last, or until now if one still does."""
        last = max(child.changed for child in children) if all(child.has_ended for child in children) else self.now
        return (last - min(child.created for child in children)).total_seconds()


def stages_of(campaign: int) -> list[Child]:
    """Return the initial set and the cycles of one campaign process, oldest first; of one run again the latest."""
    stages = [child for child in children_of(campaign) if child.process in STEPS]
    return list({stage_name(child.link): child for child in stages}.values())


def stage_name(link: str) -> str:
    """Return what a reader calls the stage with this link label."""
    link = first_label(link)
    return 'initial set' if link == 'seed' else f'cycle {cycle_number(link)}'


def cycle_number(link: str) -> int:
    """Return the number of the cycle with this link label, 0 for the initial set."""
    return int(first_label(link).removeprefix('cycle')) if link.startswith('cycle') else 0


def first_label(link: str) -> str:
    """Return the link label of the first attempt: a child that the machine lost is called again as a longer one."""
    while link.endswith('again'):
        link = link.removesuffix('again')
    return link


def stage_alone(stage: Child, context: Context) -> Stage:
    """Return a stage without its steps, which takes no query."""
    state = 'running' if not stage.has_ended else 'done' if stage.is_ok else 'failed'
    return Stage(stage.pk, stage_name(stage.link), state, context.age([stage]), ())


def read_stage(stage: Child, context: Context) -> Stage:
    """Return a stage with its steps."""
    children = {first_label(child.link): child for child in children_of(stage.pk)}
    steps = STEPS[stage.process]
    begun = [name for name, links in steps.items() if any(_part(link, links) for link in children)]
    last = list(steps).index(begun[-1]) if begun else -1
    found = []
    for index, (name, links) in enumerate(steps.items()):
        mine = {link: child for link, child in children.items() if _part(link, links)}
        is_over = stage.has_ended or index < last
        wanted = expected_links(name, context.settings, cycle_number(stage.link))
        if mine:
            found.append(_begun(name, mine, wanted, stage, context, is_over=is_over))
        else:
            left = None if is_over else _sum(context.seconds(stage.process, link) for link in wanted)
            found.append(Step(name, 'left out' if is_over or not wanted else 'to come', {}, left=left))
    return dataclasses.replace(stage_alone(stage, context), steps=tuple(found))


def expected_links(step: str, settings: t.Mapping[str, t.Any], cycle: int) -> list[str]:
    """Return the link labels of what a step is expected to call.

    :param cycle: number of the cycle, 0 for the initial set.
    """
    links = STEPS[CYCLE if cycle else SEED][step]
    relaxes = settings.get('screen', {}).get('relax') is not None
    if step == 'relax' and not relaxes:
        return []
    if step == 'screen' and not relaxes:
        return ['known']
    models = _models(settings, cycle) if step == 'learn' else []
    return [name for link in links for name in ([f'train{role}' for role in models] if link == 'train' else [link])]


def _models(settings: t.Mapping[str, t.Any], cycle: int) -> list[str]:
    """Return the roles of the models that are trained."""
    learn = settings.get('learn', {})
    samples = settings.get('generate', {}).get('external') is None
    if cycle:
        often = samples and cycle % (learn.get('generator_every') or 1) == 0
        return ['validator', *(('descriptor', 'generator') if often else ())]
    from_nothing = learn.get('generator', {}).get('start') == 'nothing'
    return ['descriptor', *(('generator',) if from_nothing else ()), 'validator']


def _part(link: str, links: tuple[str, ...]) -> bool:
    """Return whether the child with this link label belongs to a step; `train` stands for all models."""
    return link in links or (link.startswith('train') and 'train' in links)


def _sum(values: t.Iterable[float | None]) -> float | None:
    """Return the sum, None if anything is unknown."""
    known = list(values)
    return None if None in known else float(sum(value for value in known if value is not None))


def _begun(
    name: str, mine: dict[str, Child], wanted: list[str], stage: Child, context: Context, *, is_over: bool
) -> Step:
    """Return a step that has called something."""
    to_call = [] if is_over else [link for link in wanted if link not in mine]
    is_running = bool(to_call) or not all(child.has_ended for child in mine.values())
    is_ok = all(child.is_ok for child in mine.values())
    state = 'running' if is_running and not stage.has_ended else 'done' if is_ok else 'failed'
    ladder, counts = None, {}
    if ENERGIES in mine and mine[ENERGIES].process == LADDER_PROCESS:
        child = mine[ENERGIES]
        plan = _plan(child.uuid)
        ladder = ladder_progress(child.pk, plan, context.history, context.now, has_ended=child.has_ended)
        counts = ladder.counts
        left = None if ladder.unknown else ladder.left
    else:
        running = [(link, child) for link, child in mine.items() if not child.has_ended]
        remaining = [
            None if (seconds := context.seconds(stage.process, link)) is None else max(0.0, seconds - context.age([c]))
            for link, c in running
        ]
        left = _sum([*remaining, *(context.seconds(stage.process, link) for link in to_call)])
        counts = _counts(name, mine, wanted, context)
    return Step(name, state, counts, context.age(list(mine.values())), left if state == 'running' else None, ladder)


def _counts(name: str, mine: dict[str, Child], wanted: list[str], context: Context) -> dict[str, Count]:
    """Return what a step that computes no energies has done of what."""
    if name == 'learn':
        models = [link for link in dict.fromkeys([*wanted, *mine]) if link.startswith('train')]
        ended = [mine[link] for link in models if link in mine and mine[link].has_ended]
        failed = sum(not child.is_ok for child in ended)
        return {'models': Count(len(ended), len(models), failed)} if models else {}
    if name in MADE and name in mine:
        job = mine[name]
        total = context.settings.get('generate', {}).get('num_candidates') if name == 'generate' else None
        made = num_outputs(job.uuid, MADE[name]) if job.has_ended else 0
        return {'candidates': Count(made, total)} if made or total else {}
    if name == 'select' and mine['assess'].is_ok:
        chosen, eligible = _selection(mine['assess'].uuid)
        return {'chosen': Count(chosen, eligible)}
    if name == 'hull' and mine[HITS].is_ok:
        return {'hits': Count(*num_hits(mine[HITS].uuid))}
    return {}


@functools.lru_cache(maxsize=256)
def num_outputs(uuid: str, pattern: str) -> int:
    """Return how many nodes a process that has ended created under link labels like ``pattern``."""
    builder = orm.QueryBuilder().append(orm.CalculationNode, filters={'uuid': uuid}, tag='job')
    edge = {'type': LinkType.CREATE.value, 'label': {'like': pattern}}
    builder.append(orm.Data, with_incoming='job', edge_filters=edge, project='id')
    return builder.count()


@functools.lru_cache(maxsize=256)
def _selection(uuid: str) -> tuple[int, int | None]:
    """Return how many candidates an assessment chose, and from how many."""
    builder = orm.QueryBuilder().append(orm.CalcFunctionNode, filters={'uuid': uuid}, tag='assess')
    edge = {'label': 'selection'}
    project = ['attributes.selected', 'attributes.eligible']
    builder.append(orm.Dict, with_incoming='assess', edge_filters=edge, project=project)
    selected, eligible = builder.first() or ((), None)
    return len(selected or ()), eligible


@functools.lru_cache(maxsize=256)
def num_hits(uuid: str) -> tuple[int, int]:
    """Return how many of the candidates that were placed on a hull of their level are hits."""
    builder = orm.QueryBuilder().append(orm.CalcFunctionNode, filters={'uuid': uuid}, tag='place')
    builder.append(orm.Dict, with_incoming='place', project=['attributes.hits', 'attributes.levels'])
    hits, levels = builder.first() or ((), {})
    return len(hits), len({label for level in levels.values() for label in level['results']})


@functools.lru_cache(maxsize=64)
def _plan(uuid: str) -> LadderPlan:
    return ladder_plan(uuid)

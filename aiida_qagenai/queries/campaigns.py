"""Which processes make up a campaign: the campaign itself, what it called, and what was done twice."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.common.links import LinkType

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity

__all__ = (
    'GROUP_PREFIX',
    'NOT_SCIENTIFIC',
    'PROCESS_TYPE',
    'Called',
    'Campaign',
    'all_campaigns',
    'among',
    'called_by',
    'called_under',
    'find_campaign',
    'top_of',
    'tops',
)

GROUP_PREFIX = 'qagenai/campaign/'
"""A campaign is the group of this name and its label; it holds one process, and one more for each continuation."""

PROCESS_TYPE = 'aiida.workflows:qagenai.campaign'

NOT_SCIENTIFIC = 'not scientific'
"""Label of numbers that only exercise the machinery."""

CALL = {'type': {'in': [LinkType.CALL_CALC.value, LinkType.CALL_WORK.value]}}


@dataclasses.dataclass(frozen=True)
class Campaign:
    """A campaign: the process that was started last and those that it continues, oldest first.

    :param label: that of the group, or a stand-in where the process has none.
    """

    label: str
    group: int | None
    processes: tuple[int, ...]

    def called(self) -> list[Called]:
        """Return all processes that the campaign called and that count: see :func:`called_under`."""
        return called_under(self.processes)[0]


@dataclasses.dataclass(frozen=True)
class Called:
    """A process called by another one, and how it stands."""

    pk: int
    caller: int
    link_label: str
    process_label: str
    node_type: str
    state: str | None
    exit_status: int | None

    @property
    def is_calculation(self) -> bool:
        """Return whether it creates data."""
        return self.node_type.startswith('process.calculation.')

    @property
    def is_finished_ok(self) -> bool:
        """Return whether it ended well."""
        return self.state == 'finished' and self.exit_status == 0


def among(key: str, values: t.Collection[t.Any]) -> dict[str, t.Any]:
    """Return a filter for any of ``values``, and for none of them one that nothing passes: an empty list is refused."""
    return {key: {'in': list(values)}} if len(values) else {'id': -1}


def all_campaigns() -> list[Campaign]:
    """Return all campaigns of the profile in the order of their last process.

    A process that was continued is part of the campaign that continues it; one that was continued twice, of both.
    """
    groups = _groups()
    order = list(groups)
    parents = _continued(order)
    campaigns = []
    for pk in [pk for pk in order if pk not in parents.values()]:
        line = [pk]
        while line[0] in parents:
            line.insert(0, parents[line[0]])
        group, label = groups[pk]
        campaigns.append(Campaign(label, group, tuple(line)))
    return campaigns


def _groups() -> dict[int, tuple[int | None, str]]:
    """Return for each campaign process, oldest first, the pk and the label of its group.

    Here and elsewhere time decides, not the pk: an import numbers nodes in any order.
    """
    builder = orm.QueryBuilder()
    builder.append(orm.WorkChainNode, filters={'process_type': PROCESS_TYPE}, tag='process', project='id')
    builder.order_by({'process': 'ctime'})
    groups: dict[int, tuple[int | None, str]] = {pk: (None, f'(process {pk})') for (pk,) in builder.all()}
    builder = orm.QueryBuilder()
    builder.append(orm.Group, filters={'label': {'like': f'{GROUP_PREFIX}%'}}, tag='group', project=['id', 'label'])
    builder.append(orm.WorkChainNode, with_group='group', filters={'process_type': PROCESS_TYPE}, project='id')
    for group, label, pk in builder.all():
        groups[pk] = (group, label.removeprefix(GROUP_PREFIX))
    return groups


def _continued(processes: list[int]) -> dict[int, int]:
    """Return continuation → the campaign process it goes on from: the one, or its stage, that returned its ledger.

    :param processes: all campaign processes, oldest first.
    """
    age = {pk: index for index, pk in enumerate(processes)}
    builder = orm.QueryBuilder()
    builder.append(orm.WorkChainNode, filters=among('id', processes), tag='process', project='id')
    builder.append(orm.Dict, with_outgoing='process', edge_filters={'label': 'state__ledger'}, tag='ledger')
    builder.append(orm.WorkChainNode, with_outgoing='ledger', project='id')
    sources = builder.all()
    builder = orm.QueryBuilder()
    builder.append(orm.WorkChainNode, filters=among('id', {stage for _, stage in sources}), tag='stage', project='id')
    builder.append(orm.WorkChainNode, with_outgoing='stage', edge_filters=CALL, project='id')
    callers = dict(builder.all())
    parents: dict[int, int] = {}
    for process, stage in sources:
        parent = callers.get(stage, stage)
        # A continuation that did nothing returns the ledger of the one before it: take the latest.
        if parent in age and age.get(parents.get(process, -1), -1) < age[parent] < age[process]:
            parents[process] = parent
    return parents


def find_campaign(identifier: int | str) -> Campaign:
    """Return the latest campaign with a label, or the latest that the process with a pk or uuid is part of.

    :raises InvalidInputError: if there is none.
    """
    campaigns = all_campaigns()
    text = str(identifier).removeprefix(GROUP_PREFIX)
    pk = _process_pk(text)
    for campaign in reversed(campaigns):
        if pk in campaign.processes or (campaign.group is not None and campaign.label == text):
            return campaign
    known = ', '.join(f'{campaign.label} ({campaign.processes[-1]})' for campaign in campaigns[-10:]) or 'none'
    raise InvalidInputError(f'no campaign `{identifier}` in this profile; give a label or a pk, known are: {known}')


def tops(campaigns: t.Sequence[Campaign]) -> dict[str, Fidelity]:
    """Return label → top rung of campaigns, which their divergence and their hulls refer to."""
    builder = orm.QueryBuilder()
    processes = {campaign.processes[-1]: campaign.label for campaign in campaigns}
    builder.append(orm.WorkChainNode, filters=among('id', processes), tag='process', project='id')
    edge = {'label': 'parameters'}
    builder.append(orm.Dict, with_outgoing='process', edge_filters=edge, project='attributes.energy.top')
    found = {processes[pk]: Fidelity(top or Fidelity.CCSD_T) for pk, top in builder.all()}
    return {label: found.get(label, Fidelity.CCSD_T) for label in processes.values()}


def top_of(campaign: int | str) -> Fidelity:
    """Return the top rung of one campaign.

    :param campaign: label, pk or uuid.
    :raises InvalidInputError: if there is no such campaign.
    """
    found = find_campaign(campaign)
    return tops([found])[found.label]


def _process_pk(text: str) -> int | None:
    """Return the pk that ``text`` means as a pk or a uuid."""
    if re.fullmatch(r'\d+', text):
        return int(text)
    try:
        return int(orm.load_node(uuid=text).pk)
    except (NotExistent, ValueError):
        return None


def called_under(processes: t.Sequence[int]) -> tuple[list[Called], list[Called]]:
    """Return the processes called under those of one campaign, and those that another one replaced.

    A campaign that was cut in the middle of a cycle runs that cycle again when it is continued. Of the children of its
    processes with the same link label (``cycle002``), the last that ended well counts, or the last if none did; what
    the others called would count twice.
    """
    children = _children(processes)
    winners: dict[str, Called] = {}
    for child in children:
        known = winners.get(child.link_label)
        if known is None or child.is_finished_ok or not known.is_finished_ok:
            winners[child.link_label] = child
    counting = [child for child in children if winners[child.link_label] is child]
    replaced = [child for child in children if winners[child.link_label] is not child]
    return _with_descendants(counting), _with_descendants(replaced)


def called_by(processes: t.Sequence[int]) -> list[Called]:
    """Return all processes called under ``processes``, directly or not, each after its caller."""
    return _with_descendants(_children(processes))


def _with_descendants(level: list[Called]) -> list[Called]:
    """Return ``level`` and all processes called under it: one query per level of nesting."""
    found: list[Called] = []
    while level:
        found.extend(level)
        level = _children([child.pk for child in level if not child.is_calculation])
    return found


def _children(callers: t.Sequence[int]) -> list[Called]:
    """Return the processes called by ``callers``, oldest first."""
    builder = orm.QueryBuilder()
    builder.append(orm.ProcessNode, filters=among('id', callers), tag='caller', project='id')
    builder.append(
        orm.ProcessNode,
        with_incoming='caller',
        tag='called',
        edge_filters=CALL,
        edge_project=['label'],
        project=['id', 'attributes.process_label', 'node_type', 'attributes.process_state', 'attributes.exit_status'],
    )
    builder.order_by({'called': 'ctime'})
    return [
        Called(pk, caller, link_label, process_label or '', node_type, state, exit_status)
        for caller, pk, process_label, node_type, state, exit_status, link_label in builder.all()
    ]

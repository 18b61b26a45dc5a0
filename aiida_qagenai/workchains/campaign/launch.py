"""Launch a campaign on the daemon, find it again, and bring it back after an interruption."""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.engine import submit

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.engine.daemon import ensure_daemon, restart_processes
from aiida_qagenai.engine.endings import close
from aiida_qagenai.workchains.campaign.campaign import CampaignWorkChain, last_state
from aiida_qagenai.workchains.campaign.generator import GENERATOR_PORTS
from aiida_qagenai.workchains.campaign.initial import unused_inputs
from aiida_qagenai.workchains.campaign.validation import COMMON, complete_settings
from aiida_qagenai.workchains.protocols.campaign import merge_settings
from aiida_qagenai.workchains.relaxation.relax_first import RELAX_PORTS

__all__ = ('GROUP_PREFIX', 'campaign_group', 'continue_campaign', 'find_campaigns', 'launch_campaign')

GROUP_PREFIX = 'qagenai/campaign/'


def campaign_group(label: str) -> orm.Group:
    """Return the group that holds the campaign called ``label``, created on first use."""
    group, _ = orm.Group.collection.get_or_create(f'{GROUP_PREFIX}{label}')
    return group


def find_campaigns(label: str) -> list[orm.WorkChainNode]:
    """Return the campaigns of ``label``, latest first: the first one and its continuations."""
    builder = orm.QueryBuilder()
    builder.append(orm.Group, filters={'label': f'{GROUP_PREFIX}{label}'}, tag='group')
    builder.append(orm.WorkChainNode, with_group='group', project='*')
    builder.order_by({orm.WorkChainNode: {'ctime': 'desc'}})
    return [node for (node,) in builder.all()]


def launch_campaign(builder: t.Any, label: str) -> orm.WorkChainNode:
    """Submit a campaign to the daemon, which is started if need be, and put it into its group.

    :raises InvalidInputError: if inputs are invalid, before anything is computed.
    """
    if not label or len(label) > 100:
        raise InvalidInputError(f'the label of a campaign has 1 to 100 characters, got {label!r}')
    ensure_daemon()
    builder.metadata.label = label
    try:
        node: orm.WorkChainNode = submit(builder)
    except ValueError as exception:
        raise InvalidInputError(f'the campaign was refused: {exception}') from exception
    campaign_group(label).add_nodes([node])
    return node


def continue_campaign(
    node: orm.WorkChainNode,
    overrides: dict[str, t.Any] | None = None,
    *,
    relax_code: orm.AbstractCode | None = None,
) -> tuple[orm.WorkChainNode, bool]:
    """Bring a campaign back: take up its processes where they stopped, or start from its last stored state.

    A campaign whose processes are alive only needs a daemon: what was running goes on, nothing runs twice. One that
    has ended (failed, killed, budget spent) is continued by a new campaign from the state after its last finished
    cycle, in the same group; what the broken cycle had computed comes from the cache.

    :param overrides: settings to change, such as a larger budget; only for a campaign that has ended.
    :param relax_code: code that relaxes candidates from now on; likewise.
    :returns: the campaign to follow and whether it is a new one.
    :raises InvalidInputError: if nothing can be continued.
    """
    if not node.is_terminated:
        if overrides or relax_code:
            message = 'settings and codes change once the campaign has ended: kill it first (verdi process kill)'
            raise InvalidInputError(message)
        restart_processes(node)
        return node, False
    close(node)
    state = last_state(node)
    if state is None:
        message = (
            f'campaign {node.pk} has no finished stage to continue from: start it again, the cache keeps its results'
        )
        raise InvalidInputError(message)
    builder = continuation(node, state, overrides or {}, relax_code)
    return launch_campaign(builder, node.label or f'campaign-{node.pk}'), True


def continuation(
    node: orm.WorkChainNode,
    state: dict[str, t.Any],
    overrides: dict[str, t.Any],
    relax_code: orm.AbstractCode | None = None,
) -> t.Any:
    """Return the builder of the campaign that goes on from ``state`` with the inputs of ``node``."""
    settings = merge_settings(node.inputs.parameters.get_dict(), overrides)
    given = {name: node.inputs[name] for name in COMMON if name in node.inputs}
    if {'energy', 'relax'} & overrides.keys():
        settings, nodes = complete_settings(settings, node.inputs.elements.get_list())
        # What was resolved at the start stays: settings that did not change name it.
        given['bases'] = {**given.get('bases', {}), **nodes.pop('bases', {})}
        given.update(nodes)
    # What is no longer relaxed, proposed by a program or started from a checkpoint needs no input for it.
    unused = {
        *(RELAX_PORTS if settings.relax is None else ()),
        *(() if settings.generate.external else GENERATOR_PORTS),
        *unused_inputs(settings),
    }
    builder = CampaignWorkChain.get_builder()
    for name, value in given.items():
        if name not in unused and value:
            setattr(builder, name, value)
    if relax_code is not None:
        builder.relax_code = relax_code
    builder.parameters = orm.Dict(settings.dump())
    builder.state = state
    return builder

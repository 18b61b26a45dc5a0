"""`aiida-qagenai campaign run|continue|follow|protocols`: start campaigns, bring them back, watch them."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click
import yaml

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('continue_', 'follow', 'protocols', 'run')

OPTIONS = {'pyscf': 'pyscf_options', 'models': 'ml_options', 'relax': 'relax_options'}
"""Parts of a file of scheduler options, and the inputs that they are."""


def parse_settings(values: tuple[str, ...]) -> dict[str, t.Any]:
    """Return nested settings from texts such as ``generate.num_candidates=200``; values are read as YAML.

    :raises InvalidInputError: if a text has no `=` or a value cannot be read.
    """
    settings: dict[str, t.Any] = {}
    for text in values:
        path, separator, value = text.partition('=')
        if not separator or not path:
            message = f'`{text}` is not a setting: write NAME=VALUE, for example generate.num_candidates=200'
            raise InvalidInputError(message)
        *parents, name = path.split('.')
        target = settings
        for parent in parents:
            target = target.setdefault(parent, {})
        try:
            target[name] = yaml.safe_load(value)
        except yaml.YAMLError as exception:
            message = f'the value of `{path}` cannot be read: {exception}'
            raise InvalidInputError(message) from exception
    return settings


def read_options(path: Path | None) -> dict[str, dict[str, t.Any] | None]:
    """Return the scheduler options in a YAML file as ``pyscf_options``, ``ml_options`` and ``relax_options``.

    :raises InvalidInputError: if the file cannot be read, or for a part or an option that AiiDA does not know.
    """
    from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation

    try:
        content = yaml.safe_load(path.read_text(encoding='utf8')) if path else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exception:
        message = f'the options of the scheduler cannot be read: {exception}'
        raise InvalidInputError(message) from exception
    if not isinstance(content, dict) or not set(content) <= set(OPTIONS):
        message = f'{path} has to hold dictionaries of options of the scheduler, any of {", ".join(OPTIONS)}'
        raise InvalidInputError(message)
    known = set(PyscfCellCalculation.spec().inputs['metadata']['options'])
    for part, options in content.items():
        unknown = sorted(set(options) - known) if isinstance(options, dict) else [str(options)]
        if unknown:
            message = f'unknown options of the scheduler for `{part}` in {path}: {", ".join(unknown)}'
            raise InvalidInputError(message)
    return {port: content.get(part) for part, port in OPTIONS.items()}


SETTINGS = click.option(
    '--set', 'settings', multiple=True, metavar='NAME=VALUE', help='Change a setting: budget=80. May be repeated.'
)


@click.command('run')
@click.argument('elements', nargs=-1, required=True)
@click.option('--protocol', default='fast', show_default=True, help='See `aiida-qagenai campaign protocols`.')
@click.option('--label', help='Name of the campaign and its group; by default the chemical system and the protocol.')
@click.option('--pyscf-code', default='pyscf@localhost', show_default=True, help='Code that runs PySCF scripts.')
@click.option('--ml-code', default='qagenai-ml@localhost', show_default=True, help='Python with torch.')
@click.option('--relax-code', help='Code that relaxes candidates (`--set relax.engine=espresso`): pw.x.')
@click.option(
    '--options',
    type=click.Path(path_type=Path),
    help='YAML file with what the scheduler is asked for, for the jobs of `pyscf`, of the `models` and to `relax`.',
)
@click.option('--follow/--no-follow', 'watch', default=True, show_default=True, help='Show progress until it ends.')
@SETTINGS
def run(
    elements: tuple[str, ...],
    *,
    protocol: str,
    label: str | None,
    pyscf_code: str,
    ml_code: str,
    relax_code: str | None,
    options: Path | None,
    watch: bool,
    settings: tuple[str, ...],
) -> None:
    """Start a campaign in the chemical system of ELEMENTS: `aiida-qagenai campaign run Li H --set budget=20`."""
    from aiida_qagenai.workchains.campaign.campaign import CampaignWorkChain
    from aiida_qagenai.workchains.campaign.launch import launch

    builder = CampaignWorkChain.get_builder_from_protocol(
        pyscf_code=load_code(pyscf_code),
        ml_code=load_code(ml_code),
        relax_code=load_code(relax_code) if relax_code else None,
        elements=elements,
        protocol=protocol,
        overrides=parse_settings(settings),
        **read_options(options),
    )
    node = launch(builder, label or f'{"-".join(sorted(elements))}-{protocol}')
    click.echo(f'campaign {node.pk} started')
    if watch:
        show(node)


@click.command('continue')
@click.argument('campaign')
@click.option('--follow/--no-follow', 'watch', default=True, show_default=True, help='Show progress until it ends.')
@click.option('--relax-code', help='Code that relaxes candidates from now on.')
@SETTINGS
def continue_(campaign: str, *, watch: bool, relax_code: str | None, settings: tuple[str, ...]) -> None:
    """Bring CAMPAIGN (pk or uuid) back after an interruption, or go on from its last stored state after its end."""
    from aiida_qagenai.workchains.campaign.launch import continue_campaign

    code = load_code(relax_code) if relax_code else None
    node, new = continue_campaign(load_campaign(campaign), parse_settings(settings), relax_code=code)
    click.echo(f'campaign {node.pk} goes on' if not new else f'campaign {node.pk} goes on from the last stored state')
    if watch:
        show(node)


@click.command('follow')
@click.argument('campaign')
def follow(campaign: str) -> None:
    """Show the progress of CAMPAIGN (pk or uuid) until it ends; Ctrl-C stops the watching only."""
    show(load_campaign(campaign))


@click.command('protocols')
def protocols() -> None:
    """List the protocols of a campaign."""
    from aiida_qagenai.workchains.protocols.campaign import available_protocols

    for name, description in available_protocols().items():
        click.echo(f'{name:12} {description}')


def show(node: t.Any) -> None:
    """Follow ``node`` and say how it ended."""
    from rich.console import Console

    from aiida_qagenai.cli.campaign.progress import follow as follow_progress

    if not node.is_terminated:
        follow_progress(node, Console())
    if node.is_terminated:
        message = f': {node.exit_message}' if node.exit_message else ''
        click.echo(f'campaign {node.pk} ended with exit status {node.exit_status}{message}')
        click.echo(f'next: aiida-qagenai campaign show {node.pk}')


def load_campaign(identifier: str) -> t.Any:
    """Return the campaign with that pk or uuid.

    :raises InvalidInputError: if there is none, or the node is something else.
    """
    from aiida.common.exceptions import MultipleObjectsError, NotExistent
    from aiida.orm import WorkChainNode, load_node

    try:
        node = load_node(identifier)
    except (NotExistent, MultipleObjectsError, ValueError) as exception:
        message = f'no node `{identifier}`: see `aiida-qagenai campaign list`'
        raise InvalidInputError(message) from exception
    if not isinstance(node, WorkChainNode) or node.process_label != 'CampaignWorkChain':
        message = f'node {identifier} is no campaign: see `aiida-qagenai campaign list`'
        raise InvalidInputError(message)
    return node


def load_code(label: str) -> t.Any:
    """Return the code with that label.

    :raises InvalidInputError: if there is none.
    """
    from aiida.common.exceptions import NotExistent
    from aiida.orm import load_code as load

    try:
        return load(label)
    except (NotExistent, ValueError) as exception:
        message = f'no code `{label}`: run `aiida-qagenai setup` for codes on this machine, or `verdi code create`'
        raise InvalidInputError(message) from exception

"""`aiida-qagenai campaign run|continue|follow|protocols`: start, continue and follow campaigns."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.launch import protocols_command
from aiida_qagenai.cli.loaders import load_campaign, load_code
from aiida_qagenai.cli.params import (
    FOLLOW,
    ML_CODE,
    NODE,
    OPTIONS,
    PYSCF_CODE,
    SET,
    parse_settings,
    protocol_option,
    read_options,
)

__all__ = ('continue_', 'follow', 'protocols', 'run')


@click.command('run')
@click.argument('elements', nargs=-1, required=True)
@protocol_option('campaign')
@click.option('--label', help='Label of the campaign; by default the chemical system and the protocol.')
@click.option('--pyscf-code', metavar=NODE, default=PYSCF_CODE, show_default=True, help='Code that runs PySCF.')
@click.option('--ml-code', metavar=NODE, default=ML_CODE, show_default=True, help='Python with torch.')
@click.option('--relax-code', metavar=NODE, help='Code that relaxes candidates: pw.x for `relax.engine=espresso`.')
@OPTIONS
@SET
@FOLLOW
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
    """Start a campaign in a chemical system.

    For example in Li–H: `aiida-qagenai campaign run Li H --set budget=20`.
    """
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
        watch_campaign(node)


@click.command('continue')
@click.argument('campaign', metavar=NODE)
@click.option('--relax-code', metavar=NODE, help='Code that relaxes candidates from now on.')
@SET
@FOLLOW
def continue_(campaign: str, *, watch: bool, relax_code: str | None, settings: tuple[str, ...]) -> None:
    """Continue a campaign after an interruption or its end.

    A campaign that has ended continues from its last stored state. `--set` and `--relax-code` change a campaign that
    has ended, for example `--set budget=200`.
    """
    from aiida_qagenai.workchains.campaign.launch import continue_campaign

    code = load_code(relax_code) if relax_code else None
    node, new = continue_campaign(load_campaign(campaign), parse_settings(settings), relax_code=code)
    click.echo(f'campaign {node.pk} goes on' + (' from the last stored state' if new else ''))
    if watch:
        watch_campaign(node)


@click.command('follow')
@click.argument('campaign', metavar=NODE)
def follow(campaign: str) -> None:
    """Show the progress of a campaign until it ends.

    Ctrl-C ends the watching, never the campaign.
    """
    watch_campaign(load_campaign(campaign))


protocols = protocols_command('aiida_qagenai.workchains.protocols.campaign:available_protocols', 'campaigns')


def watch_campaign(node: t.Any) -> None:
    """Follow a campaign, and say how it ended and what to do next."""
    from aiida_qagenai.cli.campaign.progress import describe
    from aiida_qagenai.cli.progress import follow as follow_process

    follow_process(node, describe, f'aiida-qagenai campaign continue {node.pk}')
    if node.is_terminated:
        click.echo(f'next: aiida-qagenai campaign show {node.pk}')

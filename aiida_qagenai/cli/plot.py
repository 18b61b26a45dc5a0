"""`aiida-qagenai plot`: the figures of a campaign, one by one."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.groups import Noun
from aiida_qagenai.cli.loaders import load_campaign, load_process
from aiida_qagenai.cli.params import NODE, PICTURE, PROCESS, option
from aiida_qagenai.cli.phonons import write_phonons
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('plot',)

plot = Noun('plot', help='Draw the figures of a campaign from the provenance graph.')

CAMPAIGN = click.argument('campaign', metavar=NODE)
OUTPUT = option('--output', type=PICTURE, required=True, help='The file: PNG, SVG, PDF, HTML with the table, or CSV.')

HELP = {
    'calibration': 'Draw which share of the errors the predicted intervals cover.',
    'cost': 'Draw the core hours of each stage, by component.',
    'discovery': 'Draw the discoveries per calculation at the top rung.',
    'distances': 'Draw the distribution of the distances to the predicted hull.',
    'divergence': 'Draw the predicted against the computed divergence.',
    'funnel': 'Draw how many candidates are left after each stage.',
    'parity': 'Draw predicted against computed formation energies, rung by rung.',
}
"""Figures that take no options of their own → the help of their commands."""


def draw(name: str, campaign: str, output: Path, **options: t.Any) -> None:
    """Write a figure of a campaign and say where it is."""
    from aiida_qagenai.report.figures import make_plot, save_plot

    click.echo(f'written: {save_plot(make_plot(name, load_campaign(campaign).pk, **options), output)}')


def add(name: str) -> None:
    """Add the command of one figure."""

    @plot.command(name, help=HELP[name])
    @CAMPAIGN
    @OUTPUT
    def command(campaign: str, *, output: Path) -> None:
        draw(name, campaign, output)


for figure in HELP:
    add(figure)


@plot.command()
@CAMPAIGN
@OUTPUT
@option(
    '--system',
    metavar='A-B',
    help='Two to four of the elements; by default all, or of more the three with most candidates.',
)
def hull(campaign: str, *, output: Path, system: str | None) -> None:
    """Draw the hull of the last cycle with its candidates.

    Known phases and candidates are at the energies that the validator predicted; what was computed is drawn in red.
    """
    draw('hull', campaign, output, elements=None if system is None else system.split('-'))


@plot.command()
@PROCESS
@option('--output', type=PICTURE, required=True, help='PNG, SVG, PDF, HTML or CSV; of several crystals, one for each.')
def phonons(process: str, *, output: Path) -> None:
    """Draw the phonons of a run of free energies.

    The bands stand beside their density of states, with imaginary modes below zero in red. PROCESS is a run of
    `aiida-qagenai free-energy run`.
    """
    from aiida_qagenai.engine.resumable import nested_outputs

    outputs = nested_outputs(load_process(process, 'FreeEnergyWorkChain'))
    found = outputs.get('phonons', {})
    if not found:
        raise InvalidInputError(f'process {process} has no phonons: see `aiida-qagenai free-energy show {process}`')
    for target in write_phonons(outputs, output, labelled=len(found) > 1):
        click.echo(f'written: {target}')

"""`aiida-qagenai campaign`: campaigns started, continued, followed and shown."""

from __future__ import annotations

import dataclasses
import json
import sys
import typing as t
from pathlib import Path

import click
import yaml

from aiida_qagenai.cli.constraining import ORDER, ordered_generation
from aiida_qagenai.cli.groups import Noun, add_protocols
from aiida_qagenai.cli.loaders import load_campaign, load_checkpoint, load_code, make_file_nodes
from aiida_qagenai.cli.output import WIDTH_OF_FILES, columns, print_frame
from aiida_qagenai.cli.params import (
    FILE,
    FOLLOW,
    FORMAT,
    LEVEL,
    ML_CODE,
    NODE,
    OPTIONS,
    PYSCF_CODE,
    SET,
    file_option,
    option,
    parse_settings,
    protocol_option,
    read_options,
)
from aiida_qagenai.cli.progress import follow as follow_process
from aiida_qagenai.common.errors import InvalidInputError, reported_as

__all__ = ('campaign',)

campaign = Noun('campaign', help='Run, continue and inspect campaigns.')
add_protocols(campaign, 'aiida_qagenai.workchains.protocols.campaign:available_protocols', 'campaigns')

CAMPAIGN = click.argument('campaign', metavar=NODE)
CAMPAIGNS = columns(
    'label, pk, elements: system, protocol: energies, top, state, cycles, spent, budget, candidates, started'
)
STAGES = columns(
    'stage, pk, state, exit_status: exit, eligible, selected: chosen, failed, PBE, SCAN, HSE06, CCSD(T), hits, '
    'divergence_hits: D hits, core_hours: core h'
)


@campaign.command('run')
@click.argument('elements', nargs=-1, required=True)
@protocol_option('campaign')
@option('--label', help='Label of the campaign; by default the chemical system and the protocol.')
@option('--top', type=LEVEL, help='Top rung of the campaign; by default the best that is valid in the chemical system.')
@option('--pyscf-code', metavar=NODE, default=PYSCF_CODE, help='Code that runs PySCF; not used with an oracle.')
@option('--oracle-table', type=FILE, help='CSV file with energies, for `oracle.kind=table`.')
@option('--ml-code', metavar=NODE, default=ML_CODE, help='Python with torch.')
@option('--relax-code', metavar=NODE, help='Code that relaxes candidates: pw.x for `relax.engine=espresso`.')
@option('--initial-generator', metavar=NODE, help='Generator to start from, in place of the one of the package.')
@option('--initial-validator', metavar=NODE, help='Validator to start from, in place of the one of the package.')
@ORDER
@option('--generator-code', metavar=NODE, help='Code that proposes candidates in place of the generator.')
@option('--generator-parameters', type=FILE, help='YAML file with the parameters of that code.')
@file_option('--generator-file')
@OPTIONS
@SET
@option('--dry-run', is_flag=True, help='Check everything, show the scripts of the jobs, and start nothing.')
@FOLLOW
def run(
    elements: tuple[str, ...],
    *,
    protocol: str,
    label: str | None,
    top: str | None,
    pyscf_code: str,
    oracle_table: Path | None,
    ml_code: str,
    relax_code: str | None,
    initial_generator: str | None,
    initial_validator: str | None,
    constrain: tuple[str, ...],
    mask: str | None,
    generator_code: str | None,
    generator_parameters: Path | None,
    files: tuple[Path, ...],
    options: Path | None,
    dry_run: bool,
    watch: bool,
    settings: tuple[str, ...],
) -> None:
    """Start a campaign in a chemical system.

    For example in Li–H: `aiida-qagenai campaign run Li H --set budget=20`.
    """
    from aiida_qagenai.workchains.campaign.campaign import CampaignWorkChain
    from aiida_qagenai.workchains.campaign.launch import launch_campaign
    from aiida_qagenai.workchains.protocols.loader import merge_overrides

    asked = merge_overrides(ordered_generation(constrain, mask), read_generator(generator_parameters))
    overrides = merge_overrides(asked, parse_settings(settings))
    builder = CampaignWorkChain.get_builder_from_protocol(
        pyscf_code=None if overrides.get('oracle') else load_code(pyscf_code),
        oracle_table=next(iter(make_file_nodes((oracle_table,)).values())) if oracle_table else None,
        ml_code=load_code(ml_code),
        relax_code=load_code(relax_code) if relax_code else None,
        initial_generator=load_checkpoint(initial_generator),
        initial_validator=load_checkpoint(initial_validator),
        generator_code=load_code(generator_code) if generator_code else None,
        generator_files=make_file_nodes(files),
        elements=elements,
        protocol=protocol,
        overrides=merge_overrides(overrides, {'energy': {'top': top}} if top else {}),
        **read_options(options),
    )
    if dry_run:
        return show_scripts(builder, elements)
    node = launch_campaign(builder, label or f'{"-".join(sorted(elements))}-{protocol}')
    # First, since scripts take the pk from the second word of the output.
    click.echo(f'campaign {node.pk} started')
    click.echo(describe_top(builder.parameters.get_dict(), elements))
    if watch:
        watch_campaign(node)


def show_scripts(builder: t.Any, elements: t.Sequence[str]) -> None:
    """Print the scripts that schedulers would get from a campaign."""
    from aiida_qagenai.workchains.campaign.dry_run import job_scripts

    for script in job_scripts(builder):
        click.echo(f'jobs of {script.jobs} on {script.computer}, by {script.scheduler}:\n')
        click.echo(script.text)
    settings = builder.parameters.get_dict()
    click.echo(describe_top(settings, elements))
    click.echo(f'The campaign would be accepted, with a budget of {settings["budget"]}; nothing was started.')


def describe_top(settings: dict[str, t.Any], elements: t.Sequence[str]) -> str:
    """Return which rung tops a campaign, and why if it is not CCSD(T)."""
    from aiida_qagenai.thermodynamics.top_rung import top_rung

    top = settings['energy']['top']
    found = top_rung(elements)
    because = f', because {found.reason}' if found.reason and found.fidelity == top else ''
    return f'top rung of {"-".join(sorted(elements))}: {top}{because}'


def read_generator(path: Path | None) -> dict[str, t.Any]:
    """Return the settings of a campaign whose candidates the program with the parameters in a YAML file proposes.

    :raises InvalidInputError: if the file cannot be read.
    """
    if path is None:
        return {}
    with reported_as(f'the parameters in {path} cannot be read:', OSError, UnicodeDecodeError, yaml.YAMLError):
        content = yaml.safe_load(path.read_text(encoding='utf8'))
    if not isinstance(content, dict):
        raise InvalidInputError(f'{path} must hold the parameters of a program by their names')
    return {'generate': {'external': content}}


@campaign.command('continue')
@CAMPAIGN
@option('--relax-code', metavar=NODE, help='Code that relaxes candidates from now on.')
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


@campaign.command('follow')
@CAMPAIGN
def follow(campaign: str) -> None:
    """Show the progress of a campaign until it ends.

    It may run in several terminals at once, while the daemon works. In a pipe it prints a line for each change. Ctrl-C
    ends the watching, never the campaign.
    """
    watch_campaign(load_campaign(campaign))


@campaign.command()
@CAMPAIGN
@FORMAT
def status(campaign: str, fmt: str) -> None:
    """Show what a campaign does now and why it waits.

    The same as `campaign follow` shows, once: the counts of each step, the time left from the history of this machine,
    the jobs, and for each reason to wait the way out. The CSV format holds the counts of the steps.
    """
    from rich.console import Console

    from aiida_qagenai.cli.panel import as_csv, as_json, panel
    from aiida_qagenai.queries.progress import Watch

    node = load_campaign(campaign)
    progress = Watch(node, continue_command(node)).read()
    if fmt != 'table':
        click.echo(as_json(progress) if fmt == 'json' else as_csv(progress), nl=fmt == 'json')
        return
    Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES, markup=False, highlight=False).print(panel(progress))


def continue_command(node: t.Any) -> str:
    """Return the command that takes a campaign up again."""
    return f'aiida-qagenai campaign continue {node.pk}'


def watch_campaign(node: t.Any) -> None:
    """Follow a campaign, and say how it ended and what to do next."""
    follow_process(node, None, continue_command(node), watch_again=f'aiida-qagenai campaign follow {node.pk}')
    if node.is_terminated:
        click.echo(f'next: aiida-qagenai campaign show {node.pk}')


@campaign.command('list')
@FORMAT
def list_(fmt: str) -> None:
    """List all campaigns of the profile."""
    from aiida_qagenai.queries import searches

    frame = searches.campaigns()
    footer = '' if len(frame) else 'No campaign yet: `aiida-qagenai campaign run Li H` starts one.'
    print_frame(frame, fmt, CAMPAIGNS, footer=footer)


@campaign.command()
@CAMPAIGN
@FORMAT
def show(campaign: str, fmt: str) -> None:
    """Show the state of a campaign and what to do next.

    The CSV format holds the cost ledger.
    """
    from aiida_qagenai.queries import searches

    summary = searches.campaign_summary(campaign)
    if fmt == 'csv':
        click.echo(searches.cost_ledger(campaign).to_csv(index=False), nl=False)
        return
    if fmt == 'json':
        content = {field.name: getattr(summary, field.name) for field in dataclasses.fields(summary)}
        content['stages'] = json.loads(summary.stages.to_json(orient='records'))
        click.echo(json.dumps(content, indent=2, default=str))
        return
    note = f' ({summary.note})' if summary.note else ''
    click.echo(f'{summary.label} (pk {summary.processes[-1]}), {"-".join(summary.elements)}: {summary.state}')
    click.echo(f'energies: {summary.protocol}{note}, up to the top rung {summary.top}')
    click.echo(f'budget: {summary.spent} of {summary.budget} spent, {summary.core_hours:.2f} core hours')
    if summary.budget_core_hours is not None:
        spent = f'{summary.spent_core_hours:.3f} of {summary.budget_core_hours:g}'
        left = f'; not started, because they would not fit: {", ".join(summary.left_out)}' if summary.left_out else ''
        click.echo(f'core hours of the energies of the cycles: {spent} spent{left}')
    if summary.stages['hits'].notna().any():
        found = {name: int(summary.stages[name].sum()) for name in ('oracle_calls', 'hits', 'divergence_hits')}
        of_divergence = f'{found["divergence_hits"]} divergence hits'
        click.echo(f'hits: {found["hits"]} of {found["oracle_calls"]} computed candidates, {of_divergence}')
    click.echo('counts: ' + ', '.join(f'{count} {name}' for name, count in summary.counts.items()))
    if summary.hull_gaps:
        click.echo(f'gaps of the hull, stable compounds without a known structure: {", ".join(summary.hull_gaps)}')
    click.echo(f'started {summary.started:%Y-%m-%d %H:%M}, last change {summary.last_change:%Y-%m-%d %H:%M} UTC')
    print_frame(summary.stages, fmt, STAGES)
    if summary.message:
        click.echo(summary.message)
    click.echo(summary.advice)


@campaign.command()
@CAMPAIGN
@option('--max-e-above-hull', type=click.FloatRange(min=0), default=0.1, help='Of new phases, eV/atom.')
@FORMAT
def phases(campaign: str, *, max_e_above_hull: float, fmt: str) -> None:
    """Show the known phases that came out, and new ones near the hull.

    Each phase is one row, whatever number of candidates equal it. A known crystal of the motif library is
    `rediscovered` if the campaign used no known compound of its system to generate (`generate.exclude_system`). The
    last lines say which crystals of one composition PBE puts in another order than the top rung.
    """
    from aiida_qagenai.cli.campaign.phases import PHASES, answer, summary
    from aiida_qagenai.queries.phases import found_phases, misranked_pairs

    frame = found_phases(campaign, max_e_above_hull=max_e_above_hull)
    lines = [*summary(frame, max_e_above_hull), answer(misranked_pairs(campaign))] if fmt == 'table' else []
    print_frame(frame, fmt, PHASES, footer='\n'.join(lines))


@campaign.command()
@CAMPAIGN
@FORMAT
def ledger(campaign: str, fmt: str) -> None:
    """Show what each cycle did and cost.

    Cycle 0 is the initial set.
    """
    from aiida_qagenai.queries import searches

    frame = searches.cost_ledger(campaign)
    hours = [name for name in frame.columns if name.startswith('core_hours')]
    total = frame[hours].sum().sum() if hours else 0.0
    footer = f'{len(frame)} rows, {total:.2f} core hours'
    print_frame(frame, fmt, {name: name.replace('_', ' ') for name in frame.columns}, footer=footer)

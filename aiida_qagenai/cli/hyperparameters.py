"""`aiida-qagenai hyperparameters`: searches for the hyperparameters of the generator, run, continued and shown."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.groups import Noun, add_protocols, launch, resume
from aiida_qagenai.cli.loaders import load_checkpoint, load_code, load_node, load_process
from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.params import (
    FOLLOW,
    FORMAT,
    LABEL,
    ML_CODE,
    NODE,
    OPTIONS,
    OUTPUT,
    PROCESS,
    SET,
    option,
    parse_settings,
    protocol_option,
    read_options,
)

if t.TYPE_CHECKING:
    from aiida.orm import ProcessNode

__all__ = ('hyperparameters',)

WORKCHAIN = 'HyperparameterWorkChain'
hyperparameters = Noun('hyperparameters', help='Search the hyperparameters of the generator.')
PROTOCOLS = 'aiida_qagenai.workchains.protocols.hyperparameters:available_protocols'
add_protocols(hyperparameters, PROTOCOLS, 'searches for hyperparameters')


def describe(node: ProcessNode, seconds: float) -> str:
    """Return how many trials have ended, and the best figure so far."""
    from aiida_qagenai.queries.hyperparameters import recorded_trials

    trials = list(recorded_trials(node).values())
    values = [trial.value for trial in trials if trial.value is not None]
    text = f'{len(trials)} of {node.inputs.parameters["num_trials"]} trials'
    if not values:
        return text
    content = trials[0].content
    best = max(values) if content.direction == 'maximize' else min(values)
    return f'{text}, {len(trials) - len(values)} failed, best {content.objective} {best:.4g}'


@hyperparameters.command('run')
@click.argument('dataset', metavar=NODE)
@protocol_option('hyperparameters')
@option('--generator', metavar=NODE, help='Checkpoint that trainings start from; with `training=null`, it is sampled.')
@option('--descriptor', metavar=NODE, help='Descriptor model that samples are conditioned on: λ is searched as well.')
@option('--code', metavar=NODE, default=ML_CODE, help='Python with torch.')
@OPTIONS
@SET
@LABEL
@FOLLOW
def run(
    dataset: str,
    *,
    protocol: str,
    generator: str | None,
    descriptor: str | None,
    code: str,
    options: Path | None,
    settings: tuple[str, ...],
    label: str,
    watch: bool,
) -> None:
    """Search the hyperparameters of the generator on a training set.

    Trials are compared on the validation split of the set; its test split is never looked at.
    """
    from aiida_qagenai.data.dataset import DatasetData
    from aiida_qagenai.workchains.hyperparameters.search import HyperparameterWorkChain

    builder = HyperparameterWorkChain.get_builder_from_protocol(
        load_code(code),
        load_node(dataset, DatasetData, 'dataset'),
        protocol=protocol,
        overrides=parse_settings(settings),
        generator=load_checkpoint(generator),
        descriptor=load_checkpoint(descriptor),
        options=read_options(options, None if options is None else 'models')['ml_options'],
    )
    node = launch(builder, 'hyperparameters', label=label, watch=watch, describe=describe)
    click.echo(f'next: aiida-qagenai hyperparameters show {node.pk}')


@hyperparameters.command('continue')
@PROCESS
@SET
@LABEL
@FOLLOW
def continue_(process: str, *, settings: tuple[str, ...], label: str, watch: bool) -> None:
    """Continue a search after an interruption, or with more trials.

    A search that a crash or a reboot interrupted goes on where it stopped. One that has ended or was killed is
    continued by another one, which begins with its trials: `--set num_trials=40` asks for 40 in all.
    """
    from aiida_qagenai.common.errors import InvalidInputError
    from aiida_qagenai.workchains.hyperparameters.search import continuation

    node = load_process(process, WORKCHAIN)
    changes = parse_settings(settings)
    if node.is_terminated:
        builder = continuation(node, changes)
        node = launch(builder, 'hyperparameters', label=label, watch=watch, describe=describe)
    elif changes:
        raise InvalidInputError('settings change once the search has ended: kill it first (verdi process kill)')
    else:
        resume(process, 'hyperparameters', WORKCHAIN, describe)
    click.echo(f'next: aiida-qagenai hyperparameters show {node.pk}')


@hyperparameters.command('show')
@PROCESS
@option('--write', 'file', type=OUTPUT, help='Write the best hyperparameters to this JSON file.')
@FORMAT
def show(process: str, *, file: Path | None, fmt: str) -> None:
    """Show the trials of a search and what it has found so far."""
    from aiida_qagenai.common.errors import InvalidInputError
    from aiida_qagenai.queries.hyperparameters import trial_table
    from aiida_qagenai.selection.hyperparameters import flat

    node = load_process(process, WORKCHAIN)
    table = trial_table(node)
    footer = f'{len(table)} of {node.inputs.parameters["num_trials"]} trials'
    if 'summary' in node.outputs:
        summary = node.outputs.summary.get_dict()
        footer += f'; the best, {summary["best"]}, has {summary["objective"]} {summary["value"]:.4g} (validation split)'
        shares = ', '.join(f'{name} {share:.0%}' for name, share in summary['importances'].items())
        footer += f'\nimportances: {shares}' if shares else ''
        found = flat(node.outputs.best['campaign'])
        footer += '\nin a campaign: ' + ' '.join(f'--set {name}={value}' for name, value in found.items())
    if fmt == 'table':
        table = table.map(lambda value: f'{value:.4g}' if isinstance(value, float) else value, na_action='ignore')
    print_frame(table, fmt, {name: name for name in table}, footer=footer)
    if file is not None:
        if 'best' not in node.outputs:
            raise InvalidInputError(f'{WORKCHAIN} {node.pk} has no best hyperparameters yet: wait for its end')
        file.write_text(json.dumps(node.outputs.best.get_dict(), indent=2) + '\n', encoding='utf8')
        click.echo(f'wrote {file}')

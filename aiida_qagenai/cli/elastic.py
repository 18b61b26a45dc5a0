"""`aiida-qagenai elastic`: elastic tensors, run and shown, and of files on a potential."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.elastic_files import COLUMNS, elastic_files
from aiida_qagenai.cli.groups import Noun, add_continue, add_protocols, launch
from aiida_qagenai.cli.loaders import load_checkpoint, load_code, load_process, load_structure, load_structures
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import (
    CHEMICAL_SYSTEM,
    ENGINE_CODES,
    FOLLOW,
    FORMAT,
    LABEL,
    ML_CODE,
    NODE,
    OPTIONS,
    PROCESS,
    SET,
    STRUCTURE,
    option,
    parse_settings,
    potential_options,
    protocol_option,
    read_options,
)
from aiida_qagenai.common.properties import COMPUTED_WEIGHT

__all__ = ('elastic',)

PROCESS_LABELS = ('ElasticWorkChain', 'PbeElasticWorkChain')

elastic = Noun('elastic', help='Compute elastic tensors, moduli and mechanical stability.')
elastic.add_command(elastic_files)
add_continue(elastic, PROCESS_LABELS)
add_protocols(elastic, 'aiida_qagenai.workchains.protocols.atomistic:atomistic_protocols', 'elastic tensors')

SHOWN = {'label': 'label', **{name: heading for name, heading in COLUMNS.items() if name != 'name'}}
LISTED = columns(
    'formula, potential, bulk_modulus_vrh: K GPa, shear_modulus_vrh: G GPa, mechanically_stable: stable, '
    'energy_per_atom: E, reason, created, pk'
)


@elastic.command('run')
@click.argument('structures', nargs=-1, required=True, metavar='[FILE|LABEL|PK|UUID]...')
@potential_options('elastic')
def run(
    structures: tuple[str, ...],
    *,
    potential: str,
    checkpoint: str | None,
    protocol: str,
    code: str,
    label: str,
    watch: bool,
    settings: tuple[str, ...],
) -> None:
    """Compute elastic tensors of crystals, many in one job.

    For example: `aiida-qagenai elastic run si.cif mgo.cif --potential chgnet`.
    """
    from aiida_qagenai.workchains.elastic import ElasticWorkChain

    found = load_structures(structures)
    builder = ElasticWorkChain.get_builder_from_protocol(
        load_code(code),
        found,
        potential=potential,
        protocol=protocol,
        overrides=parse_settings(settings),
        checkpoint=load_checkpoint(checkpoint),
    )
    click.echo(f'{len(found)} structures')
    node = launch(builder, 'elastic', label=label, watch=watch)
    click.echo(f'next: aiida-qagenai elastic show {node.pk}')


@elastic.command('dft')
@click.argument('structure', metavar=STRUCTURE)
@option('--engine', type=click.Choice(list(ENGINE_CODES)), default='espresso', help='Program.')
@protocol_option('relax')
@option('--code', metavar=NODE, help=f'Code of the engine; by default {" or ".join(ENGINE_CODES.values())}.')
@OPTIONS
@SET
@LABEL
@FOLLOW
def dft(
    structure: str,
    *,
    engine: t.Literal['pyscf', 'espresso'],
    protocol: str,
    code: str | None,
    options: Path | None,
    settings: tuple[str, ...],
    label: str,
    watch: bool,
) -> None:
    """Compute the elastic tensor of a crystal at PBE.

    The protocols are those of relaxations; `--set elasticity.strains=[0.005,0.01]` are the strains. For example:
    `aiida-qagenai elastic dft mgo.cif --protocol fast`.
    """
    from aiida_qagenai.workchains.pbe_elastic import PbeElasticWorkChain

    builder = PbeElasticWorkChain.get_builder_from_protocol(
        load_code(code or ENGINE_CODES[engine]),
        load_structure(structure),
        protocol,
        engine=engine,
        overrides=parse_settings(settings),
        options=read_options(options, 'relax')['relax_options'],
    )
    node = launch(builder, 'elastic', label=label, watch=watch)
    click.echo(f'next: aiida-qagenai elastic show {node.pk}')


@elastic.command('show')
@PROCESS
@FORMAT
def show(process: str, *, fmt: str) -> None:
    """Show the results of a run, moduli in GPa.

    The formats csv and json hold all numbers, json the 6×6 tensors as well.
    """
    import pandas as pd

    from aiida_qagenai.engine.resumable import nested_outputs

    node = load_process(process, *PROCESS_LABELS)
    outputs = nested_outputs(node).get('elastic', {})
    rows = [{'label': name, **each.content.model_dump(mode='json'), 'pk': each.pk} for name, each in outputs.items()]
    table = pd.DataFrame(rows, columns=None if rows else [*SHOWN, 'pk']).drop(columns=['source'], errors='ignore')
    print_frame(table, fmt, SHOWN, footer=f'{len(table)} structures; exit status {node.exit_status}')


@elastic.command('retrain')
@click.argument('processes', nargs=-1, required=True, metavar=f'{NODE}...')
@option('--checkpoint', metavar=NODE, help='Property heads to start from; those of the package by default.')
@option(
    '--weight', type=click.FloatRange(0, 1000, min_open=True), default=COMPUTED_WEIGHT, help='Weight of a new crystal.'
)
@option('--code', metavar=NODE, default=ML_CODE, help='Python with torch and this package.')
@LABEL
@FOLLOW
def retrain(
    processes: tuple[str, ...], *, checkpoint: str | None, weight: float, code: str, label: str, watch: bool
) -> None:
    """Retrain the property heads with the tensors of runs.

    The checkpoint is a node, which descends from the tensors. The weight of a new crystal is that beside one of the
    first training set.
    """
    from aiida.orm import Dict

    from aiida_qagenai.calculations.models.tune_properties import TunePropertiesCalculation
    from aiida_qagenai.engine.resumable import nested_outputs

    builder = TunePropertiesCalculation.get_builder()
    builder.code = load_code(code)
    builder.parameters = Dict({'weight': weight})
    if checkpoint is not None:
        builder.initial_checkpoint = load_checkpoint(checkpoint)
    structures, tensors = {}, {}
    for process in processes:
        node = load_process(process, *PROCESS_LABELS)
        outputs = nested_outputs(node)
        for name, structure in outputs.get('relaxed', {}).items():
            structures[f'p{node.pk}{name}'], tensors[f'p{node.pk}{name}'] = structure, outputs['elastic'][name]
    builder.structures, builder.elastic = structures, tensors
    job = launch(builder, 'process', label=label, watch=watch)
    click.echo(f'next: aiida-qagenai model lineage CHECKPOINT, the output of {job.pk}')


@elastic.command('list')
@CHEMICAL_SYSTEM
@option('--stable/--unstable', 'mechanically_stable', default=None, help='Mechanically stable crystals or others.')
@option('--min-bulk-modulus', type=float, help='Smallest K (Voigt–Reuss–Hill), GPa.')
@option('--max-bulk-modulus', type=float, help='Largest K (Voigt–Reuss–Hill), GPa.')
@FORMAT
def list_(
    chemical_system: str | None,
    *,
    mechanically_stable: bool | None,
    min_bulk_modulus: float | None,
    max_bulk_modulus: float | None,
    fmt: str,
) -> None:
    """List all elastic tensors, newest first."""
    from aiida_qagenai.queries.elasticity import elastic_tensors

    table = elastic_tensors(
        chemical_system=chemical_system,
        mechanically_stable=mechanically_stable,
        min_bulk_modulus=min_bulk_modulus,
        max_bulk_modulus=max_bulk_modulus,
    )
    print_frame(table, fmt, LISTED, footer=f'{len(table)} elastic tensors; moduli in GPa, E in eV/atom')

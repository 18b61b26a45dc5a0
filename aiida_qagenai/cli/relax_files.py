"""`aiida-qagenai relax files`: crystals in files, relaxed on a potential without a profile."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence
from pathlib import Path

import click

from aiida_qagenai.api.potentials import about_energies, potential_config, require_installed
from aiida_qagenai.cli.loaders import read_with_warnings
from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FILES_ON_POTENTIAL, HOW_EVALUATED, option
from aiida_qagenai.cli.result_files import Records, claim, extxyz, problem_of, write_text
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

    from aiida_qagenai.exchange.readers.structure_files import NamedStructure

__all__ = ('relax_files',)

WORK = 'relaxation'
"""Folder with what the relaxation needs to go on where it was cut."""
STRUCTURES = 'relaxed.extxyz'
TABLE = 'relaxed.csv'

COLUMNS = columns(
    'name, formula, num_atoms: atoms, converged, steps, energy_per_atom: E, volume_change: ΔV/V, rmsd: RMSD Å, '
    'space_group_before: group before, space_group: after, reason'
)


@click.command('files')
@FILES_ON_POTENTIAL
@option('--max-force', type=click.FloatRange(min=0, min_open=True), default=0.05, help='Largest force left, eV/Å.')
@option('--max-stress', type=click.FloatRange(min=0, min_open=True), default=0.003, help='Largest stress left, eV/Å3.')
@option('--steps', type=click.IntRange(min=1), default=200, help='Most steps of a relaxation.')
@option('--symmetry', type=click.Choice(['keep', 'free']), default='keep', help='Keep or drop the space group.')
@HOW_EVALUATED
def relax_files(
    *,
    files: tuple[Path, ...],
    potential: str,
    validator: Path | None,
    output: Path,
    max_force: float,
    max_stress: float,
    steps: int,
    symmetry: str,
    device: str,
    threads: int,
    overwrite: bool,
    fmt: str,
) -> None:
    """Relax crystals in files on a potential, cell and atoms.

    FILES are CIF, POSCAR, extxyz, JSON or CSV files with one or more crystals each. All crystals move together; one
    that cannot be relaxed is reported, and stays as it was. The folder gets `relaxed.extxyz`, the relaxed crystals in
    the order of the files, and `relaxed.csv`, the table. A command that was cut goes on where it was when it is given
    again. No profile is needed.
    """
    import pandas as pd

    config = potential_config(potential, validator)
    require_installed(config['potential']['name'], '--potential')
    items = [item for file in files for item in read_with_warnings(file)]
    problems = [problem_of(item.structure) for item in items]
    sound = [item for item, problem in zip(items, problems, strict=True) if not problem]
    if not sound:
        raise InvalidInputError(f'no crystal can be relaxed: `{items[0].name}` {problems[0]}')
    config |= {
        'structures': 'structures.npz',
        'relaxation': {
            'max_force': max_force,
            'max_stress': max_stress,
            'max_steps': steps,
            'keep_symmetry': symmetry == 'keep',
        },
        'device': device,
        'num_threads': threads,
    }
    claim(output / WORK, config, sound, overwrite=overwrite)
    results = run_ml_task('relax_many', config, output / WORK, 'relaxing')
    records, relaxed = _records(items, problems, output / WORK, results['relaxations'])
    frame = pd.DataFrame(records).astype({'steps': 'Int64'})
    written = [record for record, problem in zip(records, problems, strict=True) if not problem]
    write_text(output / STRUCTURES, extxyz(written, relaxed, results['potential']), overwrite=overwrite)
    write_text(output / TABLE, frame.to_csv(index=False), overwrite=overwrite)
    footer = f'{sum(frame["converged"])} of {len(frame)} crystals are relaxed; E: {about_energies(config)}'
    print_frame(frame, fmt, COLUMNS, footer=f'{footer}\nfiles in {output}')


def _records(
    items: Sequence[NamedStructure], problems: Sequence[str], folder: Path, outcomes: Sequence[dict[str, t.Any]]
) -> tuple[Records, list[Structure]]:
    """Return a row for every crystal, and the crystals that are well formed as they are now."""
    from aiida_qagenai.chemistry.symmetry import space_group
    from aiida_qagenai.exchange.structures import StructureBatch

    relaxed = StructureBatch.load(folder / 'relaxed.npz').structures()
    done = iter(zip(relaxed, outcomes, strict=True))
    records = []
    for item, problem in zip(items, problems, strict=True):
        before = item.structure
        record: dict[str, t.Any] = {
            'name': item.name,
            'formula': before.composition.reduced_formula,
            'num_atoms': len(before),
        }
        nothing = ('steps', 'energy_per_atom', 'max_force', 'max_stress', 'volume_change', 'rmsd')
        record |= {'converged': False, **dict.fromkeys(nothing), 'space_group_before': None, 'space_group': None}
        if problem:
            records.append({**record, 'reason': f'the structure {problem}'})
            continue
        after, outcome = next(done)
        record |= {key: outcome[key] for key in ('converged', 'steps', 'energy_per_atom', 'reason')}
        record |= {'max_force': outcome['force'], 'max_stress': outcome['stress']}
        record |= {'space_group_before': space_group(before).number, 'space_group': space_group(after).number}
        if outcome['steps'] is not None:
            record |= {'volume_change': after.volume / before.volume - 1, 'rmsd': _rmsd(before, after)}
        records.append(record)
    return records, relaxed


def _rmsd(before: Structure, after: Structure) -> float:
    """Return how far atoms moved within the cell, root mean square, Å: what the cell did is left out, and a drift."""
    import numpy as np

    moved = after.frac_coords - before.frac_coords
    moved -= np.rint(moved)
    moved = (moved - moved.mean(axis=0)) @ after.lattice.matrix
    return float(np.sqrt((moved**2).sum(axis=1).mean()))

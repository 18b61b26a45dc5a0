"""`aiida-qagenai elastic files`: elastic tensors of crystals in files, on a potential without a profile."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import click

from aiida_qagenai.api.potentials import potential_config, require_installed
from aiida_qagenai.cli.loaders import read_with_warnings
from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FILES_ON_POTENTIAL, HOW_EVALUATED, option
from aiida_qagenai.cli.result_files import Records, claim, extxyz, problem_of, write_text
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from aiida_qagenai.exchange.readers.structure_files import NamedStructure

__all__ = ('COLUMNS', 'elastic_files')

WORK = 'elastic'
"""Folder with what the task needs to go on where it was cut."""
TABLE = 'elastic.csv'
TENSORS = 'tensors.json'
STRUCTURES = 'relaxed.extxyz'

COLUMNS = columns(
    'name, formula, num_atoms: atoms, bulk_modulus_vrh: K GPa, shear_modulus_vrh: G GPa, young_modulus: E GPa, '
    'poisson_ratio: Poisson, universal_anisotropy: A^U, mechanically_stable: stable, reason'
)


@click.command('files')
@FILES_ON_POTENTIAL
@option('--strain', 'strains', multiple=True, type=click.FloatRange(0, 0.05, min_open=True), default=(0.01,),
        help='Amplitude of the strains, of both signs. Repeatable.')  # fmt: skip
@option('--clamped', is_flag=True, help='Leave the atoms where the strain moves them.')
@HOW_EVALUATED
def elastic_files(
    *,
    files: tuple[Path, ...],
    potential: str,
    validator: Path | None,
    output: Path,
    strains: tuple[float, ...],
    clamped: bool,
    device: str,
    threads: int,
    overwrite: bool,
    fmt: str,
) -> None:
    """Compute elastic tensors of crystals in files.

    FILES are CIF, POSCAR, extxyz, JSON or CSV files with one or more crystals each. Crystals are relaxed first, cell
    and atoms; one that fails is reported. The folder gets `elastic.csv`, the moduli in GPa, `tensors.json`, the 6×6
    tensors, and `relaxed.extxyz`, the relaxed crystals in the order of the files. A command that was cut goes on where
    it was when it is given again. No profile is needed.
    """
    import pandas as pd

    config = potential_config(potential, validator)
    require_installed(config['potential']['name'], '--potential')
    items = [item for file in files for item in read_with_warnings(file)]
    problems = [problem_of(item.structure) for item in items]
    sound = [item for item, problem in zip(items, problems, strict=True) if not problem]
    if not sound:
        raise InvalidInputError(f'no crystal can be computed: `{items[0].name}` {problems[0]}')
    elasticity = {'strains': list(strains), 'relax_ions': not clamped}
    config |= {'elasticity': elasticity, 'device': device, 'num_threads': threads}
    claim(output / WORK, config, sound, overwrite=overwrite)
    records, tensors, images = _results(sound, config, output / WORK)
    computed = iter(records)
    rows = [
        {**_about(item), 'reason': f'the structure {problem}'} if problem else next(computed)
        for item, problem in zip(items, problems, strict=True)
    ]
    frame = pd.DataFrame(rows)
    write_text(output / STRUCTURES, images, overwrite=overwrite)
    write_text(output / TENSORS, json.dumps(tensors, indent=1) + '\n', overwrite=overwrite)
    write_text(output / TABLE, frame.to_csv(index=False), overwrite=overwrite)
    found = int((frame['reason'] == '').sum())
    print_frame(frame, fmt, COLUMNS, footer=f'{found} of {len(frame)} crystals have a tensor\nfiles in {output}')


def _about(item: NamedStructure) -> dict[str, t.Any]:
    """Return what is known of a crystal before anything is computed."""
    formula = item.structure.composition.reduced_formula
    return {'name': item.name, 'formula': formula, 'num_atoms': len(item.structure)}


def _results(items: list[NamedStructure], config: dict[str, t.Any], folder: Path) -> tuple[Records, Records, str]:
    """Compute the tensors and return the rows of the table, the tensors, and the relaxed crystals as extxyz."""
    from aiida_qagenai.api.elasticity import elastic_structures

    found = elastic_structures([item.structure for item in items], config, folder, run_ml_task)
    hidden = ('identifier', 'tensor', 'tensor_ieee', 'potential')
    renamed = {'force': 'max_force', 'stress': 'max_stress'}
    records, tensors = [], []
    for item, (_, outcome) in zip(items, found, strict=True):
        about = _about(item)
        records.append({**about, **{renamed.get(key, key): outcome[key] for key in outcome if key not in hidden}})
        both = {key: outcome[key] for key in ('tensor', 'tensor_ieee')}
        tensors.append({**about, **{key: None if value is None else value.tolist() for key, value in both.items()}})
    images = extxyz(records, [structure for structure, _ in found], found[0][1]['potential'])
    return records, tensors, images

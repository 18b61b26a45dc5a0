"""`aiida-qagenai predict`: energies on every rung of the ladder and band gaps of crystals, without a profile."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence
from pathlib import Path

import click

from aiida_qagenai.api.prediction import predict_arrays, prediction_records
from aiida_qagenai.cli.loaders import read_with_warnings
from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FILE, FOLDER, FORMAT, option
from aiida_qagenai.cli.predicting import COLUMNS as DIVERGENCE_COLUMNS
from aiida_qagenai.common.descriptors import GAP_LEVELS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER

if t.TYPE_CHECKING:
    import pandas as pd

    from aiida_qagenai.exchange.checkpoint import CheckpointInfo

__all__ = ('predict',)

GAPS_SAID = 'band gaps in eV by the model of the package'
DESCRIPTORS_SHOWN = {
    'dos_mean': '⟨E⟩ eV',
    'dos_std': 'width eV',
    'dos_s_fraction': 's',
    'dos_p_fraction': 'p',
    'elf_high': 'ELF ≥ 0.7',
    'laplacian_abs_mean': '|∇²ρ| e/Å5',
    'chi0_q_min': '−χ0(q_min)',
    'chi0_q_max': '−χ0(q_max)',
}
DESCRIPTORS_SAID = (
    'at PBE by the heads of the package: mean and width of the occupied density of states (valence maximum at 0), its '
    'shares of s and p, the share of the volume with ELF ≥ 0.7, the mean |∇²ρ|, and −χ0 in 1/(eV Å3)'
)
MODULI_SAID = 'K and G: bulk and shear modulus (Voigt–Reuss–Hill, PBE) by the heads of the package'


@click.command()
@click.argument('files', nargs=-1, type=FILE)
@option('--validator', type=FOLDER, help='Checkpoint of a validator in place of the shipped one.')
@option(
    '--composition',
    'formulas',
    multiple=True,
    metavar='FORMULA',
    help='Formula whose band gap and descriptors are predicted, without a crystal.',
)
@option('--descriptors', is_flag=True, help='Show the quantum descriptors in place of energies.')
@FORMAT
def predict(
    *, files: tuple[Path, ...], validator: Path | None, formulas: tuple[str, ...], descriptors: bool, fmt: str
) -> None:
    """Predict energies, band gaps and quantum descriptors of crystals.

    FILES are CIF, POSCAR, extxyz, JSON or CSV files with one or more crystals each. For every rung of the ladder that
    the validator was trained on, the table has the formation energy at that level and its uncertainty σ in eV/atom; a
    rung without labels has no number. D is the divergence, the absolute value of E(PBE) − E(top) for the rung that the
    validator was calibrated for, which the line below the table names. A crystal that is unlike all that the validator
    was trained on, or has an element that it never saw, is marked as unfamiliar, and its σ is larger.

    The band gaps at PBE, HSE06, GLLB-SC and SCAN follow with their σ, in eV, by the model that comes with the package.
    Where no crystal is known, --composition predicts gaps and descriptors from the composition alone.

    With --descriptors the table has the density of states, the localisation, the Laplacian of the density and the
    response instead; CSV and JSON have them always.
    """
    import pandas as pd

    if bool(files) == bool(formulas):
        raise click.UsageError('expected files, or --composition, and not both')
    if formulas:
        _print_compositions(formulas, fmt, descriptors=descriptors)
        return
    from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION, read_checkpoint

    items = [item for file in files for item in read_with_warnings(file)]
    disordered = [item.name for item in items if not item.structure.is_ordered]
    if disordered:
        message = f'`{disordered[0]}` has partial occupancies: choose one element for each site before the prediction'
        raise InvalidInputError(message)
    folder = validator or VALIDATOR_FOUNDATION
    info = read_checkpoint(folder, 'validator')[1]
    arrays = predict_arrays([item.structure for item in items], folder, run_ml_task, heads=True)
    records = prediction_records(items, arrays, info)
    shown = {'name': 'name', 'formula': 'formula', 'num_atoms': 'atoms'}
    if descriptors:
        frame = pd.DataFrame(records)
        print_frame(frame, fmt, shown | _add_descriptors(frame, fmt), footer=DESCRIPTORS_SAID)
        return
    for level in LADDER:
        if any(record[f'energy_{level.label}'] is not None for record in records):
            shown |= {f'energy_{level.label}': f'E({level})', f'sigma_{level.label}': f'σ({level})'}
    if any(record['divergence'] is not None for record in records):
        shown |= columns(DIVERGENCE_COLUMNS.rstrip(', '))
    else:
        shown['out_of_distribution'] = 'unfamiliar'
    frame = pd.DataFrame(records)
    shown |= _add_texts(frame, fmt) | _add_moduli(frame, fmt)
    print_frame(frame, fmt, shown, footer=_footer(records, info, validator))


def _print_compositions(formulas: tuple[str, ...], fmt: str, *, descriptors: bool) -> None:
    """Print the band gaps of compositions, or their descriptors."""
    from aiida_qagenai.api.prediction import predict_gaps

    frame = predict_gaps(formulas, run_ml_task)
    if descriptors:
        print_frame(frame, fmt, {'formula': 'formula', **_add_descriptors(frame, fmt)}, footer=DESCRIPTORS_SAID)
        return
    shown = {'formula': 'formula', **_add_texts(frame, fmt), 'gap_out_of_distribution': 'unfamiliar'}
    print_frame(frame, fmt, shown, footer=GAPS_SAID)


def _add_texts(frame: pd.DataFrame, fmt: str) -> dict[str, str]:
    """Add what people read of the band gaps to a table for them, and return the new columns with their headings."""
    if fmt != 'table':
        return {}
    shown = {}
    for name, level in GAP_LEVELS.items():
        pairs = zip(frame[f'gap_{name}'], frame[f'gap_sigma_{name}'], strict=True)
        frame[f'text_{name}'] = [f'{gap:.2f} ± {sigma:.2f}' if gap else f'metal ± {sigma:.2f}' for gap, sigma in pairs]
        shown[f'text_{name}'] = f'gap({level})'
    return shown


def _add_moduli(frame: pd.DataFrame, fmt: str) -> dict[str, str]:
    """Add what people read of the moduli to a table for them, and return the new columns with their headings."""
    if fmt != 'table':
        return {}
    shown = {}
    for name, heading in (('bulk_modulus', 'K GPa'), ('shear_modulus', 'G GPa')):
        pairs = zip(frame[name], frame[f'{name}_sigma'], strict=True)
        frame[f'text_{name}'] = [f'{value:.0f} ± {sigma:.0f}' for value, sigma in pairs]
        shown[f'text_{name}'] = heading
    return shown


def _add_descriptors(frame: pd.DataFrame, fmt: str) -> dict[str, str]:
    """Add what people read of the descriptors to a table for them, and return the new columns with their headings."""
    if fmt != 'table':
        return {}
    shown = {}
    for name, heading in DESCRIPTORS_SHOWN.items():
        pairs = zip(frame[name], frame[f'{name}_sigma'], strict=True)
        frame[f'text_{name}'] = [f'{value:.2g} ± {sigma:.1g}' for value, sigma in pairs]
        shown[f'text_{name}'] = heading
    return {**shown, 'descriptor_out_of_distribution': 'unfamiliar'}


def _footer(records: Sequence[dict[str, t.Any]], info: CheckpointInfo, validator: Path | None) -> str:
    """Return what people need to know of the numbers."""
    by = f'the validator in {validator}' if validator else 'the validator of the package'
    lines = [f'energies of formation in eV/atom by {by}', GAPS_SAID, MODULI_SAID]
    levels = {entry['rung']: entry['tag'] for entry in info.configuration.get('levels', ())}
    named = [f'{rung}: {tag}' for rung, tag in levels.items() if rung != tag]
    if named:
        lines.append(f'levels of theory: {", ".join(named)}')
    if records and any(record['divergence'] is not None for record in records):
        lines.append(f'D = |E(PBE) − E({records[0]["top_fidelity"]})|')
    unfamiliar = sum(record['out_of_distribution'] for record in records)
    if unfamiliar:
        lines.append(f'{unfamiliar} of {len(records)} are unlike all that it was trained on')
    for flag, meaning in (('magnetic', 'probably have magnetic moments'), ('f_electrons', 'have f electrons')):
        if number := sum(record[flag] for record in records):
            lines.append(f'{number} {meaning}: their energies depend on more than the positions of the atoms')
    unseen = sorted({symbol for record in records for symbol in record['unseen_elements'].split()})
    if unseen:
        lines.append(f'it never saw {", ".join(unseen)}: do not trust energies of crystals with these elements')
    return '\n'.join(lines)

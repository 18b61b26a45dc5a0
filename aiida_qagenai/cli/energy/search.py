"""`aiida-qagenai energy list|divergence`: energies that were computed."""

from __future__ import annotations

import click

from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.params import CAMPAIGN, CHEMICAL_SYSTEM, FORMAT, FORMULA, LEVEL

__all__ = ('divergence', 'list_')

SIDE_BY_SIDE = {
    'name': 'name',
    'formula': 'formula',
    'protocol': 'protocol',
    'formation_pbe': 'PBE',
    'formation_scan': 'SCAN',
    'formation_hse06': 'HSE06',
    'formation_ccsdt': 'CCSD(T)',
    'divergence_computed': 'D',
    'note': 'note',
}
DIVERGENCES = {
    'name': 'name',
    'formula': 'formula',
    'protocol': 'protocol',
    'formation_pbe': 'PBE',
    'divergence_scan': 'PBE−SCAN',
    'divergence_hse06': 'PBE−HSE06',
    'divergence_ccsdt': 'PBE−CCSD(T)',
    'predicted': 'predicted',
    'predicted_sigma': 'σ',
    'note': 'note',
}
EACH = {
    'name': 'name',
    'formula': 'formula',
    'fidelity': 'fidelity',
    'level_tag': 'level',
    'total_energy': 'total',
    'formation_energy_per_atom': 'formation',
    'band_gap': 'gap',
    't1_diagnostic': 'T1',
    'core_hours': 'core h',
    'converged': 'converged',
    'note': 'note',
    'pk': 'pk',
}


@click.command('list')
@CAMPAIGN
@click.option('--level', '--fidelity', 'fidelity', type=LEVEL, help='Only this level of theory.')
@CHEMICAL_SYSTEM
@FORMULA
@click.option('--each', is_flag=True, help='One row per energy instead of one per structure.')
@FORMAT
def list_(
    campaign: str | None,
    fidelity: str | None,
    chemical_system: str | None,
    formula: str | None,
    *,
    each: bool,
    fmt: str,
) -> None:
    """List computed energies.

    Formation energies stand side by side by level of theory; with `--each` every energy has a row.
    """
    from aiida_qagenai.queries import searches

    find = searches.energies if each else searches.energies_side_by_side
    frame = find(campaign, fidelity=fidelity, chemical_system=chemical_system, formula=formula)
    if fmt == 'table' and not each:
        empty = frame[[name for name in SIDE_BY_SIDE if name.startswith('formation_')]].isna().all(axis='columns')
        frame = frame[~empty]
        more = f'; {empty.sum()} more without a formation energy: --each lists all' if empty.any() else ''
        footer = f'{len(frame)} structures; eV/atom{more}'
    else:
        footer = f'{len(frame)} energies; total energies in eV, formation energies in eV/atom'
    print_frame(frame, fmt, EACH if each else SIDE_BY_SIDE, footer=footer)


@click.command()
@CAMPAIGN
@CHEMICAL_SYSTEM
@FORMULA
@click.option('--min-divergence', type=float, help='Smallest computed difference at any level, eV/atom.')
@FORMAT
def divergence(
    campaign: str | None,
    chemical_system: str | None,
    formula: str | None,
    min_divergence: float | None,
    *,
    fmt: str,
) -> None:
    """List divergences of higher levels from PBE.

    Computed divergences stand beside predicted ones, in eV/atom.
    """
    from aiida_qagenai.queries import searches

    frame = searches.divergences(
        campaign, min_divergence=min_divergence, chemical_system=chemical_system, formula=formula
    )
    footer = f'{len(frame)} structures; formation energies in eV/atom; predicted is PBE−CCSD(T)'
    print_frame(frame, fmt, DIVERGENCES, footer=footer)

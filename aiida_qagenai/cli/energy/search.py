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
@click.option('--each', is_flag=True, help='One row per calculation instead of one per structure.')
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
    """List formation energies side by side by level of theory, or with `--each` every energy."""
    from aiida_qagenai.queries import searches

    find = searches.energies if each else searches.energies_side_by_side
    frame = find(campaign, fidelity=fidelity, chemical_system=chemical_system, formula=formula)
    footer = (
        f'{len(frame)} {"energies; totals in eV, formation energies in eV/atom" if each else "structures; eV/atom"}'
    )
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
    """List where higher levels of theory diverge from PBE, computed beside predicted, in eV/atom."""
    from aiida_qagenai.queries import searches

    frame = searches.divergences(
        campaign, min_divergence=min_divergence, chemical_system=chemical_system, formula=formula
    )
    footer = f'{len(frame)} structures; formation energies in eV/atom; predicted is PBE−CCSD(T)'
    print_frame(frame, fmt, DIVERGENCES, footer=footer)

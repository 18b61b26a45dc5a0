"""`aiida-qagenai candidate list`: search for candidates."""

from __future__ import annotations

import typing as t

import click

from aiida_qagenai.cli.groups import Noun
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import CAMPAIGN, CHEMICAL_SYSTEM, FORMAT, FORMULA, option

__all__ = ('candidate',)

candidate = Noun('candidate', help='Search the candidates of campaigns.')
COLUMNS = columns(
    'campaign, name, formula, space_group_number: group, divergence: D pred, e_above_hull: E hull, stability, '
    'selected: chosen, formation_pbe: PBE, formation_scan: SCAN, formation_hse06: HSE06, formation_ccsdt: CCSD(T), '
    'divergence_computed: D comp, note, pk'
)


@candidate.command('list')
@CAMPAIGN
@option('--cycle', type=click.IntRange(min=0), help='Only this cycle; 0 is the initial set.')
@option('--min-divergence', type=float, help='Smallest predicted difference of PBE from CCSD(T), eV/atom.')
@option('--max-e-above-hull', type=float, help='Largest distance to the predicted hull, eV/atom.')
@CHEMICAL_SYSTEM
@FORMULA
@option('--stability', help='Stability class: stable, metastable, marginal or unstable.')
@option('--selected/--not-selected', default=None, help='Whether it was chosen for calculations.')
@option('--computed/--not-computed', default=None, help='Whether any energy of it was computed.')
@option(
    '--sort',
    'sort_by',
    type=click.Choice(['divergence', 'e_above_hull', 'score', 'name']),
    default='divergence',
    help='Order of the rows, best first.',
)
@option('--limit', type=click.IntRange(min=1), help='Largest number of rows.')
@FORMAT
def list_(fmt: str, **filters: t.Any) -> None:
    """Find candidates by what was predicted, decided and computed.

    Formation energies are in eV/atom, side by side per level of theory; D is the divergence of PBE from CCSD(T).
    """
    from aiida_qagenai.queries import searches

    frame = searches.candidates(filters.pop('campaign'), **filters)
    footer = f'{len(frame)} candidates; formation energies, D and E hull in eV/atom'
    print_frame(frame, fmt, COLUMNS, footer=footer)

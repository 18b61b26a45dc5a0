"""The phases that a campaign found in words: how many, which of them are known, and what PBE mis-ranks."""

from __future__ import annotations

import typing as t

from aiida_qagenai.cli.output import columns

if t.TYPE_CHECKING:
    import pandas as pd

__all__ = ('PHASES', 'answer', 'summary')

PHASES = columns(
    'phase, known_as: known as, formula, space_group_number: group, num_sites: atoms, e_above_hull: E hull, '
    'divergence: D pred, divergence_computed: D comp, count: times, cycle, name, trained_on: in initial set'
)


def summary(found: pd.DataFrame, max_e_above_hull: float) -> list[str]:
    """Return what a table of phases says, as lines.

    :param found: see :func:`~aiida_qagenai.queries.phases.found_phases`.
    :param max_e_above_hull: limit of the table, eV/atom.
    """
    lines = []
    for phase in ('rediscovered', 'known'):
        names = [f'{row.formula} ({row.known_as})' for row in found[found['phase'] == phase].itertuples()]
        if names:
            lines.append(f'{_count(len(names), "known phase")} {phase.replace("known", "met")}: {", ".join(names)}')
    near = found[found['e_above_hull'].astype(float) <= max_e_above_hull]
    new = int((near['phase'] == 'new').sum())
    where = f'within {max_e_above_hull:g} eV/atom of the predicted hull'
    return [*lines, f'{_count(len(near), "phase")} {where}, {new} of them new']


def answer(pairs: pd.DataFrame) -> str:
    """Return the sentence that says what PBE mis-ranks.

    :param pairs: see :func:`~aiida_qagenai.queries.phases.misranked_pairs`.
    """
    if pairs.empty:
        return 'no two crystals of one composition were computed up to the top rung: nothing can be mis-ranked yet'
    wrong, top = pairs[pairs['misranked']], pairs['top_fidelity'].iloc[0]
    notes = ', '.join(sorted(set(pairs['note']) - {''}))
    compared = f'of {_count(len(pairs), "pair")} of computed crystals of one composition' + (notes and f' ({notes})')
    if wrong.empty:
        change = (pairs['top'] - pairs['pbe']).abs().max()
        return f'PBE mis-ranks none {compared}; {top} moves them by up to {change:.3f} eV/atom'
    texts = [
        f'{row.formula} in space group {row.higher_group} ({row.higher}) below {row.lower_group} ({row.lower}) by '
        f'{-row.top:.3f} eV/atom at {top}, which PBE puts {row.pbe:.3f} above'
        for row in wrong.itertuples()
    ]
    return f'PBE mis-ranks {len(wrong)} {compared}: {"; ".join(texts)}'


def _count(number: int, name: str) -> str:
    return f'{number} {name}' + ('' if number == 1 else 's')

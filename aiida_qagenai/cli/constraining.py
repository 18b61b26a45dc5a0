"""Options with which crystals are ordered by geometric constraints, and what is said about the outcome."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

import click

from aiida_qagenai.cli.params import option, several

if t.TYPE_CHECKING:
    from aiida_qagenai.exchange.geometry import GeometryOptions

__all__ = ('CONSTRAINTS', 'ORDER', 'geometry_of', 'ordered_generation', 'shares_of')

ORDER = several(
    option(
        '--constrain', multiple=True, metavar='CONSTRAINT', help="Order, such as 'coordination(Si,O)=6'. Repeatable."
    ),
    option('--mask', metavar='MASK', help="Hold atoms, such as 'kagome(Ni)' or those of a file, in every crystal."),
)
"""What crystals are to have."""

CONSTRAINTS = several(
    ORDER,
    option('--guide/--no-guide', default=True, help='Pull samples towards constraints, or only judge and select them.'),
    option(
        '--recurrence', type=click.IntRange(0, 10), default=0, help='Repetitions of the first half of guided steps.'
    ),
    option('--best-of', type=click.IntRange(1, 100), default=1, help='Samples per crystal, the best of which is kept.'),
)


def geometry_of(constrain: Sequence[str], target: object = None, **options: t.Any) -> GeometryOptions | None:
    """Return the geometric constraints, ``None`` if there are none.

    :param target: what else the best samples are chosen by.
    :raises InvalidInputError: on a constraint that cannot be read.
    """
    if not constrain:
        best_of = options['best_of'] if target else 1
        if options != {'guided': True, 'recurrence': 0, 'best_of': best_of}:
            raise click.UsageError('--no-guide and --recurrence need --constrain, --best-of that or --target')
        return None
    from aiida_qagenai.exchange.geometry import GeometryOptions

    return GeometryOptions.of_texts(constrain, **options)


def ordered_generation(constrain: Sequence[str], mask: str | None) -> dict[str, t.Any]:
    """Return the settings ``generate`` of a campaign whose candidates are ordered, empty without an order.

    :raises InvalidInputError: on a constraint or a mask that cannot be read.
    """
    geometry = geometry_of(constrain, guided=True, recurrence=0, best_of=1)
    asked: dict[str, t.Any] = {} if geometry is None else {'geometry': {'constraints': list(constrain)}}
    if mask is not None:
        from aiida_qagenai.api.masking import read_mask

        # held atoms are sampled around from noise: known crystals do not have them
        asked |= {'mask': read_mask(mask).dump(), 'motif_fraction': 0.0}
    return {'generate': asked} if asked else {}


def shares_of(counts: dict[str, t.Any] | None) -> list[str]:
    """Return how many of all samples satisfy each constraint, and all of them, a line each.

    :param counts: what the task counted, nothing without constraints.
    """
    if not counts:
        return []
    total = counts['num_structures']
    numbers = {**counts['num_satisfied'], 'all constraints': counts['num_satisfied_all']}
    return [
        f'{text}: satisfied by {number} of {total} samples ({100 * number / max(total, 1):.0f} %)'
        for text, number in numbers.items()
    ]

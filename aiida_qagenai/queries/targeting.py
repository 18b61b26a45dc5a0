"""How far candidates are from what is asked for, by what is predicted of them."""

from __future__ import annotations

import operator

import numpy as np
import pandas as pd

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import DESCRIBED
from aiida_qagenai.selection.targets import GapTarget, PropertyTarget, parse_target, parts_of

__all__ = ('with_target_error',)


def with_target_error(table: pd.DataFrame, text: str | None, largest: float | None) -> pd.DataFrame:
    """Return a table with ``target_error`` where something is asked for, within the largest one.

    The descriptors that are asked for become columns of their own. A candidate without a prediction has no distance.

    :param table: with the columns ``band_gap`` (eV) and ``descriptors`` (by their names), which is dropped.
    :param text: what is asked for; nothing if ``None``.
    :raises InvalidInputError: if the text is no target, or one of a property that predictions do not have.
    """
    described = table['descriptors']
    table = table.drop(columns='descriptors')
    if text is None:
        return table
    parts, errors = parts_of(parse_target(text)), []
    for part in parts:
        values = _values(part, table, described)
        if isinstance(part, PropertyTarget):
            table = table.assign(**{part.name: values})
        away = part.error if isinstance(part, GapTarget) else part.away
        errors.append(values.map(away, na_action='ignore') / (part.tolerance if len(parts) > 1 else 1.0))
    table = table.assign(target_error=np.sqrt(sum(error**2 for error in errors)))
    return table if largest is None else table[table['target_error'] <= largest]


def _values(part: GapTarget | PropertyTarget, table: pd.DataFrame, described: pd.Series) -> pd.Series:
    """Return what is predicted of each candidate, NaN where it is not."""
    if isinstance(part, GapTarget):
        return pd.to_numeric(table['band_gap']).astype(float)
    if part.name not in DESCRIBED:
        raise InvalidInputError(f'candidates have no predicted {part.name}: ask for a gap or a descriptor')
    return described.map(operator.itemgetter(part.name), na_action='ignore').astype(float)

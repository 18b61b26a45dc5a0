"""Searches over external data, as pandas tables."""

from __future__ import annotations

import pandas as pd
from aiida import orm

from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.groups import DatabaseGroup

__all__ = ('databases',)


def databases() -> pd.DataFrame:
    """Return one row per version of a database, oldest first, with the number of its entries and energies."""
    counts: dict[int, dict[str, int]] = {}
    for cls, name in ((EntryData, 'entries'), (EnergyData, 'energies')):
        builder = orm.QueryBuilder().append(DatabaseGroup, project='id', tag='group')
        builder.append(cls, with_group='group', project='id', subclassing=False)
        for group, _ in builder.iterall():
            counts.setdefault(group, {}).setdefault(name, 0)
            counts[group][name] += 1
    builder = orm.QueryBuilder().append(DatabaseGroup, project=['id', 'time', 'extras'], tag='group')
    builder.order_by({'group': 'time'})
    rows = []
    for pk, time, extras in builder.all():
        origin = {name: extras.get(name) for name in ('database', 'version', 'license', 'url', 'complete')}
        rows.append({**origin, 'entries': 0, 'energies': 0, **counts.get(pk, {}), 'started': time, 'pk': pk})
    columns = ['database', 'version', 'license', 'url', 'complete', 'entries', 'energies', 'started', 'pk']
    return pd.DataFrame(rows, columns=columns)

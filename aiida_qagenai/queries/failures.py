"""Where a campaign fails, by class of materials (paper 5.4): hits, errors, overconfidence, and the metallicity trap."""

from __future__ import annotations

import typing as t

import numpy as np
import pandas as pd
from aiida import orm
from numpy.typing import NDArray

from aiida_qagenai.chemistry.classes import material_class
from aiida_qagenai.chemistry.close_packing import PACKINGS, simple_packing
from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.chemistry.open_shells import OPEN_SHELLS, shells_of
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.queries.campaigns import among, find_campaign
from aiida_qagenai.queries.figures import predicted_and_computed
from aiida_qagenai.queries.hits import hits
from aiida_qagenai.queries.stages import cycle_number

__all__ = ('OVERCONFIDENT', 'class_rates', 'packing_shares')

OVERCONFIDENT = 2.0
"""Errors of more than so many σ are those of an overconfident prediction; of honest ones 4.6 % are."""

SETS = {'seedset': 'initial set', 'generate': 'generated', 'relax': 'relaxed'}
"""Call of a campaign → what its packed structures are."""


def class_rates(campaign: int | str) -> pd.DataFrame:
    """Return hit and error rates of the computed candidates by class, the largest class first.

    Every candidate belongs to one class of chemistry (``group`` is ``chemistry``; carbon is one of its own) and to one
    of open shells (``shells``: closed, magnetic, or with f electrons). Intervals are those of Wilson, 95 %.

    :param campaign: label, pk or uuid.
    :return: columns ``group``, ``name``, ``computed`` (candidates placed on a hull), ``hits``, ``hit_rate``,
        ``hit_rate_low`` and ``hit_rate_high``, ``errors`` (energies with a prediction before them, of all levels),
        ``mae`` (eV/atom), ``overconfident`` (share of the errors beyond 2 σ), ``overconfident_low`` and
        ``overconfident_high``. A rate is missing where there is nothing to count.
    :raises aiida_qagenai.common.errors.InvalidInputError: if there is no such campaign.
    """
    placed = hits(campaign)
    placed = placed[placed['last']]
    errors = predicted_and_computed(campaign)
    errors = errors[errors['error'].notna() & (errors['sigma'] > 0)]
    rows = []
    for group, classify in (('chemistry', _chemistry), ('shells', _shells)):
        mine, theirs = (table['formula'].map(classify) for table in (placed, errors))
        for name in sorted({*mine, *theirs}):
            rows.append({'group': group, 'name': name, **_rates(placed[mine == name], errors[theirs == name])})
    columns = ['group', 'name', 'computed', *_with_interval('hits', 'hit_rate'), 'errors', 'mae']
    table = pd.DataFrame(rows, columns=[*columns, *_with_interval(None, 'overconfident')])
    return table.sort_values(['group', 'computed', 'name'], ascending=[True, False, True], ignore_index=True)


def _rates(placed: pd.DataFrame, errors: pd.DataFrame) -> dict[str, t.Any]:
    beyond = (errors['error'].abs() > OVERCONFIDENT * errors['sigma']).sum()
    return {
        'computed': len(placed),
        'hits': int(placed['hit'].sum()),
        **_share('hit_rate', int(placed['hit'].sum()), len(placed)),
        'errors': len(errors),
        'mae': float(errors['error'].abs().mean()),
        **_share('overconfident', int(beyond), len(errors)),
    }


def _chemistry(formula: str) -> str:
    symbols = list(parse_formula(formula))
    return 'carbon' if symbols == ['C'] else material_class(symbols)


def _shells(formula: str) -> str:
    numbers = [
        SYMBOLS.index(symbol) + 1 for symbol, count in parse_formula(formula).items() for _ in range(round(count))
    ]
    return OPEN_SHELLS[int(shells_of([np.array(numbers, dtype=np.int64)])[0])].replace('_', ' ')


def _with_interval(count: str | None, rate: str) -> list[str]:
    return [*([count] if count else []), rate, f'{rate}_low', f'{rate}_high']


def _share(name: str, count: int, total: int) -> dict[str, float]:
    """Return a share with its interval, missing where there is nothing to count."""
    from scipy.stats import binomtest

    if not total:
        return dict.fromkeys(_with_interval(None, name), np.nan)
    low, high = binomtest(count, total).proportion_ci(method='wilson')
    return dict(zip(_with_interval(None, name), (count / total, float(low), float(high)), strict=True))


def packing_shares(campaign: int | str) -> pd.DataFrame:
    """Return the share of simple metallic packings among the structures of a campaign, by stage.

    The metallicity trap of the paper: a generator that is asked for metals falls back on fcc, bcc and hcp. A share
    among the generated candidates far above that of the initial set shows it.

    :param campaign: label, pk or uuid.
    :return: columns ``stage`` (0 for the initial set, else the cycle), ``structures`` (``initial set``, ``generated``
        or ``relaxed``), ``number``, ``metals`` (of metallic elements alone), ``fcc``, ``bcc`` and ``hcp`` (counts),
        ``share``, ``share_low``, ``share_high`` (95 %, Wilson) and ``uuid`` of the packed structures.
    :raises aiida_qagenai.common.errors.InvalidInputError: if there is no such campaign.
    """
    called = find_campaign(campaign).called()
    stages = {process.pk: cycle_number(process.link_label) for process in called if not process.is_calculation}
    found = {
        process.pk: (stages[process.caller], SETS[name])
        for process in called
        for name in SETS
        if process.is_calculation and process.link_label.startswith(name) and process.caller in stages
    }
    builder = orm.QueryBuilder().append(orm.CalculationNode, filters=among('id', found), tag='process', project='id')
    edge = {'label': 'candidate_set'}
    builder.append(DatasetData, with_incoming='process', edge_filters=edge, project='*')
    rows = [
        {'stage': found[pk][0], 'structures': found[pk][1], **_packings(node), 'uuid': node.uuid}
        for pk, node in builder.all()
    ]
    columns = ['stage', 'structures', 'number', 'metals', *PACKINGS, *_with_interval(None, 'share'), 'uuid']
    return pd.DataFrame(rows, columns=columns).sort_values(['stage', 'structures'], ignore_index=True)


def _packings(node: DatasetData) -> dict[str, t.Any]:
    batch = node.structures()
    counts: dict[str, int] = dict.fromkeys(PACKINGS, 0)
    metals = 0
    for cell, species, fractional in batch:
        metals += _is_metal(species)
        packing = simple_packing(cell, fractional)
        if packing is not None:
            counts[packing] += 1
    return {'number': len(batch), 'metals': metals, **counts, **_share('share', sum(counts.values()), len(batch))}


def _is_metal(species: NDArray[np.int64]) -> bool:
    from pymatgen.core import Element

    return all(Element.from_Z(int(number)).is_metal for number in np.unique(species))

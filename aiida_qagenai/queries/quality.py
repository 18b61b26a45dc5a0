"""Table 4 of the paper from the graph: what there is per fidelity, whether it passes, and how well repeats agree."""

from __future__ import annotations

import math
import typing as t
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
from aiida.orm import CalcJobNode, Dict, QueryBuilder
from numpy.typing import NDArray

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.queries.campaigns import among, find_campaign
from aiida_qagenai.queries.outputs import nodes_of
from aiida_qagenai.thermodynamics.multireference import LARGEST_T1

__all__ = ('composition', 'quality_controls', 'repeat_noise', 'suspicious_labels', 'unconverged')

FIELDS = (
    'structure_uuid',
    'fidelity',
    'protocol',
    'level_tag',
    'formation_energy_per_atom',
    'energy_per_atom',
    'num_atoms',
    'converged',
    'scientific',
    'band_gap',
    't1_diagnostic',
)

LARGEST_CELL = 20
"""Atoms in the cells of CCSD(T), Table 4."""

SAME_ENERGY = 1e-3
"""Two energies of one structure at one level agree within this, eV/atom (Table 4)."""


def composition() -> pd.DataFrame:
    """Return one row per fidelity: structures, energies and where they are from (Table 4)."""
    rows = _energies()
    table = []
    for level in LADDER:
        found = [row for row in rows if row['fidelity'] == level.value]
        sources = Counter(row['protocol'] for row in found)
        table.append(
            {
                'fidelity': level.value,
                'structures': len({row['structure_uuid'] for row in found}),
                'energies': len(found),
                'scientific': sum(bool(row['scientific']) for row in found),
                'sources': ', '.join(f'{name} {number}' for name, number in sources.most_common()),
            }
        )
    return pd.DataFrame(table)


def quality_controls() -> pd.DataFrame:
    """Return one row per fidelity and control: how many energies it applies to, and how many pass.

    Controls of the paper that the graph cannot decide (diffraction, phonons of external structures) are listed as not
    checked, because a control that is not listed looks like one that was passed.
    """
    rows = _energies()
    by_level = {level: [row for row in rows if row['fidelity'] == level.value] for level in LADDER}
    known = _structures()
    stable = _stable_at_pbe()
    table: list[dict[str, t.Any]] = []

    def add(level: Fidelity, control: str, verdicts: t.Iterable[bool | None], note: str = '') -> None:
        decided = [verdict for verdict in verdicts if verdict is not None]
        passed = sum(decided)
        table.append(
            {
                'fidelity': level.value,
                'control': control,
                'checked': len(decided),
                'passed': passed,
                'failed': len(decided) - passed,
                'note': note if decided or not by_level[level] else note or 'nothing to check',
            }
        )

    for level in LADDER:
        found = by_level[level]
        add(
            level, 'structure in the graph with complete coordinates', (row['structure_uuid'] in known for row in found)
        )
        add(level, 'converged', (bool(row['converged']) for row in found))
        add(level, 'repeated energies within 1 meV/atom', _repeated(found))
    add(Fidelity.PBE, 'consistent with diffraction', (), 'not checked: the graph holds no diffraction patterns')
    add(Fidelity.SCAN, 'stable at PBE', (stable.get(row['structure_uuid']) for row in by_level[Fidelity.SCAN]))
    add(Fidelity.SCAN, 'no imaginary phonons at Γ', (), 'not checked here: see the free-energy work chains')
    add(Fidelity.HSE06, 'band gap known', (row['band_gap'] is not None for row in by_level[Fidelity.HSE06]))
    coupled = by_level[Fidelity.CCSD_T]
    add(Fidelity.CCSD_T, f'at most {LARGEST_CELL} atoms', (row['num_atoms'] <= LARGEST_CELL for row in coupled))
    add(
        Fidelity.CCSD_T,
        f'T1 diagnostic at most {LARGEST_T1}',
        (None if row['t1_diagnostic'] is None else row['t1_diagnostic'] <= LARGEST_T1 for row in coupled),
    )
    add(Fidelity.CCSD_T, 'extrapolated to the basis-set limit', ('cbs' in row['level_tag'].lower() for row in coupled))
    return pd.DataFrame(table)


def _energies() -> list[dict[str, t.Any]]:
    """Return the energies of crystals; those of isolated atoms, the references, are none of the data."""
    builder = nodes_of(EnergyData, [f'attributes.{field}' for field in FIELDS])
    rows = [dict(zip(FIELDS, values, strict=True)) for values in builder.iterall()]
    known = _structures()
    return [row for row in rows if row['structure_uuid'] in known or row['num_atoms'] > 1]


def _structures() -> set[str]:
    """Return the structures whose coordinates are complete: entries and candidates are checked when they are made."""
    return {uuid for cls in (EntryData, CandidateData) for uuid in nodes_of(cls, 'uuid').all(flat=True)}


def _stable_at_pbe() -> dict[str, bool]:
    names = ['uuid', 'attributes.properties.e_above_hull', 'attributes.properties.energy_above_hull']
    builder = nodes_of(EntryData, names)
    values = {uuid: first if first is not None else second for uuid, first, second in builder.iterall()}
    return {uuid: float(value) <= 1e-6 for uuid, value in values.items() if value is not None}


def _repeated(rows: list[dict[str, t.Any]]) -> list[bool]:
    """Return for each structure and level with several energies whether they agree."""
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        value = row['formation_energy_per_atom']
        value = row['energy_per_atom'] if value is None else value
        if value is not None:
            groups[row['structure_uuid'], row['level_tag']].append(value)
    return [max(values) - min(values) <= SAME_ENERGY for values in groups.values() if len(values) > 1]


STATUSES = (410, 411, 501, 510, 511, 520, 521, 522, 523)
"""Exit codes of the PyscfCellCalculation that mean: not converged, or not to be trusted."""


def repeat_noise() -> pd.DataFrame:
    """Return the standard deviation of repeated energies per fidelity, and the noise of ``D = |E − E_PBE|`` it implies.

    Repeats are energies of one fingerprint, or one structure, at one level tag; the variance is pooled over them.

    :return: columns fidelity, groups (of repeats), energies, energy_noise and divergence_noise (eV/atom); the last two
        are missing where nothing was repeated.
    """
    repeats: dict[str, dict[tuple[str, str], list[float]]] = {level.value: defaultdict(list) for level in LADDER}
    identity = _fingerprints()
    fields = ['attributes.fidelity', 'attributes.structure_uuid', 'attributes.level_tag', 'attributes.energy_per_atom']
    query = QueryBuilder().append(EnergyData, filters={'attributes.converged': True}, project=fields)
    for fidelity, structure, tag, energy in query.iterall():
        if energy is not None:
            repeats[fidelity][identity.get(structure, structure), tag].append(energy)
    rows, lowest = [], math.nan
    for level in LADDER:
        groups = [np.array(values) for values in repeats[level.value].values() if len(values) > 1]
        noise = _pooled(groups)
        lowest = noise if level is LADDER[0] else lowest
        rows.append(
            {
                'fidelity': level.value,
                'groups': len(groups),
                'energies': sum(len(values) for values in groups),
                'energy_noise': noise,
                'divergence_noise': math.nan if level is LADDER[0] else math.hypot(noise, lowest),
            }
        )
    return pd.DataFrame(rows)


def _pooled(groups: list[NDArray[np.float64]]) -> float:
    freedom = sum(len(values) - 1 for values in groups)
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in groups)
    return math.sqrt(squares / freedom) if freedom else math.nan


def _fingerprints() -> dict[str, str]:
    query = QueryBuilder().append(CandidateData, project=['uuid', 'attributes.fingerprint'])
    return {uuid: fingerprint for uuid, fingerprint in query.iterall() if fingerprint}


SUSPICIONS = {'outlying_labels': 'outlier', 'doubtful_labels': 'doubtful'}
"""Entry of the results of a training → what it says of the labels."""

SUSPICIOUS_FIELDS = ('training', 'identifier', 'level', 'kind', 'compared_with', 'cooks_distance', 'residual')


def suspicious_labels(campaign: int | str | None = None) -> pd.DataFrame:
    """Return the labels that the latest training to name them found suspicious: look at their calculations.

    :param campaign: only those of this campaign.
    :return: columns training (pk), identifier, level (tag), kind (``outlier`` by Cook's distance, or ``doubtful``:
        iterations that did not converge, or a T1 diagnostic beyond its limit), compared_with (tag of the level that the
        energy was compared with), cooks_distance, and residual, the energy minus what all others say, eV/atom; outliers
        with the largest distance first.
    """
    filters: dict[str, t.Any] = {'process_type': {'like': '%qagenai.train'}}
    if campaign is not None:
        filters |= among('id', [process.pk for process in find_campaign(campaign).called()])
    builder = QueryBuilder().append(CalcJobNode, filters=filters, project='id', tag='training')
    builder.append(Dict, with_incoming='training', edge_filters={'label': 'results'}, project='attributes')
    found: dict[tuple[str, str, str], dict[str, t.Any]] = {}
    for pk, results in sorted(builder.all(), key=lambda row: row[0]):
        for entry, kind in SUSPICIONS.items():
            for label in results.get(entry, ()):
                found[label['identifier'], label['level'], kind] = {'training': pk, 'kind': kind, **label}
    rows = pd.DataFrame(list(found.values()), columns=list(SUSPICIOUS_FIELDS))
    return rows.sort_values('cooks_distance', ascending=False, ignore_index=True)


def unconverged() -> pd.DataFrame:
    """Return the calculations that ended without convergence, each with the number that tells it.

    SCF and CCSD that did not converge, electrons lost by the grid, occupations that vary over k, gaps too small for
    CCSD(T), a complex (T): none of them has left an energy.

    :return: columns pk, status, reason, sorted by pk.
    """
    query = QueryBuilder().append(
        CalcJobNode,
        filters={'attributes.exit_status': {'in': list(STATUSES)}, 'process_type': {'like': '%qagenai.pyscf\\_cell'}},
        project=['id', 'attributes.exit_status', 'attributes.exit_message'],
    )
    rows = [{'pk': pk, 'status': status, 'reason': reason} for pk, status, reason in query.iterall()]
    return pd.DataFrame(rows, columns=['pk', 'status', 'reason']).sort_values('pk', ignore_index=True)

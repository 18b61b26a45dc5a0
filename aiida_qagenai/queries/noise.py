"""How well repeated calculations agree: the noise of energies and of the divergence between two levels."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pandas as pd
from aiida.orm import CalcJobNode, QueryBuilder
from numpy.typing import NDArray

from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.energy import EnergyData

__all__ = ('repeat_noise', 'unconverged')

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

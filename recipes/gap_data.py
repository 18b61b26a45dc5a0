"""Published band gaps of the Materials Project, level by level."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from validator_data import rows_of

from aiida_qagenai.common.descriptors import FIELDS, GAP_LEVELS
from aiida_qagenai.exchange.dataset import LabelledBatch

FILES = ('mp/mp20_bi_ternary.csv.gz', 'mp_extra/structures.csv.gz', 'mp_extra/labels_of_mp_and_mpts.csv.gz')
COLUMNS = {'PBE': ('band_gap', 'gap_pbe'), 'HSE06': ('gap_hse',), 'GLLB-SC': ('gap_gllbsc',), 'SCAN': ('gap_scan',)}
"""Level → the columns of the files that hold its gaps. PBE is PBE+U where the Materials Project says so."""


def published_gaps(folder: Path) -> dict[str, NDArray[np.float64]]:
    """Return the gaps by identifier, in the order of ``GAP_LEVELS``, eV, NaN where there is none.

    Where files differ, the first one counts.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for name in FILES:
        for row in rows_of(folder / name):
            gaps = found.setdefault(row['material_id'], np.full(len(GAP_LEVELS), np.nan))
            for place, level in enumerate(GAP_LEVELS.values()):
                texts = [row[column] for column in COLUMNS[level] if row.get(column)]
                if texts and math.isnan(gaps[place]):
                    gaps[place] = float(texts[0])
    return found


def add_gaps(labels: LabelledBatch, folder: Path) -> int:
    """Give crystals their published gaps at PBE, and return how many have one."""
    gaps = published_gaps(folder)
    known = [gaps[name][0] if name in gaps else np.nan for name in labels.structures.identifiers]
    labels.descriptors[:, FIELDS.index('band_gap')] = known
    return int(np.isfinite(known).sum())

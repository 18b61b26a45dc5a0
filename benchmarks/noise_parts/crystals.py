"""The crystals of the benchmark `noise`, labelled at two levels of theory by a foundation potential.

They are those of `mp/`, `mpts/` and `mp_extra/` (Materials Project) with at most 12 atoms of 17 elements, in the order
of a hash; crystals of one element give the energies of the elements, so that the labels are energies of formation.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.ml.elements import composition_fractions

FILES = ('mp/mp20_bi_ternary.csv.gz', 'mpts/mpts52.csv.gz', 'mp_extra/structures.csv.gz')
ELEMENTS = ('Li', 'Na', 'K', 'Mg', 'Ca', 'Sr', 'Ba', 'Al', 'Si', 'Ti', 'Zn', 'O', 'S', 'Se', 'Cl', 'N', 'P')
NUMBERS = tuple(sorted(ATOMIC_NUMBERS[symbol] for symbol in ELEMENTS))
MAX_ATOMS = 12
COUNT = 500
MODEL = {'name': 'sevennet', 'model': 'mf-0'}
LEVELS = {
    'PBE': Level('SevenNet-MF-0 PBE', Fidelity.PBE),
    'R2SCAN': Level('SevenNet-MF-0 r2SCAN', Fidelity.SCAN),
}
"""Modality of the potential → level of theory."""


def labelled(data: Path | None, work: Path) -> LabelledBatch | None:
    """Return up to ``COUNT`` compounds with formation energies at both levels, eV/atom; None without ``data``.

    :param data: folder with `mp/`, `mpts/` and `mp_extra/`; not needed where ``work`` has the labels already.
    :param work: folder that keeps the labels.
    """
    found = work / 'labelled.npz'
    if not found.exists():
        if data is None:
            return None
        _label(data, work).save(found)
    return LabelledBatch.load(found)


def _label(data: Path, work: Path) -> LabelledBatch:
    chosen = _choose(data)
    structures = StructureBatch.from_structures(list(chosen.values()), list(chosen))
    structures.save(work / 'structures.npz')
    energies = np.stack([_energies(modality, work) for modality in LEVELS], axis=1)
    fractions = composition_fractions(structures, NUMBERS)
    elemental = fractions.max(axis=1) == 1
    lowest = np.stack([np.nanmin(energies[elemental & (column == 1)], axis=0) for column in fractions.T])
    energies -= fractions @ lowest
    batch = LabelledBatch(
        structures=structures,
        energies=energies,
        descriptors=np.full((len(structures), NUM_DESCRIPTORS), np.nan),
        groups=np.array([structure.composition.reduced_formula for structure in chosen.values()]),
        split=np.zeros(len(structures), dtype=np.int8),
        levels=tuple(LEVELS.values()),
    )
    return batch.select(np.flatnonzero(~elemental & np.isfinite(energies).all(axis=1)))


def _choose(data: Path) -> dict[str, Structure]:
    """Return the crystals of one element, and ``COUNT`` compounds, by name."""
    csv.field_size_limit(sys.maxsize)
    found: dict[str, str] = {}
    elemental = []
    for row in _rows(data):
        composition = _composition(row['cif'])
        if not set(composition.as_dict()) <= set(ELEMENTS):
            continue
        if len(composition) == 1:
            elemental.append(row['material_id'])
        elif composition.num_atoms > MAX_ATOMS:
            continue
        found.setdefault(row['material_id'], row['cif'])
    compounds = sorted(set(found) - set(elemental), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    names = dict.fromkeys([*elemental, *compounds[:COUNT]])
    return {name: Structure.from_str(found[name], fmt='cif') for name in names}


def _rows(data: Path) -> Iterator[dict[str, str]]:
    for name in FILES:
        with gzip.open(data / name, 'rt', encoding='utf8') as handle:
            yield from csv.DictReader(handle)


def _composition(cif: str) -> Composition:
    line = next(line for line in cif.splitlines() if line.startswith('_chemical_formula_sum'))
    return Composition(line.split(None, 1)[1].strip("'"))


def _energies(modality: str, work: Path) -> NDArray[np.float64]:
    """Return the energies per atom of `structures.npz` at one level, eV, as the task `label` computes them."""
    config = {
        'potential': {**MODEL, 'modality': modality},
        'structures': 'structures.npz',
        'output': f'labels_{modality}.npz',
        'shards': f'shards_{modality}',
        'shard_size': 128,
    }
    (work / 'config.json').write_text(json.dumps(config))
    command = [sys.executable, '-m', 'aiida_qagenai.ml', 'label', '--config', 'config.json']
    subprocess.run(command, cwd=work, check=True, stdout=sys.stderr)
    arrays = load_arrays(work / f'labels_{modality}.npz')
    found: NDArray[np.float64] = arrays['energies'] / arrays['num_atoms']
    return found

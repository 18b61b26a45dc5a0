"""The sets of the contest: crystals labelled by two levels of a teacher, and compounds with measured energies.

`teacher`: crystals of `mp/` and `mpts/` with at most 12 atoms whose reduced formula no model of the package was fitted
to, in the order of a hash, with energies of formation by SevenNet-MF-0 PBE and r2SCAN. The labels are in
`teacher.json`; `python benchmarks/contest.py --label` makes it, with `python -m aiida_qagenai.ml label`.

`experiment`: compounds of `thermochemistry/` whose structure is in the data, with energies of formation by GGA/GGA+U
(MP2020 corrections), by r2SCAN where known, and measured. `compositions` are all compounds of that file, without
structure.
"""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
import json
import re
import sys
import typing as t
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.evaluation.held_out import is_held_out
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

COUNT = 700
MAX_ATOMS = 12
MAX_REFERENCE_ATOMS = 30
LOWEST = 3
HELD_OUT = ('mp/mp20_bi_ternary.csv.gz', 'mpts/mpts52.csv.gz')
ALL = (*HELD_OUT, 'mp_extra/structures.csv.gz')
THERMOCHEMISTRY = 'thermochemistry/rxnnet.csv.gz'
REFERENCES = 'element_references/MP-PBE-Element-Refs.json.gz'
FILES = (*ALL, THERMOCHEMISTRY, REFERENCES)
LABELS = Path(__file__).parent / 'teacher.json'

TEACHER = (Level('SevenNet-MF-0 PBE', Fidelity.PBE), Level('SevenNet-MF-0 r2SCAN', Fidelity.SCAN))
EXPERIMENT = (Level('MP2020 PBE', Fidelity.PBE), Level('r2SCAN', Fidelity.SCAN), Level('experiment', Fidelity.CCSD_T))
"""What is measured takes the place of the highest rung."""

COLUMNS = {'MP2020 PBE': 'hf_gga_gga_u', 'r2SCAN': 'hf_r2scan', 'experiment': 'hf_ref'}


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a compressed table."""
    csv.field_size_limit(sys.maxsize)
    with gzip.open(path, 'rt', encoding='utf8') as handle:
        yield from csv.DictReader(handle)


def formula_of(cif: str) -> str:
    """Return the reduced formula that a CIF file names."""
    line = next(line for line in cif.splitlines() if line.startswith('_chemical_formula_sum'))
    return Composition(line.split(None, 1)[1].strip("'")).reduced_formula


def composition_of(formula: str) -> Composition | None:
    """Return the composition of a formula such as `CuSO4·5H2O`, or None if it cannot be read."""
    total = Composition()
    for part in formula.split('·'):
        count, rest = re.fullmatch(r'([0-9.]*)(.*)', part).groups()  # type: ignore[union-attr]
        try:
            amounts = Composition(rest).items()
        except ValueError:
            return None
        total += Composition({symbol: amount * float(count or 1) for symbol, amount in amounts})
    return total


def teacher_crystals(folder: Path) -> dict[str, Structure]:
    """Return the crystals of the set `teacher` by name."""
    found: dict[str, str] = {}
    for name in HELD_OUT:
        for row in rows_of(folder / name):
            if is_held_out(formula_of(row['cif'])):
                found.setdefault(row['material_id'], row['cif'])
    chosen: dict[str, Structure] = {}
    for name in sorted(found, key=lambda each: hashlib.sha256(each.encode()).hexdigest()):
        structure = Structure.from_str(found[name], fmt='cif')
        if 1 < len(structure) <= MAX_ATOMS and len(structure.composition) > 1:
            chosen[name] = structure
        if len(chosen) == COUNT:
            break
    return chosen


def elemental_crystals(folder: Path) -> dict[str, Structure]:
    """Return the lowest crystals of each element by symbol and place."""
    content = json.loads(gzip.decompress((folder / REFERENCES).read_bytes()))
    found = {}
    for symbol, entry in content.items():
        small = [
            place
            for place in np.argsort(entry['energy_per_atom']).tolist()
            if len(entry['structure'][place]['sites']) <= MAX_REFERENCE_ATOMS
        ]
        for place in small[:LOWEST]:
            found[f'{symbol}/{place}'] = Structure.from_dict(entry['structure'][place])
    return found


def label(folder: Path, work: Path) -> None:
    """Write the labels of the teacher; a run that was cut goes on from its shards in `work`."""
    crystals, elements = teacher_crystals(folder), elemental_crystals(folder)
    work.mkdir(parents=True, exist_ok=True)
    both = {**elements, **crystals}
    StructureBatch.from_structures(list(both.values()), list(both)).save(work / 'structures.npz')
    content: dict[str, t.Any] = {'identifiers': list(crystals)}
    for level, mode in zip(TEACHER, ('PBE', 'R2SCAN'), strict=True):
        config = {
            'potential': {'name': 'sevennet', 'model': 'mf-0', 'modality': mode},
            'structures': 'structures.npz',
            'dtype': 'float32',
            'shard_size': 64,
        }
        run_ml_task('label', config, work, f'labelling by {level.tag}')
        arrays = load_arrays(work / 'labels.npz')
        content['sha256'] = str(arrays['sha256'])
        content[level.tag] = formation(both, arrays['energies'] / arrays['num_atoms'], list(crystals))
    LABELS.write_text(json.dumps(content) + '\n')


def formation(both: Mapping[str, Structure], energies: NDArray[np.float64], names: list[str]) -> list[float | None]:
    """Return energies of formation, eV/atom, of the crystals called `names`, against the lowest elements."""
    values = dict(zip(both, energies.tolist(), strict=True))
    zeros: dict[str, float] = {}
    for name, value in values.items():
        if '/' in name and np.isfinite(value):
            symbol = name.split('/')[0]
            zeros[symbol] = min(value, zeros.get(symbol, np.inf))
    found: list[float | None] = []
    for name in names:
        composition = both[name].composition.fractional_composition.get_el_amt_dict()
        known = np.isfinite(values[name]) and set(composition) <= set(zeros)
        shift = sum(share * zeros[symbol] for symbol, share in composition.items()) if known else np.nan
        found.append(round(values[name] - shift, 5) if known else None)
    return found


@functools.cache
def teacher_set(folder: Path) -> LabelledBatch:
    """Return the set `teacher` with its stored labels."""
    content = json.loads(LABELS.read_text())
    crystals = teacher_crystals(folder)
    if list(crystals) != content['identifiers']:
        message = f'{LABELS} holds labels of other crystals than those in {folder}: make them with --label'
        raise SystemExit(message)
    columns = [[np.nan if value is None else value for value in content[level.tag]] for level in TEACHER]
    return labelled(crystals, np.array(columns).T, TEACHER)


def labelled(
    crystals: Mapping[str, Structure], energies: NDArray[np.float64], levels: tuple[Level, ...]
) -> LabelledBatch:
    """Return crystals with energies on some levels."""
    structures = list(crystals.values())
    return LabelledBatch(
        StructureBatch.from_structures(structures, list(crystals)),
        energies,
        descriptors=np.full((len(crystals), NUM_DESCRIPTORS), np.nan),
        groups=np.array([structure.composition.reduced_formula for structure in structures]),
        split=np.zeros(len(crystals), dtype=np.int8),
        levels=levels,
    )


def compounds(folder: Path) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Return identifiers, formulas and energies on the levels `EXPERIMENT` of the compounds with measured energies."""
    rows = list(rows_of(folder / THERMOCHEMISTRY))
    energies = np.array([[float(row[COLUMNS[level.tag]]) for level in EXPERIMENT] for row in rows])
    return [row['mp_id'] for row in rows], [row['formula'] for row in rows], energies


@functools.cache
def experiment_set(folder: Path) -> LabelledBatch:
    """Return the set `experiment`."""
    names, _, energies = compounds(folder)
    wanted = dict(zip(names, energies, strict=True))
    found: dict[str, Structure] = {}
    for name in ALL:
        for row in rows_of(folder / name):
            identifier = row['material_id']
            if identifier in wanted and identifier not in found:
                found[identifier] = Structure.from_str(row['cif'], fmt='cif')
    return labelled(found, np.array([wanted[name] for name in found]), EXPERIMENT)

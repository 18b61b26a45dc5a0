"""What the recipe of the validator trains on: energies of the Materials Project, and labels of teachers."""

from __future__ import annotations

import csv
import gzip
import sys
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.evaluation.held_out import part_of, place_of
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

SIZE = 'base'
ELEMENTS = tuple(range(1, 95))
"""Atomic numbers while training; those without a label are left out of the checkpoint."""

RUNGS = {'PBE': Fidelity.PBE, 'r2SCAN': Fidelity.SCAN}
"""Last word of the level of a teacher → rung of the ladder."""

MP2020 = Level('MP2020 PBE', Fidelity.PBE)
MP2018 = Level('MP2018 PBE', Fidelity.PBE)
CALIBRATION = range(10, 14)
"""Formulas out of a hundred that calibrate σ; below are those of ``part_of`` that validate and test."""

MAX_FORCE = 20.0
"""Structures on which a teacher sees a larger force, eV/Å, are left out: it knows nothing of them either."""

FIELDS = {
    'mp/mp20_bi_ternary.csv.gz': ('formation_energy_per_atom', MP2020),
    'mpts/mpts52.csv.gz': ('formation_energy_per_atom', MP2020),
}
FURTHER = ('mp_extra/structures.csv.gz', 'mp_extra/labels_of_mp_and_mpts.csv.gz')
MP20 = 'slices_mp20'
"""Source of structures whose formation energies have the corrections of MP-20."""


def split_of(formula: str) -> int:
    """Return the index into ``SPLITS`` of a reduced formula."""
    part = part_of(formula)
    if part == 'train' and place_of(formula) in CALIBRATION:
        return SPLITS.index('calibration')
    return SPLITS.index(part)


def published_energies(folder: Path) -> dict[Level, dict[str, float]]:
    """Return the formation energies of the Materials Project by scheme of corrections and identifier, eV/atom."""
    found: dict[Level, dict[str, float]] = {MP2020: {}, MP2018: {}}
    for name, (field, level) in FIELDS.items():
        for row in rows_of(folder / name):
            _add(found[level], row['material_id'], row[field])
    for name in FURTHER:
        for row in rows_of(folder / name):
            if row.get('source') == MP20:
                _add(found[MP2020], row['material_id'], row['e_form_source'])
            elif 'source' in row:
                _add(found[MP2020], row['material_id'], row['e_form_mp2020_onhull'])
            _add(found[MP2018], row['material_id'], row['e_form_mp2018'])
    return found


def rows_of(path: Path) -> t.Iterator[dict[str, str]]:
    """Yield the rows of a compressed table."""
    csv.field_size_limit(sys.maxsize)
    with gzip.open(path, 'rt', encoding='utf8') as handle:
        yield from csv.DictReader(handle)


def _add(energies: dict[str, float], identifier: str, text: str) -> None:
    if text:
        energies.setdefault(identifier, float(text))


def element_energies(files: Sequence[Path]) -> dict[str, dict[int, float]]:
    """Return the energy of each element in its lowest structure, eV/atom, by level and atomic number.

    :param files: labels of elemental crystals.
    """
    found: dict[str, dict[int, float]] = {}
    for path in files:
        arrays = load_arrays(path)
        energies = found.setdefault(str(arrays['level']), {})
        values = arrays['energies'] / arrays['num_atoms']
        for name, value in zip(arrays['identifiers'].tolist(), values.tolist(), strict=True):
            number = int(name.split('/')[0])
            if np.isfinite(value):
                energies[number] = min(value, energies.get(number, np.inf))
    return found


def labelled_batch(structures: StructureBatch, files: Sequence[Path], folder: Path) -> LabelledBatch:
    """Return the structures with total energies, forces and stresses of the teachers and published formation energies.

    :param structures: from ``teacher_structures.py``; some may have no labels yet.
    :param files: labels of teachers; several may be of one teacher.
    :param folder: with the files of the Materials Project.
    :raises InvalidInputError: if a file holds labels of other structures.
    """
    index = {str(name): row for row, name in enumerate(structures.identifiers)}
    arrays = [load_arrays(path) for path in files]
    teachers = [Level(str(each['level']), RUNGS[str(each['level']).split()[-1]]) for each in arrays]
    distinct = list(dict.fromkeys(teachers))
    at_pbe = [level for level in distinct if level.rung is Fidelity.PBE]
    levels = (*at_pbe, MP2020, MP2018, *(level for level in distinct if level not in at_pbe))
    n, total = len(structures), len(structures.species)
    energies = np.full((n, len(levels)), np.nan)
    forces, stresses = np.full((total, len(levels), 3), np.nan), np.full((n, len(levels), 3, 3), np.nan)
    for level, values in published_energies(folder).items():
        for name, value in values.items():
            if name in index:
                energies[index[name], levels.index(level)] = value
    for level, content in zip(teachers, arrays, strict=True):
        _fill((energies, forces, stresses), content, index, structures, levels.index(level))
    groups = _formulas(structures)
    return LabelledBatch(
        structures=structures,
        energies=energies,
        descriptors=np.full((n, NUM_DESCRIPTORS), np.nan),
        groups=np.array(groups),
        split=np.array([split_of(group) for group in groups], dtype=np.int8),
        forces=forces,
        stresses=stresses,
        levels=levels,
    )


def _fill(
    target: tuple[NDArray[np.float64], ...],
    content: Mapping[str, NDArray[t.Any]],
    index: Mapping[str, int],
    structures: StructureBatch,
    level: int,
) -> None:
    """Copy the labels of one teacher, except those of structures with absurd forces."""
    energies, forces, stresses = target
    starts = np.concatenate([[0], np.cumsum(content['num_atoms'].astype(np.int64))])
    for place, name in enumerate(content['identifiers'].tolist()):
        row = index.get(name)
        number = int(content['num_atoms'][place])
        if row is None or number != structures.num_atoms[row]:
            raise InvalidInputError(f'the labels of `{name}` belong to another structure')
        found = content['forces'][starts[place] : starts[place + 1]]
        if np.isfinite(content['energies'][place]) and np.abs(found).max() <= MAX_FORCE:
            first = structures.offsets[row]
            energies[row, level] = content['energies'][place] / number
            forces[first : first + number, level] = found
            stresses[row, level] = content['stresses'][place]


def _formulas(structures: StructureBatch) -> list[str]:
    """Return the reduced formula of each structure."""
    from pymatgen.core import Composition

    from aiida_qagenai.chemistry.elements import SYMBOLS

    known: dict[tuple[int, ...], str] = {}
    found = []
    for _, numbers, _ in structures:
        key = tuple(sorted(numbers.tolist()))
        if key not in known:
            amounts = {SYMBOLS[number - 1]: key.count(number) for number in set(key)}
            known[key] = Composition(amounts).reduced_formula
        found.append(known[key])
    return found

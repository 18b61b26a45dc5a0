"""What surrogates that know crystals start from, made once: the validator's view of crystals, and a pool of them.

The crystals are those of the pool of the teacher whose formula no shipped model was fitted to, and those of the
compounds of `thermochemistry/rxnnet.csv.gz` that are in the data. The first ones are the pool `crystals.csv.gz`, with
energies of formation by the teacher, SevenNet-MF-0, and by CHGNet, both at PBE and r2SCAN. The validator learned the
levels of the teacher from other formulas; it never saw an energy of CHGNet or of experiment. Energies of formation
refer to the lowest elements at the same level.
"""

from __future__ import annotations

import gzip
import json
import typing as t
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from closed_loop_parts.crystals import formation, lowest_elements
from closed_loop_parts.make import kept, labelled, reduced
from contest_parts.data import ALL, THERMOCHEMISTRY, elemental_crystals, rows_of
from pymatgen.core import Structure

from active_learning_parts.pools import CRYSTALS, TEACHER, VALIDATED
from aiida_qagenai.evaluation.held_out import is_held_out
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION, read_checkpoint
from aiida_qagenai.exchange.structures import FORMAT_VERSION, StructureBatch, save_arrays
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs

TAUGHT = {'hf_sevennet': 'hf_gga_gga_u', 'hf_sevennet_r2scan': 'hf_r2scan'}
"""Energies of the teacher: name in the new pool, and in that of the teacher."""

LEVELS = {'hf_chgnet': 'chgnet-pbe', 'hf_chgnet_r2scan': 'chgnet-r2scan'}
NUM_COMPONENTS, BATCH = 32, 64
Row = dict[str, str]


def wanted(folder: Path) -> dict[str, Row]:
    """Return the identifiers of the crystals, and what the teacher says of those that the validator did not learn."""
    found = {row['mp_id']: row for row in rows_of(TEACHER) if is_held_out(row['formula'])}
    for row in rows_of(folder / THERMOCHEMISTRY):
        found.setdefault(row['mp_id'], {})
    return found


def crystals(folder: Path) -> dict[str, Structure]:
    """Return the crystals that are in the data, in the order of their identifiers."""
    names, found = wanted(folder), {}
    for file in ALL:
        for row in rows_of(folder / file):
            if row['material_id'] in names and row['material_id'] not in found:
                found[row['material_id']] = Structure.from_str(row['cif'], fmt='cif')
    return dict(sorted(found.items()))


def seen(structures: Sequence[Structure]) -> dict[str, list[t.Any]]:
    """Return energies of formation on the levels of the validator, eV/atom, and its latent features."""
    tensors, info = load_checkpoint(VALIDATOR_FOUNDATION, 'validator')
    ensemble = Ensemble.from_checkpoint(tensors, info, torch.float32)
    graphs, _ = model_graphs(
        StructureBatch.from_structures(structures), ensemble.elements, ensemble.cutoff, torch.float32
    )
    energies, features = ensemble.evaluate(graphs, torch.device('cpu'), BATCH)
    tags = [level.tag for level in ensemble.tree.levels]
    return {'levels': tags, 'energies': energies.mean(axis=0).tolist(), 'features': features.tolist()}


def label(folder: Path, work: Path) -> None:
    """Write what the validator makes of the crystals, and the pool of those that it was not fitted to.

    :param folder: with the data.
    :param work: in which a run that was cut goes on.
    """
    work.mkdir(parents=True, exist_ok=True)
    known = crystals(folder)
    said = kept(work / 'seen.json', lambda: seen(list(known.values())))['content']
    arrays = {
        'identifiers': np.array(list(known)),
        'levels': np.array(said['levels']),
        'energies': np.array(said['energies']).astype(np.float32),
        'latent': reduced(np.array(said['features']), NUM_COMPONENTS).astype(np.float16),
        'validator_sha256': np.array(read_checkpoint(VALIDATOR_FOUNDATION, 'validator')[1].sha256),
        'format_version': np.array(FORMAT_VERSION),
    }
    save_arrays(VALIDATED, arrays, compressed=True)
    taught = wanted(folder)
    write_pool({name: known[name] for name in known if taught[name]}, taught, folder, work)


def write_pool(known: dict[str, Structure], taught: dict[str, Row], folder: Path, work: Path) -> None:
    """Write the energies of formation of crystals by the teacher and by CHGNet, at PBE and r2SCAN."""
    elements = list(elemental_crystals(folder).values())
    formulas = [structure.composition.reduced_formula for structure in known.values()]
    columns: dict[str, Sequence[str]] = {
        name: [taught[each][column] for each in known] for name, column in TAUGHT.items()
    }
    for name, level in LEVELS.items():
        everything = [*elements, *known.values()]
        energies = kept(work / f'{level}.json', lambda e=everything, n=level: labelled(e, n))['content']
        values = np.array([np.nan if each is None else each for each in energies])
        references = lowest_elements([each.composition.reduced_formula for each in elements], values[: len(elements)])
        found = formation(formulas, values[len(elements) :], references, is_formation=False)
        columns[name] = ['' if np.isnan(each) else f'{each:.4f}' for each in found]
    lines = ['mp_id,formula,' + ','.join(columns)]
    lines += [','.join(row) for row in zip(known, formulas, *columns.values(), strict=True)]
    CRYSTALS.write_bytes(gzip.compress(('\n'.join(lines) + '\n').encode(), mtime=0))
    print(json.dumps({'name': 'crystals', 'value': len(lines) - 1, 'unit': 'crystals'}))

"""The command ``label``: energies, forces and stresses of many structures by one potential, in shards."""

from __future__ import annotations

import hashlib
import json
import typing as t
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.atomistic import LabelConfig
from aiida_qagenai.exchange.structures import FORMAT_VERSION, StructureBatch, load_arrays, save_arrays
from aiida_qagenai.ml.potentials import Potential, chunks, make_potential, used_libraries
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.runtime import Runtime, installed_versions

__all__ = ('label',)

LABELS = ('energies', 'forces', 'stresses', 'reasons')
"""The arrays of a shard."""

Arrays = dict[str, NDArray[t.Any]]


def label(config: LabelConfig, runtime: Runtime, record: Record) -> None:
    """Evaluate every structure and write ``energies`` (n,), eV per cell, ``forces`` (N, 3), eV/Å, ``stresses``.

    The stresses (n, 3, 3), eV/Å3, are (1/V) dE/dε. ``level`` is the level of theory of all of them, ``sha256`` the
    checksum of the weights, and ``reasons`` (n,) says why a structure has no labels: NaN in all arrays.

    :raises InvalidInputError: if there are no structures, or the potential is not installed.
    """
    structures = StructureBatch.load(config.structures)
    if not len(structures):
        raise InvalidInputError(f'`{config.structures}` holds no structures to label')
    with record.stage('load'):
        potential = make_potential(config, runtime)
    config.shards.mkdir(parents=True, exist_ok=True)
    progress, shards = Progress(len(structures)), []
    with record.stage('label'):
        for start in range(0, len(structures), config.shard_size):
            part = structures.select(np.arange(start, min(start + config.shard_size, len(structures))))
            path = config.shards / f'{_key(part, potential, config)}.npz'
            shard = _read(path)
            if shard is None:
                shard = _evaluate(part, potential, config.batch_atoms, progress)
                save_arrays(path, {**shard, 'format_version': np.array(FORMAT_VERSION)})
            else:
                progress.advance('label', count=len(part))
            shards.append(shard)
    arrays = {name: np.concatenate([shard[name] for shard in shards]) for name in LABELS}
    identity = {'level': potential.level, 'sha256': potential.sha256 or ''}
    save_arrays(
        config.output,
        {
            **arrays,
            **{name: np.array(value) for name, value in identity.items()},
            'identifiers': structures.identifiers,
            'num_atoms': structures.num_atoms,
            'format_version': np.array(FORMAT_VERSION),
        },
    )
    failures = [
        {'identifier': str(name), 'reason': str(reason)}
        for name, reason in zip(structures.identifiers, arrays['reasons'], strict=True)
        if reason
    ]
    record.counts.update(
        potential=potential.tag,
        **identity,
        num_labelled=len(structures) - len(failures),
        failures=failures,
        library_versions=installed_versions('ase', *used_libraries(config.potential.name)),
    )


def _evaluate(part: StructureBatch, potential: Potential, max_atoms: int, progress: Progress) -> Arrays:
    """Return the labels of one shard."""
    evaluations, reasons = [], []
    for indices in chunks(part, max_atoms):
        found, problems = potential.evaluate_each(part.select(indices))
        evaluations.append(found)
        reasons += problems
        progress.advance('label', count=len(indices))
    return {
        'energies': np.concatenate([found.energies for found in evaluations]),
        'forces': np.concatenate([found.forces for found in evaluations]),
        'stresses': np.concatenate([found.stresses for found in evaluations]),
        'reasons': np.array(reasons, dtype=np.str_),
    }


def _key(part: StructureBatch, potential: Potential, config: LabelConfig) -> str:
    """Return what tells a shard, and how it is labelled, from all others."""
    settings = json.dumps([potential.tag, potential.sha256, config.dtype, config.device])
    arrays = (part.num_atoms, part.cells, part.species, part.fractional)
    return hashlib.sha256(settings.encode() + b''.join(array.tobytes() for array in arrays)).hexdigest()[:32]


def _read(path: Path) -> Arrays | None:
    """Return the labels of a shard that an earlier run has finished, or None."""
    try:
        return load_arrays(path)
    except (FileNotFoundError, CorruptFileError):
        return None

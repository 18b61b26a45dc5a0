"""The commands ``properties`` and ``tune_properties``: moduli of crystals, and retraining with computed ones."""

from __future__ import annotations

import hashlib
import json
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.exchange.properties import PropertyConfig, PropertyTuning
from aiida_qagenai.exchange.structures import FORMAT_VERSION, StructureBatch, load_arrays, pick_arrays, save_arrays
from aiida_qagenai.ml.checkpoints import save_checkpoint
from aiida_qagenai.ml.latent import BATCH, see
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.properties.described import describe, descriptor_arrays, load_descriptor_heads
from aiida_qagenai.ml.properties.model import PropertyModel, load_property_model
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.validator.ensemble import model_graphs

__all__ = ('properties', 'tune_properties')


def properties(config: PropertyConfig, runtime: Runtime, record: Record) -> None:
    """Predict properties of crystals and write the arrays of ``Properties``, or those of descriptors.

    The array ``latent``, shape (n, d), is what the first member of the validator says of each: crystals that are alike
    are near each other, and no retraining moves them. With ``config.energies`` there is ``formation_energy``, shape
    (n,), by the validator below the heads, eV/atom, on the scale of the hull of the package.

    :raises InvalidInputError: if the checkpoint does not go with the validator of the package.
    """
    structures = StructureBatch.load(config.structures)
    if config.descriptors:
        with record.stage('evaluation'):
            arrays = descriptor_arrays(describe(load_descriptor_heads(runtime), structures))
        save_arrays(config.output, {**arrays, **_about(structures)})
        record.counts.update(num_structures=len(structures))
        return
    model, info = load_property_model(runtime, config.checkpoint)
    with record.stage('evaluation'):
        seen = see(structures, model.validator, runtime)
        found = model.of_structures(structures, seen)
    latent = seen.latent[:, 0].reshape(len(structures), -1).astype(np.float32)
    arrays = {**found.arrays(), 'latent': latent, **_about(structures)}
    if config.energies:
        with record.stage('energies'):
            arrays['formation_energy'] = _formation_energies(model, structures, runtime)
    save_arrays(config.output, arrays)
    record.counts.update(num_structures=len(structures), checkpoint_sha256=info.sha256)


def _about(structures: StructureBatch) -> dict[str, NDArray[t.Any]]:
    """Return what tells a reader which crystals the arrays are of."""
    return {'identifiers': structures.identifiers, 'format_version': np.array(FORMAT_VERSION)}


def _formation_energies(model: PropertyModel, structures: StructureBatch, runtime: Runtime) -> NDArray[np.float64]:
    """Return the formation energies of crystals at PBE by the validator below the heads, eV/atom, shape (n,)."""
    validator = model.validator
    graphs, _ = model_graphs(structures, validator.elements, validator.cutoff, runtime.dtype)
    energies, _ = validator.evaluate(graphs, runtime.device, BATCH)
    found: NDArray[np.float64] = validator.on_rungs(energies)[..., Fidelity.PBE.rank].mean(axis=0)
    return found


def tune_properties(config: PropertyTuning, runtime: Runtime, record: Record) -> None:
    """Let a property head learn from further crystals and write its checkpoint.

    The metrics ``mape_before_<property>`` and ``mape_after_<property>`` are the mean relative errors on these crystals.

    :raises InvalidInputError: if structures and labels are not of the same number, or there are no labels.
    """
    model, info = load_property_model(runtime, config.checkpoint)
    structures = StructureBatch.load(config.structures)
    arrays = pick_arrays(load_arrays(config.labels), list(PROPERTIES))
    labels = np.stack([arrays[name] for name in PROPERTIES], axis=1).astype(np.float64)
    if len(labels) != len(structures):
        raise InvalidInputError(f'{len(labels)} labels for {len(structures)} structures')
    if not (labels > 0).any():
        raise InvalidInputError('there is no label: a property is a positive number')
    seen = see(structures, model.validator, runtime)
    inputs = model.inputs(structures, seen)
    metrics = {}
    for stage in ('before', 'after'):
        errors = np.abs(model.raw(inputs)[0] / labels - 1)
        for place, name in enumerate(PROPERTIES):
            known = np.isfinite(errors[:, place])
            metrics[f'mape_{stage}_{name}'] = float(errors[known, place].mean()) if known.any() else float('nan')
        if stage == 'before':
            with record.stage('training'):
                number = model.learn(structures, labels, config.weight)
    content = {'parent': info.sha256, 'weight': config.weight, 'labels': labels.tolist()}
    digest = hashlib.sha256(json.dumps(content).encode() + structures.fractional.tobytes() + structures.cells.tobytes())
    saved = save_checkpoint(
        config.output,
        model.to_tensors(),
        role='property',
        metrics=metrics,
        architecture=info.architecture,
        configuration={**info.configuration, 'parent_sha256': info.sha256, 'weight': config.weight},
        num_parameters=info.num_parameters,
        elements=info.elements,
        dataset_sha256=digest.hexdigest(),
    )
    record.metrics.update(metrics)
    record.counts.update(num_labels=number, checkpoint_sha256=saved.sha256)

"""The command ``predict``: energies on all levels with uncertainties for packed structures."""

from __future__ import annotations

import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.open_shells import OPEN_SHELLS, shells_of
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION, CheckpointInfo
from aiida_qagenai.exchange.structures import FORMAT_VERSION, StructureBatch, save_arrays
from aiida_qagenai.exchange.tasks import PredictConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.gaps.model import load_gap_model
from aiida_qagenai.ml.graph import CrystalGraph
from aiida_qagenai.ml.latent import see
from aiida_qagenai.ml.potentials import Potential
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.properties.described import describe, descriptor_arrays, load_descriptor_heads
from aiida_qagenai.ml.properties.model import load_property_model
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.validator.base import base_of, on_base
from aiida_qagenai.ml.validator.calibration import with_divergence
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs

__all__ = ('predict',)


def predict(config: PredictConfig, runtime: Runtime, record: Record) -> None:
    """Predict all structures of ``config.structures`` and write the packed predictions.

    The arrays are ``identifiers`` (n,), ``energies`` and ``sigma`` (n, 4) in eV/atom, ``interval_90`` (n, 4), half the
    width of the interval of 90 %, ``divergence_signed`` = E_PBE − E_top and ``divergence_sigma`` (n,), ``top`` (the
    rung that the validator was calibrated for), ``features`` (n, d), ``distance_to_training``, ``out_of_distribution``,
    ``magnetic`` and ``f_electrons`` (n,). σ is the calibrated error bar (``SigmaModel``), inflated far from training
    structures and by open shells, that of the divergence as well. For each rung speaks the last level of theory on it;
    on a rung that the validator was not trained on all numbers are NaN. With ``config.gaps`` and ``config.properties``
    there are the arrays of ``ml.gaps.model.Gaps`` and ``ml.properties.model.Properties`` as well.

    :raises CorruptFileError: if the checkpoint or the structures are damaged.
    """
    with record.stage('load'):
        structures = StructureBatch.load(config.structures)
        ensemble, base, info = _load(config, runtime)
    assert ensemble.latent is not None and ensemble.sigma_model is not None
    untrained = [rung.value for rung in LADDER if rung not in ensemble.tree.rungs]
    if untrained:
        record.warn(f'the validator was not trained on {", ".join(untrained)}: it predicts nothing there')
    with record.stage('neighbour_lists'):
        graphs, unseen = model_graphs(structures, ensemble.elements, ensemble.cutoff, runtime.dtype)

    energies, latent = _evaluate(ensemble, base, structures, graphs, config, runtime=runtime, record=record)
    finite = np.isfinite(energies).all(axis=(0, 2))
    energies = ensemble.on_rungs(energies)
    distances = ensemble.latent.distances(latent) if graphs else np.zeros(0)
    means = with_divergence(energies, ensemble.top).mean(axis=0)
    finite &= np.isfinite(distances)
    outside = unseen | (distances > ensemble.latent.threshold) | ~finite
    inflation = ensemble.latent.inflation(distances, unseen)
    shells = shells_of(numbers for _, numbers, _ in structures)
    sigma = ensemble.sigma_model.sigma(energies, shells, ensemble.top) * inflation[:, None]
    if not finite.all():
        record.warn(f'{int((~finite).sum())} structures have predictions that are not finite')
    save_arrays(
        config.output,
        {
            **_heads(structures, config, runtime, record),
            'format_version': np.array(FORMAT_VERSION),
            'identifiers': structures.identifiers,
            'energies': means[:, : len(LADDER)],
            'sigma': sigma[:, : len(LADDER)],
            'divergence_signed': means[:, len(LADDER)],
            'divergence_sigma': sigma[:, len(LADDER)],
            'top': np.array(ensemble.top.value),
            'interval_90': (sigma * ensemble.sigma_model.quantile)[:, : len(LADDER)],
            'features': latent,
            'distance_to_training': distances,
            'out_of_distribution': outside,
            **{name: shells == OPEN_SHELLS.index(name) for name in ('magnetic', 'f_electrons')},
        },
    )
    record.counts.update(
        num_structures=len(graphs),
        num_out_of_distribution=int(outside.sum()),
        num_not_finite=int((~finite).sum()),
        validator_sha256=info.sha256,
        fidelities=list(info.fidelities),
    )


def _heads(
    structures: StructureBatch, config: PredictConfig, runtime: Runtime, record: Record
) -> dict[str, NDArray[t.Any]]:
    """Return the arrays of the band gaps, the descriptors and the properties that are asked for."""
    arrays: dict[str, NDArray[t.Any]] = {}
    if not (config.gaps or config.descriptors or config.properties):
        return arrays
    with record.stage('heads'):
        gaps = load_gap_model(runtime, labels=config.labels if config.gaps else None)
        seen = see(structures, gaps.validator, runtime)
        if config.gaps:
            arrays = gaps.of_structures(structures, seen).arrays()
        if config.descriptors:
            heads = load_descriptor_heads(runtime, config.labels, gaps=gaps)
            arrays |= descriptor_arrays(describe(heads, structures, seen))
        if config.properties:
            moduli, _ = load_property_model(runtime, validator=gaps.validator)
            arrays |= moduli.of_structures(structures, seen).arrays()
    return arrays


def _evaluate(
    ensemble: Ensemble,
    base: Potential | None,
    structures: StructureBatch,
    graphs: list[CrystalGraph],
    config: PredictConfig,
    *,
    runtime: Runtime,
    record: Record,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return energies per atom of the members on all levels, shape (members, n, L), eV, and the features, (n, d)."""
    with record.stage('evaluation'):
        energies, latent = ensemble.evaluate(graphs, runtime.device, config.batch_size, Progress(len(graphs)))
    if base is not None:
        with record.stage('base'):
            below, _ = on_base(base, structures)
        energies = energies + (below.energies / structures.num_atoms)[None, :, None]
    return energies, latent


def _load(config: PredictConfig, runtime: Runtime) -> tuple[Ensemble, Potential | None, CheckpointInfo]:
    """Return the ensemble on its device, the potential below it, and what the checkpoint says of itself."""
    tensors, info = load_checkpoint(config.validator or VALIDATOR_FOUNDATION, 'validator')
    ensemble = Ensemble.from_checkpoint(tensors, info, runtime.dtype)
    for member in ensemble.members:
        member.to(runtime.device)
    return ensemble, base_of(info, runtime), info

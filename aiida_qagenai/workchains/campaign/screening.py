"""What is asked about all candidates of a cycle: predictions of the validator, and relaxations on a potential."""

from __future__ import annotations

import importlib.util
import sys
import typing as t

from aiida.orm import AbstractCode, Dict, InstalledCode, ProcessNode

from aiida_qagenai.calculations.atomistic.relax_many import RelaxManyCalculation
from aiida_qagenai.calculations.models.predict import PredictCalculation
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.thermodynamics.vibrations.settings import PACKAGES
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings
from aiida_qagenai.workchains.protocols.oracle import PotentialOracle

__all__ = ('NOTHING_RELAXED', 'potential_problem', 'prediction', 'relaxation', 'relaxation_counts')

NOTHING_RELAXED = 730
"""Exit status of a relaxation whose candidates all go on as they were generated."""


def potential_problem(settings: CampaignSettings, code: AbstractCode) -> str | None:
    """Return which potential of the settings cannot run with the Python of a code, if it is the one that runs here."""
    if not isinstance(code, InstalledCode):
        return None
    here = code.computer.hostname == 'localhost' and str(code.filepath_executable) == sys.executable
    asked: dict[str, str] = {}
    if settings.screen.relax is not None:
        asked[settings.screen.relax.potential.name] = '`screen.relax`'
    if isinstance(settings.oracle, PotentialOracle):
        asked.update((potential.name, '`oracle`') for potential in settings.oracle.levels.values())
    for name, where in asked.items():
        package = PACKAGES.get(name)
        if here and package is not None and importlib.util.find_spec(package) is None:
            return (
                f'{where} names {name}, but {package} is not installed where the models run: '
                f'pip install "aiida-qagenai[ml,{name}]", or set {where[:-1]}=null`'
            )
    return None


def prediction(
    inputs: t.Mapping[str, t.Any],
    candidate_set: DatasetData,
    rivals: t.Mapping[str, DatasetData],
    runtime: dict[str, t.Any],
) -> t.Any:
    """Return the builder of the predictions of candidates and of what competes with them.

    :param inputs: those of the cycle.
    :param rivals: inputs of the prediction with the structures that compete.
    :param runtime: what every job of the models takes, and what is predicted beside energies.
    """
    builder = PredictCalculation.get_builder()
    builder.code = inputs['ml_code']
    builder.validator = inputs['state']['checkpoints']['validator']
    builder.candidate_set = candidate_set
    for name, structures in rivals.items():
        builder[name] = structures
    if runtime.get('gaps') or runtime.get('descriptors'):
        builder.labels = inputs['state']['dataset']
    builder.parameters = Dict(runtime)
    return builder


def relaxation(
    settings: CampaignSettings, inputs: t.Mapping[str, t.Any], context: t.Any, runtime: dict[str, t.Any]
) -> t.Any:
    """Return the builder of the relaxation of the candidates of a cycle and of the known phases.

    :param inputs: those of the cycle.
    :param context: that of the cycle, with ``generation``, ``screening`` and ``known_phases``.
    :param runtime: what every job of the models takes.
    """
    asked = settings.screen.relax
    assert asked is not None
    builder = RelaxManyCalculation.get_builder()
    builder.code = inputs['ml_code']
    builder.candidate_set = context.generation.outputs.candidate_set
    builder.screening = context.screening
    if context.known_phases is not None:
        builder.competing = context.known_phases
    if asked.potential.name == 'validator':
        builder.checkpoint = inputs['state']['checkpoints']['validator']
    builder.parameters = Dict({**asked.dump(), **runtime})
    return builder


def relaxation_counts(node: ProcessNode) -> dict[str, int]:
    """Return how many candidates of a relaxation converged, did not in the steps allowed, and stay as generated."""
    names = set(node.inputs.candidate_set.structures().identifiers.tolist())
    outcomes = [each for each in node.outputs.results['relaxations'] if each['identifier'] in names]
    converged = sum(each['converged'] for each in outcomes)
    moved = sum(each['steps'] is not None for each in outcomes)
    return {'relaxed': converged, 'not converged': moved - converged, 'unrelaxed': len(names) - moved}

"""What proposes the candidates of a cycle: the generator of the campaign, or a program of others."""

from __future__ import annotations

import typing as t

from aiida.engine import ProcessSpec
from aiida.orm import AbstractCode, Dict, FolderData, Int, SinglefileData

from aiida_qagenai.calculations.models.external import ExternalGenerateCalculation, files_problem
from aiida_qagenai.calculations.models.generate import GenerateCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.workchains.campaign.requests import generation_requests
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings

__all__ = (
    'GENERATOR_PORTS',
    'define_generator_inputs',
    'external_generation',
    'generator_problem',
    'sampled_generation',
)

GENERATOR_PORTS = ('generator_code', 'generator_files')
"""Names of the inputs of a program that proposes candidates in place of the generator."""


def define_generator_inputs(spec: ProcessSpec) -> None:
    """Add the code and files of a program that proposes candidates in place of the generator."""
    spec.input(
        'generator_code',
        valid_type=AbstractCode,
        required=False,
        help='Code that proposes candidates as the settings `generate.external` say, in place of the generator.',
    )
    spec.input_namespace(
        'generator_files',
        valid_type=(SinglefileData, FolderData),
        dynamic=True,
        required=False,
        help='Files that the code `generator_code` reads: a single file under its own name, a folder under its label.',
    )


def generator_problem(settings: CampaignSettings, inputs: t.Mapping[str, t.Any]) -> str | None:
    """Return what is missing or wrong with the code and the files, given whether a program proposes candidates."""
    program = settings.generate.external
    if problem := _order_problem(settings, inputs):
        return problem
    if program is None:
        given = [name for name in GENERATOR_PORTS if inputs.get(name)]
        return f'`{given[0]}` is given, but `generate.external` is not: it would not be used' if given else None
    if inputs.get('generator_code') is None:
        return f'`generate.external` needs `generator_code`, the code that runs {program.program}'
    return files_problem(program, inputs.get('generator_files') or {})


def _order_problem(settings: CampaignSettings, inputs: t.Mapping[str, t.Any]) -> str | None:
    """Return why no candidate can have what is asked for by constraints and a mask, or None."""
    asked, elements = settings.generate, inputs.get('elements')
    for name, check in (
        ('geometry', asked.geometry and asked.geometry.check_elements),
        ('mask', asked.mask and asked.mask.check_elements),
    ):
        if check and asked.external is not None:
            return f'`generate.{name}` is for the generator, not for {asked.external.program}'
        if check and elements is not None:
            try:
                check(elements, 'the campaign')
            except InvalidInputError as exception:
                return f'`generate.{name}`: {exception}'
    return None


def sampled_generation(inputs: t.Mapping[str, t.Any], settings: CampaignSettings, runtime: dict[str, t.Any]) -> t.Any:
    """Return the builder of the candidates of a cycle that the generator of the campaign samples.

    :param inputs: those of the cycle.
    :param runtime: what every job of the models takes.
    """
    asked = settings.generate
    builder = GenerateCalculation.get_builder()
    builder.code = inputs['ml_code']
    builder.generator = inputs['state']['checkpoints']['generator']
    builder.descriptor = inputs['state']['checkpoints']['descriptor']
    builder.cycle = inputs['cycle']
    if asked.wish is not None:
        builder.labels = inputs['state']['dataset']
    builder.parameters = Dict(
        {
            'requests': generation_requests(inputs['elements'].get_list(), asked),
            'target': asked.descriptors,
            'guidance_scale': asked.guidance_scale,
            'steps': asked.steps,
            'noise_schedule': asked.noise_schedule,
            **({} if asked.geometry is None else {'geometry': asked.geometry.dump()}),
            **({} if asked.mask is None else {'mask': asked.mask.dump()}),
            **runtime,
        }
    )
    return builder


def external_generation(inputs: t.Mapping[str, t.Any], settings: CampaignSettings) -> t.Any:
    """Return the builder of the candidates of a cycle, which stay within its elements and number of atoms.

    :param inputs: those of the cycle.
    """
    program = settings.generate.external
    assert program is not None
    limits = {'elements': tuple(inputs['elements'].get_list()), 'max_atoms': settings.generate.max_atoms}
    builder = ExternalGenerateCalculation.get_builder()
    builder.code = inputs['generator_code']
    builder.files = dict(inputs.get('generator_files', {}))
    builder.cycle = inputs['cycle']
    builder.seed = Int(settings.cycle_seed(inputs['cycle'].value, 10))
    builder.parameters = Dict(program.model_copy(update=limits).dump())
    return builder

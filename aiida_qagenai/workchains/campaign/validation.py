"""Ports and checks that the work chains of a campaign share."""

from __future__ import annotations

import typing as t

from aiida.engine import ProcessSpec
from aiida.orm import AbstractCode, Dict, List
from pymatgen.core import Element

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.references.atomization import atomization_energy
from aiida_qagenai.workchains.energy.references import reference_structure
from aiida_qagenai.workchains.protocols.bases import cover_elements
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings, campaign_settings, validate_settings
from aiida_qagenai.workchains.protocols.energy import energy_settings
from aiida_qagenai.workchains.relaxation.engines import ENGINES
from aiida_qagenai.workchains.relaxation.relax_first import RELAX_PORTS, define_relax_inputs, relax_problem

__all__ = ('COMMON', 'define_common_inputs', 'fill_builder')

COMMON = ('pyscf_code', 'ml_code', 'elements', 'parameters', 'pyscf_options', 'ml_options', *RELAX_PORTS)
"""Names of the inputs that every work chain of a campaign takes."""


def define_common_inputs(spec: ProcessSpec) -> None:
    """Add codes, elements, settings and scheduler options."""
    spec.input('pyscf_code', valid_type=AbstractCode, help='Runs PySCF scripts: `qagenai.pyscf_cell`.')
    spec.input('ml_code', valid_type=AbstractCode, help='Python with torch and this package: trains and samples.')
    spec.input('elements', valid_type=List, validator=validate_elements, help='Symbols of the chemical system.')
    spec.input('parameters', valid_type=Dict, validator=validate_parameters, help='Settings of the campaign.')
    spec.input('pyscf_options', valid_type=Dict, required=False, help='Scheduler options of the PySCF jobs.')
    spec.input('ml_options', valid_type=Dict, required=False, help='Scheduler options of the jobs of the models.')
    define_relax_inputs(spec)
    spec.inputs.validator = validate_system


def fill_builder(
    builder: t.Any,
    *,
    pyscf_code: AbstractCode,
    ml_code: AbstractCode,
    elements: t.Sequence[str],
    protocol: str,
    overrides: dict[str, t.Any] | None = None,
    pyscf_options: dict[str, t.Any] | None = None,
    ml_options: dict[str, t.Any] | None = None,
    relax_code: AbstractCode | None = None,
    relax_options: dict[str, t.Any] | None = None,
) -> t.Any:
    """Return ``builder`` with the common inputs set from a protocol of campaigns.

    :param overrides: nested settings laid over those of the protocol: ``{'budget': 100}``.
    :param pyscf_options: scheduler options of the PySCF jobs; ``ml_options`` those of the jobs of the models.
    :param relax_code: what relaxes candidates where the settings say so (``relax``), with ``relax_options``; pw.x needs
        it, PySCF is ``pyscf_code`` by default.
    :raises InvalidInputError: for an unknown protocol, key or element, a value out of range, an element that the
        level of theory or the relaxation does not cover, or a code that cannot relax.
    """
    settings = campaign_settings(protocol, overrides)
    places = {'relax_code': relax_code, 'relax_options': relax_options}
    problem = (
        elements_problem(list(elements))
        or system_problem(list(elements), settings)
        or relax_problem(settings.relax, places)
    )
    if problem:
        raise InvalidInputError(problem)
    builder.pyscf_code = pyscf_code
    builder.ml_code = ml_code
    builder.elements = List(list(elements))
    builder.parameters = Dict(settings.model_dump(mode='json'))
    if pyscf_options:
        builder.pyscf_options = Dict(pyscf_options)
    if ml_options:
        builder.ml_options = Dict(ml_options)
    if relax_code is not None:
        builder.relax_code = relax_code
    if relax_options:
        builder.relax_options = Dict(relax_options)
    return builder


def elements_problem(symbols: list[t.Any]) -> str | None:
    """Return what is wrong with the symbols of a chemical system."""
    unknown = [symbol for symbol in symbols if not (isinstance(symbol, str) and Element.is_valid_symbol(symbol))]
    if unknown:
        return f'unknown element {", ".join(map(repr, unknown))}: use symbols such as Li'
    if not symbols or len(set(symbols)) != len(symbols):
        return f'a chemical system needs one or more different elements, got {symbols}'
    return None


def system_problem(symbols: list[str], settings: CampaignSettings) -> str | None:
    """Return which elements the levels of theory of a campaign do not cover, or the experimental references lack."""
    try:
        cover_elements(energy_settings(settings.energy_protocol), symbols)
        if settings.relax is not None:
            ENGINES[settings.relax.engine].cover(settings.relax.settings(), symbols)
        for symbol in symbols:
            atomization_energy(symbol)
            if settings.self_consistent:
                reference_structure(symbol)
    except InvalidInputError as exception:
        return str(exception)
    return None


def validate_elements(value: List, _: t.Any) -> str | None:
    """Refuse unknown, repeated or too few elements."""
    return elements_problem(value.get_list())


def validate_system(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse elements that the level of theory does not cover, and a code that cannot relax."""
    if 'elements' not in value or 'parameters' not in value:
        return None
    settings = validate_settings(value['parameters'].get_dict())
    return system_problem(value['elements'].get_list(), settings) or relax_problem(settings.relax, value)


def validate_parameters(value: Dict, _: t.Any) -> str | None:
    """Refuse settings that are unknown, missing or out of range."""
    try:
        validate_settings(value.get_dict())
    except InvalidInputError as exception:
        return str(exception)
    return None

"""Ports and checks that the work chains of a campaign share."""

from __future__ import annotations

import typing as t

from aiida.engine import ProcessSpec
from aiida.orm import AbstractCode, Data, Dict, List, SinglefileData
from pymatgen.core import Element

from aiida_qagenai.calculations.validators import problem_of, validator
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.basis import BasisData
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.thermodynamics.references.atomization import atomization_energy
from aiida_qagenai.thermodynamics.references.compounds import needs_compounds
from aiida_qagenai.thermodynamics.top_rung import TopRung, top_rung
from aiida_qagenai.workchains.campaign.generator import (
    GENERATOR_PORTS,
    define_generator_inputs,
    generator_problem,
)
from aiida_qagenai.workchains.campaign.initial import (
    INITIAL,
    define_initial_inputs,
    initial_checkpoints,
    initial_problem,
)
from aiida_qagenai.workchains.campaign.oracle import ORACLE_PORTS, define_oracle_inputs, oracle_problem
from aiida_qagenai.workchains.campaign.screening import potential_problem
from aiida_qagenai.workchains.energy.references import reference_plan, reference_structure
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings, campaign_settings, parse_settings
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL
from aiida_qagenai.workchains.protocols.oracle import PotentialOracle
from aiida_qagenai.workchains.relaxation.relax_first import (
    RELAX_PORTS,
    complete_relaxation,
    define_relax_inputs,
    relax_problem,
)

__all__ = ('COMMON', 'define_common_inputs', 'fill_builder', 'find_top')

COMMON = (
    *('pyscf_code', 'ml_code', 'elements', 'parameters', 'bases', 'pyscf_options', 'ml_options'),
    *RELAX_PORTS,
    *INITIAL.values(),
    *GENERATOR_PORTS,
    *ORACLE_PORTS,
)
"""Names of the inputs that every work chain of a campaign takes."""


def define_common_inputs(spec: ProcessSpec) -> None:
    """Add codes, elements, settings and scheduler options."""
    spec.input(
        'pyscf_code',
        valid_type=AbstractCode,
        required=False,
        help='Runs PySCF scripts: `qagenai.pyscf_cell`. Not needed where the settings name an `oracle`.',
    )
    spec.input('ml_code', valid_type=AbstractCode, help='Python with torch and this package: trains and samples.')
    spec.input('elements', valid_type=List, validator=validate_elements, help='Symbols of the chemical system.')
    spec.input(
        'parameters',
        valid_type=Dict,
        validator=validator(parse_settings),
        help='Complete settings of the campaign, see `CampaignSettings`.',
    )
    spec.input_namespace(
        'bases',
        valid_type=BasisData,
        dynamic=True,
        required=False,
        help='Gaussian bases by family and element, of every family that the settings of the energies name.',
    )
    spec.input('pyscf_options', valid_type=Dict, required=False, help='Scheduler options of the PySCF jobs.')
    spec.input('ml_options', valid_type=Dict, required=False, help='Scheduler options of the jobs of the models.')
    define_relax_inputs(spec)
    define_initial_inputs(spec)
    define_generator_inputs(spec)
    define_oracle_inputs(spec)
    spec.inputs.validator = validate_system


def fill_builder(
    builder: t.Any,
    *,
    ml_code: AbstractCode,
    elements: t.Sequence[str],
    pyscf_code: AbstractCode | None = None,
    protocol: str = DEFAULT_PROTOCOL,
    overrides: dict[str, t.Any] | None = None,
    pyscf_options: dict[str, t.Any] | None = None,
    ml_options: dict[str, t.Any] | None = None,
    relax_code: AbstractCode | None = None,
    relax_options: dict[str, t.Any] | None = None,
    generator_code: AbstractCode | None = None,
    generator_files: t.Mapping[str, Data] | None = None,
    initial_generator: CheckpointData | None = None,
    initial_validator: CheckpointData | None = None,
    oracle_table: SinglefileData | None = None,
) -> t.Any:
    """Return ``builder`` with the common inputs set from a protocol of campaigns.

    :param pyscf_code: what computes the energies; needed unless the settings name an ``oracle``.
    :param overrides: nested settings laid over those of the protocol: ``{'budget': 100}``.
    :param pyscf_options: scheduler options of the PySCF jobs; ``ml_options`` those of the jobs of the models.
    :param relax_code: what relaxes candidates where the settings say so (``relax``), with ``relax_options``; pw.x needs
        it, PySCF is ``pyscf_code`` by default.
    :param generator_code: program that proposes candidates where the settings say so (``generate.external``), with the
        ``generator_files`` that it reads.
    :param initial_generator: checkpoint that the generator starts from where the settings say so
        (``learn.generator.start: foundation``); by default the one that comes with the package, stored if need be.
        ``initial_validator`` likewise.
    :param oracle_table: file with the energies of an oracle of the kind ``table``.
    :raises InvalidInputError: for an unknown protocol, key or element, a value out of range, an element that the
        level of theory or the relaxation does not cover, or a code that cannot relax or is missing.
    """
    settings, symbols = campaign_settings(protocol, overrides), list(elements)
    places: dict[str, t.Any] = {'relax_code': relax_code, 'relax_options': relax_options, 'elements': symbols}
    places |= {'generator_code': generator_code, 'generator_files': generator_files}
    places |= {'pyscf_code': pyscf_code, 'oracle_table': oracle_table}
    problem = elements_problem(symbols) or places_problem(settings, places)
    problem = problem or potential_problem(settings, ml_code)
    if problem:
        raise InvalidInputError(problem)
    settings, nodes = complete_settings(settings, symbols)
    check_system(symbols, settings, nodes.get('bases', {}))
    initial = initial_checkpoints(settings, symbols, (initial_generator, initial_validator))
    builder.ml_code, builder.elements = ml_code, List(symbols)
    builder.parameters = Dict(settings.dump())
    for name, given in nodes.items():
        setattr(builder, name, given)
    options = {'pyscf_options': pyscf_options, 'ml_options': ml_options, 'relax_options': relax_options}
    given = {name: places[name] for name in ('pyscf_code', 'relax_code', *GENERATOR_PORTS, *ORACLE_PORTS)} | initial
    given.update({name: Dict(values) for name, values in options.items() if values})
    for name, value in given.items():
        if value:
            setattr(builder, name, value)
    return builder


def places_problem(settings: CampaignSettings, inputs: t.Mapping[str, t.Any]) -> str | None:
    """Return what is missing or wrong with the codes that relax at PBE, propose candidates and give energies."""
    problem = relax_problem(settings.relax, inputs) or generator_problem(settings, inputs)
    return problem or oracle_problem(settings, inputs)


def elements_problem(symbols: list[t.Any]) -> str | None:
    """Return what is wrong with the symbols of a chemical system."""
    unknown = [symbol for symbol in symbols if not (isinstance(symbol, str) and Element.is_valid_symbol(symbol))]
    if unknown:
        return f'unknown element {", ".join(map(repr, unknown))}: use symbols such as Li'
    if not symbols or len(set(symbols)) != len(symbols):
        return f'a chemical system needs one or more different elements, got {symbols}'
    return None


def complete_settings(
    settings: CampaignSettings, symbols: t.Collection[str]
) -> tuple[CampaignSettings, dict[str, t.Any]]:
    """Return settings that name the top rung and what is installed, and the inputs that hold the latter.

    These are ``bases`` and ``relax_pseudos``.

    :raises InvalidInputError: if what relaxes needs a basis or a pseudopotential that is missing, or the top rung in
        the settings is not valid in the system.
    """
    if settings.oracle is not None:
        return settings.with_top(oracle_top(settings)), {}
    protocol = EnergyProtocol.of_settings(settings.energy, symbols)
    relax, nodes = complete_relaxation(settings.relax, symbols)
    families = {**protocol.families, **nodes.pop('bases', {})}
    bases = {key: dict(family) for key, family in families.items() if family}
    settings = settings.model_copy(update={'energy': protocol.settings, 'relax': relax})
    settings = settings.with_top(find_top(protocol, symbols).fidelity)
    return settings, {**nodes, **({'bases': bases} if bases else {})}


def find_top(protocol: EnergyProtocol, symbols: t.Collection[str]) -> TopRung:
    """Return the top rung of a chemical system at the levels of theory of a campaign.

    :raises InvalidInputError: if the one in the settings is not valid there.
    """
    return top_rung(
        symbols,
        covered=protocol.covered(Fidelity.CCSD_T, symbols),
        max_atoms=protocol.settings.limit_of(Fidelity.CCSD_T, isolated=False),
        wanted=protocol.settings.top,
    )


def oracle_top(settings: CampaignSettings) -> Fidelity:
    """Return the top rung of a campaign whose energies an oracle gives: its highest one, or the one asked for.

    :raises InvalidInputError: if the oracle does not have the one that is asked for.
    """
    assert settings.oracle is not None
    known, wanted = settings.oracle.fidelities, settings.energy.top
    if wanted is not None and wanted not in known:
        names = ', '.join(level.value for level in known)
        raise InvalidInputError(f'`energy.top` is {wanted}, but the oracle has energies of {names} only')
    return wanted or known[-1]


def check_system(symbols: list[str], settings: CampaignSettings, bases: t.Mapping[str, t.Any]) -> None:
    """Check that the levels of theory of a campaign, and the experimental references, cover all elements.

    :raises InvalidInputError: naming what is missing.
    """
    if settings.oracle is not None:
        for symbol in symbols if isinstance(settings.oracle, PotentialOracle) else ():
            reference_structure(symbol)
        return
    EnergyProtocol(settings.energy, bases).cover(symbols)
    if needs_compounds(symbols):
        reference_plan(symbols, EnergyProtocol(settings.energy, bases))
        return
    for symbol in symbols:
        atomization_energy(symbol)
        if settings.self_consistent:
            reference_structure(symbol)


def validate_elements(value: List, _: t.Any) -> str | None:
    """Refuse unknown, repeated or too few elements."""
    return elements_problem(value.get_list())


def validate_system(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse elements that the level of theory does not cover, and codes that cannot do what the settings say."""
    if 'elements' not in value or 'parameters' not in value:
        return None
    settings = parse_settings(value['parameters'].get_dict())
    problem = problem_of(check_system, value['elements'].get_list(), settings, value.get('bases') or {})
    return problem or places_problem(settings, value) or initial_problem(settings, value)

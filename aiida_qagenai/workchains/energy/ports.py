"""What the work chains that return one energy have in common: ports, exit codes, and how a builder is filled."""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec
from aiida_pseudo.data.pseudo import UpfData

from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.basis import BasisData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.energy import EnergyLevel, EnergySettings
from aiida_qagenai.workchains.protocols.engines import AnyProtocol, parse_settings
from aiida_qagenai.workchains.protocols.espresso import EspressoProtocol, EspressoSettings

__all__ = (
    'define_energy',
    'define_level',
    'define_protocol',
    'define_spectra',
    'fill_protocol',
    'fill_references',
    'given_any_protocol',
    'given_protocol',
    'protocol_inputs',
)


def define_energy(spec: ProcessSpec) -> None:
    """Define fidelity, gap, elements, the energy, and what says that there is none."""
    spec.input('fidelity', valid_type=orm.Str, validator=validator(Fidelity.parse), help='PBE, SCAN, HSE06 or CCSD(T).')
    spec.input('band_gap', valid_type=orm.Float, required=False, help='Gap known from a lower level, eV.')
    spec.input_namespace(
        'elemental_references',
        valid_type=EnergyData,
        dynamic=True,
        required=False,
        help='Energies of the elements in their reference states, by element symbol.',
    )
    spec.output('energy', valid_type=EnergyData, required=False, help='The energy and its labels.')
    spec.exit_code(500, 'ERROR_CALCULATION_FAILED', message='The calculation failed: {reason}')
    spec.exit_code(520, 'ERROR_METALLIC', message='CCSD(T) was refused: {reason}')


def define_level(spec: ProcessSpec) -> None:
    """Define the label of the energy, and the isolated atoms that it may refer to."""
    spec.input(
        'level',
        valid_type=orm.Dict,
        validator=validator(EnergyLevel.parse),
        help='Label of the result (protocol, level tag) and what the level admits, see `EnergyLevel`.',
    )
    spec.input_namespace(
        'atomic_references',
        valid_type=EnergyData,
        dynamic=True,
        required=False,
        help='Isolated atoms by element symbol.',
    )


def define_protocol(spec: ProcessSpec, *, engines: bool = False) -> None:
    """Define the complete settings of the energies, and the bases that they name.

    :param engines: whether pw.x may compute as well, with its own settings and pseudopotentials.
    """
    names = '`EnergySettings` or, of pw.x, `EspressoSettings`' if engines else '`EnergySettings`'
    spec.input(
        'settings',
        valid_type=orm.Dict,
        validator=validator(parse_settings if engines else EnergySettings.parse),
        help=f'Complete settings of the energies, see {names}: a protocol with all overrides applied.',
    )
    spec.input_namespace(
        'bases',
        valid_type=BasisData,
        dynamic=True,
        required=False,
        help='Gaussian bases by family and element, of every family that the settings name.',
    )
    if engines:
        spec.input_namespace(
            'pseudos', valid_type=UpfData, dynamic=True, required=False, help='Pseudopotentials of pw.x by element.'
        )


def fill_protocol(builder: ProcessBuilder, protocol: AnyProtocol) -> None:
    """Set the settings and the bases or pseudopotentials of a builder."""
    for name, value in protocol_inputs(protocol).items():
        setattr(builder, name, value)


def protocol_inputs(protocol: AnyProtocol) -> dict[str, t.Any]:
    """Return the settings and the bases or pseudopotentials as inputs."""
    settings = {'settings': orm.Dict(protocol.settings.dump())}
    if isinstance(protocol, EspressoProtocol):
        return {**settings, 'pseudos': dict(protocol.pseudos)}
    families = {key: dict(bases) for key, bases in protocol.families.items() if bases}
    return {**settings, **({'bases': families} if families else {})}


def given_protocol(inputs: t.Mapping[str, t.Any]) -> EnergyProtocol:
    """Return the protocol of PySCF that the inputs of a process hold."""
    families = {key: dict(bases) for key, bases in (inputs.get('bases') or {}).items()}
    return EnergyProtocol(EnergySettings.parse(inputs['settings'].get_dict()), families)


def given_any_protocol(inputs: t.Mapping[str, t.Any]) -> AnyProtocol:
    """Return the protocol that the inputs of a process hold, of the engine that its settings name."""
    settings = parse_settings(inputs['settings'].get_dict())
    if isinstance(settings, EspressoSettings):
        return EspressoProtocol(settings, dict(inputs.get('pseudos') or {}))
    return given_protocol(inputs)


def define_spectra(spec: ProcessSpec) -> None:
    """Define what is computed at PBE beside the energy, where asked for."""
    spec.output('descriptors', valid_type=orm.Dict, required=False, help='Quantum descriptors, where asked for.')
    spec.output('bands', valid_type=orm.BandsData, required=False, help='PBE bands along a path, with descriptors.')


def fill_references(
    builder: ProcessBuilder,
    symbols: t.Collection[str],
    *,
    band_gap: float | None,
    **references: t.Mapping[str, EnergyData] | None,
) -> None:
    """Set the gap, and of each namespace of ``references`` the energies of the elements ``symbols``."""
    if band_gap is not None:
        builder.band_gap = orm.Float(band_gap)
    for name, energies in references.items():
        if energies:
            setattr(builder, name, {symbol: node for symbol, node in energies.items() if symbol in symbols})

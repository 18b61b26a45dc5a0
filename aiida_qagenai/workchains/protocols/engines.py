"""The engines of single energies: PySCF and pw.x, whose protocols have one interface."""

from __future__ import annotations

import typing as t

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.energy import EnergySettings
from aiida_qagenai.workchains.protocols.espresso import EspressoProtocol, EspressoSettings
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL

__all__ = ('AnyProtocol', 'Engine', 'parse_settings', 'resolve_protocol')

Engine = t.Literal['pyscf', 'espresso']

AnyProtocol = EnergyProtocol | EspressoProtocol
"""Complete settings of one engine, and the bases or pseudopotentials that they name."""


def resolve_protocol(
    protocol: str | AnyProtocol = DEFAULT_PROTOCOL,
    overrides: t.Mapping[str, t.Any] | None = None,
    symbols: t.Collection[str] = (),
    *,
    engine: Engine | None = None,
    pseudos: str | None = None,
) -> AnyProtocol:
    """Return the protocol of a name with ``overrides`` applied; one that is resolved already stays as it is.

    :param symbols: elements, whose bases or pseudopotentials are taken from the families.
    :param engine: of a name; PySCF by default.
    :param pseudos: label of a family of pseudopotentials, in place of that of the protocol of pw.x.
    :raises InvalidInputError: for an unknown protocol, engine or key, a value out of range, overrides of a protocol
        that is resolved already, or a family that is not installed.
    """
    resolved = {EnergyProtocol: 'pyscf', EspressoProtocol: 'espresso'}.get(type(protocol))
    chosen = engine or resolved or 'pyscf'
    if chosen not in t.get_args(Engine):
        raise InvalidInputError(f'unknown engine `{chosen}`: choose from {", ".join(t.get_args(Engine))}')
    if resolved is not None and chosen != resolved:
        raise InvalidInputError(f'this protocol is of the engine {resolved}, not of {chosen}')
    if chosen == 'espresso':
        return EspressoProtocol.resolve(t.cast('str | EspressoProtocol', protocol), overrides, symbols, pseudos)
    if pseudos is not None:
        raise InvalidInputError('a family of pseudopotentials is for the engine espresso')
    return EnergyProtocol.resolve(t.cast('str | EnergyProtocol', protocol), overrides, symbols)


def parse_settings(values: t.Mapping[str, t.Any]) -> EnergySettings | EspressoSettings:
    """Return the complete settings of the engine that they name; without a name they are of PySCF.

    :raises InvalidInputError: naming every key that is unknown, missing or wrong.
    """
    return (EspressoSettings if values.get('engine') == 'espresso' else EnergySettings).parse(values)

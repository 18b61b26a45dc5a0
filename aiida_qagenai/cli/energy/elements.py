"""Which elements a protocol of energies has, and what their formation energies refer to."""

from __future__ import annotations

import typing as t

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.references.atomization import atomization_energy, atomization_uncertainty
from aiida_qagenai.thermodynamics.references.compounds import needs_compounds
from aiida_qagenai.workchains.energy.references import reference_plan
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.beyond_argon import MOLOPT_BASES

__all__ = ('element_rows',)

ELEMENTS = tuple(MOLOPT_BASES['gth-dzvp-molopt-sr'])
"""Every element that a protocol may have."""


def element_rows(protocol: str, overrides: t.Mapping[str, t.Any], system: t.Sequence[str]) -> list[dict[str, t.Any]]:
    """Return a row for each element: basis, electrons, and the experimental energy that its energies refer to.

    :param system: elements of one chemical system, which share a basis; all elements, each by itself, if empty.
    :raises InvalidInputError: for an unknown protocol or setting.
    """
    light = [symbol for symbol in ELEMENTS if not needs_compounds([symbol])]
    heavy = [symbol for symbol in ELEMENTS if needs_compounds([symbol])]
    rows = []
    for symbols in [list(system)] if system else [light, heavy]:
        complete = EnergyProtocol.resolve(protocol, overrides, symbols)
        derived = derivations(complete, symbols) if system else {}
        rows += [{**describe(complete, symbol), **derived.get(symbol, {})} for symbol in symbols]
    return rows


def describe(protocol: EnergyProtocol, symbol: str) -> dict[str, t.Any]:
    """Return basis, electrons and experimental atomisation energy of an element, or why there is none."""
    row: dict[str, t.Any] = {'element': symbol, 'remarks': ''}
    remarks = []
    try:
        resolved = protocol.basis(protocol.settings.basis, [symbol])
        protocol.cover([symbol], isolated=False)
        size = resolved.settings.basis_sizes[symbol]
        row.update(basis=resolved.settings.basis, functions=size.functions, electrons=size.valence)
        row['levels'] = ', '.join(level.value for level in resolved.settings.available_levels)
    except InvalidInputError as exception:
        remarks.append(str(exception))
    try:
        row.update(atomization=atomization_energy(symbol), uncertainty=atomization_uncertainty(symbol))
    except InvalidInputError as exception:
        remarks.append(str(exception).split(': known are', maxsplit=1)[0])
    return {**row, 'remarks': '; '.join(remarks)}


def derivations(protocol: EnergyProtocol, symbols: t.Sequence[str]) -> dict[str, dict[str, t.Any]]:
    """Return what the energies of the elements of a system refer to, or why there is nothing, by element."""
    if not needs_compounds(symbols):
        return {symbol: {'reference': f'{symbol} (atom)'} for symbol in symbols}
    try:
        plans = {plan.element: plan for plan in reference_plan(symbols, protocol)}
    except InvalidInputError as exception:
        return {symbol: {'reference': f'none: {exception}'} for symbol in symbols}
    return {
        symbol: {
            'reference': plans[symbol].reaction.partition(' = ')[2],
            'enthalpy': plans[symbol].enthalpy,
            'enthalpy_uncertainty': plans[symbol].uncertainty,
        }
        for symbol in symbols
    }

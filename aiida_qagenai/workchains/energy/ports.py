"""What the work chains that return one energy have in common: ports, exit codes, and how a builder is filled."""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData

__all__ = ('define_energy', 'define_spectra', 'fill_references', 'validate_fidelity')


def define_energy(spec: ProcessSpec) -> None:
    """Define fidelity, gap, elements, the energy, and what says that there is none."""
    spec.input('fidelity', valid_type=orm.Str, validator=validate_fidelity, help='PBE, SCAN, HSE06 or CCSD(T).')
    spec.input('band_gap', valid_type=orm.Float, required=False, help='Gap known from a lower level, eV.')
    spec.input_namespace(
        'elements', valid_type=EnergyData, dynamic=True, required=False, help='Reference states by element symbol.'
    )
    spec.output('energy', valid_type=EnergyData, required=False, help='The energy and its labels.')
    spec.exit_code(500, 'ERROR_CALCULATION_FAILED', message='The calculation failed: {reason}')
    spec.exit_code(520, 'ERROR_METALLIC', message='CCSD(T) was refused: {reason}')


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


def validate_fidelity(value: orm.Str, _: t.Any) -> str | None:
    """Refuse unknown fidelities."""
    try:
        Fidelity.parse(value.value)
    except InvalidInputError as exception:
        return str(exception)
    return None

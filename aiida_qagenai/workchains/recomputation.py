"""The last stage of a search on potentials: energies of a few crystals by DFT, at their geometries as they are."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec
from aiida.orm import AbstractCode, Bool, List, StructureData

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain, nested_outputs
from aiida_qagenai.workchains.energy.ladder import LadderWorkChain
from aiida_qagenai.workchains.protocols.engines import Engine
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL
from aiida_qagenai.workchains.protocols.recomputation import RecomputationSettings

__all__ = ('DFT', 'Recomputation', 'affordable', 'define_recomputation', 'recomputation', 'return_energies')

DFT = 'dft'
"""Namespace of the inputs, and link label of the call."""

PORTS = (
    'code',
    'settings',
    'bases',
    'pseudos',
    'isolated_atoms',
    'self_consistent',
    'max_concurrent',
    'options',
)
"""Inputs of the energies that do not depend on the crystals."""


class Recomputation(t.NamedTuple):
    """Who computes energies again, and how.

    :param code: that runs PySCF scripts, or pw.x.
    :param protocol: of the energies.
    :param overrides: nested changes to the settings of this protocol.
    :param options: scheduler options.
    """

    code: AbstractCode
    engine: Engine = 'pyscf'
    protocol: str = DEFAULT_PROTOCOL
    overrides: dict[str, t.Any] | None = None
    options: dict[str, t.Any] | None = None
    max_concurrent: int = 1

    def inputs(self, elements: Iterable[str]) -> dict[str, t.Any]:
        """Return the inputs of the namespace :data:`DFT` for crystals of some elements.

        :raises InvalidInputError: for an unknown protocol or key, or elements without a basis or pseudopotential.
        """
        builder = LadderWorkChain.get_builder_from_protocol(
            self.code,
            {},
            {},
            self.protocol,
            engine=self.engine,
            overrides=self.overrides,
            reference_elements=sorted(set(elements)),
            options=self.options,
            max_concurrent=self.max_concurrent,
        )
        return {name: builder[name] for name in PORTS if name in builder}


def define_recomputation(spec: ProcessSpec) -> None:
    """Define the optional inputs of DFT, and its energies as outputs."""
    spec.expose_inputs(
        LadderWorkChain,
        namespace=DFT,
        include=PORTS,
        namespace_options={
            'required': False,
            'populate_defaults': False,
            'help': 'Code and settings of the energies by DFT at the end; nothing is computed by default.',
        },
    )
    spec.output_namespace(
        'energies', valid_type=EnergyData, dynamic=True, required=False, help='Energies by DFT, by label and level.'
    )
    spec.exit_code(730, 'WARNING_NOT_RECOMPUTED', message='DFT has no energy of the crystals that were found: {reason}')


def affordable(structures: Mapping[str, StructureData], settings: RecomputationSettings) -> dict[str, StructureData]:
    """Return the crystals that are computed.

    :param structures: by label, the best first.
    """
    small = [(label, each) for label, each in structures.items() if len(each.sites) <= settings.max_atoms]
    return dict(small[: settings.max_crystals])


def recomputation(
    inputs: Mapping[str, t.Any], structures: dict[str, StructureData], settings: RecomputationSettings
) -> ProcessBuilder:
    """Return the builder of the energies, and of what formation energies refer to.

    :param inputs: those of the namespace :data:`DFT`.
    """
    builder = LadderWorkChain.get_builder()
    for name, value in inputs.items():
        setattr(builder, name, value)
    builder.structures, builder.descriptors = structures, Bool(False)
    builder.plan = {label: [Fidelity.parse(settings.level).value] for label in structures}
    corrected = inputs['settings'].get_dict().get('counterpoise') is not None
    if not corrected:
        # with the counterpoise correction each crystal has isolated atoms of its own
        builder.reference_elements = List(sorted({kind.symbol for each in structures.values() for kind in each.kinds}))
    return builder


def return_energies(chain: ResumableWorkChain, *, found: bool = True) -> ExitCode | None:
    """Return the energies of a work chain, or the warning that there are none though they were asked for.

    :param found: whether there were crystals to compute, small or large.
    """
    if DFT not in chain.inputs:
        return None
    child = chain.latest_attempt(DFT)[0]
    energies = {} if child is None else nested_outputs(child).get('energies', {})
    for label, energy in energies.items():
        chain.out(f'energies.{label}', energy)
    if energies:
        return None
    nothing = 'none is small enough' if found else 'none has what is wanted'
    reason = nothing if child is None else ending(child)
    return t.cast('ExitCode', chain.exit_codes.WARNING_NOT_RECOMPUTED.format(reason=reason))

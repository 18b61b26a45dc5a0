"""Energies of the isolated atoms, which formation energies refer to."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext
from aiida.orm import AbstractCode, Dict, List, Str, StructureData

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.thermodynamics.atomization import GROUND_STATE_SPIN, atomization_energy
from aiida_qagenai.workchains.energy import EnergyWorkChain
from aiida_qagenai.workchains.protocols.energy import energy_settings
from aiida_qagenai.workchains.resumable import ResumableWorkChain, ending

__all__ = ('ReferenceWorkChain', 'isolated_atom')

BOX = 20.0
"""Edge of the box that a StructureData needs, Å; the atom is computed without it."""


class ReferenceWorkChain(ResumableWorkChain):
    """Elements, fidelities and a protocol → energies of the isolated atoms: ``energies.<Element>.<fidelity>``."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=AbstractCode, help='Code that runs PySCF scripts.')
        spec.input_namespace('atoms', valid_type=StructureData, dynamic=True, help='Isolated atoms by element.')
        spec.input('fidelities', valid_type=List, help='Names of the fidelities.')
        spec.input('protocol', valid_type=Str, help='Protocol of the EnergyWorkChain.')
        spec.input('options', valid_type=Dict, required=False, help='Scheduler options of the calculations.')
        spec.output_namespace('energies', valid_type=EnergyData, dynamic=True, help='By element and fidelity.')
        spec.outline(cls.compute, cls.inspect)
        spec.exit_code(410, 'ERROR_ATOM', message='{label} failed: {reason}')

    @classmethod
    def get_builder_from_protocol(
        cls,
        *,
        code: AbstractCode,
        elements: t.Sequence[str],
        fidelities: t.Sequence[Fidelity | str],
        protocol: str = 'fast',
        options: dict[str, t.Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder filled from a protocol.

        :raises InvalidInputError: if the protocol or a fidelity is unknown, or an element has no basis or no
            experimental atomisation energy.
        """
        settings = energy_settings(protocol)
        for element in elements:
            if element not in settings.elements:
                covered = ', '.join(settings.elements)
                message = f'the protocol `{protocol}` has no basis for {element} (it covers {covered})'
                raise InvalidInputError(message)
            atomization_energy(element)
        builder = cls.get_builder()
        builder.code = code
        builder.atoms = {element: isolated_atom(element) for element in elements}
        builder.fidelities = List([Fidelity.parse(str(fidelity)).value for fidelity in fidelities])
        builder.protocol = Str(protocol)
        if options:
            builder.options = Dict(options)
        return builder

    def compute(self) -> ToContext:
        """Submit one calculation per atom and level."""
        children = {}
        for element, atom in self.inputs.atoms.items():
            for name in self.inputs.fidelities.get_list():
                fidelity = Fidelity.parse(name)
                builder = EnergyWorkChain.get_builder_from_protocol(
                    code=self.inputs.code,
                    structure=atom,
                    fidelity=fidelity,
                    protocol=self.inputs.protocol.value,
                    options=self.inputs.options.get_dict() if 'options' in self.inputs else None,
                )
                label = f'{element}{fidelity.label}'
                children[label] = self.submit_once(label, builder)
        return ToContext(**children)

    def inspect(self) -> ExitCode | None:
        """Return all energies, or the first failure."""
        for element in self.inputs.atoms:
            for name in self.inputs.fidelities.get_list():
                fidelity = Fidelity.parse(name)
                label = f'{element}{fidelity.label}'
                child = self.ctx[label]
                if not child.is_finished_ok:
                    return self.exit_codes.ERROR_ATOM.format(  # type: ignore[no-any-return]
                        label=label, reason=ending(child)
                    )
                self.out(f'energies.{element}.{fidelity.label}', child.outputs.energy)
        return None


def isolated_atom(element: str) -> StructureData:
    """Return an atom without periodicity.

    :raises InvalidInputError: if its ground state is not known here.
    """
    if element not in GROUND_STATE_SPIN:
        message = f'the ground state of the atom {element} is not known here: {", ".join(GROUND_STATE_SPIN)} are'
        raise InvalidInputError(message)
    atom = StructureData(cell=[[BOX, 0, 0], [0, BOX, 0], [0, 0, BOX]], pbc=(False, False, False))
    atom.append_atom(symbols=element, position=(BOX / 2, BOX / 2, BOX / 2))
    return atom

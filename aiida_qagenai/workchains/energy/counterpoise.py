"""Crystal → energy, and formation energy against atoms that are corrected for counterpoise in this crystal."""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, while_

from aiida_qagenai.calculations.functions.counterpoise import SITE_PREFIX, average_atoms, surround_atom
from aiida_qagenai.chemistry.neighbourhood import distinct_sites
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.structure import as_node
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain
from aiida_qagenai.exchange.crystals import AnyCrystal
from aiida_qagenai.thermodynamics.references.atomization import atomization_energy
from aiida_qagenai.workchains.energy.composite import builder_of_level
from aiida_qagenai.workchains.energy.energy import METALLIC
from aiida_qagenai.workchains.energy.orderings import Moments
from aiida_qagenai.workchains.energy.ports import (
    define_energy,
    define_protocol,
    define_spectra,
    fill_protocol,
    fill_references,
    given_protocol,
)
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.energy import ground_state_spin
from aiida_qagenai.workchains.protocols.engines import AnyProtocol
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL

__all__ = ('CounterpoiseWorkChain', 'builder_with_atoms')


class CounterpoiseWorkChain(ResumableWorkChain):
    """A crystal and its atoms at one level, the atoms with the basis functions of their neighbours in this crystal.

    Atoms in a small basis are too high, since those of the crystal borrow functions from each other: the anchored
    formation energy would be too low. One calculation per set of sites that symmetry makes equal; those of equal
    crystals come from the cache.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=orm.AbstractCode, help='Code that runs PySCF scripts.')
        spec.input('structure', valid_type=orm.StructureData, help='The crystal.')
        define_energy(spec)
        define_spectra(spec)
        define_protocol(spec)
        spec.input('options', valid_type=orm.Dict, required=False, help='Scheduler options of the calculations.')
        spec.input('descriptors', valid_type=orm.Bool, required=False, help='Whether to compute descriptors (PBE).')
        spec.output_namespace('atoms', valid_type=EnergyData, dynamic=True, help='Corrected atoms by element symbol.')
        spec.outline(
            while_(cls.should_compute_atoms)(cls.compute_atoms),
            cls.inspect_atoms,
            while_(cls.should_compute_energy)(cls.compute_energy),
            cls.inspect_energy,
        )
        spec.exit_code(410, 'ERROR_ATOM', message='{label} failed: {reason}')

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structure: AnyCrystal,
        fidelity: Fidelity | str,
        protocol: str | EnergyProtocol = DEFAULT_PROTOCOL,
        *,
        overrides: dict[str, t.Any] | None = None,
        elemental_references: dict[str, EnergyData] | None = None,
        options: dict[str, t.Any] | None = None,
        band_gap: float | None = None,
        descriptors: bool = False,
    ) -> ProcessBuilder:
        """Return a builder with every input set; arguments as of the EnergyWorkChain.

        :raises InvalidInputError: if the settings have no counterpoise correction, the structure is not a crystal, or
            the level does not admit it or one of its atoms.
        """
        level, structure = Fidelity.parse(fidelity), as_node(structure)
        symbols = sorted({kind.symbol for kind in structure.kinds})
        complete = EnergyProtocol.resolve(protocol, overrides, symbols)
        if complete.settings.counterpoise is None:
            name = complete.settings.protocol
            message = f'`counterpoise` is not set in protocol `{name}`: use the EnergyWorkChain, or override it'
            raise InvalidInputError(message)
        if not all(structure.pbc):
            raise InvalidInputError('the counterpoise correction is for crystals')
        for symbol in symbols:
            atomization_energy(symbol)
            if ground_state_spin([symbol]) is None:
                raise InvalidInputError(f'the ground state of the atom {symbol} is not known here')
        # Refused here rather than after the atoms.
        common: dict[str, t.Any] = {
            'elemental_references': elemental_references,
            'options': options,
            'band_gap': band_gap,
        }
        builder_of_level(code, structure, level, complete, descriptors=descriptors, **common)
        builder = cls.get_builder()
        builder.code, builder.structure = code, structure
        builder.fidelity = orm.Str(level.value)
        fill_protocol(builder, complete)
        if options:
            builder.options = orm.Dict(options)
        if descriptors:
            builder.descriptors = orm.Bool(True)
        fill_references(builder, symbols, band_gap=band_gap, elemental_references=elemental_references)
        return builder

    def arguments(self) -> dict[str, t.Any]:
        """Return what the builders of the crystal and of its atoms have in common."""
        inputs = self.inputs
        return {
            'code': inputs.code,
            'fidelity': Fidelity.parse(inputs.fidelity.value),
            'protocol': given_protocol(inputs),
            'options': inputs.options.get_dict() if 'options' in inputs else None,
        }

    def sites(self) -> dict[str, tuple[int, int]]:
        """Return index and number of the different sites of the crystal by label."""
        found = distinct_sites(self.inputs.structure.get_pymatgen())
        return {f'{SITE_PREFIX}{index}': (index, count) for index, count in found}

    def should_compute_atoms(self) -> bool:
        """Return whether atoms have to be computed, once or again after a process was lost."""
        return self.should_submit(*self.sites())

    def compute_atoms(self) -> ToContext:
        """Submit one calculation for each different site."""
        arguments, children = self.arguments(), {}
        counterpoise = arguments['protocol'].settings.counterpoise
        assert counterpoise is not None, 'the builder refuses that'
        for label, (index, _) in self.sites().items():
            parts = self.call_once(
                f'surround_{label}',
                surround_atom,
                structure=self.inputs.structure,
                index=orm.Int(index),
                shells=orm.Int(counterpoise.shells),
            )
            builder = builder_of_level(
                structure=parts['atom'], ghosts=parts['ghosts'], crystal=self.inputs.structure, **arguments
            )
            children[label] = self.submit_once(label, builder)
        return ToContext(**children)

    def inspect_atoms(self) -> ExitCode | None:
        """Take the atoms, the mean where an element has different sites, or name the first that failed."""
        by_element: dict[str, dict[str, EnergyData]] = {}
        for label in self.sites():
            child = self.ctx[label]
            if not child.is_finished_ok:
                return self.exit_codes.ERROR_ATOM.format(label=label, reason=ending(child))
            energy = child.outputs.energy
            by_element.setdefault(energy.content.chemical_system, {})[label] = energy
        counts, self.ctx.atoms = self.sites(), {}
        for element, energies in by_element.items():
            if len(energies) == 1:
                (self.ctx.atoms[element],) = energies.values()
            else:
                weights = orm.Dict({label: counts[label][1] for label in energies})
                outputs = self.call_once(f'average_{element}', average_atoms, counts=weights, **energies)
                self.ctx.atoms[element] = outputs['result']
            self.out(f'atoms.{element}', self.ctx.atoms[element])
        return None

    def should_compute_energy(self) -> bool:
        """Return whether the crystal has to be computed, once or again after its process was lost."""
        return self.should_submit('crystal')

    def compute_energy(self) -> ToContext:
        """Submit the crystal."""
        builder = builder_of_level(
            structure=self.inputs.structure,
            atomic_references=dict(self.ctx.atoms),
            elemental_references=dict(self.inputs.get('elemental_references', {})) or None,
            band_gap=self.inputs.band_gap.value if 'band_gap' in self.inputs else None,
            descriptors='descriptors' in self.inputs and self.inputs.descriptors.value,
            **self.arguments(),
        )
        return ToContext(crystal=self.submit_once('crystal', builder))

    def inspect_energy(self) -> ExitCode | None:
        """Return the energy, or say why there is none."""
        child = self.ctx.crystal
        if not child.is_finished_ok:
            code = 'ERROR_METALLIC' if child.exit_status in METALLIC else 'ERROR_CALCULATION_FAILED'
            return self.exit_codes[code].format(reason=ending(child))
        for name in ('energy', 'descriptors', 'bands'):
            if name in child.outputs:
                self.out(name, child.outputs[name])
        return None


def builder_with_atoms(
    *,
    structure: orm.StructureData,
    protocol: AnyProtocol,
    atomic_references: dict[str, EnergyData] | None = None,
    moments: Moments = None,
    only: t.Sequence[str] | None = None,
    **arguments: t.Any,
) -> ProcessBuilder:
    """Return the builder of an energy with its formation energy, against ``atomic_references`` or corrected atoms.

    Where the protocol asks for the counterpoise correction the atoms belong to the crystal, and the
    ``atomic_references`` are not used.

    :param moments: initial moments by site or by element, μB.
    :param only: names of the magnetic orderings that are computed.
    :raises InvalidInputError: as the EnergyWorkChain, or for moments that do not fit.
    """
    if any(structure.pbc) and protocol.settings.counterpoise is not None:
        if moments is not None:
            raise InvalidInputError('initial moments do not go with the setting `counterpoise`: set it to null')
        return CounterpoiseWorkChain.get_builder_from_protocol(structure=structure, protocol=protocol, **arguments)
    arguments.update(moments=moments, only=only, atomic_references=atomic_references)
    return builder_of_level(structure=structure, protocol=protocol, **arguments)

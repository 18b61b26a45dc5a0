"""Energies of the isolated atoms and of the elements, which formation energies refer to."""

from __future__ import annotations

import dataclasses
import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, while_
from aiida.orm import AbstractCode, Dict, List, StructureData
from pymatgen.core import Element

from aiida_qagenai.calculations.functions.energy import check_elements, check_references
from aiida_qagenai.calculations.functions.references import derivation_of, derive_element
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain
from aiida_qagenai.thermodynamics.references.atomization import GROUND_STATE_SPIN, atomization_energy
from aiida_qagenai.thermodynamics.references.compounds import (
    Derivation,
    needs_compounds,
    plan_derivations,
    structure_of,
)
from aiida_qagenai.thermodynamics.references.reference_states import reference_state
from aiida_qagenai.workchains.energy.composite import builder_of_level
from aiida_qagenai.workchains.energy.ports import define_protocol, fill_protocol, given_any_protocol
from aiida_qagenai.workchains.protocols.engines import AnyProtocol, resolve_protocol
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL

__all__ = ('ReferenceWorkChain', 'isolated_atom', 'reference_plan', 'reference_structure')

BOX = 20.0
"""Edge of the box that a StructureData needs, Å; the atom is computed without it."""


class ReferenceWorkChain(ResumableWorkChain):
    """Elements, fidelities and a protocol → the energies that formation energies refer to.

    ``atomic_references.<Element>.<fidelity>`` are the isolated atoms, for anchored formation energies. On request,
    ``elemental_references.<Element>.<fidelity>`` are the elements in their reference states, for self-consistent ones.
    In a system with an element beyond argon the elements are derived from reference compounds instead, and there are no
    isolated atoms: see :mod:`~aiida_qagenai.thermodynamics.references.compounds` for the rule. Known energies are
    checked and passed on; what was computed before comes from the cache, where caching is on.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=AbstractCode, help='Code that runs PySCF scripts, or pw.x.')
        spec.input_namespace(
            'atoms', valid_type=StructureData, dynamic=True, required=False, help='Isolated atoms by element.'
        )
        spec.input_namespace(
            'states', valid_type=StructureData, dynamic=True, required=False, help='Reference states by element.'
        )
        spec.input_namespace(
            'compounds', valid_type=StructureData, dynamic=True, required=False, help='What elements are derived from.'
        )
        spec.input(
            'derivations',
            valid_type=Dict,
            required=False,
            help='How elements are derived, by element and in order, see `Derivation`.',
        )
        spec.input('fidelities', valid_type=List, help='Names of the fidelities.')
        define_protocol(spec, engines=True)
        spec.input('options', valid_type=Dict, required=False, help='Scheduler options of the calculations.')
        for name in ('known_atomic_references', 'known_elemental_references'):
            spec.input_namespace(
                name,
                valid_type=EnergyData,
                dynamic=True,
                required=False,
                help='Computed before, by element and fidelity.',
            )
        spec.output_namespace(
            'atomic_references',
            valid_type=EnergyData,
            dynamic=True,
            required=False,
            help='Atoms by element and fidelity.',
        )
        spec.output_namespace(
            'elemental_references',
            valid_type=EnergyData,
            dynamic=True,
            required=False,
            help='Elements by element and fidelity.',
        )
        spec.output_namespace(
            'compound_references',
            valid_type=EnergyData,
            dynamic=True,
            required=False,
            help='What the elements were derived from, by name and fidelity.',
        )
        spec.outline(while_(cls.should_compute)(cls.compute), cls.inspect)
        spec.exit_code(410, 'ERROR_ATOM', message='{label} failed: {reason}')
        spec.exit_code(211, 'ERROR_OTHER_LEVEL', message='A known reference is of another level: {reason}')

    @classmethod
    def get_builder_from_protocol(
        cls,
        *,
        code: AbstractCode,
        elements: t.Sequence[str],
        fidelities: t.Sequence[Fidelity | str],
        protocol: str | AnyProtocol = DEFAULT_PROTOCOL,
        overrides: dict[str, t.Any] | None = None,
        options: dict[str, t.Any] | None = None,
        atoms: bool = True,
        self_consistent: bool = False,
        known_atomic_references: t.Mapping[str, t.Mapping[str, EnergyData]] | None = None,
        known_elemental_references: t.Mapping[str, t.Mapping[str, EnergyData]] | None = None,
    ) -> ProcessBuilder:
        """Return a builder filled from a protocol.

        :param overrides: nested changes to the settings of the protocol.
        :param atoms: whether to compute the isolated atoms; needless where each crystal has corrected ones of its own.
            Beyond argon reference compounds take their place.
        :param self_consistent: whether to compute the elements in their reference states as well. CCSD(T) of metals is
            left out: it is anchored only.
        :param known_atomic_references: isolated atoms computed before, by element and label of the fidelity (``pbe``).
        :param known_elemental_references: reference states computed before, likewise.
        :raises InvalidInputError: if the protocol or a fidelity is unknown, or an element has no basis, no experimental
            atomisation energy, or no reference state where one is asked for.
        """
        complete = resolve_protocol(protocol, overrides, elements)
        if atoms and not complete.has_atoms:
            raise InvalidInputError(
                'pw.x computes no isolated atoms here: its formation energies refer to the elements'
            )
        complete.cover(elements)
        levels = [Fidelity.parse(str(fidelity)) for fidelity in fidelities]
        by_compounds = atoms and needs_compounds(elements)
        for element in elements if atoms and not by_compounds else ():
            atomization_energy(element)
        builder = cls.get_builder()
        builder.code = code
        if by_compounds:
            derivations = reference_plan(elements, complete)
            builder.compounds = {plan.label: derivation_structure(plan) for plan in derivations}
            builder.derivations = Dict({'order': [dataclasses.asdict(plan) for plan in derivations]})
            check_compounds(code, dict(builder.compounds), levels, complete)
        elif atoms:
            builder.atoms = {element: isolated_atom(element) for element in elements}
        if self_consistent and not by_compounds:
            builder.states = {element: reference_structure(element) for element in elements}
        builder.fidelities = List([level.value for level in levels])
        fill_protocol(builder, complete)
        if known_atomic_references:
            builder.known_atomic_references = {
                element: dict(levels) for element, levels in known_atomic_references.items()
            }
        if known_elemental_references:
            builder.known_elemental_references = {
                element: dict(levels) for element, levels in known_elemental_references.items()
            }
        if options:
            builder.options = Dict(options)
        return builder

    def tasks(self) -> t.Iterator[tuple[str, str, StructureData, Fidelity]]:
        """Return output namespace, element, structure and level of everything that is needed."""
        fidelities = [Fidelity.parse(name) for name in self.inputs.fidelities.get_list()]
        for element, atom in self.inputs.get('atoms', {}).items():
            for fidelity in fidelities:
                yield 'atomic_references', element, atom, fidelity
        for element, state in self.inputs.get('states', {}).items():
            for fidelity in fidelities:
                # CCSD(T) of a metal does not exist.
                if fidelity is not Fidelity.CCSD_T or not (any(state.pbc) and Element(element).is_metal):
                    yield 'elemental_references', element, state, fidelity
        for label, compound in self.inputs.get('compounds', {}).items():
            for fidelity in fidelities:
                if not all(self.known('elemental_references', e, fidelity) for e in self.derived_elements()):
                    yield 'compound_references', label, compound, fidelity

    def derived_elements(self) -> list[str]:
        """Return the elements that are derived, in their order."""
        return [plan.element for plan in self.derivations()]

    def derivations(self) -> list[Derivation]:
        """Return how elements are derived."""
        values = self.inputs.derivations.get_dict()['order'] if 'derivations' in self.inputs else []
        return [derivation_of(each) for each in values]

    def known(self, namespace: str, element: str, fidelity: Fidelity) -> EnergyData | None:
        """Return the energy that was given, if it was."""
        energy: EnergyData | None = self.inputs.get(f'known_{namespace}', {}).get(element, {}).get(fidelity.label)
        return energy

    def should_compute(self) -> bool:
        """Return whether calculations have to be run, once or again after a process was lost."""
        return 'submitted' not in self.ctx or self.should_submit(*self.ctx.submitted)

    def compute(self) -> ToContext | ExitCode:
        """Submit one calculation per structure and level that is not known yet."""
        children, protocol = {}, given_any_protocol(self.inputs)
        for namespace, element, structure, fidelity in self.tasks():
            state = reference_state(element) if namespace == 'elemental_references' else None
            builder = builder_of_level(
                only=[state.ordering] if state is not None and state.ordering else None,
                code=self.inputs.code,
                structure=structure,
                fidelity=fidelity,
                protocol=protocol,
                options=self.inputs.options.get_dict() if 'options' in self.inputs else None,
            )
            known = self.known(namespace, element, fidelity)
            if known is not None:
                try:
                    check = check_references if namespace == 'atomic_references' else check_elements
                    check({element: known}, [element], fidelity, builder.level['level_tag'])
                except InvalidInputError as exception:
                    return self.exit_codes.ERROR_OTHER_LEVEL.format(reason=exception)
                continue
            label = child_label(namespace, element, fidelity)
            children[label] = self.submit_once(label, builder)
        self.ctx.submitted = list(children)
        return ToContext(**children)

    def inspect(self) -> ExitCode | None:
        """Return all energies, or the first failure."""
        for namespace, element, _, fidelity in self.tasks():
            energy = self.known(namespace, element, fidelity)
            if energy is None:
                label = child_label(namespace, element, fidelity)
                child = self.ctx[label]
                if not child.is_finished_ok:
                    return self.exit_codes.ERROR_ATOM.format(label=label, reason=ending(child))
                energy = child.outputs.energy
            self.out(f'{namespace}.{element}.{fidelity.label}', energy)
        for name in self.inputs.fidelities.get_list():
            self.derive(Fidelity.parse(name))
        return None

    def derive(self, fidelity: Fidelity) -> None:
        """Derive the elements of a level from the energies of the reference compounds, one after the other."""
        found: dict[str, EnergyData] = {}
        for plan in self.derivations():
            energy = self.known('elemental_references', plan.element, fidelity)
            if energy is None:
                outputs = self.call_once(
                    f'derive{plan.element}{fidelity.label}',
                    derive_element,
                    energy=self.ctx[child_label('compound_references', plan.label, fidelity)].outputs.energy,
                    derivation=Dict(dataclasses.asdict(plan)),
                    **{symbol: found[symbol] for symbol in plan.partners},
                )
                energy = outputs['result']
            found[plan.element] = energy
            self.out(f'elemental_references.{plan.element}.{fidelity.label}', energy)


def child_label(namespace: str, element: str, fidelity: Fidelity) -> str:
    """Return the label of the call link of one calculation."""
    kinds = {'atomic_references': '', 'elemental_references': 'element', 'compound_references': 'compound'}
    return f'{element}{kinds[namespace]}{fidelity.label}'


def reference_plan(elements: t.Collection[str], protocol: AnyProtocol) -> list[Derivation]:
    """Return how elements are derived, the same way at every level that the protocol has for them.

    :raises InvalidInputError: naming an element that nothing covers.
    """
    limits = {str(level): most for level, most in protocol.settings.max_atoms.items()}
    return plan_derivations(elements, min(limits[level] for level in ('PBE', 'SCAN', 'HSE06')))


def derivation_structure(plan: Derivation) -> StructureData:
    """Return what has to be computed for an element to be derived from."""
    cell, is_crystal, sites = structure_of(plan)
    structure = StructureData(cell=cell.tolist(), pbc=[is_crystal] * 3)
    for symbol, position in sites:
        structure.append_atom(symbols=symbol, position=position)
    return structure


def check_compounds(
    code: AbstractCode,
    compounds: t.Mapping[str, StructureData],
    levels: t.Sequence[Fidelity],
    protocol: AnyProtocol,
) -> None:
    """Check that every reference compound is admitted at every level.

    :raises InvalidInputError: naming the first that is not.
    """
    for label, structure in compounds.items():
        for level in levels:
            try:
                builder_of_level(code=code, structure=structure, fidelity=level, protocol=protocol)
            except InvalidInputError as exception:
                message = f'the reference compound {label} cannot be computed at {level}: {exception}'
                raise InvalidInputError(message) from exception


def reference_structure(element: str) -> StructureData:
    """Return the reference state of an element at its experimental geometry.

    :raises InvalidInputError: if it is not known here (B, P, S): such an element is anchored only.
    """
    state = reference_state(element)
    if state is None:
        message = f'the reference state of {element} is not known here: its formation energies can be anchored only'
        raise InvalidInputError(message)
    structure = StructureData(cell=state.cell.tolist(), pbc=[state.is_crystal] * 3, label=f'{element} reference state')
    for position in state.positions:
        structure.append_atom(symbols=element, position=position.tolist())
    return structure


def isolated_atom(element: str) -> StructureData:
    """Return an atom without periodicity.

    :raises InvalidInputError: if its ground state is not known here.
    """
    if element not in GROUND_STATE_SPIN:
        message = f'the ground state of the atom {element} is not known here: {", ".join(GROUND_STATE_SPIN)} are'
        raise InvalidInputError(message)
    cell = [[BOX, 0, 0], [0, BOX, 0], [0, 0, BOX]]
    atom = StructureData(cell=cell, pbc=(False, False, False), label=f'{element} atom')
    atom.append_atom(symbols=element, position=(BOX / 2, BOX / 2, BOX / 2))
    return atom

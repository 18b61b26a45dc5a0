"""Structure with local moments → the energy of its lowest magnetic ordering, behind the interface of one energy."""

from __future__ import annotations

import typing as t
from collections import Counter

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, while_

from aiida_qagenai.calculations.functions.energy import ELEMENT_PREFIX
from aiida_qagenai.calculations.functions.orderings import (
    CELL_PREFIX,
    ORDERING_PREFIX,
    OrderingOptions,
    list_orderings,
    orderings_of,
    take_lowest,
)
from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.chemistry.moments import initial_moments
from aiida_qagenai.chemistry.open_shells import is_magnetic
from aiida_qagenai.chemistry.orderings import NONMAGNETIC
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.structure import as_magnetic_node
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.window import WindowWorkChain
from aiida_qagenai.exchange.crystals import AnyCrystal
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain, validate_references
from aiida_qagenai.workchains.energy.ports import (
    define_energy,
    define_level,
    define_protocol,
    fill_protocol,
    fill_references,
    given_any_protocol,
)
from aiida_qagenai.workchains.protocols.energy import EnergyLevel, EnergySettings, find_refusal
from aiida_qagenai.workchains.protocols.engines import AnyProtocol, resolve_protocol
from aiida_qagenai.workchains.protocols.espresso import EspressoSettings
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL

__all__ = ('Moments', 'OrderingsWorkChain', 'has_orderings', 'plain_moments')

Settings = EnergySettings | EspressoSettings

Moments = t.Mapping[str, float] | t.Sequence[float] | None
"""Initial moments by element or by site, μB; None for those of the rules."""


class OrderingsWorkChain(WindowWorkChain):
    """Each magnetic ordering of a crystal by an EnergyWorkChain; the lowest one counts, and all are kept.

    An ordering that fails is counted and the others go on. Where several are within 10 meV/atom, the energy carries the
    warning 712.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=orm.AbstractCode, help='Code that runs PySCF scripts, or pw.x.')
        spec.input('structure', valid_type=orm.StructureData, help='Crystal.')
        define_energy(spec)
        spec.inputs['fidelity'].help = 'PBE, SCAN or HSE06.'
        define_protocol(spec, engines=True)
        define_level(spec)
        spec.input(
            'ordering_options',
            valid_type=orm.Dict,
            validator=validator(OrderingOptions.parse),
            help='Initial moments, and which orderings are computed, see `OrderingOptions`.',
        )
        spec.input('options', valid_type=orm.Dict, required=False, help='Scheduler options of the calculations.')
        spec.input('max_concurrent', valid_type=orm.Int, default=lambda: orm.Int(2), help='Orderings at a time.')
        spec.inputs.validator = validate_inputs
        spec.output('listing', valid_type=orm.Dict, required=False, help='The orderings and what was left out.')
        spec.output_namespace('orderings', valid_type=EnergyData, dynamic=True, help='Energies of the orderings.')
        spec.outline(
            cls.setup,
            while_(cls.has_tasks)(cls.submit_ready, cls.collect_ended),
            cls.inspect_orderings,
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structure: AnyCrystal,
        fidelity: Fidelity | str,
        protocol: str | AnyProtocol = DEFAULT_PROTOCOL,
        *,
        overrides: dict[str, t.Any] | None = None,
        atomic_references: dict[str, EnergyData] | None = None,
        elemental_references: dict[str, EnergyData] | None = None,
        options: dict[str, t.Any] | None = None,
        band_gap: float | None = None,
        moments: Moments = None,
        only: t.Sequence[str] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with every input set; arguments as of the EnergyWorkChain.

        :param moments: initial moments by site or by element, μB; by default those that a structure of pymatgen or ASE
            has, else from oxidation states.
        :param only: names of the orderings that are computed, all of the list by default.
        :raises InvalidInputError: for CCSD(T), an unknown protocol or key, moments that do not fit the structure, or a
            structure that has no orderings or that the level does not admit.
        """
        level_of_theory = Fidelity.parse(fidelity)
        structure, moments = as_magnetic_node(structure, moments)
        if level_of_theory is Fidelity.CCSD_T:
            raise InvalidInputError('orderings are compared by density functionals: PBE, SCAN or HSE06, not by CCSD(T)')
        symbols = {kind.symbol for kind in structure.kinds}
        complete = resolve_protocol(protocol, overrides, symbols)
        # Refused here rather than when an ordering is submitted; and the label is that of a single calculation.
        single = EnergyWorkChain.get_builder_from_protocol(code, structure, level_of_theory, complete)
        level = EnergyLevel.parse(single.level.get_dict())
        chosen = ordering_options(structure, complete.settings, level.max_atoms, moments, only)
        orderings_of(structure, chosen)
        builder = cls.get_builder()
        builder.code, builder.structure = code, structure
        builder.fidelity = orm.Str(level_of_theory.value)
        builder.level = single.level
        builder.ordering_options = orm.Dict(chosen.dump())
        fill_protocol(builder, complete)
        if options:
            builder.options = orm.Dict(options)
        references = {'atomic_references': atomic_references, 'elemental_references': elemental_references}
        fill_references(builder, symbols, band_gap=band_gap, **references)
        return builder

    def setup(self) -> None:
        """List the orderings."""
        outputs = self.call_once(
            'list', list_orderings, structure=self.inputs.structure, options=self.inputs.ordering_options
        )
        self.ctx.listing = outputs['listing']
        self.out('listing', outputs['listing'])
        self.ctx.cells = {
            name.removeprefix(CELL_PREFIX): node for name, node in outputs.items() if name.startswith(CELL_PREFIX)
        }
        self.ctx.failed = {}
        self.ctx.energies = {}
        for text in outputs['listing']['left_out']:
            self.report(f'left out: {text}')
        self.start(outputs['listing']['names'])

    def ready(self) -> list[str]:
        """Return the orderings that may start now."""
        return list(self.ctx.waiting[: max(0, self.inputs.max_concurrent.value - len(self.ctx.running))])

    def submit_task(self, task: str) -> None:
        """Submit one ordering, or note that it is refused."""
        moments = self.ctx.listing['orderings'][task]['moments']
        try:
            builder = EnergyWorkChain.get_builder_from_protocol(
                code=self.inputs.code,
                structure=self.ctx.cells[task],
                fidelity=Fidelity.parse(self.inputs.fidelity.value),
                protocol=given_any_protocol(self.inputs),
                options=self.inputs.options.get_dict() if 'options' in self.inputs else None,
                **({} if task == NONMAGNETIC else {'moments': moments}),
            )
            self.submit_child(task, task, builder)
        except ValueError as exception:
            # InvalidInputError of the builder, or what the ports of the child refuse, such as too little memory.
            self.note_failure(task, str(exception))

    def note_failure(self, name: str, reason: str) -> None:
        """Count an ordering that has no energy."""
        self.ctx.failed = {**self.ctx.failed, name: reason}
        self.report(f'{name} has no energy: {reason}')

    def note_ended(self, name: str, task: str, child: orm.ProcessNode) -> None:
        """Keep an energy, or count a failure."""
        if not child.is_finished_ok:
            self.note_failure(task, ending(child))
            return
        energy = child.outputs.energy
        self.ctx.energies = {**self.ctx.energies, task: energy}
        content = energy.content
        self.report(
            f'{task}: {content.energy_per_atom:.6f} eV/atom, moments {content.site_moments or "none"}, '
            f'ended as {content.magnetic_ordering or NONMAGNETIC}'
        )

    def inspect_orderings(self) -> ExitCode | None:
        """Take the lowest energy, or say why there is none."""
        for name, energy in self.ctx.energies.items():
            self.out(f'orderings.{name}', energy)
        if not self.ctx.energies:
            name, reason = next(iter(self.ctx.failed.items()))
            text = f'not one of {len(self.ctx.failed)} orderings has an energy; {name}: {reason}'
            return self.exit_codes.ERROR_CALCULATION_FAILED.format(reason=text)
        elements = self.inputs.get('elemental_references', {})
        outputs = self.call_once(
            'lowest',
            take_lowest,
            structure=self.inputs.structure,
            level=self.inputs.level,
            listing=self.ctx.listing,
            failed=orm.Dict(dict(self.ctx.failed)),
            **{f'{ORDERING_PREFIX}{name}': energy for name, energy in self.ctx.energies.items()},
            **self.inputs.get('atomic_references', {}),
            **{f'{ELEMENT_PREFIX}{symbol}': node for symbol, node in elements.items()},
        )
        self.out('energy', outputs['result'])
        return None


def has_orderings(
    structure: orm.StructureData, fidelity: Fidelity, settings: Settings, moments: Moments = None
) -> bool:
    """Return whether an energy is that of the lowest magnetic ordering.

    The settings must say so, and the crystal have local moments: by its composition and the spin state, or because
    ``moments`` are given.

    :raises InvalidInputError: if moments are given that do not fit, or for what is computed without any.
    """
    given = moments is not None
    if settings.magnetism == 'none' or fidelity is Fidelity.CCSD_T or not all(structure.pbc):
        if given:
            what = '`magnetism: none`' if settings.magnetism == 'none' else f'{structure.get_formula()} at {fidelity}'
            raise InvalidInputError(f'initial moments are given, but {what} is computed without them')
        return False
    amounts = Counter(structure.get_kind(site.kind_name).symbol for site in structure.sites)
    if not given and not is_magnetic(amounts):
        return False
    start = initial_moments(structure.get_pymatgen(), moments, spin_state=settings.orderings.spin_state)
    return bool(start.magnetic)


def plain_moments(moments: Moments) -> dict[str, float] | list[float] | None:
    """Return initial moments as a dictionary or a list."""
    if moments is None:
        return None
    return dict(moments) if isinstance(moments, t.Mapping) else [float(value) for value in moments]


def ordering_options(
    structure: orm.StructureData,
    settings: Settings,
    limit: int,
    moments: Moments,
    only: t.Sequence[str] | None,
) -> OrderingOptions:
    """Return what the settings mean for a crystal: cells as large as its own at least, and as the level admits."""
    chosen = settings.orderings
    return OrderingOptions(
        moments=plain_moments(moments),
        spin_state=chosen.spin_state,
        max_atoms=min(max(chosen.max_atoms, len(structure.sites)), limit),
        max_orderings=chosen.max_orderings,
        nonmagnetic=chosen.nonmagnetic,
        only=None if only is None else list(only),
    )


def validate_inputs(inputs: t.Any, _: t.Any) -> str | None:
    """Refuse what cannot work: structure, level, moments and references must belong together."""
    if not all(inputs.get(name) for name in ('structure', 'fidelity', 'level', 'ordering_options')):
        return None
    fidelity, level = Fidelity.parse(inputs['fidelity'].value), EnergyLevel.parse(inputs['level'].get_dict())
    if fidelity is Fidelity.CCSD_T:
        return 'orderings are compared by density functionals, not by CCSD(T)'
    if level.engine == 'pyscf' and (refusal := find_refusal(inputs['structure'], fidelity, level)) is not None:
        return refusal
    try:
        orderings_of(inputs['structure'], OrderingOptions.parse(inputs['ordering_options'].get_dict()))
    except InvalidInputError as exception:
        return str(exception)
    return validate_references(inputs, fidelity, level)

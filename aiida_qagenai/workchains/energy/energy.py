"""Structure and fidelity → one energy."""

from __future__ import annotations

import typing as t
from collections import Counter
from collections.abc import Mapping

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, while_

from aiida_qagenai.calculations.functions.counterpoise import surroundings_of
from aiida_qagenai.calculations.functions.energy import (
    ELEMENT_PREFIX,
    assemble_energy,
    check_elements,
    check_references,
    pseudo_of,
)
from aiida_qagenai.calculations.functions.espresso import collect_results, prepare_structure
from aiida_qagenai.calculations.pyscf.bases import bases_problem
from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.calculations.pyscf.memory import least_memory
from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.structure import as_magnetic_node
from aiida_qagenai.engine.resumable import ResumableWorkChain
from aiida_qagenai.exchange.crystals import AnyCrystal
from aiida_qagenai.thermodynamics.references.atomization import atomization_energy, spin_polarization_error
from aiida_qagenai.workchains.energy import espresso
from aiida_qagenai.workchains.energy.base import PyscfCellBaseWorkChain
from aiida_qagenai.workchains.energy.ports import define_energy, define_level, define_spectra, fill_references
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.energy import MINIMUM_GAP, EnergyLevel, find_refusal
from aiida_qagenai.workchains.protocols.engines import AnyProtocol, Engine, resolve_protocol
from aiida_qagenai.workchains.protocols.espresso import EspressoProtocol
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL

__all__ = ('MINIMUM_GAP', 'EnergyWorkChain', 'estimate_memory')

EXIT_CODES: t.Any = PyscfCellCalculation.exit_codes
METALLIC = (EXIT_CODES.ERROR_METALLIC.status, EXIT_CODES.ERROR_VARYING_OCCUPATION.status)


class EnergyWorkChain(ResumableWorkChain):
    """The energy of one structure at one fidelity and, with isolated atoms given, its formation energy.

    PySCF computes it, or pw.x: the namespace of one of them holds what it needs, and the level names the engine. What
    cannot work is refused when the inputs are validated, before anything is computed.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('structure', valid_type=orm.StructureData, help='The crystal, or an isolated atom (not periodic).')
        define_energy(spec)
        define_spectra(spec)
        define_level(spec)
        spec.expose_inputs(PyscfCellBaseWorkChain, exclude=('pyscf.structure',))
        spec.inputs['pyscf'].required = False
        spec.inputs['pyscf'].populate_defaults = False
        espresso.define_espresso(spec)
        spec.exit_code(521, 'ERROR_MAGNETIC_COLLAPSE', message='There is no energy with such moments: {reason}')
        spec.inputs.validator = validate_inputs
        spec.outline(while_(cls.should_calculate)(cls.run_calculation), cls.describe_orbitals, cls.inspect_calculation)

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structure: AnyCrystal,
        fidelity: Fidelity | str,
        protocol: str | AnyProtocol = DEFAULT_PROTOCOL,
        *,
        engine: Engine | None = None,
        pseudos: str | None = None,
        overrides: dict[str, t.Any] | None = None,
        atomic_references: dict[str, EnergyData] | None = None,
        elemental_references: dict[str, EnergyData] | None = None,
        options: dict[str, t.Any] | None = None,
        band_gap: float | None = None,
        **wanted: t.Any,
    ) -> ProcessBuilder:
        """Return a builder with every input set.

        :param structure: a crystal, or without periodicity an isolated atom or the molecule of an element (H2, N2, O2,
            F2, Cl2), computed in its ground state; a node, or any kind that
            :func:`~aiida_qagenai.data.structure.as_node` takes, whose ``magmom`` are the ``moments`` by default.
        :param protocol: name of a protocol, or one that is resolved already.
        :param engine: ``pyscf`` by default, or ``espresso``: pw.x, for PBE, PBE with U, SCAN and HSE06.
        :param pseudos: label of a family of pseudopotentials, in place of that of the protocol of pw.x.
        :param overrides: nested changes to the settings of the protocol.
        :param atomic_references: isolated atoms at the same level by element symbol, for the anchored formation energy.
        :param elemental_references: reference states at the same level, likewise, for the self-consistent one.
        :param options: scheduler options of the calculation.
        :param band_gap: gap known from a lower level, eV: decides whether CCSD(T) is tried.
        :param wanted: ``descriptors``, computed as well if true (PBE of a crystal); of pw.x not true but a code of
            ``qagenai.pyscf_cell`` on the same computer, which reads its orbitals. Of PySCF ``forces`` with the
            stress, likewise; ``ghosts``, sites around an isolated atom, of ``crystal``, that lend it their basis
            functions. Of a crystal ``moments`` (initial, of each site, μB) or ``spin`` (electrons of spin up minus
            spin down per cell, fixed), with which it is computed spin-polarised, CCSD instead of CCSD(T); of pw.x
            ``spin_polarized`` as well.
        :raises InvalidInputError: for an unknown protocol, fidelity or key, or a structure the level does not admit.
        """
        level = Fidelity.parse(fidelity)
        structure, moments = as_magnetic_node(structure, wanted.get('moments'))
        if moments is not None and wanted.get('spin') is None:
            wanted['moments'] = moments
        builder = cls.get_builder()
        builder.structure, builder.fidelity = structure, orm.Str(level.value)
        symbols = {kind.symbol for kind in structure.kinds}
        needed = symbols | {kind.symbol for kind in wanted['ghosts'].kinds} if wanted.get('ghosts') else symbols
        complete = resolve_protocol(protocol, overrides, needed, engine=engine, pseudos=pseudos)
        if isinstance(complete, EspressoProtocol):
            espresso.fill_espresso(builder, complete, code, level, options=options, **wanted)
        else:
            fill_pyscf(builder, complete, code, level, options=options, band_gap=band_gap, **wanted)
        references = {'atomic_references': atomic_references, 'elemental_references': elemental_references}
        if builder.level['unrestricted']:
            # Atoms and elements at CCSD(T) are of another level.
            references = dict.fromkeys(references)
        fill_references(builder, symbols, band_gap=band_gap, **references)
        return builder

    def should_calculate(self) -> bool:
        """Return whether a calculation has to be run: the first, one that was lost again, or one of larger moments."""
        if self.should_submit(self.calls[-1]):
            return True
        lost = espresso.lost_moments(self.inputs, self.ctx.calculation) if self.runs_espresso else None
        if lost is None or len(self.calls) == len(espresso.MOMENT_FACTORS):
            return False
        self.ctx.attempt = len(self.calls)
        self.report(f'{lost}: it begins again with {espresso.MOMENT_FACTORS[self.ctx.attempt]} times the moments')
        return True

    @property
    def calls(self) -> list[str]:
        """Return the labels of the calculations so far; only pw.x has several, from larger moments."""
        return ['calculation', *(f'calculation{number}' for number in range(2, self.ctx.get('attempt', 0) + 2))]

    def run_calculation(self) -> ToContext:
        """Run the calculation with restarts."""
        if self.runs_espresso:
            inputs = {'structure': self.inputs.structure, 'parameters': self.inputs.espresso.parameters}
            prepared = self.call_once('prepare', prepare_structure, **inputs)['result']
            process, inputs = espresso.submission(self.inputs, prepared, len(self.calls) - 1)
            return ToContext(calculation=self.submit_once(self.calls[-1], process, **inputs))
        inputs = self.exposed_inputs(PyscfCellBaseWorkChain)
        inputs.pyscf.structure = self.inputs.structure
        return ToContext(calculation=self.submit_once('calculation', PyscfCellBaseWorkChain, **inputs))

    def describe_orbitals(self) -> ToContext | None:
        """Make descriptors of the orbitals of pw.x, where asked for; a PySCF job makes its own."""
        wanted = espresso.description(self.inputs, self.ctx.calculation) if self.runs_espresso else None
        if wanted is None:
            return None
        return ToContext(description=self.submit_once('description', wanted[0], **wanted[1]))

    @property
    def runs_espresso(self) -> bool:
        """Return whether pw.x computes."""
        return EnergyLevel.parse(self.inputs.level.get_dict()).engine == 'espresso'

    def results_of(self, child: t.Any) -> orm.Dict:
        """Return the results of a calculation that has ended well."""
        if not self.runs_espresso:
            return t.cast('orm.Dict', child.outputs.results)
        names = ('output_parameters', 'output_trajectory', 'output_band')
        outputs = {name: child.outputs[name] for name in names if name in child.outputs}
        cost = espresso.cost_of(self.called(*self.calls).values())
        cost['factor'] = espresso.MOMENT_FACTORS[len(self.calls) - 1]
        inputs = {'parameters': self.inputs.espresso.parameters, 'cost': orm.Dict(cost)}
        return t.cast('orm.Dict', self.call_once('collect', collect_results, **inputs, **outputs)['result'])

    def inspect_calculation(self) -> ExitCode | None:
        """Assemble the energy, or say why there is none."""
        child = self.ctx.calculation
        if not child.is_finished_ok:
            reason = f'{child.exit_status}, {child.exit_message}' if child.is_finished else str(child.process_state)
            if self.runs_espresso:
                reason = espresso.failure_of(child)
            self.report(f'{child.process_label}<{child.pk}> failed: {reason}')
            if child.exit_status in METALLIC and not self.runs_espresso:
                return self.exit_codes.ERROR_METALLIC.format(reason=reason)
            if child.exit_status == EXIT_CODES.ERROR_MAGNETIC_COLLAPSE.status and not self.runs_espresso:
                return self.exit_codes.ERROR_MAGNETIC_COLLAPSE.format(reason=child.exit_message)
            return self.exit_codes.ERROR_CALCULATION_FAILED.format(reason=reason)
        if self.runs_espresso and (lost := espresso.lost_moments(self.inputs, child)) is not None:
            return self.exit_codes.ERROR_CALCULATION_FAILED.format(reason=lost)
        outputs = self.call_once(
            'assemble',
            assemble_energy,
            results=self.results_of(child),
            structure=self.inputs.structure,
            level=self.inputs.level,
            **self.inputs.get('atomic_references', {}),
            **{
                f'{ELEMENT_PREFIX}{symbol}': node
                for symbol, node in self.inputs.get('elemental_references', {}).items()
            },
        )
        self.out('energy', outputs['result'])
        description = self.ctx.get('description', child)
        if not description.is_finished_ok:
            self.report(f'{description.process_label}<{description.pk}> failed: {description.exit_message}')
        for name in ('descriptors', 'bands'):
            if name in description.outputs:
                self.out(name, description.outputs[name])
        return None


def fill_pyscf(
    builder: ProcessBuilder,
    protocol: EnergyProtocol,
    code: orm.AbstractCode,
    fidelity: Fidelity,
    *,
    options: dict[str, t.Any] | None,
    band_gap: float | None,
    ghosts: orm.StructureData | None = None,
    crystal: orm.StructureData | None = None,
    **wanted: t.Any,
) -> None:
    """Set the inputs of PySCF and the label of the result; arguments as of the builder, which has its ``structure``.

    :raises InvalidInputError: for a structure that the level does not admit.
    """
    structure = builder.structure
    symbols = {kind.symbol for node in (structure, ghosts) if node is not None for kind in node.kinds}
    isolated = not any(structure.pbc)
    family = protocol.settings.basis_of(fidelity)
    resolved = protocol.basis(family, symbols, isolated=isolated and len(structure.sites) == 1)
    settings = resolved.settings
    around = surroundings_of(crystal or structure)
    unrestricted = fidelity is Fidelity.CCSD_T and any(wanted.get(name) is not None for name in ('moments', 'spin'))
    level = EnergyLevel.create(
        settings, fidelity, isolated=isolated, surroundings=around, notes=resolved.notes, unrestricted=unrestricted
    )
    if (refusal := find_refusal(structure, fidelity, level, band_gap)) is not None:
        raise InvalidInputError(refusal)
    builder.level = orm.Dict(level.model_dump(mode='json'))
    builder.pyscf.code = code
    builder.pyscf.parameters = orm.Dict(settings.parameters(fidelity, structure, **wanted))
    if settings.splits_triples and fidelity is Fidelity.CCSD_T and not isolated and not unrestricted:
        builder.separate_triples = orm.Bool(True)
    if resolved.bases:
        builder.pyscf.bases = resolved.bases
    if ghosts is not None:
        builder.pyscf.ghosts = ghosts
    if options:
        builder.pyscf.metadata.options = options


def estimate_memory(parameters: PyscfCellParameters, level: EnergyLevel, structure: orm.StructureData) -> float:
    """Return the least memory that the correlation energy needs, MB; see :func:`least_memory`."""
    functions = {symbol: element.functions for symbol, element in level.basis_sizes.items()}
    valence = {symbol: element.valence for symbol, element in level.basis_sizes.items()}
    composition = Counter(structure.get_kind(site.kind_name).symbol for site in structure.sites)
    return least_memory(parameters, composition, functions, valence)


def validate_inputs(inputs: t.Any, _: t.Any) -> str | None:
    """Refuse what cannot work: structure, level, parameters and references must belong together."""
    if not all(inputs.get(name) for name in ('structure', 'fidelity', 'level')):
        return None
    structure, fidelity = inputs['structure'], Fidelity.parse(inputs['fidelity'].value)
    level = EnergyLevel.parse(inputs['level'].get_dict())
    others = {'pyscf', 'espresso'} - {level.engine}
    if not _has_content(inputs.get(level.engine)) or any(_has_content(inputs.get(name)) for name in others):
        return f'the level is of the engine {level.engine}: give the inputs `{level.engine}`, and no others'
    if level.engine == 'espresso':
        problem = espresso.espresso_problem(structure, fidelity, level, inputs['espresso'])
    else:
        problem = pyscf_problem(structure, fidelity, level, inputs)
    return problem or validate_references(inputs, fidelity, level)


def _has_content(namespace: t.Mapping[str, t.Any] | None) -> bool:
    """Return whether there is an input in a namespace: builders leave empty ones behind, one in another."""
    values = (namespace or {}).values()
    return any(_has_content(value) if isinstance(value, Mapping) else value is not None for value in values)


def pyscf_problem(
    structure: orm.StructureData, fidelity: Fidelity, level: EnergyLevel, inputs: t.Mapping[str, t.Any]
) -> str | None:
    """Return why PySCF cannot compute an energy, or None; nothing is run to find out."""
    if 'parameters' not in inputs['pyscf']:
        return None
    parameters = PyscfCellParameters.parse(inputs['pyscf']['parameters'].get_dict())
    if parameters.fidelity is not fidelity:
        return f'`fidelity` is {fidelity}, the parameters are for {parameters.fidelity}'
    gap = inputs['band_gap'].value if 'band_gap' in inputs else None
    if (refusal := find_refusal(structure, fidelity, level, gap)) is not None:
        return refusal
    if inputs['pyscf'].get('bases'):
        problem = bases_problem(parameters, inputs['pyscf']['bases'], {kind.symbol for kind in structure.kinds})
        if problem is not None:
            return problem
    if parameters.is_coupled_cluster and parameters.is_crystal:
        memory = estimate_memory(parameters, level, structure)
        if memory > parameters.max_memory_mb:
            return f'CCSD(T) would need at least {memory:.1f} MB, `max_memory_mb` is {parameters.max_memory_mb:.0f}'
    return None


def validate_references(inputs: t.Any, fidelity: Fidelity, level: EnergyLevel) -> str | None:
    """Refuse references of other elements or levels."""
    symbols = sorted({kind.symbol for kind in inputs['structure'].kinds})
    try:
        if inputs.get('atomic_references'):
            for symbol in symbols:
                atomization_energy(symbol)
                spin_polarization_error(pseudo_of(level.level_tag), fidelity, symbol)
            around = surroundings_of(inputs['structure'])
            check_references(inputs['atomic_references'], symbols, fidelity, level.level_tag, surroundings=around)
        if inputs.get('elemental_references'):
            check_elements(inputs['elemental_references'], symbols, fidelity, level.level_tag)
    except InvalidInputError as exception:
        return str(exception)
    return None

"""What `aiida-qagenai energy run` is asked to compute: checked before anything is submitted."""

from __future__ import annotations

import dataclasses
import typing as t

from aiida_qagenai.calculations.functions.orderings import OrderingOptions, orderings_of
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.thermodynamics.references.compounds import needs_compounds
from aiida_qagenai.workchains.energy.composite import CompositeWorkChain, builder_of_level
from aiida_qagenai.workchains.energy.energy import estimate_memory
from aiida_qagenai.workchains.energy.orderings import Moments, OrderingsWorkChain
from aiida_qagenai.workchains.energy.ports import given_any_protocol, given_protocol
from aiida_qagenai.workchains.energy.references import ReferenceWorkChain, reference_plan
from aiida_qagenai.workchains.protocols.energy import EnergyLevel

if t.TYPE_CHECKING:
    from aiida.engine import ProcessBuilder
    from aiida.orm import AbstractCode, StructureData

    from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
    from aiida_qagenai.workchains.protocols.energy import EnergySettings
    from aiida_qagenai.workchains.protocols.engines import AnyProtocol
    from aiida_qagenai.workchains.protocols.espresso import EspressoSettings

__all__ = ('EnergyPlan', 'elements_of', 'make_plan')


@dataclasses.dataclass(frozen=True)
class EnergyPlan:
    """The energies that can be computed, and those that cannot.

    :param protocol: for the elements of the structures that can be computed.
    :param levels: levels of theory of each structure, by its label.
    :param elements: elements whose isolated atoms, or of pw.x reference states, are computed once for all structures.
    :param corrected_atoms: whether each crystal has atoms of its own instead, with the counterpoise correction.
    :param rows: one row per structure and level, for people; ``refused`` says why an energy cannot be computed.
    """

    protocol: AnyProtocol
    levels: dict[str, list[Fidelity]]
    elements: list[str]
    corrected_atoms: bool
    rows: list[dict[str, t.Any]]

    @property
    def settings(self) -> EnergySettings | EspressoSettings:
        """Return the settings of the protocol."""
        return self.protocol.settings

    @property
    def compounds(self) -> list[str]:
        """Return the names of the reference compounds that are computed in the place of isolated atoms."""
        if not (self.elements and self.protocol.has_atoms and needs_compounds(self.elements)):
            return []
        return [plan.label for plan in reference_plan(self.elements, self.protocol)]

    @property
    def refusals(self) -> list[str]:
        """Return one line for each energy that cannot be computed."""
        return [f'{row["structure"]} at {row["level"]}: {row["refused"]}' for row in self.rows if row['refused']]


def make_plan(
    code: AbstractCode,
    structures: t.Mapping[str, StructureData],
    levels: t.Sequence[Fidelity],
    resolve: t.Callable[[t.Collection[str]], AnyProtocol],
    *,
    references: bool,
    moments: t.Mapping[str, Moments] | None = None,
) -> EnergyPlan:
    """Check every structure at every level.

    :param resolve: returns the protocol for given elements, which decide bases and cutoffs.
    :param moments: initial moments (μB) of structures by label, each by site or by element.
    :param references: whether formation energies are computed as well.
    :raises InvalidInputError: for unknown settings, if nothing can be computed, or if references cannot be.
    """
    symbols = elements_of(*structures.values())
    complete, starts = resolve(symbols), moments or {}
    rows = check_levels(code, structures, levels, complete, starts)
    admitted = {row['structure']: structures[row['structure']] for row in rows if not row['refused']}
    if admitted and elements_of(*admitted.values()) != symbols:
        # The elements decide the basis: those of structures that are left out have no say.
        places = {label: index for index, label in enumerate(structures)}
        others = [row for row in rows if row['structure'] not in admitted]
        again = resolve(elements_of(*admitted.values()))
        rows = others + check_levels(code, admitted, levels, again, starts)
        rows.sort(key=lambda row: places[row['structure']])
    computed = [row for row in rows if not row['refused']]
    if not computed:
        reasons = list(dict.fromkeys(row['refused'] for row in rows))
        raise InvalidInputError('; '.join(reasons))
    wanted: dict[str, list[Fidelity]] = {}
    for row in computed:
        wanted.setdefault(row['structure'], []).append(Fidelity(row['level']))
    symbols = elements_of(*(structures[label] for label in wanted))
    complete = resolve(symbols)
    used = [level for level in levels if any(level in each for each in wanted.values())]
    if references:
        try:
            ReferenceWorkChain.get_builder_from_protocol(
                code=code,
                elements=symbols,
                fidelities=used,
                protocol=complete,
                atoms=complete.has_atoms,
                self_consistent=not complete.has_atoms,
            )
        except InvalidInputError as exception:
            raise InvalidInputError(f'{exception} (--no-references leaves out formation energies)') from exception
    corrected = complete.settings.counterpoise is not None
    shared = symbols if references and not corrected else []
    return EnergyPlan(complete, wanted, shared, corrected, rows)


def check_levels(
    code: AbstractCode,
    structures: t.Mapping[str, StructureData],
    levels: t.Sequence[Fidelity],
    protocol: AnyProtocol,
    moments: t.Mapping[str, Moments],
) -> list[dict[str, t.Any]]:
    """Return a row for each structure and level: what would be computed, or why it is refused."""
    rows: list[dict[str, t.Any]] = []
    for label, structure in structures.items():
        for level in levels:
            row: dict[str, t.Any] = {'structure': label, 'atoms': len(structure.sites), 'level': level.value}
            try:
                given = None if level is Fidelity.CCSD_T else moments.get(label)
                builder = builder_of_level(code, structure, level, protocol, moments=given)
                rows.append({**row, **describe_builder(builder, structure), 'refused': ''})
            except InvalidInputError as exception:
                rows.append({**row, 'refused': str(exception)})
    return rows


def listed_orderings(builder: ProcessBuilder, structure: StructureData) -> list[str]:
    """Return the names of the magnetic orderings that are computed."""
    options = OrderingOptions.parse(builder.ordering_options.get_dict())
    return [each.name for each in orderings_of(structure, options)[0].orderings]


def ordering_notes(builder: ProcessBuilder, structure: StructureData) -> list[str]:
    """Return which magnetic orderings are computed and what their moments begin with."""
    if builder.process_class is not OrderingsWorkChain:
        return []
    found, sources = orderings_of(structure, OrderingOptions.parse(builder.ordering_options.get_dict()))
    names = ', '.join(each.name for each in found.orderings)
    return [f'{structure.get_formula()}: {names} ({"; ".join([*sources, *found.left_out])})']


def elements_of(*structures: StructureData) -> list[str]:
    """Return the elements of structures."""
    return sorted({kind.symbol for structure in structures for kind in structure.kinds})


def describe_builder(builder: ProcessBuilder, structure: StructureData) -> dict[str, t.Any]:
    """Return method, basis, mesh and least memory of one energy.

    :raises InvalidInputError: if it needs more memory than it may use.
    """
    level = EnergyLevel.parse(builder.level.get_dict())
    notes = '; '.join([*level.notes, *ordering_notes(builder, structure)])
    common = {'level_tag': level.level_tag, 'notes': notes, 'basis': level.level_tag.split(':')[1]}
    if level.engine == 'espresso':
        return {**common, **describe_espresso(builder, structure)}
    parameters = calculations(builder, structure)
    memory = max((estimate_memory(each, level, structure) for each in parameters if each.is_crystal), default=0.0)
    allowed = parameters[0].max_memory_mb
    if memory > allowed:
        raise InvalidInputError(f'at least {memory:.0f} MB of memory are needed, `max_memory_mb` is {allowed:.0f}')
    last = parameters[-1]
    mesh = last.cc.kmesh if last.is_coupled_cluster and last.cc.kmesh else last.kmesh
    return {
        **common,
        'kmesh': '×'.join(map(str, mesh)) if mesh else 'none',
        'calculations': len(parameters),
        'memory_mb': memory or None,
    }


def describe_espresso(builder: ProcessBuilder, structure: StructureData) -> dict[str, t.Any]:
    """Return k-mesh and number of calculations of one energy by pw.x; orderings have the mesh of the crystal here."""
    if builder.process_class is OrderingsWorkChain:
        protocol, count = given_any_protocol(builder), len(listed_orderings(builder, structure))
        kmesh = protocol.settings.parameters(Fidelity.parse(builder.fidelity.value), structure)['kmesh']
    else:
        kmesh, count = builder.espresso['parameters'].get_dict()['kmesh'], 1
    return {'kmesh': '×'.join(map(str, kmesh)), 'calculations': count, 'memory_mb': None}


def calculations(builder: ProcessBuilder, structure: StructureData) -> list[PyscfCellParameters]:
    """Return the parameters of every calculation of one energy; of a composite the coupled cluster is the last.

    Those of magnetic orderings are of the crystal in its own cell, once for each ordering.
    """
    from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
    from aiida_qagenai.workchains.protocols.composite import CompositePlan

    if builder.process_class is OrderingsWorkChain:
        settings, fidelity = given_protocol(builder).settings, Fidelity.parse(builder.fidelity.value)
        one = PyscfCellParameters.parse(settings.parameters(fidelity, structure))
        return [one] * len(listed_orderings(builder, structure))
    if builder.process_class is not CompositeWorkChain:
        return [PyscfCellParameters.parse(builder.pyscf.parameters.get_dict())]
    plan = CompositePlan.parse(builder.plan.get_dict())
    names = sorted(plan.jobs, key=lambda name: name == plan.coupled_cluster)
    return [PyscfCellParameters.parse(plan.jobs[name].parameters) for name in names]

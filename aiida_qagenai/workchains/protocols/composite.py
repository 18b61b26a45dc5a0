"""Which calculations a composite energy is made of, and how they go together: decided before anything is computed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import typing as t

import pydantic

from aiida_qagenai.calculations.functions.counterpoise import surroundings_of
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.data.basis import BasisData
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol, ResolvedBasis, key_of
from aiida_qagenai.workchains.protocols.energy import EnergyLevel
from aiida_qagenai.workchains.protocols.energy_parts import (
    ComponentSettings,
    CompositeSettings,
    CorrelationSettings,
    MeshRule,
)

if t.TYPE_CHECKING:
    from aiida.orm import StructureData

__all__ = ('CompositePlan', 'CorrectionPart', 'CorrectionPlan', 'Surroundings', 'plan_composite', 'plan_correction')

METHODS = ('HF', 'MP2', 'CCSD(T)', 'LNO-CCSD(T)')
"""Each also gives what the ones before it give."""


CORE_JOBS = ('core_frozen', 'core_correlated')
"""Labels of the calculations of the core."""


class Point(StrictModel):
    """One energy: in which calculation, at which basis and mesh."""

    job: str
    cardinal: int
    num_kpoints: int


class Component(StrictModel):
    """One part of the total: the corner point, and the further ones that extrapolate mesh and basis.

    :param small: point of the smaller basis that the step in the basis starts from, where that is not the corner.
    """

    corner: Point
    mesh: Point | None = None
    basis: Point | None = None
    small: Point | None = None

    @property
    def points(self) -> list[Point]:
        """Return all points."""
        return [point for point in (self.corner, self.mesh, self.basis, self.small) if point is not None]


class Job(StrictModel):
    """One calculation.

    :param basis: key of its bases among the inputs of the work chain, None for a basis of PySCF.
    """

    parameters: dict[str, t.Any]
    basis: str | None


class CompositePlan(StrictModel):
    """Calculations by label, and the components of the energy made of them."""

    jobs: dict[str, Job]
    hartree_fock: Component
    mp2: Component | None
    coupled_cluster: str
    separate_triples: bool = False
    residual_error: float
    core: tuple[str, str] | None = None

    @pydantic.model_validator(mode='after')
    def _complete(self) -> CompositePlan:
        """Check that every calculation that the plan refers to is part of it."""
        parts = [part for part in (self.hartree_fock, self.mp2) if part is not None]
        named = {point.job for part in parts for point in part.points} | {self.coupled_cluster} | set(self.core or ())
        if named - set(self.jobs):
            raise ValueError(f'the plan has no calculation {", ".join(sorted(named - set(self.jobs)))}')
        return self


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What stands around an isolated atom.

    :param symbols: elements of the sites that lend it basis functions.
    :param tag: of the crystal that they belong to.
    """

    symbols: frozenset[str] = frozenset()
    tag: str = 'isolated'

    @classmethod
    def of(cls, structure: StructureData, ghosts: StructureData | None, crystal: StructureData | None) -> Surroundings:
        """Return the surroundings of ``structure``."""
        symbols = frozenset(kind.symbol for kind in ghosts.kinds) if ghosts is not None else frozenset()
        return cls(symbols, surroundings_of(crystal or structure))


class _Planner:
    """Collects calculations; of two at one basis and mesh the one with the higher method does for both."""

    def __init__(self, protocol: EnergyProtocol, structure: StructureData, around: Surroundings) -> None:
        self.protocol, self.structure, self.around = protocol, structure, around
        self.symbols = {kind.symbol for kind in structure.kinds} | around.symbols
        self.is_crystal = any(structure.pbc)
        self.resolved: dict[str, ResolvedBasis] = {}
        self.found: dict[str, tuple[str, str, MeshRule]] = {}

    def basis(self, name: str) -> ResolvedBasis:
        """Return a basis by the name that the settings give it."""
        if name not in self.resolved:
            isolated = not self.is_crystal and len(self.structure.sites) == 1
            self.resolved[name] = self.protocol.basis(name, self.symbols, isolated=isolated)
        return self.resolved[name]

    def mesh(self, rule: MeshRule) -> tuple[int, ...]:
        """Return the mesh; a molecule has none."""
        return tuple(rule.mesh(self.structure.cell)) if self.is_crystal else ()

    def add(self, method: str, name: str, rule: MeshRule) -> Point:
        """Ask for a method at a basis and a mesh; return where its energy will be."""
        resolved, mesh = self.basis(name), self.mesh(rule)
        where = 'k' + 'x'.join(map(str, mesh)) if mesh else 'isolated'
        label = f'{where}_{key_of(resolved.settings.basis)}'
        known = self.found.get(label)
        if known is None or METHODS.index(method) > METHODS.index(known[0]):
            self.found[label] = (method, name, rule)
        return Point(job=label, cardinal=resolved.cardinal, num_kpoints=math.prod(mesh))

    def component(self, method: str, part: ComponentSettings) -> Component:
        """Ask for the corner and for what extrapolates from it."""
        corner = self.add(method, part.bases[0], part.meshes[0])
        mesh = basis = small = None
        # A molecule has one mesh, and so has a crystal for which both rules give the same.
        if self.mesh(part.meshes[-1]) != self.mesh(part.meshes[0]):
            mesh = self.add(method, part.bases[0], part.meshes[-1])
        if len(part.bases) > 1:
            where = part.basis_mesh or part.meshes[0]
            basis = self.add(method, part.bases[-1], where)
            if self.mesh(where) != self.mesh(part.meshes[0]):
                small = self.add(method, part.bases[0], where)
        return Component(corner=corner, mesh=mesh, basis=basis, small=small)

    def jobs(self) -> dict[str, Job]:
        """Return the calculations."""
        return {
            label: Job(parameters=self.parameters(method, name, rule), basis=self.key(name))
            for label, (method, name, rule) in self.found.items()
        }

    def core_jobs(self, core: CorrelationSettings) -> dict[str, Job]:
        """Return MP2 of all electrons with and without a frozen core: their difference is what the core correlates.

        :raises InvalidInputError: if the basis is one of a family, which is made for pseudopotentials.
        """
        if '/' in core.basis:
            message = f'the core needs an all-electron basis of PySCF, such as cc-pcvdz, not {core.basis}'
            raise InvalidInputError(message)
        parameters = {**self.parameters('MP2', core.basis, core.mesh), 'pseudo': None, 'relativity': 'sfx2c1e'}
        return {
            label: Job(parameters={**parameters, 'cc': {**parameters['cc'], 'frozen_core': frozen}}, basis=None)
            for label, frozen in zip(CORE_JOBS, (True, False), strict=True)
        }

    def key(self, name: str) -> str | None:
        """Return under which name the nodes of a basis are among the inputs."""
        resolved = self.basis(name)
        return key_of(resolved.settings.basis) if resolved.bases else None

    def parameters(self, method: str, name: str, rule: MeshRule, **changes: t.Any) -> dict[str, t.Any]:
        """Return the parameters of one calculation, whose correlation energy is on the mesh of its Hartree-Fock."""
        resolved = self.basis(name).settings
        meshes = {**resolved.meshes, 'HF': rule, 'CCSD(T)': rule}
        settings = resolved.model_copy(update={'meshes': meshes, **changes})
        local = settings.local if method == 'LNO-CCSD(T)' else None
        settings = settings.model_copy(update={'local': local})
        return {**settings.parameters(Fidelity.CCSD_T, self.structure), 'method': method}


def plan_composite(
    protocol: EnergyProtocol, structure: StructureData, around: Surroundings | None = None
) -> tuple[CompositePlan, EnergyLevel, dict[str, dict[str, BasisData]]]:
    """Return the plan for a structure, the level that the result is labelled with, and the bases by key and element.

    :raises InvalidInputError: if the protocol has no composite, or a basis is not installed.
    """
    settings, composite = protocol.settings, protocol.settings.composite
    if composite is None:
        raise InvalidInputError(f'protocol `{settings.protocol}` has no composite energy')
    planner = _Planner(protocol, structure, around or Surroundings())
    is_local = settings.local is not None and planner.is_crystal
    small = planner.add(
        'LNO-CCSD(T)' if is_local else 'CCSD(T)', composite.coupled_cluster.basis, composite.coupled_cluster.mesh
    )
    hartree_fock = planner.component('HF', composite.hartree_fock)
    mp2 = None if composite.mp2 is None else planner.component('MP2', composite.mp2)
    core = {} if composite.core is None else planner.core_jobs(composite.core)
    plan = CompositePlan(
        jobs={**planner.jobs(), **core},
        hartree_fock=hartree_fock,
        mp2=mp2,
        coupled_cluster=small.job,
        separate_triples=settings.splits_triples and planner.is_crystal,
        residual_error=composite.residual_error,
        core=CORE_JOBS if core else None,
    )
    nodes = {
        key_of(resolved.settings.basis): resolved.bases for resolved in planner.resolved.values() if resolved.bases
    }
    return plan, _level(planner, composite), nodes


def _level(planner: _Planner, composite: CompositeSettings) -> EnergyLevel:
    """Return the label: its tag ends in a hash of everything that moves the energy."""
    resolved = planner.basis(composite.coupled_cluster.basis)
    isolated = not planner.is_crystal
    level = EnergyLevel.create(
        resolved.settings,
        Fidelity.CCSD_T,
        isolated=isolated,
        surroundings=planner.around.tag,
        notes=resolved.notes,
    )
    parts = level.level_tag.split(':')
    requested = {name: planner.protocol.requested_name(name) for name in planner.resolved}
    names = {requested[name]: planner.basis(name).settings.basis for name in planner.resolved}
    # As the protocol has it: the resolved names stand beside it.
    values = composite.with_basis_names(requested).model_dump(mode='json', exclude={'residual_error'})
    content = json.dumps([values, names, parts[4]], sort_keys=True)
    is_limit = composite.mp2 is not None and len(composite.mp2.bases) > 1
    parts[1] = f'composite-{"cbs-" if is_limit else ""}{parts[1]}'
    if not isolated:
        dense = '-'.join(rule.tag for rule in composite.hartree_fock.meshes)
        parts[3] = f'k{dense}-cc{composite.coupled_cluster.mesh.tag}'
    parts[4] = hashlib.sha256(content.encode()).hexdigest()[:8]
    return level.model_copy(update={'level_tag': ':'.join(parts)})


@dataclasses.dataclass(frozen=True)
class CorrectionPart:
    """MP2 in one basis."""

    parameters: dict[str, t.Any]
    bases: dict[str, BasisData]
    cardinal: int


@dataclasses.dataclass(frozen=True)
class CorrectionPlan:
    """MP2 in the basis of an energy and in a larger one, on its mesh, and the tag of the energy."""

    small: CorrectionPart
    large: CorrectionPart
    level_tag: str


def plan_correction(protocol: EnergyProtocol, structure: StructureData, larger_basis: str) -> CorrectionPlan:
    """Return what the basis-set correction of a CCSD(T) energy of the EnergyWorkChain needs.

    :raises InvalidInputError: if a basis is not installed, or ``larger_basis`` is not larger.
    """
    settings = protocol.settings
    planner, rule = _Planner(protocol, structure, Surroundings()), settings.meshes['CCSD(T)']
    parts = []
    for name in (settings.basis_of(Fidelity.CCSD_T), larger_basis):
        resolved = planner.basis(name)
        parts.append(CorrectionPart(planner.parameters('MP2', name, rule), resolved.bases, resolved.cardinal))
    small, large = parts
    if not small.cardinal < large.cardinal:
        raise InvalidInputError(f'the basis {larger_basis} is not larger than {settings.basis_of(Fidelity.CCSD_T)}')
    resolved = planner.basis(settings.basis_of(Fidelity.CCSD_T))
    tag = resolved.settings.tag(Fidelity.CCSD_T, isolated=not planner.is_crystal)
    return CorrectionPlan(small, large, tag)

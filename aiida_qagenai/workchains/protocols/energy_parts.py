"""Parts of the typed protocols of single energies."""

from __future__ import annotations

import typing as t

import numpy as np
import pydantic

from aiida_qagenai.calculations.pyscf.parameters import LocalOptions
from aiida_qagenai.chemistry.kpoints import mean_value_shift
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.model import StrictModel

if t.TYPE_CHECKING:
    from aiida.orm import StructureData

__all__ = (
    'MAGNETISM',
    'SPIN_DAMPING',
    'Atoms',
    'BasisSize',
    'BeyondArgonSettings',
    'ComponentSettings',
    'CompositeSettings',
    'CorrelationSettings',
    'CounterpoiseSettings',
    'CoupledClusterSettings',
    'FallbackSettings',
    'LocalSettings',
    'Magnetism',
    'MeshRule',
    'OrderingsSettings',
    'PositiveMesh',
    'PseudoSettings',
    'ScfSettings',
    'atoms_of',
    'has_odd_electrons',
)

Magnetism = t.Literal['none', 'auto']

MAGNETISM: t.Any = pydantic.Field(
    'auto', description='`auto`: crystals with local moments are computed with spin polarisation, by `orderings`.'
)

SPIN_DAMPING = 0.5
"""Fraction of the old Fock matrix kept in the first cycles of a spin-polarised crystal, see ``ScfOptions``."""

PositiveMesh = tuple[pydantic.PositiveInt, pydantic.PositiveInt, pydantic.PositiveInt]


class BasisSize(StrictModel):
    """Basis functions and valence electrons of one atom."""

    functions: pydantic.PositiveInt
    valence: pydantic.PositiveInt


def has_odd_electrons(symbols: t.Sequence[str], sizes: t.Mapping[str, BasisSize]) -> bool:
    """Return whether atoms have an odd number of valence electrons together; not where the size of one is unknown."""
    return set(symbols) <= set(sizes) and sum(sizes[symbol].valence for symbol in symbols) % 2 == 1


Atoms = tuple[t.Any, t.Sequence[int]]
"""Fractional coordinates (n, 3) and a number for each atom that tells the kinds apart."""


def atoms_of(structure: StructureData, moments: t.Sequence[float] | None = None) -> Atoms:
    """Return the atoms of a crystal; those with different initial moments are different kinds."""
    positions = np.array([site.position for site in structure.sites]) @ np.linalg.inv(np.array(structure.cell))
    symbols = [structure.get_kind(site.kind_name).symbol for site in structure.sites]
    kinds = list(zip(symbols, moments or [0.0] * len(symbols), strict=True))
    order = {kind: number for number, kind in enumerate(dict.fromkeys(kinds), start=1)}
    return positions, [order[kind] for kind in kinds]


class PseudoSettings(StrictModel):
    """Pseudopotentials."""

    functional: str | None = pydantic.Field(
        description='Of PBE, and for want of better of SCAN and HSE06: an inconsistency. None: all electrons.'
    )
    coupled_cluster: str | None


class MeshRule(StrictModel):
    """A k-mesh: either fixed, or by a largest distance between points along each reciprocal vector (1/Å)."""

    fixed: PositiveMesh | None = None
    spacing: pydantic.PositiveFloat | None = None
    shift: tuple[float, float, float] | t.Literal['mean-value'] = pydantic.Field(
        (0.0, 0.0, 0.0),
        description='Displacement from Γ in steps of the mesh; `mean-value`: that at which the crystal is closest to a '
        'dense mesh.',
    )

    @pydantic.model_validator(mode='after')
    def _one_rule(self) -> MeshRule:
        if (self.fixed is None) == (self.spacing is None):
            raise ValueError('give either `fixed` or `spacing`')
        return self

    def mesh(self, cell: t.Any) -> list[int]:
        """Return the mesh for lattice vectors as rows (Å)."""
        if self.fixed is not None:
            return list(self.fixed)
        lengths = np.linalg.norm(2 * np.pi * np.linalg.inv(np.array(cell)).T, axis=1)
        return [max(1, int(np.ceil(length / t.cast('float', self.spacing) - 1e-6))) for length in lengths]

    def points(self, cell: t.Any, atoms: Atoms | None = None) -> dict[str, t.Any]:
        """Return mesh and displacement as parameters of a calculation.

        :param cell: lattice vectors as rows, Å.
        :param atoms: of the crystal, whose symmetry a mean-value point needs; that of the lattice without.
        """
        mesh, shift = self.mesh(cell), self.shift
        if shift == 'mean-value':
            positions, kinds = atoms or ([[0.0, 0.0, 0.0]], [1])
            shift = mean_value_shift(cell, positions, kinds, mesh)
        return {'kmesh': mesh, 'kmesh_shift': shift}

    @property
    def tag(self) -> str:
        """Return a short name."""
        text = 'x'.join(map(str, self.fixed)) if self.fixed else f'{self.spacing:g}'
        if self.shift == 'mean-value':
            return f'{text}+mv'
        return text + (f'+{self.shift[0]:g}' if any(self.shift) else '')


class ScfSettings(StrictModel):
    """Thresholds of the mean field, Ha."""

    conv_tol: pydantic.PositiveFloat
    max_cycle: pydantic.PositiveInt


class CoupledClusterSettings(ScfSettings):
    """Thresholds of CCSD, Ha."""

    conv_tol_normt: pydantic.PositiveFloat


class LocalSettings(LocalOptions):
    """CCSD(T) of crystals in local natural orbitals, for which the Python of the code needs pyscf-forge."""

    max_atoms: pydantic.PositiveInt = pydantic.Field(8, description='In place of `max_atoms` of CCSD(T).')


class FallbackSettings(StrictModel):
    """The basis of PySCF that stands in for a family that is not installed."""

    basis: str
    basis_sizes: dict[str, BasisSize]
    replaces: str | None = pydantic.Field(
        None, description='The family that it stands in for, set when the protocol is resolved without that family.'
    )
    not_isolated: list[str] = pydantic.Field([], description='Elements whose isolated atom it cannot describe.')


class BeyondArgonSettings(StrictModel):
    """What takes the place of the basis, for all elements of a system with one beyond argon."""

    basis: t.Literal['gth-szv-molopt-sr', 'gth-dzvp-molopt-sr']
    expected_error: str
    cost: str
    max_atoms: dict[Fidelity, pydantic.PositiveInt] = pydantic.Field(
        description='Applies where it is less than `max_atoms` of the protocol.'
    )
    grid_spacing: pydantic.PositiveFloat = pydantic.Field(
        description='Å; applies where it is finer than `grid_spacing` of the protocol: semi-core electrons are harder.'
    )


class ComponentSettings(StrictModel):
    """One part of the composite energy; of two bases or meshes the limit is extrapolated."""

    bases: list[str] = pydantic.Field(min_length=1, max_length=2, description='In the order of cardinal numbers.')
    meshes: list[MeshRule] = pydantic.Field(min_length=1, max_length=2, description='The coarser one first.')
    basis_mesh: MeshRule | None = pydantic.Field(
        None,
        exclude_if=lambda value: value is None,
        description='Mesh of the step in the basis, by default the coarser one of `meshes`.',
    )

    @pydantic.model_validator(mode='after')
    def _has_step(self) -> ComponentSettings:
        if self.basis_mesh is not None and len(self.bases) == 1:
            raise ValueError('`basis_mesh` is for two bases')
        return self


class CorrelationSettings(StrictModel):
    """The part of the composite energy that is computed once, at a small basis on a coarse mesh."""

    basis: str
    mesh: MeshRule


class CompositeSettings(StrictModel):
    """E_HF(mesh, basis → ∞) + E_MP2(mesh, basis → ∞) + [E_CCSD(T) − E_MP2](small basis, coarse mesh).

    Without `mp2` the correlation energy is that of CCSD(T) alone.
    """

    hartree_fock: ComponentSettings
    mp2: ComponentSettings | None = None
    coupled_cluster: CorrelationSettings
    core: CorrelationSettings | None = pydantic.Field(
        None, description='All-electron basis and mesh for the MP2 correlation of the core, with scalar relativity.'
    )
    residual_error: pydantic.NonNegativeFloat = pydantic.Field(
        description='Standard error of what is not extrapolated, eV/atom: basis, mesh and fitting of the small part.'
    )

    @property
    def basis_names(self) -> set[str]:
        """Return the names of all bases but that of the core, which is always one of PySCF."""
        names = {*self.hartree_fock.bases, self.coupled_cluster.basis}
        return names | set(self.mp2.bases if self.mp2 is not None else ())

    def with_basis_names(self, names: t.Mapping[str, str]) -> CompositeSettings:
        """Return the settings with the bases called as ``names`` says."""

        def rename(part: ComponentSettings) -> ComponentSettings:
            return part.model_copy(update={'bases': [names.get(name, name) for name in part.bases]})

        small = self.coupled_cluster
        return self.model_copy(
            update={
                'hartree_fock': rename(self.hartree_fock),
                'mp2': rename(self.mp2) if self.mp2 is not None else None,
                'coupled_cluster': small.model_copy(update={'basis': names.get(small.basis, small.basis)}),
            }
        )


class CounterpoiseSettings(StrictModel):
    """Which neighbours in the crystal lend their basis functions to the isolated atoms."""

    shells: int = pydantic.Field(1, ge=1, le=3, description='Shells of neighbours.')


class OrderingsSettings(StrictModel):
    """Which magnetic orderings of a crystal with local moments are computed; the lowest one counts."""

    max_atoms: pydantic.PositiveInt = pydantic.Field(
        8,
        description='Largest cell of an ordering, or the cell of the crystal if it is larger; the level has its limit.',
    )
    max_orderings: pydantic.PositiveInt = pydantic.Field(
        4, description='Smallest cells first, and of a size the likely ones; the non-magnetic solution does not count.'
    )
    spin_state: t.Literal['high', 'low'] = pydantic.Field('high', description='Of 3d ions, for the initial moments.')
    nonmagnetic: bool | None = pydantic.Field(
        None, description='Compute the crystal without moments as well; by default where all ions may have low spin 0.'
    )
    window: pydantic.NonNegativeFloat = pydantic.Field(
        0.03, description='Orderings up to this above the lowest one at PBE are computed at the higher levels, eV/atom.'
    )

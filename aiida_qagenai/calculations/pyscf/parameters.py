"""The parameters of one PySCF calculation: typed, complete, and an unknown key is an error."""

from __future__ import annotations

import re
import typing as t

import pydantic

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.model import StrictModel

__all__ = (
    'FUNCTIONALS',
    'BasisText',
    'CoupledClusterOptions',
    'LocalOptions',
    'Method',
    'PyscfCellParameters',
    'RelaxOptions',
    'ScfOptions',
)

FUNCTIONALS = {Fidelity.PBE: 'PBE', Fidelity.SCAN: 'SCAN', Fidelity.HSE06: 'HSE06'}
"""The name by which PySCF knows each functional of the ladder."""

Mesh = tuple[
    t.Annotated[int, pydantic.Field(ge=1)],
    t.Annotated[int, pydantic.Field(ge=1)],
    t.Annotated[int, pydantic.Field(ge=1)],
]
Shift = tuple[float, float, float]

Method = t.Literal['HF', 'MP2', 'CCSD', 'CCSD(T)', '(T)', 'LNO-CCSD(T)']
"""What a calculation of the coupled-cluster family computes; `(T)` continues from the amplitudes of a CCSD.

`LNO-CCSD(T)` is CCSD(T) in local natural orbitals, by pyscf-forge, with what they lack at MP2 added.
"""

# PySCF takes a name that it does not know for the basis itself, and evaluates what is not a number in it.
BasisName = t.Annotated[str, pydantic.Field(pattern=r'^[A-Za-z0-9][A-Za-z0-9 *+,()-]*$', max_length=80)]
DATA_LINE = re.compile(r'[A-Za-z0-9_ \t.+-]*')


class BasisText(StrictModel):
    """A basis set, or a pseudopotential, of one element as the text of the file that holds it."""

    format: t.Literal['nwchem', 'cp2k'] = pydantic.Field(description='Whose format the text has.')
    text: str = pydantic.Field(min_length=1, max_length=100_000, description='Lines of one element; # comments.')

    @pydantic.field_validator('text')
    @classmethod
    def _only_data(cls, text: str) -> str:
        for line in text.splitlines():
            if not DATA_LINE.fullmatch(line.split('#')[0]):
                message = f'only element symbols, shells and numbers belong into a basis, not {line.strip()!r:.60}'
                raise ValueError(message)
        return text


PerElement = BasisName | dict[str, BasisName | BasisText]
"""One name for all elements, or a name or the text of a file for each."""


class ScfOptions(StrictModel):
    """How the mean field is converged."""

    conv_tol: float = pydantic.Field(1e-7, gt=0, description='Energy threshold, Ha.')
    max_cycle: int = pydantic.Field(50, ge=1, le=99, description='100 cycles count as not converged.')
    damping: float = pydantic.Field(
        0.0, ge=0, lt=1, description='Fraction of the old Fock matrix kept in the first cycles, before DIIS alone.'
    )
    level_shift: float = pydantic.Field(0.0, ge=0, description='Shift of the virtual levels, Ha.')
    second_order: bool = pydantic.Field(False, description='Second-order (Newton) convergence.')
    smearing: float | None = pydantic.Field(
        None, gt=0, description='Fermi-Dirac width, Ha (density functionals of crystals); energies are for zero width.'
    )


class CoupledClusterOptions(StrictModel):
    """How CCSD is converged, and the k-mesh of the correlation energy where it differs from that of Hartree-Fock."""

    conv_tol: float = pydantic.Field(1e-6, gt=0, description='Energy threshold, Ha.')
    conv_tol_normt: float = pydantic.Field(1e-4, gt=0, description='Threshold of the amplitudes.')
    max_cycle: int = pydantic.Field(50, ge=1, description='CCSD iterations.')
    damping: float = pydantic.Field(1.0, gt=0, le=1, description='Fraction of each amplitude update taken.')
    kmesh: Mesh | None = pydantic.Field(None, description='k-mesh of the correlation energy; that of HF by default.')
    kmesh_shift: Shift | None = pydantic.Field(None, description='Its displacement in steps of the mesh.')
    frozen_core: bool = pydantic.Field(True, description='Leave core orbitals in the valence uncorrelated.')


class RelaxOptions(StrictModel):
    """How a crystal is relaxed."""

    freedom: t.Literal['atoms', 'cell'] = pydantic.Field(
        'atoms', description='What moves: the atoms, or the cell as well (needs PySCF 2.14).'
    )
    max_force: float = pydantic.Field(0.02, gt=0, description='On any atom, eV/Å.')
    max_pressure: float = pydantic.Field(0.2, gt=0, description='Largest component of the stress, GPa.')
    max_steps: int = pydantic.Field(60, ge=1, description='Ionic steps.')


class LocalOptions(StrictModel):
    """How much of the orbital space LNO-CCSD(T) keeps around each atom: Ye, Berkelbach, JCTC 20, 8948 (2024)."""

    occupied_threshold: float = pydantic.Field(
        1e-4, ge=0, lt=1, description='Occupied natural orbitals of less are dropped; none at 0.'
    )
    virtual_threshold: float = pydantic.Field(1e-5, ge=0, lt=1, description='The same of virtual natural orbitals.')


class PyscfCellParameters(StrictModel):
    """All parameters of :class:`~aiida_qagenai.calculations.pyscf.cell.PyscfCellCalculation`."""

    fidelity: Fidelity
    method: Method | None = pydantic.Field(None, description='Part of CCSD(T) to compute; all of it by default.')
    system: t.Literal['crystal', 'molecule'] = 'crystal'
    basis: PerElement = pydantic.Field(description='Name of a basis of PySCF, or a name or its text per element.')
    pseudo: PerElement | None = pydantic.Field(
        None, description='Name of a pseudopotential, or a name or its text per element; none: all electrons.'
    )
    auxiliary_basis: PerElement | None = pydantic.Field(
        None, description='Fitting basis of a crystal, given like `basis`; even-tempered by default.'
    )
    relativity: t.Literal['sfx2c1e'] | None = pydantic.Field(
        None, description='Scalar relativity of all electrons: spin-free exact two-component, one-electron terms.'
    )
    charge: int = 0
    spin: int | None = pydantic.Field(
        None,
        description='Electrons of spin up minus those of spin down: of a molecule, 0 by default, or per cell of a '
        'spin-polarised crystal, by default the sum of the `moments`, made even or odd as the electrons are.',
    )
    spin_polarized: bool = pydantic.Field(False, description='Two spin densities (crystals): KUKS, or KUHF.')
    moments: list[float] | None = pydantic.Field(
        None, description='Moment (μB) of each site that the density begins with, in the order of the sites.'
    )
    free_moment: bool = pydantic.Field(
        False, description='Let the moment of the cell relax from `spin`: for magnetic metals, with `scf.smearing`.'
    )
    kmesh: Mesh | None = pydantic.Field(None, description='k-points along each reciprocal vector.')
    kmesh_shift: Shift = pydantic.Field((0.0, 0.0, 0.0), description='Displacement from Gamma, in steps of the mesh.')
    grid_mesh: Mesh | None = pydantic.Field(None, description='Points of the uniform grid of density functionals.')
    coulomb: t.Literal['fitted', 'grid'] = pydantic.Field(
        'fitted',
        description='Hartree potential and screened exchange of functionals of a crystal: by density fitting, or on '
        'the uniform grid, which is several times cheaper for small cells.',
    )
    grid_level: int = pydantic.Field(4, ge=0, le=9, description='Level of the atomic grid of molecules.')
    precision: float = pydantic.Field(1e-8, gt=0, lt=1e-3, description='Precision of lattice sums, Ha.')
    auxiliary_beta: float = pydantic.Field(2.0, gt=1, description='Ratio of the even-tempered auxiliary basis.')
    scf: ScfOptions = ScfOptions()
    cc: CoupledClusterOptions = CoupledClusterOptions()
    local: LocalOptions | None = pydantic.Field(
        None, description='Of the `method` LNO-CCSD(T); the defaults of pyscf-forge if missing.'
    )
    descriptors: bool = pydantic.Field(False, description='Also compute the quantum descriptors (PBE of a crystal).')
    band_path_spacing: float | None = pydantic.Field(
        None, gt=0, description='Also compute the bands along the path of seekpath with this spacing, 1/Å (PBE).'
    )
    forces: bool = pydantic.Field(False, description='Forces, and the stress from PySCF 2.14 (PBE of a crystal).')
    relax: RelaxOptions | None = pydantic.Field(None, description='Relax first; energy and forces are of the end.')
    max_memory_mb: float = pydantic.Field(4000, gt=0, description='Memory PySCF may use; larger estimates are refused.')
    cache_orbitals: bool = pydantic.Field(True, description='Keep orbitals on the grid between cycles where they fit.')
    checkpoint_interval_seconds: float = pydantic.Field(60, ge=0, description='How often CCSD saves its amplitudes.')

    def dump(self) -> dict[str, t.Any]:
        """Return the complete parameters; without what came later as they were before there was any."""
        values = super().dump()
        if self.coulomb == 'fitted':
            del values['coulomb']
        if not self.spin_polarized:
            values['spin'] = self.spin or 0
            for name in ('spin_polarized', 'moments', 'free_moment'):
                del values[name]
        return values

    @property
    def is_crystal(self) -> bool:
        """Return whether the system is periodic."""
        return self.system == 'crystal'

    @property
    def is_coupled_cluster(self) -> bool:
        """Return whether the level is CCSD(T), or a part of it."""
        return self.fidelity is Fidelity.CCSD_T

    @property
    def resolved_method(self) -> Method | None:
        """Return what of CCSD(T) is computed, or None for a density functional."""
        return (self.method or 'CCSD(T)') if self.is_coupled_cluster else None

    @property
    def has_amplitudes(self) -> bool:
        """Return whether the calculation leaves, and can be continued from, amplitudes."""
        return self.is_crystal and self.resolved_method in {'CCSD', 'CCSD(T)', '(T)'}

    @property
    def has_forces(self) -> bool:
        """Return whether forces are computed: the Hartree potential is then on the grid, without density fitting."""
        return self.forces or self.relax is not None

    @property
    def has_exchange_on_grid(self) -> bool:
        """Return whether screened exchange is computed on the uniform grid."""
        return self.coulomb == 'grid' and self.fidelity is Fidelity.HSE06

    @property
    def is_local(self) -> bool:
        """Return whether the calculation is one of local correlation, which leaves finished fragments."""
        return self.resolved_method == 'LNO-CCSD(T)'

    @pydantic.model_validator(mode='after')
    def _check(self) -> PyscfCellParameters:
        crystal, functional = self.is_crystal, not self.is_coupled_cluster
        problems = (
            (crystal and self.kmesh is None, '`kmesh` is needed for a crystal'),
            (crystal and functional and self.grid_mesh is None, '`grid_mesh` is needed for a functional of a crystal'),
            (not crystal and self.kmesh is not None, '`kmesh` is not for molecules'),
            (not crystal and self.auxiliary_basis is not None, '`auxiliary_basis` is for crystals'),
            (functional and self.method is not None, '`method` is for the fidelity CCSD(T)'),
            (self.is_local and not crystal, '`method` LNO-CCSD(T) is for crystals'),
            (
                self.is_local and any(self.cc.kmesh_shift or self.kmesh_shift),
                '`method` LNO-CCSD(T) needs a mesh with Γ: no shift of the mesh of the correlation energy',
            ),
            (self.local is not None and not self.is_local, '`local` is for the `method` LNO-CCSD(T)'),
            (not crystal and self.method == '(T)', '`method` (T) is for crystals: a molecule is computed in one go'),
            (
                self.relativity is not None and self.pseudo is not None,
                '`relativity` is for all electrons: scalar relativity is part of a pseudopotential',
            ),
            (
                crystal and functional and self.pseudo is None,
                '`pseudo` is needed for a functional of a crystal: uniform grids do not resolve core electrons',
            ),
            (
                self.descriptors and not (crystal and self.fidelity is Fidelity.PBE),
                '`descriptors` need PBE of a crystal',
            ),
            (
                self.band_path_spacing is not None and not (crystal and self.fidelity is Fidelity.PBE),
                '`band_path_spacing` needs PBE of a crystal',
            ),
            (
                self.has_forces and not (crystal and self.fidelity is Fidelity.PBE),
                f'no forces at {self.fidelity} of a {self.system}: `forces` and `relax` need PBE of a crystal',
            ),
            (
                self.has_forces and (self.descriptors or self.band_path_spacing is not None),
                '`forces` and `relax` go without `descriptors` and bands: compute these at the relaxed structure',
            ),
            (
                self.coulomb == 'grid' and not (crystal and functional),
                '`coulomb` on the grid is for density functionals of crystals',
            ),
            (
                self.scf.smearing is not None and not (crystal and functional),
                '`scf.smearing` is for density functionals of crystals',
            ),
            (
                self.scf.smearing is not None and self.scf.second_order,
                '`scf.second_order` does not work with `scf.smearing`',
            ),
            (
                (self.cc.kmesh is None) != (self.cc.kmesh_shift is None),
                '`cc.kmesh` and `cc.kmesh_shift` go together',
            ),
        )
        for wrong, text in (*problems, *self._spin_problems()):
            if wrong:
                raise ValueError(text)
        return self

    def _spin_problems(self) -> tuple[tuple[bool, str], ...]:
        polarized = self.spin_polarized
        return (
            (polarized and not self.is_crystal, '`spin_polarized` is for crystals: a molecule is by its `spin`'),
            (self.is_crystal and not polarized and bool(self.spin), '`spin` of a crystal needs `spin_polarized`'),
            (not self.is_crystal and (self.spin or 0) < 0, '`spin` of a molecule is not negative'),
            (self.moments is not None and not polarized, '`moments` need `spin_polarized`'),
            (self.free_moment and not polarized, '`free_moment` needs `spin_polarized`'),
            (self.free_moment and self.scf.smearing is None, '`free_moment` needs `scf.smearing`'),
            (
                polarized and self.is_coupled_cluster and self.method not in {'HF', 'CCSD'},
                '`spin_polarized` is for density functionals and the `method` HF or CCSD: PySCF has no (T) for it',
            ),
            (polarized and self.has_forces, '`forces` and `relax` go without `spin_polarized`'),
        )

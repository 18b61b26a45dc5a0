"""The parameters of one PySCF calculation: typed, complete, and an unknown key is an error."""

from __future__ import annotations

import typing as t

import pydantic

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity

__all__ = ('FUNCTIONALS', 'CoupledClusterOptions', 'PyscfCellParameters', 'ScfOptions', 'validation_text')

FUNCTIONALS = {Fidelity.PBE: 'PBE', Fidelity.SCAN: 'SCAN', Fidelity.HSE06: 'HSE06'}
"""The name by which PySCF knows each functional of the ladder."""

Mesh = tuple[
    t.Annotated[int, pydantic.Field(ge=1)],
    t.Annotated[int, pydantic.Field(ge=1)],
    t.Annotated[int, pydantic.Field(ge=1)],
]
Shift = tuple[float, float, float]


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra='forbid', frozen=True, allow_inf_nan=False)


class ScfOptions(_Model):
    """How the mean field is converged."""

    conv_tol: float = pydantic.Field(1e-7, gt=0, description='Energy threshold, Ha.')
    max_cycle: int = pydantic.Field(50, ge=1, le=99, description='100 cycles count as not converged.')
    damping: float = pydantic.Field(0.0, ge=0, lt=1, description='Fraction of the old Fock matrix kept.')
    level_shift: float = pydantic.Field(0.0, ge=0, description='Shift of the virtual levels, Ha.')
    second_order: bool = pydantic.Field(False, description='Second-order (Newton) convergence.')
    smearing: float | None = pydantic.Field(
        None, gt=0, description='Fermi-Dirac width, Ha (density functionals of crystals); energies are for zero width.'
    )


class CoupledClusterOptions(_Model):
    """How CCSD is converged, and the k-mesh of the correlation energy where it differs from that of Hartree-Fock."""

    conv_tol: float = pydantic.Field(1e-6, gt=0, description='Energy threshold, Ha.')
    conv_tol_normt: float = pydantic.Field(1e-4, gt=0, description='Threshold of the amplitudes.')
    max_cycle: int = pydantic.Field(50, ge=1, description='CCSD iterations.')
    damping: float = pydantic.Field(1.0, gt=0, le=1, description='Fraction of each amplitude update taken.')
    kmesh: Mesh | None = pydantic.Field(None, description='k-mesh of the correlation energy; that of HF by default.')
    kmesh_shift: Shift | None = pydantic.Field(None, description='Its displacement in steps of the mesh.')


class PyscfCellParameters(_Model):
    """All parameters of :class:`~aiida_qagenai.calculations.pyscf_cell.PyscfCellCalculation`."""

    fidelity: Fidelity
    system: t.Literal['crystal', 'molecule'] = 'crystal'
    basis: str | dict[str, str] = pydantic.Field(description='Name of a basis of PySCF, or one per element.')
    pseudo: str | dict[str, str] = pydantic.Field(description='Name of a pseudopotential, or one per element.')
    charge: int = 0
    spin: int = pydantic.Field(0, ge=0, description='Unpaired electrons (molecules and atoms).')
    kmesh: Mesh | None = pydantic.Field(None, description='k-points along each reciprocal vector.')
    kmesh_shift: Shift = pydantic.Field((0.0, 0.0, 0.0), description='Displacement from Gamma, in steps of the mesh.')
    grid_mesh: Mesh | None = pydantic.Field(None, description='Points of the uniform grid of density functionals.')
    grid_level: int = pydantic.Field(4, ge=0, le=9, description='Level of the atomic grid of molecules.')
    precision: float = pydantic.Field(1e-8, gt=0, lt=1e-3, description='Precision of lattice sums, Ha.')
    auxiliary_beta: float = pydantic.Field(2.0, gt=1, description='Ratio of the even-tempered auxiliary basis.')
    scf: ScfOptions = ScfOptions()
    cc: CoupledClusterOptions = CoupledClusterOptions()
    descriptors: bool = pydantic.Field(False, description='Also compute the quantum descriptors (PBE of a crystal).')
    max_memory_mb: float = pydantic.Field(4000, gt=0, description='Memory PySCF may use; larger estimates are refused.')
    cache_orbitals: bool = pydantic.Field(True, description='Keep orbitals on the grid between cycles where they fit.')
    checkpoint_interval_seconds: float = pydantic.Field(60, ge=0, description='How often CCSD saves its amplitudes.')

    @property
    def is_crystal(self) -> bool:
        """Return whether the system is periodic."""
        return self.system == 'crystal'

    @property
    def is_coupled_cluster(self) -> bool:
        """Return whether the level is CCSD(T)."""
        return self.fidelity is Fidelity.CCSD_T

    @pydantic.model_validator(mode='after')
    def _check(self) -> PyscfCellParameters:
        crystal, functional = self.is_crystal, not self.is_coupled_cluster
        problems = (
            (crystal and self.kmesh is None, '`kmesh` is needed for a crystal'),
            (crystal and functional and self.grid_mesh is None, '`grid_mesh` is needed for a functional of a crystal'),
            (crystal and self.spin != 0, '`spin` is for molecules: crystals are computed without spin polarisation'),
            (not crystal and self.kmesh is not None, '`kmesh` is not for molecules'),
            (
                self.descriptors and not (crystal and self.fidelity is Fidelity.PBE),
                '`descriptors` need PBE of a crystal',
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
        for wrong, text in problems:
            if wrong:
                raise ValueError(text)
        return self

    @classmethod
    def parse(cls, values: t.Mapping[str, t.Any]) -> PyscfCellParameters:
        """Return validated parameters.

        :raises InvalidInputError: naming every key that is wrong.
        """
        try:
            return cls.model_validate(dict(values))
        except pydantic.ValidationError as exception:
            raise InvalidInputError(validation_text(exception)) from exception

    def dump(self) -> dict[str, t.Any]:
        """Return the complete parameters as plain JSON."""
        return self.model_dump(mode='json')


def validation_text(exception: pydantic.ValidationError) -> str:
    """Return one line per error, with the path of the key."""
    lines = []
    for error in exception.errors(include_url=False):
        path = '.'.join(str(part) for part in error['loc'])
        lines.append(f'`{path}`: {error["msg"]}' if path else str(error['msg']))
    return '; '.join(lines)

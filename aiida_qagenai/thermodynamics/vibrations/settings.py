"""Settings of what moves atoms on a potential: relaxation, phonons, minimum-energy paths (neither AiiDA nor torch).

One place says which potentials there are and what each of them takes.
"""

from __future__ import annotations

import typing as t

import pydantic

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.common.properties import FUNCTION

__all__ = (
    'PACKAGES',
    'BandSettings',
    'ChgnetPotential',
    'ElasticitySettings',
    'EmtPotential',
    'HopSettings',
    'PhononSettings',
    'Potential',
    'RelaxSettings',
    'SevennetPotential',
    'TemperatureSettings',
    'ValidatorPotential',
    'VolumeSettings',
)


class EmtPotential(StrictModel):
    """ASE's effective-medium theory: Al, Cu, Ag, Au, Ni, Pd, Pt and their alloys. Fast, for tests and teaching."""

    name: t.Literal['emt']
    ELEMENTS: t.ClassVar[tuple[str, ...]] = ('Al', 'Cu', 'Ag', 'Au', 'Ni', 'Pd', 'Pt')
    tag: t.ClassVar[str] = 'emt'
    """What marks energies of this potential: two tags never meet in one hull."""
    level: t.ClassVar[str] = 'EMT'
    """Level of theory of the energies, which goes with every label."""


class ValidatorPotential(StrictModel):
    """The validator of a campaign: the mean of its members on one level, forces by differentiation."""

    name: t.Literal['validator']
    fidelity: Fidelity = Fidelity.PBE

    @property
    def tag(self) -> str:
        """Return what marks energies of this potential, but for the checkpoint, whose checksum is added."""
        return f'validator:{self.fidelity.value}'


class ChgnetPotential(StrictModel):
    """CHGNet, a foundation potential for elements up to Pu; its weights ship in its wheel (extra ``chgnet``).

    Deng et al., Nat. Mach. Intell. 5, 1031 (2023): ``0.3.0`` is trained on GGA and GGA+U, ``r2scan`` tuned to r²SCAN.
    """

    name: t.Literal['chgnet']
    model: t.Literal['0.3.0', 'r2scan'] = '0.3.0'

    @property
    def tag(self) -> str:
        """Return what marks energies of this potential."""
        return f'chgnet:{self.model}'

    @property
    def level(self) -> str:
        """Return the level of theory of the energies: ``0.3.0`` carries the corrections of the Materials Project."""
        return 'CHGNet-0.3.0' if self.model == '0.3.0' else 'CHGNet-r2SCAN'


class SevennetPotential(StrictModel):
    """SevenNet, foundation potentials for 89 elements; the weights ship in its wheel (extra ``sevennet``).

    Park et al., J. Chem. Theory Comput. 20, 4857 (2024): ``0`` and ``l3i5`` are trained on uncorrected GGA and GGA+U of
    the Materials Project. Kim et al., J. Am. Chem. Soc. 147, 1042 (2025): ``mf-0`` has a modality for each functional.
    """

    name: t.Literal['sevennet']
    model: t.Literal['0', 'l3i5', 'mf-0'] = '0'
    modality: t.Literal['PBE', 'R2SCAN'] | None = None

    @pydantic.model_validator(mode='after')
    def _check_modality(self) -> SevennetPotential:
        if (self.model == 'mf-0') != (self.modality is not None):
            needed = 'needs the modality PBE or R2SCAN' if self.modality is None else 'has no modalities'
            raise ValueError(f'the model {self.model} of SevenNet {needed}')
        return self

    @property
    def tag(self) -> str:
        """Return what marks energies of this potential."""
        return f'sevennet:{self.model}' + (f':{self.modality}' if self.modality else '')

    @property
    def level(self) -> str:
        """Return the level of theory of the energies."""
        name = {'0': 'SevenNet-0', 'l3i5': 'SevenNet-l3i5', 'mf-0': 'SevenNet-MF-0'}[self.model]
        return {None: name, 'PBE': f'{name} PBE', 'R2SCAN': f'{name} r2SCAN'}[self.modality]


Potential = t.Annotated[
    EmtPotential | ValidatorPotential | ChgnetPotential | SevennetPotential, pydantic.Field(discriminator='name')
]


PACKAGES = {'chgnet': 'chgnet', 'sevennet': 'sevenn'}
"""Name of a potential → the package of others that computes it, which the extra of that name installs."""


class RelaxSettings(StrictModel):
    """When a crystal counts as relaxed."""

    max_force: float = pydantic.Field(0.002, gt=0, description='Largest force on an atom, eV/Å')
    max_stress: float = pydantic.Field(1e-4, gt=0, description='Largest component of the stress, eV/Å3')
    max_steps: int = pydantic.Field(500, ge=1)
    keep_symmetry: bool = pydantic.Field(True, description='Keep the space group of the start')


class ElasticitySettings(StrictModel):
    """Strains whose stresses make the elastic tensor, and how atoms relax within the strained cells."""

    strains: tuple[t.Annotated[float, pydantic.Field(gt=0, le=0.05)], ...] = pydantic.Field(
        (0.01,), min_length=1, max_length=5, description='Amplitudes; each component is strained by ± each of them'
    )
    max_force: float = pydantic.Field(0.002, gt=0, description='Largest force on an atom of a strained cell, eV/Å')
    max_steps: int = pydantic.Field(200, ge=1, description='Most steps of the atoms of a strained cell')
    relax_ions: bool = pydantic.Field(True, description='Relax the atoms of strained cells; clamped ions otherwise')
    functions: tuple[t.Annotated[str, pydantic.Field(pattern=FUNCTION)], ...] = pydantic.Field(
        (), description='Functions, module:function, of the relaxed crystal as ASE atoms with the potential'
    )


class PhononSettings(StrictModel):
    """Force constants by finite displacements in a supercell."""

    min_length: float = pydantic.Field(10.0, gt=0, description='Smallest edge of the supercell, Å')
    max_atoms: int = pydantic.Field(1000, ge=1, description='Largest supercell; a larger one is refused')
    displacement: float = pydantic.Field(0.01, gt=0, le=0.2, description='Displacement, Å')
    mesh_length: float = pydantic.Field(60.0, gt=0, description='Mesh of q-points: divisions times edge, Å')
    imaginary_tolerance: float = pydantic.Field(
        0.1, ge=0, description='Frequencies below minus this are imaginary, THz'
    )
    symmetry_precision: float = pydantic.Field(1e-4, gt=0, description='Å')
    band_points: int = pydantic.Field(51, ge=2, description='q-points on each segment of the bands')


class VolumeSettings(StrictModel):
    """Volumes of the quasi-harmonic approximation, as strains of the edges, evenly spaced."""

    min_strain: float = pydantic.Field(-0.02, gt=-0.2, lt=0)
    max_strain: float = pydantic.Field(0.04, gt=0, lt=0.2)
    count: int = pydantic.Field(7, ge=5, le=51)
    relax_shape: bool = pydantic.Field(True, description='Relax cell shape and atoms at each volume, or atoms only')


class TemperatureSettings(StrictModel):
    """Temperatures 0, step, … up to the maximum, K."""

    maximum: float = pydantic.Field(1000.0, gt=0, le=10_000)
    step: float = pydantic.Field(25.0, gt=0)

    @pydantic.model_validator(mode='after')
    def _several(self) -> TemperatureSettings:
        if self.maximum < 4 * self.step:
            raise ValueError(f'maximum {self.maximum} K and step {self.step} K give fewer than five temperatures')
        return self


class BandSettings(StrictModel):
    """A nudged elastic band with a climbing image."""

    num_images: int = pydantic.Field(5, ge=1, le=49, description='Images between the two ends')
    spring_constant: float = pydantic.Field(1.0, gt=0, description='eV/Å2')
    max_force: float = pydantic.Field(0.02, gt=0, description='Largest force across the path and at its ends, eV/Å')
    max_steps: int = pydantic.Field(500, ge=1)
    climb: bool = True


class HopSettings(StrictModel):
    """Which hops of a vacancy are computed: all that no symmetry maps onto another, shortest first."""

    species: str = pydantic.Field(description='Element that hops into the vacancy')
    max_length: float = pydantic.Field(4.0, gt=0, description='Longest hop, Å')
    min_supercell: float = pydantic.Field(9.0, gt=0, description='Smallest edge of the supercell, Å')
    max_atoms: int = pydantic.Field(500, ge=2, description='Largest supercell; a larger one is refused')
    max_hops: int = pydantic.Field(10, ge=1, description='Most hops; the shortest are taken')
    symmetry_precision: float = pydantic.Field(0.01, gt=0, description='Å')

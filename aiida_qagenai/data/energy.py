"""One computed energy of one structure at one level of theory."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.record import RecordData
from aiida_qagenai.thermodynamics.multireference import METHOD_FLAGS, multireference_flags

__all__ = ('EnergyData', 'is_doubtful')


def is_doubtful(attributes: t.Mapping[str, t.Any], flags: t.Collection[str] = METHOD_FLAGS) -> bool:
    """Return whether an energy with these attributes should not teach a model: see ``unconverged`` of its options.

    An iteration did not converge, or a diagnostic says that CCSD(T) is the wrong method.

    :param flags: of multireference character that make a label doubtful.
    """
    return not attributes['converged'] or not set(flags).isdisjoint(multireference_flags(attributes))


class EnergyData(RecordData):
    """Energy of a structure at one fidelity, with the diagnostics to judge it and the attributes to search it.

    Energies of different ``level_tag`` (basis, pseudopotential, meshes) must never meet in one hull or training set.
    """

    # Names of the nodes it belongs to, not what it holds: a cached clone must keep its hash.
    _hash_ignored_attributes = ('structure_uuid', 'ordering_uuid')

    class AttributesModel(RecordData.AttributesModel):
        """Energies in eV, times in hours or seconds as named."""

        fidelity: Fidelity = OrmMetadataField(description='PBE, SCAN, HSE06 or CCSD(T)')
        method: str | None = OrmMetadataField(
            None, description='Method where it is less than the level, which it does not stand for: CCSD for CCSD(T)'
        )
        total_energy: float | None = OrmMetadataField(None, description='Total energy of the cell or molecule, eV')
        num_atoms: int = OrmMetadataField(ge=1, description='Atoms in the cell or molecule')
        energy_per_atom: float | None = OrmMetadataField(None, description='total_energy / num_atoms, eV')
        formation_energy_per_atom: float | None = OrmMetadataField(None, description='Formation energy, eV/atom')
        formation_scheme: str | None = OrmMetadataField(
            None, description='Its scheme: anchored, self_consistent or reference_compounds'
        )
        self_consistent: float | None = OrmMetadataField(
            None, description='Formation energy against the elements at the same level, eV/atom'
        )
        anchored: float | None = OrmMetadataField(
            None, description='Formation energy against isolated atoms and experimental atomisation energies, eV/atom'
        )
        anchored_uncertainty: float | None = OrmMetadataField(
            None, description='Standard error of `anchored` from the experimental values, eV/atom'
        )
        anchored_spin_correction: float | None = OrmMetadataField(
            None, description='Part of `anchored`: error of the pseudopotentials in the isolated atoms, eV/atom'
        )
        reference_reactions: dict[str, str] = OrmMetadataField(
            default_factory=dict,
            description='Reactions that the energies of the elements are derived from, by element: Mn = MnO - O',
        )
        reference_errors: dict[str, float] = OrmMetadataField(
            default_factory=dict,
            description='What the experimental energy of each reference adds to the error, with its sign, eV/atom',
        )
        reference_uncertainty: float | None = OrmMetadataField(
            None, description='Standard error of the formation energy from these experimental energies, eV/atom'
        )
        uncertainty: float | None = OrmMetadataField(
            None, description='Estimated standard error of total_energy from its extrapolations, eV'
        )
        formula: str = OrmMetadataField(description='Reduced formula')
        chemical_system: str = OrmMetadataField(description='Sorted elements joined by a dash: H-Li')
        converged: bool = OrmMetadataField(description='Whether every iteration of the calculation converged')
        protocol: str = OrmMetadataField(description='Name of the protocol')
        level_tag: str = OrmMetadataField(min_length=1, description='Basis, pseudopotential and meshes in one string')
        scientific: bool = OrmMetadataField(description='False for levels that only exercise the machinery')
        structure_uuid: str = OrmMetadataField(description='UUID of the structure')
        band_gap: float | None = OrmMetadataField(None, description='Gap on the k-mesh of the calculation, eV')
        band_gap_up: float | None = OrmMetadataField(None, description='Gap of spin up, eV')
        band_gap_down: float | None = OrmMetadataField(None, description='Gap of spin down, eV')
        spin_polarized: bool = OrmMetadataField(False, description='Whether there are two spin densities (crystals)')
        magnetic_ordering: str | None = OrmMetadataField(
            None, description='nonmagnetic, ferromagnetic, antiferromagnetic or ferrimagnetic'
        )
        total_moment: float | None = OrmMetadataField(None, description='Moment of the cell, μB')
        absolute_moment: float | None = OrmMetadataField(
            None, description='Integral of the absolute spin density over the cell, μB'
        )
        site_moments: list[float] | None = OrmMetadataField(
            None, description='Moments of the sites in the order of the structure, Löwdin populations, μB'
        )
        initial_moments: list[float] | None = OrmMetadataField(
            None, description='Moments of the sites that the density began with, μB'
        )
        spin_squared: float | None = OrmMetadataField(
            None, description='⟨S²⟩ per cell: S(S + 1) of its moment, and the contamination per cell; dimensionless'
        )
        ordering: str | None = OrmMetadataField(
            None, description='Of the lowest of several magnetic orderings, its name'
        )
        ordering_uuid: str | None = OrmMetadataField(None, description='UUID of the energy of that ordering')
        t1_diagnostic: float | None = OrmMetadataField(None, description='‖t1‖/√(2·n_occ·N_k), dimensionless')
        d1_diagnostic: float | None = OrmMetadataField(None, description='Largest spectral norm of t1, dimensionless')
        core_hours: float = OrmMetadataField(0.0, ge=0.0, description='Cores times wall time of the calculation, h')
        wall_seconds: float = OrmMetadataField(0.0, ge=0.0, description='Wall time of the calculation, s')
        memory_mb: float | None = OrmMetadataField(None, ge=0.0, description='Largest resident memory, MB')
        warnings: list[str] = OrmMetadataField(default_factory=list, description='Warnings of the calculation')
        warning_codes: list[int] = OrmMetadataField(
            default_factory=list, description='Codes (7xx) of the warnings, see `WARNING_CODES`'
        )
        components: dict[str, float] = OrmMetadataField(
            default_factory=dict, description='Parts of the total energy, eV'
        )
        forces: list[tuple[float, float, float]] | None = OrmMetadataField(
            None, description='Forces on the atoms in the order of the structure, eV/Å'
        )
        stress: list[tuple[float, float, float]] | None = OrmMetadataField(
            None, description='Stress (1/V) dE/dε, shape (3, 3), eV/Å3'
        )

        @pydantic.model_validator(mode='after')
        def _complete(self) -> t.Any:
            """Fill in ``energy_per_atom`` and check what depends on another field."""
            if self.total_energy is None and self.formation_energy_per_atom is None:
                raise ValueError('give total_energy, or formation_energy_per_atom where a database has nothing else')
            expected = None if self.total_energy is None else self.total_energy / self.num_atoms
            if self.energy_per_atom is None:
                object.__setattr__(self, 'energy_per_atom', expected)
            elif expected is None or abs(self.energy_per_atom - expected) > 1e-8:
                raise ValueError(f'energy_per_atom {self.energy_per_atom} is not total_energy / num_atoms = {expected}')
            if (self.formation_energy_per_atom is None) != (self.formation_scheme is None):
                raise ValueError('formation_energy_per_atom and formation_scheme go together')
            if self.forces is not None and len(self.forces) != self.num_atoms:
                raise ValueError(f'forces on {len(self.forces)} atoms of {self.num_atoms}')
            if self.stress is not None and len(self.stress) != 3:
                raise ValueError('stress must have the shape (3, 3)')
            if self.level_tag.split(':')[0] != self.protocol:
                raise ValueError(f'level_tag `{self.level_tag}` must start with the protocol `{self.protocol}`')
            return self

    @staticmethod
    def _title(content: dict[str, t.Any]) -> str:
        converged = '' if content['converged'] else ', not converged'
        return f'{content["formula"]} {content["method"] or content["fidelity"]} {content["protocol"]}{converged}'

    @property
    def fidelity(self) -> Fidelity:
        """Return the level of theory."""
        return Fidelity(self.base.attributes.get('fidelity'))

    @property
    def multireference_flags(self) -> tuple[str, ...]:
        """Return the signs of multireference character, names of ``thermodynamics.multireference.FLAGS``."""
        return multireference_flags(self.base.attributes.all)

    @property
    def total_energy(self) -> float:
        """Return the total energy, eV.

        :raises InvalidInputError: if a database gave the formation energy only.
        """
        value = self.base.attributes.get('total_energy')
        if value is None:
            raise InvalidInputError(f'{self} has a formation energy only, no total energy')
        return float(value)

    @property
    def formation_energy_per_atom(self) -> float | None:
        """Return the formation energy, eV/atom, or None where no references were given."""
        value = self.base.attributes.get('formation_energy_per_atom')
        return None if value is None else float(value)

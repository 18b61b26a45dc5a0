"""Typed protocols of single energies: what a structure and a fidelity become in parameters of the calculation."""

from __future__ import annotations

import hashlib
import json
import typing as t
from collections import Counter
from pathlib import Path

import numpy as np
import pydantic
from pymatgen.core import Element

from aiida_qagenai.calculations.pyscf.bases import COUNTERPOISE
from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.thermodynamics.references.atomization import has_spin_error
from aiida_qagenai.workchains.protocols.beyond_argon import missing_basis
from aiida_qagenai.workchains.protocols.energy_parts import (
    MAGNETISM,
    SPIN_DAMPING,
    Atoms,
    BasisSize,
    BeyondArgonSettings,
    CompositeSettings,
    CounterpoiseSettings,
    CoupledClusterSettings,
    FallbackSettings,
    LocalSettings,
    Magnetism,
    MeshRule,
    OrderingsSettings,
    PseudoSettings,
    ScfSettings,
    atoms_of,
    has_odd_electrons,
)
from aiida_qagenai.workchains.protocols.loader import (
    DEFAULT_PROTOCOL,
    describe_protocols,
    merge_overrides,
    protocol_values,
)
from aiida_qagenai.workchains.protocols.refusals import (
    MINIMUM_GAP,
    ground_state_spin,
    refuse_coupled_cluster,
    refuse_isolated,
)

if t.TYPE_CHECKING:
    from aiida.orm import StructureData

__all__ = (
    'MINIMUM_GAP',
    'EnergyLevel',
    'EnergySettings',
    'available_protocols',
    'energy_settings',
    'find_refusal',
    'ground_state_spin',
)

PROTOCOLS_FILE = Path(__file__).with_name('energy.yaml')

UNRESTRICTED = 'CCSD of two spins without (T): not the level CCSD(T), and no formation energy'

BAND_PATH_SPACING = 0.3
"""Distance of points on the path of the bands, 1/Å."""


class EnergySettings(StrictModel):
    """One protocol."""

    protocol: str = pydantic.Field(description='Name of the protocol that the settings come from: part of level tags.')
    description: str
    expected_error: str
    cost: str
    scientific: bool
    basis: str = pydantic.Field(description='Name of a basis of PySCF, or of a family: ccgto/cc-pvdz.')
    coupled_cluster_basis: str | None = pydantic.Field(None, description='Where CCSD(T) has another one.')
    fallback: FallbackSettings | None = None
    beyond_argon: BeyondArgonSettings | None = pydantic.Field(
        None, description='For systems with an element beyond argon; None once the settings are those of a system.'
    )
    unavailable: dict[Fidelity, str] = pydantic.Field(
        {}, description='Levels of theory that the elements of the system do not have, each with the reason.'
    )
    fitting: t.Literal['even_tempered', 'family'] = pydantic.Field(
        'even_tempered', description='Auxiliary basis of crystals: even-tempered, or the fitting set of the family.'
    )
    relativity: t.Literal['sfx2c1e'] | None = None
    pseudo: PseudoSettings
    basis_sizes: dict[str, BasisSize] = pydantic.Field(
        {}, description='By element, of a basis of PySCF; a family knows its own.'
    )
    max_atoms: dict[Fidelity, pydantic.PositiveInt]
    meshes: dict[t.Literal['PBE', 'SCAN', 'HSE06', 'HF', 'CCSD(T)'], MeshRule]
    grid_spacing: pydantic.PositiveFloat
    coulomb: t.Literal['fitted', 'grid'] = pydantic.Field(
        'fitted', description='Hartree potential and exchange of functionals of crystals: fitted, or on the grid.'
    )
    grid_level: int = pydantic.Field(ge=0, le=9)
    precision: pydantic.PositiveFloat
    auxiliary_beta: float = pydantic.Field(gt=1)
    smearing: pydantic.PositiveFloat | None
    scf: ScfSettings
    cc: CoupledClusterSettings
    max_memory_mb: pydantic.PositiveFloat
    separate_triples: bool = pydantic.Field(
        False, description='Compute (T) of crystals in a job of its own, which may need other resources than CCSD.'
    )
    local: LocalSettings | None = pydantic.Field(None, description='LNO-CCSD(T) for crystals; canonical without.')
    composite: CompositeSettings | None = None
    counterpoise: CounterpoiseSettings | None = pydantic.Field(
        None, description='Correction of the isolated atoms that anchored formation energies of crystals refer to.'
    )
    prefer_composite: bool = pydantic.Field(False, description='Whether the ladder takes the composite for CCSD(T).')
    magnetism: Magnetism = MAGNETISM
    orderings: OrderingsSettings = OrderingsSettings()
    top: Fidelity | None = pydantic.Field(
        None,
        description='Top rung of a campaign, which divergence, hulls and models refer to; the best by default that is '
        'valid in the chemical system, see `top_rung`.',
    )

    @property
    def top_rung(self) -> Fidelity:
        """Return the top rung, CCSD(T) where a campaign of before does not say."""
        return self.top or Fidelity.CCSD_T

    @property
    def basis_names(self) -> set[str]:
        """Return the names of all bases in the settings: of PySCF, or of families."""
        names = {self.basis, self.coupled_cluster_basis or self.basis}
        return names | (self.composite.basis_names if self.composite is not None else set())

    def with_basis_names(self, names: t.Mapping[str, str]) -> EnergySettings:
        """Return the settings with the bases called as ``names`` says, wherever they are named."""
        update: dict[str, t.Any] = {'basis': names.get(self.basis, self.basis)}
        if self.coupled_cluster_basis is not None:
            update['coupled_cluster_basis'] = names.get(self.coupled_cluster_basis, self.coupled_cluster_basis)
        if self.composite is not None:
            update['composite'] = self.composite.with_basis_names(names)
        return self.model_copy(update=update)

    def with_only_basis(self, name: str) -> EnergySettings:
        """Return the settings with one basis for all levels, in whose place nothing else stands."""
        update = {'basis': name, 'coupled_cluster_basis': None, 'fallback': None, 'composite': None}
        return self.model_copy(update=update)

    @property
    def available_levels(self) -> tuple[Fidelity, ...]:
        """Return the levels of theory that have a basis and a pseudopotential for the elements, lowest first."""
        return tuple(fidelity for fidelity in LADDER if fidelity not in self.unavailable)

    def basis_of(self, fidelity: Fidelity) -> str:
        """Return the name of the basis, or of its family, for ``fidelity``."""
        return (self.coupled_cluster_basis or self.basis) if fidelity is Fidelity.CCSD_T else self.basis

    def pseudo_of(self, fidelity: Fidelity) -> str | None:
        """Return the name of the pseudopotential for ``fidelity``, None for all electrons."""
        return self.pseudo.coupled_cluster if fidelity is Fidelity.CCSD_T else self.pseudo.functional

    @property
    def splits_triples(self) -> bool:
        """Return whether (T) of crystals is a job of its own; that of local CCSD(T) belongs to each fragment."""
        return self.separate_triples and self.local is None

    def limit_of(self, fidelity: Fidelity, *, isolated: bool) -> int:
        """Return how many atoms are admitted."""
        if fidelity is Fidelity.CCSD_T and self.local is not None and not isolated:
            return self.local.max_atoms
        return self.max_atoms[fidelity]

    def tag(
        self, fidelity: Fidelity, *, isolated: bool = False, surroundings: str = 'isolated', unrestricted: bool = False
    ) -> str:
        """Return the level tag: energies of different tags never meet in one hull.

        It ends in a hash of everything in the settings that moves an energy, so that an override shows.

        :param surroundings: of an isolated atom, the crystal that lends it basis functions.
        :param unrestricted: whether the energy is CCSD of two spins, in place of CCSD(T).
        """
        silent = {'protocol', 'description', 'expected_error', 'cost', 'scientific', 'max_atoms', 'max_memory_mb'}
        silent |= {'basis_sizes', 'basis', 'coupled_cluster_basis', 'fallback', 'beyond_argon', 'unavailable'}
        silent |= {'coulomb', 'composite', 'prefer_composite', 'separate_triples', 'local'}
        # The lowest energy of all orderings counts, however many were computed; the tag names the counterpoise
        # correction; the top rung chooses among energies and moves none.
        silent |= {'magnetism', 'orderings', 'counterpoise', 'top'}
        values, basis = self.model_dump(mode='json', exclude=silent), self.basis_of(fidelity)
        if unrestricted:
            basis = f'uccsd-{basis}'
        elif fidelity is Fidelity.CCSD_T and self.local is not None:
            # Of isolated atoms as well: they are the references of crystals.
            values['local'], basis = self.local.model_dump(exclude={'max_atoms'}), f'lno-{basis}'
        if has_spin_error(self.pseudo_of(fidelity), fidelity):
            # Formation energies from before the correction have another tag.
            values['spin_polarization'] = 'corrected'
        if self.magnetism == 'none':
            values['magnetism'] = 'none'
        if self.coulomb == 'grid' and fidelity is not Fidelity.CCSD_T:
            values['coulomb'] = 'grid'
        content = json.dumps(values, sort_keys=True)
        mesh = 'HF' if fidelity is Fidelity.CCSD_T else fidelity.value
        kmesh = surroundings if isolated else 'k' + self.meshes[mesh].tag  # type: ignore[index]
        if fidelity is Fidelity.CCSD_T and not isolated and self.meshes['CCSD(T)'] != self.meshes['HF']:
            kmesh += '-cc' + self.meshes['CCSD(T)'].tag
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        if self.counterpoise is not None:
            basis += f'{COUNTERPOISE}{self.counterpoise.shells}'
        return ':'.join((self.protocol, basis, self.pseudo_of(fidelity) or 'all-electron', kmesh, digest))

    def parameters(
        self,
        fidelity: Fidelity,
        structure: StructureData,
        *,
        descriptors: bool = False,
        forces: bool = False,
        moments: t.Sequence[float] | None = None,
        spin: int | None = None,
    ) -> dict[str, t.Any]:
        """Return the complete parameters of the calculation of a crystal, with ``forces`` or not, or of an atom.

        :param moments: of the sites of a crystal at the beginning, μB: computed spin-polarised with them, or ``spin``.
        :param spin: electrons of spin up minus spin down per cell, by default what the moments add up to. Where all
            elements are metals the moment is free instead; of an odd number of electrons elsewhere likewise, from 1.
        """
        symbols = [structure.get_kind(site.kind_name).symbol for site in structure.sites]
        if any(structure.pbc):
            if moments is not None and len(moments) != len(structure.sites):
                raise InvalidInputError(f'{len(moments)} `moments` for {len(structure.sites)} sites')
            is_metal = all(Element(kind.symbol).is_metal for kind in structure.kinds)
            spins: dict[str, t.Any] = {'moments': moments, 'spin': spin, 'free_moment': is_metal and spin is None}
            plain = forces or is_metal or fidelity is Fidelity.CCSD_T or self.magnetism == 'none'
            if moments is None and spin is None and not plain and has_odd_electrons(symbols, self.basis_sizes):
                spins.update(spin=1, free_moment=True)
            atoms = atoms_of(structure, moments)
            values = self.crystal_parameters(fidelity, structure.cell, atoms=atoms, descriptors=descriptors, **spins)
            return PyscfCellParameters.parse({**values, 'forces': True}).dump() if forces else values
        if moments is not None or spin is not None:
            raise InvalidInputError('`moments` and `spin` are for crystals: an atom is computed in its ground state')
        spin = ground_state_spin(symbols)
        assert spin is not None, 'the structure was refused'
        return self.atom_parameters(fidelity, spin)

    def crystal_parameters(
        self,
        fidelity: Fidelity,
        cell: t.Any,
        *,
        atoms: Atoms | None = None,
        descriptors: bool = False,
        moments: t.Sequence[float] | None = None,
        spin: int | None = None,
        free_moment: bool = False,
    ) -> dict[str, t.Any]:
        """Return the complete parameters for a crystal with lattice vectors as rows (Å).

        :param atoms: of the crystal, for meshes at mean-value points.
        :param moments: of the sites at the beginning, μB; spin-polarised with these or a ``spin``.
        :param free_moment: whether the moment of the cell relaxes from there, if the level has a smearing.
        """
        values = self._common(fidelity)
        if fidelity is Fidelity.CCSD_T:
            mean_field, correlation = self.meshes['HF'], self.meshes['CCSD(T)']
            values['cc'] = {**values['cc'], **correlation.points(cell, atoms)}
            if moments is not None or spin is not None:
                # There is no (T) of k-points for two spins.
                values['method'] = 'CCSD'
            elif self.local is not None:
                values.update(method='LNO-CCSD(T)', local=self.local.model_dump(exclude={'max_atoms'}))
        else:
            mean_field = self.meshes[fidelity.value]  # type: ignore[index]
            values['grid_mesh'] = [_odd(float(np.linalg.norm(vector)) / self.grid_spacing) for vector in np.array(cell)]
            values['scf'] = {**values['scf'], 'smearing': self.smearing}
            values['coulomb'] = self.coulomb
        if self.fitting == 'family':
            values['auxiliary_basis'] = self.basis_of(fidelity)
        values.update(mean_field.points(cell, atoms), descriptors=descriptors)
        values['band_path_spacing'] = BAND_PATH_SPACING if descriptors and self.scientific else None
        if moments is not None or spin is not None:
            free = free_moment and values['scf'].get('smearing') is not None
            values.update(spin_polarized=True, moments=moments and list(moments), spin=spin, free_moment=free)
            values['scf']['damping'] = SPIN_DAMPING
        return PyscfCellParameters.parse(values).dump()

    def atom_parameters(self, fidelity: Fidelity, spin: int) -> dict[str, t.Any]:
        """Return the complete parameters for an isolated atom or molecule with ``spin`` unpaired electrons."""
        values = self._common(fidelity)
        # DIIS does not converge meta-GGAs of open-shell atoms; second order does.
        values['scf'] = {**values['scf'], 'second_order': True}
        values.update(system='molecule', spin=spin)
        return PyscfCellParameters.parse(values).dump()

    def _common(self, fidelity: Fidelity) -> dict[str, t.Any]:
        return {
            'fidelity': fidelity,
            'basis': self.basis_of(fidelity),
            'pseudo': self.pseudo_of(fidelity),
            'relativity': self.relativity,
            'grid_level': self.grid_level,
            'precision': self.precision,
            'auxiliary_beta': self.auxiliary_beta,
            'scf': self.scf.model_dump(),
            'cc': self.cc.model_dump(),
            'max_memory_mb': self.max_memory_mb,
        }


class EnergyLevel(StrictModel):
    """What the result of a calculation must be labelled with, and what the level admits: an input of the work chain."""

    engine: t.Literal['pyscf', 'espresso'] = 'pyscf'
    protocol: str
    level_tag: str
    scientific: bool
    max_atoms: pydantic.PositiveInt
    basis_sizes: dict[str, BasisSize] = pydantic.Field(description='By element; none of plane waves.')
    notes: list[str] = pydantic.Field([], description='What the result must say about its level.')
    unavailable: str | None = pydantic.Field(None, description='Why the elements of the system do not have the level.')
    unrestricted: bool = pydantic.Field(False, description='CCSD of two spins, in place of CCSD(T).')

    @classmethod
    def create(
        cls,
        settings: EnergySettings,
        fidelity: Fidelity,
        *,
        isolated: bool = False,
        surroundings: str = 'isolated',
        notes: t.Sequence[str] = (),
        unrestricted: bool = False,
    ) -> EnergyLevel:
        """Return the level of ``settings`` for one fidelity, or of CCSD of two spins."""
        return cls(
            protocol=settings.protocol,
            level_tag=settings.tag(fidelity, isolated=isolated, surroundings=surroundings, unrestricted=unrestricted),
            scientific=settings.scientific,
            max_atoms=settings.limit_of(fidelity, isolated=isolated),
            basis_sizes=settings.basis_sizes,
            notes=[*notes, *([UNRESTRICTED] if unrestricted else [])],
            unrestricted=unrestricted,
            unavailable=settings.unavailable.get(fidelity),
        )


def available_protocols() -> dict[str, str]:
    """Return the description of each protocol."""
    return describe_protocols(PROTOCOLS_FILE)


def energy_settings(
    protocol: str = DEFAULT_PROTOCOL, overrides: t.Mapping[str, t.Any] | None = None, section: str = ''
) -> EnergySettings:
    """Return the settings of ``protocol`` with nested ``overrides`` applied.

    The names of families of bases are as the protocol has them:
    :meth:`~aiida_qagenai.workchains.protocols.bases.EnergyProtocol.resolve` finds the installed versions.

    :param section: name of the section that the overrides are, for error texts.
    :raises InvalidInputError: for an unknown protocol, an unknown key or a value out of range.
    """
    values = merge_overrides(protocol_values(PROTOCOLS_FILE, protocol, 'energies'), overrides or {})
    what = f'settings of energy protocol `{protocol}`'
    return EnergySettings.parse({**values, 'protocol': protocol}, what, section)


def find_refusal(
    structure: StructureData, fidelity: Fidelity, level: EnergyLevel, band_gap: float | None = None
) -> str | None:
    """Return why ``structure`` is not computed at ``fidelity``, or None; nothing is run to find out.

    :param band_gap: known from a lower level, eV.
    """
    counts = Counter(structure.get_kind(site.kind_name).symbol for site in structure.sites)
    if (missing := missing_basis(counts, level.basis_sizes, level.protocol)) is not None:
        return missing
    if level.unavailable is not None:
        return level.unavailable
    num_atoms = sum(counts.values())
    if num_atoms > level.max_atoms:
        return f'{num_atoms} atoms, protocol `{level.protocol}` allows {level.max_atoms} at {fidelity.value}'
    if not any(structure.pbc):
        return refuse_isolated(structure)
    return refuse_coupled_cluster(structure, counts, level, band_gap) if fidelity is Fidelity.CCSD_T else None


def _odd(value: float) -> int:
    """Return the next odd integer: uniform grids without a point at the zone boundary."""
    number = int(np.ceil(value))
    return number + 1 - number % 2

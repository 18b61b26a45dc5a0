"""Typed protocols of single energies by pw.x: what a structure and a fidelity become in parameters of one job."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t
from pathlib import Path

import pydantic

from aiida_qagenai.calculations.espresso.parameters import Hubbard, Projectors, PwParameters
from aiida_qagenai.calculations.espresso.pseudos import find_pseudos, hash_of_family
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.workchains.protocols.energy import EnergyLevel, ground_state_spin
from aiida_qagenai.workchains.protocols.energy_parts import MAGNETISM, Magnetism, MeshRule, OrderingsSettings
from aiida_qagenai.workchains.protocols.loader import (
    DEFAULT_PROTOCOL,
    describe_protocols,
    merge_overrides,
    protocol_values,
)

if t.TYPE_CHECKING:
    from aiida.orm import StructureData
    from aiida_pseudo.data.pseudo import UpfData

__all__ = ('EspressoProtocol', 'EspressoSettings', 'available_protocols', 'espresso_settings')

PROTOCOLS_FILE = Path(__file__).with_name('espresso.yaml')

Rung = t.Literal['PBE', 'SCAN', 'HSE06']


class ExchangeRule(StrictModel):
    """Which differences of k-points the exact exchange of HSE06 takes."""

    every: pydantic.PositiveInt = pydantic.Field(
        1, description='Every n-th along each direction that this leaves two or more of, all of them elsewhere.'
    )
    ecutfock: pydantic.PositiveFloat | None = pydantic.Field(
        None, description='Cutoff of exchange, Ry; that of the density by default.'
    )

    def mesh(self, kmesh: t.Sequence[int]) -> tuple[int, ...]:
        """Return the mesh of differences for a mesh of k-points."""
        return tuple(
            number // self.every if number % self.every == 0 and number >= 2 * self.every else number
            for number in kmesh
        )


class CycleSettings(StrictModel):
    """The mean field."""

    conv_thr_per_atom: pydantic.PositiveFloat = pydantic.Field(description='Energy threshold, Ry/atom.')
    max_cycle: pydantic.PositiveInt
    mixing_beta: float = pydantic.Field(gt=0, le=1, description='Fraction of the new density.')


class EspressoSettings(StrictModel):
    """One protocol of pw.x."""

    counterpoise: t.ClassVar[None] = None
    """Plane waves have no superposition error."""

    engine: t.Literal['espresso'] = 'espresso'
    protocol: str = pydantic.Field(description='Name of the protocol that the settings come from: part of level tags.')
    description: str
    expected_error: str
    cost: str
    scientific: bool
    pseudo_family: str = pydantic.Field(description='Label of a family of aiida-pseudo, of PBE.')
    family_hash: str | None = pydantic.Field(
        None, description='Of all files of the family, set when the protocol is resolved: part of level tags.'
    )
    ecutwfc: pydantic.PositiveFloat | None = pydantic.Field(
        None, description='Cutoff of the orbitals, Ry; recommended by the family by default.'
    )
    ecutrho: pydantic.PositiveFloat | None = pydantic.Field(None, description='Cutoff of the density, Ry; likewise.')
    max_atoms: dict[Rung, pydantic.PositiveInt]
    meshes: dict[Rung, MeshRule]
    exchange: ExchangeRule = ExchangeRule()
    degauss: pydantic.PositiveFloat = pydantic.Field(description='Width of the cold smearing of crystals, Ry.')
    scf: CycleSettings
    box: pydantic.PositiveFloat = pydantic.Field(description='Edge of the cell of a molecule, Å.')
    hubbard: Hubbard = pydantic.Field(
        {}, description='U by element, of PBE and SCAN: a level of its own, whose tag names every U.'
    )
    hubbard_projectors: Projectors = pydantic.Field('ortho-atomic', description='Orbitals that U acts on.')
    magnetism: Magnetism = MAGNETISM
    orderings: OrderingsSettings = OrderingsSettings()
    hubbard_card: bool = pydantic.Field(False, description='Write U as pw.x reads it from version 7.1 on.')

    @pydantic.model_validator(mode='after')
    def _both(self) -> EspressoSettings:
        if (self.ecutwfc is None) != (self.ecutrho is None):
            raise ValueError('`ecutwfc` and `ecutrho` go together')
        return self

    @pydantic.model_validator(mode='after')
    def _halves(self) -> EspressoSettings:
        if any(rule.shift == 'mean-value' or set(rule.shift) - {0.0, 0.5} for rule in self.meshes.values()):
            raise ValueError('pw.x displaces meshes by 0 or 0.5 steps')
        return self

    def limit_of(self, fidelity: Fidelity) -> int:
        """Return how many atoms are admitted.

        :raises InvalidInputError: if pw.x has no such level.
        """
        limits = t.cast('dict[str, int]', self.max_atoms)
        if fidelity.value not in limits:
            raise InvalidInputError(f'pw.x computes {", ".join(limits)}, not {fidelity}: use the engine pyscf')
        return limits[fidelity.value]

    def hubbard_of(self, fidelity: Fidelity) -> dict[str, t.Any]:
        """Return U by element at a level: none at HSE06."""
        return {} if fidelity is Fidelity.HSE06 else dict(self.hubbard)

    def tag(self, fidelity: Fidelity, *, isolated: bool = False) -> str:
        """Return the level tag: energies of different tags never meet in one hull.

        It names engine, cutoffs and every U, the family with its hash, the mesh, and ends in a hash of everything else
        that moves an energy. A U of an element counts for compounds without it: their energies meet in one hull.
        """
        exchange = {'exchange'} if fidelity is not Fidelity.HSE06 else set()
        silent = {'protocol', 'description', 'expected_error', 'cost', 'scientific', 'max_atoms', 'hubbard_card', 'scf'}
        # The lowest energy of all orderings, however many were computed.
        silent |= {'magnetism', 'orderings'}
        named = {'pseudo_family', 'family_hash', 'ecutwfc', 'ecutrho', 'hubbard', 'meshes'}
        values = self.model_dump(mode='json', exclude=silent | named | exchange)
        mesh = self.meshes[fidelity.value]  # type: ignore[index]
        values.update(mesh=mesh.model_dump(mode='json'), conv_thr_per_atom=self.scf.conv_thr_per_atom)
        if self.magnetism == 'none':
            values['magnetism'] = 'none'
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
        terms = ','.join(f'{symbol}={term.U:g}' for symbol, term in sorted(self.hubbard_of(fidelity).items()))
        method = f'pw.x-{self.ecutwfc:g}-{self.ecutrho:g}Ry' + (f'+U({terms})' if terms else '')
        family = f'{self.pseudo_family.replace(":", "_")}@{self.family_hash}'
        kmesh = f'box{self.box:g}' if isolated else f'k{mesh.tag}'
        return ':'.join((self.protocol, method, family, kmesh, digest))

    def level(self, fidelity: Fidelity, *, isolated: bool = False) -> EnergyLevel:
        """Return the label of a result at one fidelity."""
        limit, notes = self.limit_of(fidelity), []
        if fidelity is not Fidelity.PBE:
            notes.append(f'pseudopotentials of PBE ({self.pseudo_family}), for want of those of {fidelity}')
        return EnergyLevel(
            engine='espresso',
            protocol=self.protocol,
            level_tag=self.tag(fidelity, isolated=isolated),
            scientific=self.scientific,
            max_atoms=limit,
            basis_sizes={},
            notes=notes,
        )

    def parameters(
        self,
        fidelity: Fidelity,
        structure: StructureData,
        *,
        spin_polarized: bool = False,
        moments: t.Sequence[float] | None = None,
        spin: int | None = None,
        empty_levels: float | None = None,
    ) -> dict[str, t.Any]:
        """Return the complete parameters of the calculation of a crystal or of the molecule of an element.

        :param moments: initial moment of each site, μB; they ask for two spin densities.
        :param empty_levels: for each occupied one.
        :raises InvalidInputError: for what pw.x cannot compute.
        """
        self.limit_of(fidelity)
        number = len(structure.sites)
        values: dict[str, t.Any] = {
            'fidelity': fidelity,
            'ecutwfc': self.ecutwfc,
            'ecutrho': self.ecutrho,
            'conv_thr': self.scf.conv_thr_per_atom * number,
            'max_cycle': self.scf.max_cycle,
            'mixing_beta': self.scf.mixing_beta,
            'hubbard': {symbol: term.model_dump() for symbol, term in self.hubbard_of(fidelity).items()},
            'hubbard_projectors': self.hubbard_projectors,
            'hubbard_card': self.hubbard_card,
            'spin_polarized': spin_polarized or moments is not None,
            'moments': None if moments is None else [float(moment) for moment in moments],
            'spin': spin,
            'empty_levels': empty_levels,
        }
        if any(structure.pbc):
            rule = self.meshes[fidelity.value]  # type: ignore[index]
            values.update(kmesh=tuple(rule.mesh(structure.cell)), kmesh_shift=rule.shift, degauss=self.degauss)
        else:
            values.update(box=self.box, **_molecule(structure))
        if fidelity is Fidelity.HSE06:
            nq = self.exchange.mesh(values.get('kmesh', (1, 1, 1)))
            values['exchange'] = {'nq': nq, 'ecutfock': self.exchange.ecutfock}
        return PwParameters.parse(values).dump()


def _molecule(structure: StructureData) -> dict[str, t.Any]:
    """Return the spin of the ground state of the molecule of an element, with fixed occupations."""
    symbols = [structure.get_kind(site.kind_name).symbol for site in structure.sites]
    spin = ground_state_spin(symbols) if len(symbols) > 1 else None
    if spin is None:
        what = f'the molecule {structure.get_formula()}' if len(symbols) > 1 else f'an isolated atom ({symbols[0]})'
        raise InvalidInputError(
            f'pw.x computes crystals and the molecules of the elements here, not {what}: formation energies of the '
            'engine espresso refer to the elements'
        )
    if not spin:
        return {'spin_polarized': False, 'moments': None, 'spin': None}
    return {'spin_polarized': True, 'moments': [spin / len(symbols)] * len(symbols), 'spin': spin}


def available_protocols() -> dict[str, str]:
    """Return the description of each protocol."""
    return describe_protocols(PROTOCOLS_FILE)


def espresso_settings(
    protocol: str = DEFAULT_PROTOCOL, overrides: t.Mapping[str, t.Any] | None = None, section: str = ''
) -> EspressoSettings:
    """Return the settings of ``protocol`` with nested ``overrides`` applied.

    :param section: name of the section that the overrides are, for error texts.
    :raises InvalidInputError: for an unknown protocol, an unknown key or a value out of range.
    """
    values = merge_overrides(protocol_values(PROTOCOLS_FILE, protocol, 'energies by pw.x'), overrides or {})
    what = f'settings of energy protocol `{protocol}` of pw.x'
    return EspressoSettings.parse({**values, 'protocol': protocol}, what, section)


@dataclasses.dataclass(frozen=True)
class EspressoProtocol:
    """Complete settings and the pseudopotentials that they name: nothing is looked up when a process runs.

    :param settings: with the hash of the family and the cutoffs for all elements.
    :param pseudos: by element.
    """

    settings: EspressoSettings
    pseudos: t.Mapping[str, UpfData]
    has_atoms: t.ClassVar[bool] = False

    @classmethod
    def resolve(
        cls,
        protocol: str | EspressoProtocol = DEFAULT_PROTOCOL,
        overrides: t.Mapping[str, t.Any] | None = None,
        symbols: t.Collection[str] = (),
        pseudos: str | None = None,
    ) -> EspressoProtocol:
        """Return the protocol of a name with ``overrides`` applied; one that is resolved already stays as it is.

        :param symbols: elements, whose largest cutoffs are those of the level.
        :param pseudos: label of a family of pseudopotentials, in place of that of the protocol.
        :raises InvalidInputError: for an unknown protocol or key, overrides of a protocol that is resolved already, or
            a family that is not installed or lacks an element or cutoffs.
        """
        if isinstance(protocol, EspressoProtocol):
            if overrides or pseudos:
                raise InvalidInputError('this protocol is resolved already: give the overrides when it is resolved')
            return protocol
        changes = {**(overrides or {}), **({'pseudo_family': pseudos} if pseudos else {})}
        settings = espresso_settings(protocol, changes)
        label, cutoffs = settings.pseudo_family, (settings.ecutwfc, settings.ecutrho)
        family, nodes, (ecutwfc, ecutrho) = find_pseudos(label, symbols, *cutoffs)
        update = {'family_hash': hash_of_family(family), 'ecutwfc': ecutwfc, 'ecutrho': ecutrho}
        return cls(settings.model_copy(update=update), nodes)

    def cover(self, symbols: t.Collection[str]) -> None:
        """Check that crystals of all elements can be computed.

        :raises InvalidInputError: saying what is missing.
        """
        missing = sorted(set(symbols) - set(self.pseudos))
        if missing:
            known = ', '.join(sorted(self.pseudos))
            message = f'there is no pseudopotential of {self.settings.pseudo_family} for {", ".join(missing)}: {known}'
            raise InvalidInputError(message)

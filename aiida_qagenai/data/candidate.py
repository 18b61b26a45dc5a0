"""A proposed crystal."""

from __future__ import annotations

import typing as t

from aiida.common.exceptions import ValidationError
from aiida.orm import StructureData
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.labels import labelled
from aiida_qagenai.data.sites import structure_attributes

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('CandidateData', 'Lineage', 'Relaxation', 'candidate_name', 'parse_candidate_name')


def candidate_name(cycle: int, index: int) -> str:
    """Return the name of a candidate within its campaign, of fixed width so that link labels never clash."""
    return f'{cycle:03d}-{index:05d}'


def parse_candidate_name(name: str) -> tuple[int, int]:
    """Return the cycle and the index in a name made by :func:`candidate_name`."""
    cycle, index = name.split('-')
    return int(cycle), int(index)


class Lineage(t.NamedTuple):
    """Where a candidate came from: its motif, the noise that was added, and how it relates to what is known.

    :param motif: identifier of the known crystal, empty without one.
    :param motif_probability: ``None`` without a motif.
    :param relation: see ``evaluation.novelty``; empty if it could not be told.
    """

    motif: str
    motif_formula: str
    motif_probability: float | None
    noise: float
    relation: str


class Relaxation(t.NamedTuple):
    """How a candidate came from the unrelaxed one of the same name.

    :param relaxed_from: UUID of the unrelaxed candidate.
    :param relaxation_potential: tag of the potential.
    :param relaxation_reason: why the relaxation did not converge, or why there was none; empty if it converged.
    :param relaxation_steps: ``None``, as the other numbers, for a candidate that is still unrelaxed.
    """

    relaxed_from: str
    relaxation_potential: str
    relaxation_converged: bool
    relaxation_reason: str
    relaxation_steps: int | None = None
    relaxation_energy_per_atom: float | None = None
    relaxation_force: float | None = None
    relaxation_stress: float | None = None
    relaxation_volume_change: float | None = None


class CandidateData(StructureData):
    """A structure that a campaign proposed (or began from, in cycle 0), with what searches filter on.

    A relaxed candidate is a node of its own, with the name of the unrelaxed one, to which ``relaxed_from`` leads.
    """

    _hash_ignored_attributes = (*StructureData._hash_ignored_attributes, 'relaxed_from')

    class AttributesModel(StructureData.AttributesModel):
        """Attributes in addition to those of a ``StructureData``."""

        formula: str = OrmMetadataField(description='Reduced formula')
        chemical_system: str = OrmMetadataField(description='Sorted elements joined by a dash: H-Li')
        num_sites: int = OrmMetadataField(description='Atoms in the cell')
        space_group_number: int = OrmMetadataField(description='1–230; 0 if no symmetry search succeeded')
        fingerprint: str = OrmMetadataField(description='Equal for structures that agree within the resolution')
        cycle: int = OrmMetadataField(description='Cycle that proposed the candidate, 0 for the initial set')
        index: int = OrmMetadataField(description='Index within the cycle')
        origin: str = OrmMetadataField(
            description='Source of the candidate: the generator, a known crystal or a prototype'
        )
        motif: str | None = OrmMetadataField(None, description='Identifier of the known crystal that it began as')
        motif_formula: str | None = OrmMetadataField(None, description='Reduced formula of the motif')
        motif_probability: float | None = OrmMetadataField(None, description='Of the motif among those that fit')
        noise: float | None = OrmMetadataField(None, description='Level of the noise that was added to the motif, 0–1')
        relation: str | None = OrmMetadataField(
            None, description='To the known crystals: replay, substitution or novel framework'
        )
        relaxed_from: str | None = OrmMetadataField(None, description='UUID of the unrelaxed candidate')
        relaxation_potential: str | None = OrmMetadataField(None, description='Potential that relaxed it')
        relaxation_converged: bool | None = OrmMetadataField(None, description='Whether the relaxation converged')
        relaxation_reason: str | None = OrmMetadataField(
            None, description='Why the relaxation did not converge, or why there was none'
        )
        relaxation_steps: int | None = OrmMetadataField(None, description='Steps of the relaxation')
        relaxation_energy_per_atom: float | None = OrmMetadataField(
            None, description='Energy of the potential after the relaxation, eV/atom'
        )
        relaxation_force: float | None = OrmMetadataField(None, description='Largest force left on an atom, eV/Å')
        relaxation_stress: float | None = OrmMetadataField(None, description='Largest component of the stress, eV/Å3')
        relaxation_volume_change: float | None = OrmMetadataField(
            None, description='Relative change of the volume: 0.1 is 10 % larger'
        )

    def __init__(
        self,
        structure: Structure | None = None,
        *,
        cycle: int = 0,
        index: int = 0,
        origin: str = '',
        lineage: Lineage | None = None,
        relaxation: Relaxation | None = None,
        analysis: tuple[int, str] | None = None,
        **kwargs: t.Any,
    ) -> None:
        """Construct the node from an ordered periodic structure of pymatgen.

        :param lineage: the motif that it began as, where there is one.
        :param relaxation: the unrelaxed candidate that it came from, where there is one, and how.
        :param analysis: space group number and fingerprint where they are known; otherwise they are found here, which
            takes most of the time.

        :raises InvalidInputError: for partial occupancies, a flat cell, coordinates that are not finite, unknown
            elements or negative cycle and index.
        """
        if structure is None:
            super().__init__(**kwargs)
            return
        from aiida_qagenai.chemistry.species import plain_structure
        from aiida_qagenai.chemistry.symmetry import fingerprint, space_group
        from aiida_qagenai.exchange.structures import StructureBatch

        if cycle < 0 or index < 0:
            raise InvalidInputError(f'cycle and index start at 0, got {cycle} and {index}')
        structure = plain_structure(structure)
        StructureBatch.from_structures([structure], [candidate_name(cycle, index)])
        attributes: dict[str, t.Any] = {}
        composition = structure.composition
        formula = composition.reduced_formula
        name = f'{formula} {candidate_name(cycle, index)}'
        kwargs = labelled(kwargs, name, describe(cycle, origin, lineage, relaxation))
        if _is_plain(structure):
            # past the constructor of StructureData, which would set a default cell and more, one by one
            super(StructureData, self).__init__(**kwargs)
            symbols = [site.specie.symbol for site in structure]
            attributes = structure_attributes(structure.lattice.matrix, symbols, structure.cart_coords)
        else:
            super().__init__(pymatgen=structure, **kwargs)
        if analysis is None:
            analysis = (space_group(structure).number or 0, fingerprint(structure))
        attributes |= {
            'formula': formula,
            'chemical_system': composition.chemical_system,
            'num_sites': len(structure),
            'space_group_number': analysis[0],
            'fingerprint': analysis[1],
            'cycle': cycle,
            'index': index,
            'origin': origin,
            **({} if lineage is None else lineage._asdict()),
            **({} if relaxation is None else relaxation._asdict()),
        }
        self.base.attributes.set_many(attributes)

    @property
    def cycle(self) -> int:
        """Return the cycle that proposed the candidate."""
        return int(self.base.attributes.get('cycle'))

    @property
    def index(self) -> int:
        """Return the index within the cycle."""
        return int(self.base.attributes.get('index'))

    @property
    def name(self) -> str:
        """Return the name within the campaign: cycle and index."""
        return candidate_name(self.cycle, self.index)

    @property
    def formula(self) -> str:
        """Return the reduced formula."""
        return str(self.base.attributes.get('formula'))

    def _validate(self) -> bool:
        super()._validate()
        names = ('formula', 'chemical_system', 'num_sites', 'space_group_number', 'fingerprint', 'cycle', 'index')
        attributes = self.base.attributes.all
        missing = [name for name in names if attributes.get(name) is None]
        if missing:
            message = f'not a valid candidate, missing: {", ".join(missing)}; construct it from a pymatgen structure'
            raise ValidationError(message)
        return True


def describe(cycle: int, origin: str, lineage: Lineage | None, relaxation: Relaxation | None) -> str:
    """Return in words where a candidate came from."""
    parts = [f'cycle {cycle}, {origin}' if origin else f'cycle {cycle}']
    if lineage is not None and lineage.motif:
        parts.append(f'{lineage.relation or "from"} of {lineage.motif_formula} ({lineage.motif})')
    if relaxation is not None:
        ending = '' if relaxation.relaxation_converged else ', not converged'
        parts.append(f'relaxed by {relaxation.relaxation_potential}{ending}')
    return '; '.join(parts)


def _is_plain(structure: Structure) -> bool:
    """Return whether all sites are bare elements; the names of kinds are left to AiiDA."""
    from pymatgen.core import Element

    return all(type(site.specie) is Element and not site.properties for site in structure)

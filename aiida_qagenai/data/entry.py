"""A crystal from an external database."""

from __future__ import annotations

import typing as t
from collections import Counter

import numpy as np
from aiida.common.exceptions import ValidationError
from aiida.orm import StructureData
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.chemistry.formula import chemical_system, reduced_formula
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.labels import labelled
from aiida_qagenai.data.sites import MASSES, structure_attributes

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

__all__ = ('EntryData',)

REQUIRED = ('formula', 'chemical_system', 'num_sites', 'space_group_number', 'database', 'identifier', 'sha256')


class EntryData(StructureData):
    """An imported structure with its origin; its energies are ``EnergyData`` with its uuid.

    ``source`` holds the same origin under the names that AiiDA uses for every node.
    """

    class AttributesModel(StructureData.AttributesModel):
        """Attributes in addition to those of a ``StructureData``."""

        formula: str = OrmMetadataField(description='Reduced formula')
        chemical_system: str = OrmMetadataField(description='Sorted elements joined by a dash: H-Li')
        num_sites: int = OrmMetadataField(description='Atoms in the cell')
        space_group_number: int = OrmMetadataField(description='1–230 at 0.1 Å; 0 if no symmetry search succeeded')
        database: str = OrmMetadataField(description='Short name of the database: mp')
        version: str = OrmMetadataField(description='Version of the database')
        identifier: str = OrmMetadataField(description='Identifier in the database: mp-149')
        experimental: bool | None = OrmMetadataField(None, description='Whether the structure was measured')
        sha256: str = OrmMetadataField(description='SHA-256 of the original record')
        properties: dict[str, t.Any] = OrmMetadataField(
            default_factory=dict, description='Other columns of the record, unchanged'
        )
        warnings: list[str] = OrmMetadataField(
            default_factory=list, description='What was assumed, left out, or warned of as the record was read'
        )

    def __init__(
        self,
        *,
        cell: ArrayLike | None = None,
        symbols: Sequence[str] = (),
        positions: ArrayLike = (),
        database: str = '',
        version: str = '',
        identifier: str = '',
        license: str = '',  # noqa: A002
        url: str = '',
        sha256: str = '',
        space_group_number: int = 0,
        experimental: bool | None = None,
        properties: Mapping[str, t.Any] | None = None,
        warnings: Sequence[str] = (),
        **kwargs: t.Any,
    ) -> None:
        """Construct the node from arrays: thousands of sites are set at once, not one by one.

        :param cell: lattice vectors as rows, Å, shape (3, 3).
        :param symbols: elements, length n.
        :param positions: Cartesian, Å, shape (n, 3).
        :param properties: plain JSON values.
        :param warnings: what was assumed or left out as the record was read.
        :raises InvalidInputError: for unknown elements, shapes that do not match, or numbers that are not finite.
        """
        if not symbols:
            super().__init__(cell=cell, **kwargs)
            return
        matrix, coordinates = np.asarray(cell, dtype=np.float64), np.asarray(positions, dtype=np.float64)
        unknown = sorted(set(symbols) - MASSES.keys())
        if unknown or matrix.shape != (3, 3) or coordinates.shape != (len(symbols), 3):
            message = (
                f'{len(symbols)} atoms with shapes {matrix.shape} and {coordinates.shape}, unknown elements {unknown}'
            )
            raise InvalidInputError(message)
        if not (np.isfinite(matrix).all() and np.isfinite(coordinates).all()):
            raise InvalidInputError('the cell or the positions are not finite')
        formula = reduced_formula(counts := Counter(symbols))
        # past the constructor of StructureData, which would set a default cell and more, one by one
        kwargs = labelled(kwargs, f'{formula} {identifier}', f'{identifier} of {database} {version}')
        super(StructureData, self).__init__(**kwargs)
        self.base.attributes.set_many(
            {
                **structure_attributes(matrix, symbols, coordinates),
                'formula': formula,
                'chemical_system': chemical_system(counts),
                'num_sites': len(symbols),
                'space_group_number': space_group_number,
                'database': database,
                'version': version,
                'identifier': identifier,
                'experimental': experimental,
                'sha256': sha256,
                'properties': dict(properties or {}),
                'warnings': list(warnings),
                'source': {'db_name': database, 'id': identifier, 'version': version, 'license': license, 'uri': url},
            }
        )

    @property
    def name(self) -> str:
        """Return the identifier in the database."""
        return str(self.base.attributes.get('identifier'))

    @property
    def formula(self) -> str:
        """Return the reduced formula."""
        return str(self.base.attributes.get('formula'))

    def _validate(self) -> bool:
        super()._validate()
        attributes = self.base.attributes.all
        missing = [name for name in REQUIRED if attributes.get(name) in (None, '')]
        if missing:
            raise ValidationError(f'not a valid entry, missing: {", ".join(missing)}')
        return True

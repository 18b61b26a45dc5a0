"""An immutable view of the graph: which structures, with which energies, in packed arrays."""

from __future__ import annotations

import io
import tempfile
import typing as t
from pathlib import Path

import numpy as np
from aiida.common.exceptions import ValidationError
from aiida.orm import Data
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, reported_as
from aiida_qagenai.common.level import LADDER_LEVELS
from aiida_qagenai.data.labels import label_node
from aiida_qagenai.exchange.checkpoint import sha256
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch

__all__ = ('DatasetData',)


class DatasetData(Data):
    """Packed structures, with labels where it is a training set and without where it is a set of candidates.

    The identifiers of the structures are names within the campaign (``002-00017``: cycle and index), not uuids, so
    that equal content has an equal hash; the nodes themselves are linked to the process that made or read the set.
    """

    FILENAME = 'dataset.npz'

    class AttributesModel(Data.AttributesModel):
        """Counts, origin and identity of the content."""

        num_structures: int = OrmMetadataField(description='Number of structures')
        labelled: bool = OrmMetadataField(description='Whether energies are held')
        counts: dict[str, int] = OrmMetadataField(description='Number of energies per fidelity')
        force_counts: dict[str, int] = OrmMetadataField(
            default_factory=dict, description='Number of structures with forces per fidelity'
        )
        splits: dict[str, int] = OrmMetadataField(description='Number of structures per split')
        elements: list[int] = OrmMetadataField(description='Atomic numbers that occur')
        level_tags: dict[str, str] = OrmMetadataField(
            description='Level tag of the energies per fidelity; of several the one that speaks for it'
        )
        formation_scheme: str | None = OrmMetadataField(None, description='Scheme of the formation energies')
        scientific: bool = OrmMetadataField(description='Whether every energy may be used as a result')
        content_hash: str = OrmMetadataField(description='SHA-256 of the packed file')
        license: str = OrmMetadataField(description='Licence of the data')

    def __init__(
        self,
        batch: StructureBatch | LabelledBatch | None = None,
        *,
        level_tags: dict[str, str] | None = None,
        formation_scheme: str | None = None,
        scientific: bool = True,
        license: str = 'CC-BY-4.0',  # noqa: A002
        **kwargs: t.Any,
    ) -> None:
        """Construct the node from packed structures or a packed training set.

        :raises InvalidInputError: if energies come without a scheme or a level tag.
        """
        super().__init__(**kwargs)
        if batch is None:
            return
        if isinstance(batch, LabelledBatch):
            batch, level_tags = _tag_levels(batch, dict(level_tags or {}))
        labelled = isinstance(batch, LabelledBatch)
        structures = batch.structures if isinstance(batch, LabelledBatch) else batch
        counts = batch.counts if isinstance(batch, LabelledBatch) else {}
        split = batch.split if isinstance(batch, LabelledBatch) else np.zeros(0, dtype=np.int8)
        tags = dict(level_tags or {})
        untagged = [name for name, count in counts.items() if count and name not in tags]
        if untagged or (any(counts.values()) and formation_scheme is None):
            message = f'energies need a formation_scheme and a level tag (missing for: {", ".join(untagged) or "none"})'
            raise InvalidInputError(message)
        content = self._pack(batch)
        self.base.repository.put_object_from_filelike(io.BytesIO(content), self.FILENAME)
        self.base.attributes.set_many(
            {
                'num_structures': len(structures),
                'labelled': labelled,
                'counts': counts,
                **({'force_counts': batch.force_counts} if isinstance(batch, LabelledBatch) else {}),
                'splits': {name: int((split == index).sum()) for index, name in enumerate(SPLITS)} if labelled else {},
                'elements': sorted({int(z) for z in structures.species}),
                'level_tags': tags,
                'formation_scheme': formation_scheme,
                'scientific': scientific,
                'content_hash': sha256(content),
                'license': license,
            }
        )
        energies = ', '.join(f'{count} {name}' for name, count in counts.items() if count)
        label_node(self, f'{len(structures)} structures' + (f': {energies}' if energies else ''))

    @staticmethod
    def _pack(batch: StructureBatch | LabelledBatch) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'packed.npz'
            batch.save(path)
            return path.read_bytes()

    @property
    def content(self) -> bytes:
        """Return the packed file, its checksum verified.

        :raises CorruptFileError: if it does not match ``content_hash``.
        """
        content: bytes = self.base.repository.get_object_content(self.FILENAME, mode='rb')
        if sha256(content) != self.base.attributes.get('content_hash'):
            raise CorruptFileError(f'{self.FILENAME} of {self} does not match its checksum')
        return content

    @property
    def labelled(self) -> bool:
        """Return whether the set holds energies."""
        return bool(self.base.attributes.get('labelled'))

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of energies per fidelity."""
        return dict(self.base.attributes.get('counts'))

    def __len__(self) -> int:
        return int(self.base.attributes.get('num_structures'))

    def structures(self) -> StructureBatch:
        """Return the packed structures."""
        return StructureBatch.load(io.BytesIO(self.content))

    def labels(self) -> LabelledBatch:
        """Return the packed training set.

        :raises InvalidInputError: if the set holds no energies.
        """
        if not self.labelled:
            raise InvalidInputError(f'{self} is a set of candidates without energies')
        labels = LabelledBatch.load(io.BytesIO(self.content))
        # Sets of earlier releases name the tags in the attributes only.
        return _tag_levels(labels, self.base.attributes.get('level_tags'))[0]

    def _validate(self) -> bool:
        super()._validate()
        with reported_as(
            'not a valid dataset:', FileNotFoundError, KeyError, CorruptFileError, AttributeError, error=ValidationError
        ):
            found = len(self.structures())
        if found != len(self):
            raise ValidationError(f'the file holds {found} structures, the attributes say {len(self)}')
        return True


def _tag_levels(batch: LabelledBatch, tags: dict[str, str]) -> tuple[LabelledBatch, dict[str, str]]:
    """Return the training set with the tags of its levels, and these by fidelity.

    :param tags: of a set whose levels have no other names than those of their rungs; levels with energies keep theirs
        where it is missing.
    """
    if batch.levels == LADDER_LEVELS:
        names = {rung: rung for rung, count in batch.counts.items() if count}
        return batch.tagged({**names, **tags}), tags
    return batch, {level.rung.value: level.tag for level in batch.levels}

"""Weights of a trained model with the description that rebuilds it."""

from __future__ import annotations

import io
import os
import typing as t
from pathlib import Path

import pydantic
from aiida.common.exceptions import ValidationError
from aiida.orm import Data, QueryBuilder
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, reported_as
from aiida_qagenai.data.labels import label_node
from aiida_qagenai.exchange.checkpoint import (
    CONFIG_NAME,
    FOUNDATION,
    MEMORY_NAME,
    VALIDATOR_FOUNDATION,
    WEIGHTS_NAME,
    CheckpointInfo,
    read_checkpoint,
    sha256,
    verify_weights,
)
from aiida_qagenai.exchange.dataset import LabelledBatch

__all__ = ('CheckpointData', 'import_checkpoint', 'import_foundation')


class CheckpointData(Data):
    """A checkpoint: ``model.safetensors`` and ``config.json`` in the repository, the description as attributes.

    That of a validator may have ``memory.npz``: what later trainings replay and are measured by.

    The checksum is verified when the node is made, when it is stored, and every time the weights are read.
    """

    class AttributesModel(Data.AttributesModel):
        """What searches filter on; ``config.json`` holds the rest."""

        role: str = OrmMetadataField(description='descriptor, generator, property or validator')
        architecture: str = OrmMetadataField(description='Network class and size')
        num_parameters: int = OrmMetadataField(description='Trainable parameters')
        elements: list[str] = OrmMetadataField(description='Elements seen in training')
        fidelities: list[str] = OrmMetadataField(description='Levels of theory seen in training')
        metrics: dict[str, float] = OrmMetadataField(description='Errors at the end of training')
        dataset_hash: str = OrmMetadataField(description='SHA-256 of the packed training set')
        parent_sha256: str | None = OrmMetadataField(None, description='SHA-256 of the initial weights')
        seed: int = OrmMetadataField(description='Seed of the training')
        versions: dict[str, str] = OrmMetadataField(description='Versions of the software that trained it')
        sha256: str = OrmMetadataField(description='SHA-256 of the weights')
        memory_sha256: str | None = OrmMetadataField(None, description='SHA-256 of what later trainings replay')

    def __init__(self, folder: str | os.PathLike[str] | None = None, role: str | None = None, **kwargs: t.Any) -> None:
        """Construct the node from a folder that holds its files.

        :param folder: absolute or relative path.
        :param role: if given, the role that the checkpoint must have.
        :raises CorruptFileError: if a file is missing, truncated or does not match its checksum.
        :raises InvalidInputError: if the checkpoint has another role.
        """
        super().__init__(**kwargs)
        if folder is None:
            return
        weights, info = read_checkpoint(folder, role)
        self.base.repository.put_object_from_filelike(io.BytesIO(weights), WEIGHTS_NAME)
        self.base.repository.put_object_from_filelike(
            io.BytesIO((Path(folder) / CONFIG_NAME).read_bytes()), CONFIG_NAME
        )
        self.base.attributes.set_many(self._attributes_of(info))
        label_node(self, f'{info.role} {info.architecture}')
        memory = Path(folder) / MEMORY_NAME
        if memory.exists():
            content = memory.read_bytes()
            with reported_as(f'{MEMORY_NAME} of the checkpoint is damaged:', InvalidInputError, error=CorruptFileError):
                LabelledBatch.load(io.BytesIO(content))
            self.base.repository.put_object_from_filelike(io.BytesIO(content), MEMORY_NAME)
            self.base.attributes.set('memory_sha256', sha256(content))

    @staticmethod
    def _attributes_of(info: CheckpointInfo) -> dict[str, t.Any]:
        content = info.model_dump(mode='json', exclude={'configuration', 'format_version', 'dataset_sha256'})
        return {**content, 'dataset_hash': info.dataset_sha256}

    @property
    def role(self) -> str:
        """Return ``descriptor``, ``generator``, ``property`` or ``validator``."""
        return str(self.base.attributes.get('role'))

    @property
    def info(self) -> CheckpointInfo:
        """Return the full description.

        :raises CorruptFileError: if ``config.json`` is damaged.
        """
        content = self.base.repository.get_object_content(CONFIG_NAME, mode='rb')
        with reported_as(f'{CONFIG_NAME} of {self} is damaged:', pydantic.ValidationError, error=CorruptFileError):
            return CheckpointInfo.model_validate_json(content)

    @property
    def weights(self) -> bytes:
        """Return the content of ``model.safetensors``, its checksum verified.

        :raises CorruptFileError: if the file does not match the checksum.
        """
        weights: bytes = self.base.repository.get_object_content(WEIGHTS_NAME, mode='rb')
        verify_weights(weights, self.info)
        return weights

    @property
    def memory(self) -> bytes | None:
        """Return the content of ``memory.npz``, its checksum verified, or None if there is none.

        :raises CorruptFileError: if the file does not match the checksum.
        """
        known = self.base.attributes.get('memory_sha256', None)
        if known is None:
            return None
        content: bytes = self.base.repository.get_object_content(MEMORY_NAME, mode='rb')
        if sha256(content) != known:
            raise CorruptFileError(f'{MEMORY_NAME} of {self} does not match its checksum')
        return content

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write all files to ``folder``, which is created."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS_NAME).write_bytes(self.weights)
        (folder / CONFIG_NAME).write_bytes(self.base.repository.get_object_content(CONFIG_NAME, mode='rb'))
        if (memory := self.memory) is not None:
            (folder / MEMORY_NAME).write_bytes(memory)

    def _validate(self) -> bool:
        super()._validate()
        with reported_as('not a valid checkpoint:', FileNotFoundError, CorruptFileError, error=ValidationError):
            info = self.info
            verify_weights(self.base.repository.get_object_content(WEIGHTS_NAME, mode='rb'), info)
        # Storing rounds floats to 15 digits, so that only the identity is compared.
        _ = self.memory
        identity = {name: self.base.attributes.get(name, None) for name in ('role', 'sha256', 'architecture')}
        if identity != info.model_dump(include=set(identity)):
            raise ValidationError(f'the attributes differ from {CONFIG_NAME}')
        return True


def import_checkpoint(folder: str | os.PathLike[str], label: str = '') -> tuple[CheckpointData, bool]:
    """Return the stored checkpoint with the weights in ``folder``, and whether it is new.

    :param label: of a new node; the one that is stored already keeps its own.
    :raises CorruptFileError: if a file is missing, truncated or does not match its checksum.
    """
    node = CheckpointData(folder)
    names = ('sha256', 'role', 'architecture', 'memory_sha256')
    values = {name: node.base.attributes.get(name, None) for name in names}
    same = {f'attributes.{name}': value for name, value in values.items() if value is not None}
    known = QueryBuilder().append(CheckpointData, filters=same).order_by({CheckpointData: 'id'}).first(flat=True)
    if known is not None:
        return t.cast('CheckpointData', known), False
    node.label = label
    return node.store(), True


def import_foundation(role: str = 'generator', label: str = '') -> tuple[CheckpointData, bool]:
    """Return the stored model of any chemistry that comes with the package, and whether it is new.

    :param role: ``generator`` or ``validator``.
    :param label: of a new node; by default ``foundation`` for the generator and ``foundation-validator`` for the other.
    :raises InvalidInputError: if this installation lacks it.
    :raises CorruptFileError: if a file is damaged.
    """
    name, folder = {
        'generator': ('foundation', FOUNDATION),
        'validator': ('foundation-validator', VALIDATOR_FOUNDATION),
    }[role]
    if not folder.is_dir():
        message = f'this installation lacks the {role} of any chemistry, `{folder}`: install the package again'
        raise InvalidInputError(message)
    return import_checkpoint(folder, label or name)

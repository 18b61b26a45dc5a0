"""Checkpoint files: weights as safetensors and a JSON description with their checksum."""

from __future__ import annotations

import hashlib
import json
import os
import re
import typing as t
from pathlib import Path

import numpy as np
import pydantic

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, reported_as

__all__ = (
    'CONFIG_NAME',
    'DESCRIPTOR_FOUNDATION',
    'FORMAT_VERSION',
    'FOUNDATION',
    'GAP_FOUNDATION',
    'MEMORY_NAME',
    'PROPERTY_FOUNDATION',
    'VALIDATOR_FOUNDATION',
    'WEIGHTS_NAME',
    'CheckpointInfo',
    'read_checkpoint',
    'sha256',
    'verify_weights',
    'write_info',
)

FORMAT_VERSION = 1
WEIGHTS_NAME = 'model.safetensors'
CONFIG_NAME = 'config.json'
MEMORY_NAME = 'memory.npz'
"""What a validator was trained on and is measured by when it is fine-tuned; checkpoints of other models have none."""

FOUNDATION = Path(__file__).parents[1] / 'ml' / 'generator' / 'foundation'
"""Folder of the generator of any chemistry that comes with the package, made by ``recipes/foundation.py``."""

VALIDATOR_FOUNDATION = Path(__file__).parents[1] / 'ml' / 'validator' / 'foundation'
"""Folder of the validator of any chemistry that comes with the package, made by ``recipes/validator.py``."""

GAP_FOUNDATION = Path(__file__).parents[1] / 'ml' / 'gaps' / 'foundation'
"""Folder of the model of band gaps that comes with the package, made by ``recipes/gaps.py``."""

PROPERTY_FOUNDATION = Path(__file__).parents[1] / 'ml' / 'properties' / 'foundation'
"""Folder of the heads of bulk and shear moduli that come with the package, made by ``recipes/elasticity.py``."""

DESCRIPTOR_FOUNDATION = Path(__file__).parents[1] / 'ml' / 'properties' / 'descriptors'
"""Folder of the heads of quantum descriptors that come with the package, made by ``recipes/descriptor_heads.py``."""

Role = t.Literal['descriptor', 'generator', 'property', 'validator']


class CheckpointInfo(pydantic.BaseModel):
    """The content and origin of a checkpoint.

    ``architecture`` names the network class and size (``mf-ennp-tiny``), ``configuration`` is what rebuilds it.
    """

    model_config = pydantic.ConfigDict(extra='forbid', frozen=True)

    format_version: int = FORMAT_VERSION
    role: Role
    architecture: str
    configuration: dict[str, t.Any]
    num_parameters: int = pydantic.Field(ge=1)
    elements: tuple[str, ...] = ()
    fidelities: tuple[str, ...] = ()
    metrics: dict[str, float] = pydantic.Field(default_factory=dict)
    dataset_sha256: str = ''
    parent_sha256: str | None = None
    seed: int = 0
    versions: dict[str, str] = pydantic.Field(default_factory=dict)
    sha256: str = pydantic.Field(pattern=re.compile('^[0-9a-f]{64}$'))


def sha256(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of ``content``."""
    return hashlib.sha256(content).hexdigest()


def verify_weights(weights: bytes, info: CheckpointInfo) -> None:
    """Check that ``weights`` are what ``info`` describes and are a readable safetensors file with finite values.

    :raises CorruptFileError: if the checksum differs, the file is truncated, or a weight is not finite.
    """
    found = sha256(weights)
    if found != info.sha256:
        message = (
            f'the weights of this {info.role} checkpoint have sha256 {found[:12]}…, the description says '
            f'{info.sha256[:12]}…: the file is damaged or was replaced; fetch or train the checkpoint again'
        )
        raise CorruptFileError(message)
    from safetensors.numpy import load

    with reported_as(
        'the weights are not a readable safetensors file:', Exception, error=CorruptFileError
    ):  # safetensors raises its own untyped errors
        tensors = load(weights)
    for name, tensor in tensors.items():
        if np.issubdtype(tensor.dtype, np.floating) and not np.isfinite(tensor).all():
            raise CorruptFileError(f'weight `{name}` is not finite')


def write_info(folder: str | os.PathLike[str], **fields: t.Any) -> CheckpointInfo:
    """Describe the weights already written to ``folder`` and write the description to the same folder."""
    folder = Path(folder)
    info = CheckpointInfo(sha256=sha256((folder / WEIGHTS_NAME).read_bytes()), **fields)
    temporary = folder / (CONFIG_NAME + '.partial')
    temporary.write_text(json.dumps(info.model_dump(mode='json'), indent=2, sort_keys=True) + '\n')
    temporary.replace(folder / CONFIG_NAME)
    return info


def read_checkpoint(folder: str | os.PathLike[str], role: str | None = None) -> tuple[bytes, CheckpointInfo]:
    """Return the verified weights and the description of the checkpoint in ``folder``.

    :param role: if given, the role that the checkpoint must have.
    :raises CorruptFileError: if a file is missing or damaged.
    :raises InvalidInputError: if the role is another one.
    """
    folder = Path(folder)
    try:
        weights = (folder / WEIGHTS_NAME).read_bytes()
        info = CheckpointInfo.model_validate_json((folder / CONFIG_NAME).read_bytes())
    except FileNotFoundError as exception:
        message = f'`{folder}` is not a checkpoint: it needs {WEIGHTS_NAME} and {CONFIG_NAME}'
        raise CorruptFileError(message) from exception
    except pydantic.ValidationError as exception:
        raise CorruptFileError(f'`{folder / CONFIG_NAME}` is damaged: {exception}') from exception
    if info.format_version != FORMAT_VERSION:
        message = f'`{folder}` has format version {info.format_version}, this release reads {FORMAT_VERSION}'
        raise CorruptFileError(message)
    if role is not None and info.role != role:
        raise InvalidInputError(f'checkpoint `{folder}` has the role `{info.role}`, expected `{role}`')
    verify_weights(weights, info)
    return weights, info

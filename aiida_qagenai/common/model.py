"""Base of all settings."""

from __future__ import annotations

import pydantic

__all__ = ('StrictModel',)


class StrictModel(pydantic.BaseModel):
    """Immutable; an unknown key is an error, so that a misspelt one never passes, and so is a number not finite."""

    model_config = pydantic.ConfigDict(extra='forbid', frozen=True, allow_inf_nan=False)

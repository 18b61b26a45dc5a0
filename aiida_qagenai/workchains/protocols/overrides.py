"""Read a file of protocols and lay a user's changes over one of them."""

from __future__ import annotations

import functools
import typing as t
from pathlib import Path

import yaml

__all__ = ('merge_overrides', 'read_protocols')


@functools.cache
def read_protocols(path: Path) -> dict[str, t.Any]:
    """Return the content of a protocols file, by name of the protocol; not to be changed."""
    content: dict[str, t.Any] = yaml.safe_load(path.read_text(encoding='utf8'))
    return content


def merge_overrides(base: dict[str, t.Any], overrides: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return ``base`` with ``overrides`` laid over it, dictionaries merged key by key; neither is changed."""
    merged = dict(base)
    for key, value in overrides.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_overrides(merged[key], value) if nested else value
    return merged

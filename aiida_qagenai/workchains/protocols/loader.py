"""Read a file of protocols, choose one, and lay a user's changes over it."""

from __future__ import annotations

import difflib
import functools
import typing as t
from pathlib import Path

import yaml

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('DEFAULT_PROTOCOL', 'describe_protocols', 'merge_overrides', 'protocol_values', 'take_protocol')

DEFAULT_PROTOCOL = 'fast'
"""The protocol of every work chain where no other is named."""


@functools.cache
def _read(path: Path) -> dict[str, t.Any]:
    """Return the content of a file of protocols by name of the protocol; not to be changed."""
    content: dict[str, t.Any] = yaml.safe_load(path.read_text(encoding='utf8'))
    return content


def describe_protocols(path: Path) -> dict[str, str]:
    """Return the description of each protocol in a file by its name."""
    return {name: values['description'] for name, values in _read(path).items()}


def protocol_values(path: Path, protocol: str, what: str) -> dict[str, t.Any]:
    """Return the values of ``protocol`` in a file.

    :param what: the protocols are for: ``energies``.
    :raises InvalidInputError: if there is no such protocol, naming those that there are.
    """
    protocols = _read(path)
    if protocol not in protocols:
        near = difflib.get_close_matches(protocol, protocols, n=1)
        hint = f'did you mean `{near[0]}`? The' if near else 'the'
        raise InvalidInputError(f'unknown protocol `{protocol}` of {what}: {hint} protocols are {", ".join(protocols)}')
    return dict(protocols[protocol])


def take_protocol(section: t.Mapping[str, t.Any], default: str = DEFAULT_PROTOCOL) -> tuple[str, dict[str, t.Any]]:
    """Return the name of the protocol that a section of settings is based on, and its changes to that protocol."""
    changes = dict(section)
    return str(changes.pop('protocol', default)), changes


def merge_overrides(base: t.Mapping[str, t.Any], overrides: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return ``base`` with ``overrides`` laid over it, dictionaries merged key by key; neither is changed."""
    merged = dict(base)
    for key, value in overrides.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_overrides(merged[key], value) if nested else value
    return merged

"""Protocols of searches for hyperparameters."""

from __future__ import annotations

import copy
import typing as t
from collections.abc import Mapping
from pathlib import Path

from aiida_qagenai.exchange.hyperparameters import CONDITIONING, HyperparameterSettings, parse_settings
from aiida_qagenai.workchains.protocols.loader import (
    DEFAULT_PROTOCOL,
    describe_protocols,
    merge_overrides,
    protocol_values,
)

__all__ = ('available_protocols', 'hyperparameter_settings')

PROTOCOLS_FILE = Path(__file__).with_name('hyperparameters.yaml')


def available_protocols() -> dict[str, str]:
    """Return the description of each protocol by its name."""
    return describe_protocols(PROTOCOLS_FILE)


def hyperparameter_settings(
    protocol: str = DEFAULT_PROTOCOL, overrides: Mapping[str, t.Any] | None = None, *, conditioned: bool = True
) -> HyperparameterSettings:
    """Return the settings of ``protocol`` with nested ``overrides`` applied.

    With the objective ``loss`` the protocol's hyperparameters of the sampling are left out, and those of the training
    where ``training`` is ``None``.

    :param conditioned: whether samples are conditioned; λ of the protocol is left out otherwise.
    :raises InvalidInputError: for an unknown protocol, an unknown key or a value out of range.
    """
    values, changes = protocol_values(PROTOCOLS_FILE, protocol, 'searches for hyperparameters'), dict(overrides or {})
    space = copy.deepcopy(values['space'])
    if not conditioned:
        space['sampling'].pop(CONDITIONING, None)
    if changes.get('objective') == 'loss':
        space['sampling'] = {}
    if 'training' in changes and changes['training'] is None:
        space['training'] = {}
    return parse_settings(merge_overrides({**values, 'space': space}, changes))

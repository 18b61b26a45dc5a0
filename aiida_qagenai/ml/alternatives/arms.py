"""The arms of the contest by name."""

from __future__ import annotations

import functools

from aiida_qagenai.exchange.arms import ABOUT
from aiida_qagenai.ml.alternatives import networks, regressions
from aiida_qagenai.ml.alternatives.kriging import co_kriging
from aiida_qagenai.ml.alternatives.problem import Method

__all__ = ('METHODS', 'NEEDS_BASE', 'NEEDS_LEVELS')

METHODS: dict[str, Method] = {
    'lower': regressions.lower,
    'linear': regressions.linear,
    'levels': regressions.levels,
    'high-only': regressions.high_only,
    'difference': regressions.difference,
    'co-kriging': co_kriging,
    'foundation-linear': regressions.foundation_linear,
    'foundation': regressions.foundation,
    'network-linear': networks.network_linear,
    'network-high-only': networks.network_high_only,
    'network-difference': networks.network_difference,
    'network-transfer': networks.network_transfer,
    'mf-ennp': functools.partial(networks.multi_fidelity, paired=True),
    'mf-ennp-frozen': functools.partial(networks.multi_fidelity, freeze_trunk_below=networks.ALWAYS),
    'mf-ennp-no-stop': functools.partial(networks.multi_fidelity, gradient_stop=False, freeze_trunk_below=0),
    'mf-ennp-direct': functools.partial(networks.multi_fidelity, staged=False),
    'mf-ennp-outer': functools.partial(networks.multi_fidelity, ladder='outer', paired=True),
    'mf-ennp-upper': functools.partial(networks.multi_fidelity, ladder='upper', paired=True),
    'mf-ennp-pairs': functools.partial(networks.multi_fidelity, architecture='pairs', paired=True),
    'mf-ennp-shipped': networks.shipped_heads,
}
assert tuple(METHODS) == tuple(ABOUT)

NEEDS_LEVELS = ('levels', 'mf-ennp-outer', 'mf-ennp-upper')
"""Arms that differ from others only with two levels below the target or more."""

NEEDS_BASE = ('foundation-linear', 'foundation', 'mf-ennp-shipped')
"""Arms that use the shipped validator."""

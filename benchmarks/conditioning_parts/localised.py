"""How far asking for localised electrons moves them, by our own DFT.

What is asked for is ``elf_high``, the share of the volume with ELF ≥ 0.7.

Two values are asked for, and none, in the pools of `conditioning_parts/computed.py`; of each arm and pool the smallest
crystal is computed by pw.x with its descriptors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from aiida import orm
from pymatgen.core import Structure

from aiida_qagenai.api.generation import Generated, Requested, propose_crystals
from aiida_qagenai.common.descriptors import HIGH_ELF
from aiida_qagenai.selection.targets import parse_target
from conditioning_parts.computed import Gaps, admitted, report_arm, run
from conditioning_parts.steering import MAX_ATOMS, PER_SYSTEM, Arms, Made, run_here

VALUES = (0.05, 0.3)
"""A twentieth of the volume and three tenths: near the ends of what known crystals have."""

ARMS = ('free', *(f'elf_high {value:g}' for value in VALUES))


def steer(pools: Sequence[str], cache: Path, profile: str) -> None:
    """Print how far the share of localised electrons moves towards each of ``VALUES``.

    :param cache: JSON file that keeps the crystals of each pool as soon as they are made.
    """
    report(run(make(admitted(pools), cache), profile, ARMS, localised))


def make(pools: Sequence[str], cache: Path) -> Arms:
    """Return the crystals of all arms."""
    kept = json.loads(cache.read_text()) if cache.exists() else {}
    for pool in pools:
        if pool not in kept:
            made = {arm: _made(pool, arm) for arm in ARMS}
            kept[pool] = {arm: [each.structure.as_dict() for each in crystals] for arm, crystals in made.items()}
            cache.write_text(json.dumps(kept))
    return {
        arm: {pool: [Made(Structure.from_dict(one), '') for one in kept[pool][arm]] for pool in pools} for arm in ARMS
    }


def _made(pool: str, arm: str) -> list[Generated]:
    target = None if arm == 'free' else parse_target('='.join(arm.split()))
    requested = Requested(tuple(pool.split('-')), PER_SYSTEM, target=target)
    return propose_crystals(requested, {'max_atoms': MAX_ATOMS, 'refine': False, 'pool': True}, run_here)


def localised(node: orm.ProcessNode) -> float:
    """Return the computed share of the volume with ELF ≥ 0.7."""
    if 'descriptors' not in node.outputs:
        return math.nan
    values = node.outputs.descriptors.get_dict()
    return float(sum(values[name] for name in HIGH_ELF))


def report(found: Gaps) -> None:
    """Print medians, and the share of the distance asked that the median moves, over pools that have both."""
    for value, arm in zip(VALUES, ARMS[1:], strict=True):
        report_arm(found, arm, f'elf-high-{value:g}', value, 'share of the volume')

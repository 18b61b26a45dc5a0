"""The judge that cannot share an error with the models: gaps by our own DFT of crystals of the pools.

Of every pool without elements of open 3d shells (a calculation without spin would make metals of their compounds) the
smallest crystal of each arm is an `EnergyWorkChain` of pw.x at PBE in a profile, as in `recipes/descriptors.py`. What
has ended, well or not, is not computed again, so that the command can be interrupted at any time.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from aiida import load_profile, orm
from descriptors import compute, ended, means
from pymatgen.core import Structure

from conditioning_parts.steering import TARGETS, Arms, moved

OPEN_SHELLS = frozenset({'V', 'Cr', 'Mn', 'Fe', 'Co', 'Ni'})
POOLS = 8
HOURS = 0.2
"""Longest calculation of one crystal."""

GROUP = 'qagenai-benchmark-conditioning'
ARMS = ('free', *(f'aimed {value:g}' for value in TARGETS))

Gaps = dict[str, dict[str, float]]
"""Arm → pool → gap of the crystal, eV, or what is read in place of it, NaN where there is none."""


def admitted(pools: Sequence[str]) -> list[str]:
    """Return the pools whose crystals are computed."""
    return [pool for pool in pools if OPEN_SHELLS.isdisjoint(pool.split('-'))][:POOLS]


def smallest(arms: Arms, chosen: Sequence[str], pools: Sequence[str]) -> Iterator[tuple[str, str, Structure]]:
    """Yield pool, arm and smallest crystal, pool by pool, so that a part of all has the same share of every arm."""
    for pool in pools:
        for arm in chosen:
            yield pool, arm, min((each.structure for each in arms[arm][pool]), key=len)


def run(
    arms: Arms,
    profile: str,
    chosen: Sequence[str] = ARMS,
    read: Callable[[orm.ProcessNode], float] | None = None,
) -> Gaps:
    """Compute what is missing, and return the gaps, or what ``read`` finds, with descriptors computed for it.

    :param chosen: arms.
    """
    load_profile(profile)
    group, _ = orm.Group.collection.get_or_create(GROUP if read is None else f'{GROUP}-described')
    by, known, values = means(), ended(group), {arm: dict[str, float]() for arm in chosen}
    for pool, arm, structure in smallest(arms, chosen, admitted(list(arms['free']))):
        name = key_of(structure)
        if name not in known:
            said = compute(name, structure, by, group, HOURS, described=read is not None)
            print(f'# {pool} {arm} {structure.composition.reduced_formula}: {said}', flush=True)
            known = ended(group)
        node = known.get(name)
        is_known = node is not None and node.is_finished_ok
        values[arm][pool] = (read or gap_of)(node) if is_known else float('nan')
    return values


def key_of(structure: Structure) -> str:
    """Return a name of a crystal, the same for the crystals of two arms that are one."""
    lengths = '-'.join(f'{each:.2f}' for each in structure.lattice.abc)
    return f'{structure.composition.formula.replace(" ", "")}-{lengths}'


def gap_of(node: orm.ProcessNode) -> float:
    """Return the gap at PBE that a process has computed, eV."""
    return float(node.outputs.energy.base.attributes.get('band_gap'))


def report(gaps: Gaps) -> None:
    """Print how far the median of the computed gaps moves, over the pools that have both gaps."""
    known = np.isfinite([gap for part in gaps.values() for gap in part.values()])
    print(f'# computed: {int(known.sum())} of {len(known)} crystals', flush=True)
    for value in TARGETS:
        report_arm(gaps, f'aimed {value:g}', f'computed-{value:g}', value)


def report_arm(found: Gaps, arm: str, name: str, value: float, unit: str = 'eV') -> None:
    """Print how far the median of an arm moves towards what is asked for, over the pools that have both.

    :param name: of the figures.
    """
    part = found[arm]
    both = [pool for pool in part if np.isfinite(part[pool]) and np.isfinite(found['free'][pool])]
    if both:
        written = (' '.join(f'{each[pool]:.2f}' for pool in both) for each in (part, found['free']))
        print(f'# {value:g} {unit}, {len(both)} pools: {next(written)}; free {next(written)}', flush=True)
        moved(name, _arrays(found['free'], both), _arrays(part, both), value, both, unit=unit)


def _arrays(part: Mapping[str, float], pools: Sequence[str]) -> dict[str, t.Any]:
    return {pool: np.array([part[pool]]) for pool in pools}

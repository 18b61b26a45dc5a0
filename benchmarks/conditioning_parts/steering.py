"""How far asking for a band gap moves the crystals of chemical systems, by judges that no stage of the package uses.

Of every system and gap three arms of ``PER_SYSTEM`` crystals are made: `free`, for which nothing is asked, `ranked`,
the nearest of five free ones per crystal that is wanted, and `aimed`, what `generate --target` does.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import sys
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from figures import figure
from numpy.typing import NDArray
from pymatgen.core import Structure

from aiida_qagenai.api.generation import SAMPLES, Generated, Requested, propose_crystals
from aiida_qagenai.api.targeting import predicted_gaps
from aiida_qagenai.chemistry.close_packing import simple_packing
from aiida_qagenai.chemistry.duplicates import find_duplicates
from aiida_qagenai.evaluation.validity import is_valid
from aiida_qagenai.ml import cli
from aiida_qagenai.selection.targets import GapTarget
from conditioning_parts.judge import Judge

TARGETS = (0.0, 1.0, 3.0, 5.0)
SYSTEMS = (
    'Zn-O', 'Mg-Si-O', 'Ga-N', 'Cd-Se', 'Ca-Ti-O', 'Li-Co-O', 'Na-Cl', 'Cu-In-S', 'Al-N', 'Ba-Sn-S',
    'K-Pb-I', 'Mo-S', 'Y-F', 'Fe-S', 'Sr-Ge-O', 'Li-P-S', 'Ni-O', 'Bi-Te', 'Zr-N', 'Rb-Sn-Br',
)  # fmt: skip
POOLS = 20
GROUPS = (
    ['Li', 'Na', 'K', 'Mg', 'Ca', 'Sr', 'Ba', 'Sc', 'Y', 'Zr', 'Al'],
    ['Ti', 'V', 'Cr', 'Mn', 'Fe', 'Co', 'Ni', 'Cu', 'Zn', 'Ga', 'Ge', 'Cd', 'In', 'Sn'],
    ['O', 'F', 'Cl'],
    ['N', 'P', 'S', 'Se', 'Br', 'I'],
)
"""A pool has one element of each, drawn at random."""

METALS = ('Ti-O', 'V-S', 'Fe-N', 'Ni-P', 'Mn-Se', 'Ti-Ni', 'Fe-Co', 'Cu-Zr', 'Cr-Pt', 'Nb-Mo')
"""Systems of transition metals, for the metallicity trap."""

PER_SYSTEM = 5
MAX_ATOMS = 12
REACH = 0.3
"""A system reaches a gap if a published one of it is at most this far below, eV."""


def pools() -> list[str]:
    """Return the pools of four elements, different ones, drawn with a fixed seed."""
    rng, found = np.random.default_rng(18), dict[str, None]()
    while len(found) < POOLS:
        found['-'.join(str(rng.choice(group)) for group in GROUPS)] = None
    return list(found)


class Made(t.NamedTuple):
    """One crystal of an arm, and how it relates to known crystals."""

    structure: Structure
    relation: str


Arms = dict[str, dict[str, list[Made]]]
"""Arm → chemical system → crystals. Arms are `free`, and `ranked 3` and `aimed 3` for 3 eV."""


def run_here(task: str, config: dict[str, t.Any], folder: Path, _: str) -> dict[str, t.Any]:
    """Run a task of the GPU side in this process, which spares loading torch hundreds of times."""
    with contextlib.chdir(folder), contextlib.redirect_stdout(sys.stderr):
        Path('config.json').write_text(json.dumps(config))
        if cli.main([task, '--config', 'config.json']):
            raise RuntimeError(Path(cli.RESULTS_NAME).read_text())
        found: dict[str, t.Any] = json.loads(Path(cli.RESULTS_NAME).read_text())
    return found


def make(systems: Sequence[str], targets: Sequence[float], cache: Path, **limits: t.Any) -> Arms:
    """Return the crystals of all arms.

    :param cache: JSON file that keeps the crystals of each system as soon as they are made.
    :param limits: of the requests, such as ``refine`` and ``pool``.
    """
    kept: dict[str, dict[str, t.Any]] = json.loads(cache.read_text()) if cache.exists() else {}
    for system in systems:
        if system not in kept:
            made = _of_system(system, targets, {'max_atoms': MAX_ATOMS, **limits})
            kept[system] = {
                arm: [[each.structure.as_dict(), each.relation] for each in crystals] for arm, crystals in made.items()
            }
            cache.write_text(json.dumps(kept))
    arms: Arms = {}
    for system in systems:
        for arm, crystals in kept[system].items():
            arms.setdefault(arm, {})[system] = [Made(Structure.from_dict(one), said) for one, said in crystals]
    return arms


def _of_system(system: str, targets: Sequence[float], limits: dict[str, t.Any]) -> dict[str, list[Generated]]:
    """Return the crystals of all arms of one chemical system."""
    elements = tuple(system.split('-'))
    pool = propose_crystals(Requested(elements, PER_SYSTEM * SAMPLES), {**limits}, run_here)
    predicted = predicted_gaps([each.structure for each in pool], run_here)
    found = {'free': pool[:PER_SYSTEM]}
    for value in targets:
        target = GapTarget.parse(f'band_gap={value}')
        order = sorted(range(len(pool)), key=lambda index: target.distance(predicted[index]))
        found[f'ranked {value:g}'] = [pool[index] for index in order[:PER_SYSTEM]]
        found[f'aimed {value:g}'] = propose_crystals(
            Requested(elements, PER_SYSTEM, target=target), {**limits}, run_here
        )
    return found


def report(
    arms: Arms, targets: Sequence[float], judges: Mapping[str, Judge], reach: Mapping[str, float], prefix: str = ''
) -> None:
    """Print how far the medians of the gaps move, of how much was asked, and what that costs.

    :param judges: by the suffix of their figures.
    :param reach: largest published gap of each chemical system, eV; those that reach a gap are looked at alone, too.
    :param prefix: of the figures.
    """
    for suffix, judge in judges.items():
        gaps = {arm: judged(judge, found) for arm, found in arms.items()}
        systems = list(gaps['free'])
        for value, arm in itertools.product(targets, ('ranked', 'aimed')):
            pair = gaps['free'], gaps[f'{arm} {value:g}']
            moved(f'{prefix}{arm}-{value:g}{suffix}', *pair, value, systems)
            able = [system for system in systems if reach.get(system, 0.0) >= value - REACH]
            if 0 < len(able) < len(systems):
                print(f'# {value:g} eV is within reach of {len(able)}: {" ".join(able)}', flush=True)
                moved(f'{prefix}{arm}-{value:g}{suffix}-able', *pair, value, able)
    for name, how in (('valid', valid_share), ('unique', unique_share), ('formulas', formula_share)):
        free = how(arms['free'])
        for arm, found in arms.items():
            if arm != 'free':
                figure(f'{prefix}{name}-{arm.replace(" ", "-")}', how(found), 'share', 'free', free)


def judged(judge: Judge, found: Arm) -> dict[str, NDArray[np.float64]]:
    """Return what a judge says of the gaps of an arm, by chemical system, eV."""
    return {
        system: judge.of_structures([each.structure for each in made]) if made else np.zeros(0)
        for system, made in found.items()
    }


def report_metals(arms: Arms) -> None:
    """Print the shares of novel and of close-packed crystals among those asked to be metals."""
    for name, how in (('metals-novel', novel_share), ('metals-close-packed', packed_share)):
        for arm in ('ranked 0', 'aimed 0'):
            figure(f'{name}-{arm.split()[0]}', how(arms[arm]), 'share', 'free', how(arms['free']))


def moved(
    name: str,
    free: Mapping[str, NDArray[np.float64]],
    found: Mapping[str, NDArray[np.float64]],
    target: float,
    systems: Sequence[str],
    *,
    unit: str = 'eV',
) -> None:
    """Print the median, the share of the distance that it moves, and the Wasserstein distances to the target."""
    before, after = (np.concatenate([part[system] for system in systems]) for part in (free, found))
    medians = float(np.median(before)), float(np.median(after))
    figure(f'median-{name}', medians[1], unit, 'free', medians[0])
    asked = target - medians[0]
    figure(f'moved-{name}', (medians[1] - medians[0]) / asked if not math.isclose(asked, 0) else None, 'share')
    # All of the target lies at one gap: the distance of Wasserstein is the mean distance to it.
    distances = [float(np.abs(part - target).mean()) for part in (before, after)]
    figure(f'wasserstein-{name}', distances[1], unit, 'free', distances[0])


Arm = Mapping[str, Sequence[Made]]
"""Crystals by chemical system."""


def _all(found: Arm) -> list[Made]:
    return [each for crystals in found.values() for each in crystals]


def valid_share(found: Arm) -> float:
    """Return the share of valid crystals, structure and composition, by the definitions of the field."""
    return float(np.mean([is_valid(each.structure) for each in _all(found)]))


def unique_share(found: Arm) -> float:
    """Return the share of crystals that are no duplicate of an earlier one of the same chemical system."""
    parts = ([each.structure for each in made] for made in found.values())
    return sum(len(find_duplicates(part, distortions=False).representatives) for part in parts) / len(_all(found))


def formula_share(found: Arm) -> float:
    """Return how many formulas there are per crystal."""
    return len({each.structure.composition.reduced_formula for each in _all(found)}) / len(_all(found))


def novel_share(found: Arm) -> float:
    """Return the share of crystals that the library does not contain."""
    return float(np.mean([each.relation != 'replay' for each in _all(found)]))


def packed_share(found: Arm) -> float:
    """Return the share of fcc, bcc and hcp, elements not told apart."""
    pairs = ((each.structure.lattice.matrix, each.structure.frac_coords) for each in _all(found))
    return float(np.mean([simple_packing(*pair) is not None for pair in pairs]))

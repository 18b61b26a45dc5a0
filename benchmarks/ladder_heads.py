"""Upper rungs learned from the ladder that comes with the package, and judged by compounds that were left out.

    python benchmarks/ladder_heads.py [--steps N] [--store] [--quick]

Each compound is left out in turn, with all of its structures and volumes. From the others several ways to HSE06 and to
CCSD(T) are learned, and give the energy of what was left out from its energy at PBE: PBE as it is, its linear
correction (shift, slope, a term per element), a combination of PBE, SCAN and HSE06, Gaussian processes on the features
of the shipped validator, and the shipped validator with new heads on its frozen trunk, as a campaign trains them.
Figures are mean absolute errors of formation energies over the crystals at equilibrium. `--store` writes them to
`records/ladder_heads.json`, which the page on the ladder shows. `--quick` leaves out the heads of the validator.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import typing as t
import warnings
from pathlib import Path

import numpy as np
from figures import figure
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.common.plotting import write_text
from aiida_qagenai.evaluation.figures import Figure, mean
from aiida_qagenai.exchange.contests import ContestConfig
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.alternatives.arms import METHODS
from aiida_qagenai.ml.alternatives.contest import Field, seen_in_fold
from aiida_qagenai.ml.runtime import setup
from aiida_qagenai.thermodynamics.ladder.records import LadderCrystal, load_ladder

RECORDS = Path(__file__).resolve().parent / 'records' / 'ladder_heads.json'
HEADS = 'mf-ennp-shipped'
ARMS = ('lower', 'linear', 'difference', 'foundation', HEADS)
"""From PBE alone; ``levels`` sees all rungs below the target."""

TARGETS = (Fidelity.HSE06, Fidelity.CCSD_T)
Errors = NDArray[np.float64]
Arms = t.Sequence[str]
Found = dict[str, dict[str, Figure]]


def labels_of(crystals: t.Mapping[str, LadderCrystal]) -> LabelledBatch:
    """Return the complete crystals of the ladder with their formation energies."""
    chosen = {name: crystal for name, crystal in crystals.items() if crystal.is_complete}
    structures = [
        Structure(crystal.cell, crystal.symbols, crystal.positions, coords_are_cartesian=True)
        for crystal in chosen.values()
    ]
    energies = [[crystal.energies[level]['anchored'] for level in LADDER] for crystal in chosen.values()]
    return LabelledBatch(
        StructureBatch.from_structures(structures, list(chosen)),
        np.array(energies, dtype=np.float64),
        np.full((len(chosen), NUM_DESCRIPTORS), np.nan),
        np.array([Composition(''.join(crystal.symbols)).reduced_formula for crystal in chosen.values()]),
        np.zeros(len(chosen), dtype=np.int8),
        levels=tuple(Level(f'ladder {level.value}', level) for level in LADDER),
    )


def errors_of(arm: str, field: Field, config: ContestConfig) -> Errors:
    """Return the errors of an arm for each crystal, eV/atom, learned from the crystals of other compounds."""
    runtime, errors = setup(config), np.full(len(field.groups), np.nan)
    for seed, group in enumerate(np.unique(field.groups)):
        rows = np.flatnonzero(field.groups == group)
        found = METHODS[arm](seen_in_fold(field, config, runtime, field.groups == group, seed))(rows)
        errors[rows] = found.energies - field.energies[rows, -1]
    return errors


def measured(batch: LabelledBatch, judged: NDArray[np.bool_], config: ContestConfig, arms: Arms) -> Found:
    """Return the mean absolute error of each arm by target, over the ``judged`` crystals, shape (n,)."""
    found: Found = {}
    for target in TARGETS:
        below = [level for level in batch.levels if level.rung.rank < target.rank]
        found[target.value] = {}
        whole = Field.of(batch.on_levels([*below, batch.levels[target.rank]]), config, setup(config))
        pair = [0, len(below)]
        from_pbe = dataclasses.replace(
            whole, energies=whole.energies[:, pair], levels=tuple(whole.levels[k] for k in pair)
        )
        for arm, field in (dict.fromkeys(arms, from_pbe) | {'levels': whole}).items():
            errors = np.abs(errors_of(arm, field, config))[judged]
            definition = f'mean error of {target.value}, {len(set(batch.groups))} compounds left out one by one'
            found[target.value][arm] = mean(f'ladder-{target.label}-{arm}', errors.tolist(), definition)
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=100, help='of each network of the validator')
    parser.add_argument('--store', action='store_true', help='write the records')
    parser.add_argument('--quick', action='store_true', help='without the heads of the validator')
    arguments = parser.parse_args()
    if arguments.store and arguments.quick:
        parser.error('--store needs all arms: leave --quick out')
    warnings.simplefilter('ignore')
    crystals = load_ladder().crystals
    batch = labels_of(crystals)
    judged = np.array([crystals[name].volume == 1 for name in batch.structures.identifiers.tolist()])
    # The data set of the settings is that of the command `contest`: here the labels are given.
    config = ContestConfig(dataset=Path('none'), given=True, steps=arguments.steps)
    found = measured(batch, judged, config, [arm for arm in ARMS if arm != HEADS or not arguments.quick])
    for target in found.values():
        for one in target.values():
            figure(one.name, one.value, 'eV/atom', 'linear correction of PBE', target['linear'].value)
    if arguments.store:
        errors = {
            target: {arm: [one.value, *(one.interval or ())] for arm, one in arms.items()}
            for target, arms in found.items()
        }
        counts = {'crystals': int(judged.sum()), 'compounds': len(set(batch.groups.tolist()))}
        write_text(json.dumps({**counts, 'steps': arguments.steps, 'errors': errors}, indent=1) + '\n', RECORDS)


if __name__ == '__main__':
    main()

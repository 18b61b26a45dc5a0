"""How far a gap moves what the diffusion model itself makes, by the way in which q enters and by the guidance λ.

The shipped generator has learned gaps. In two arms it forgets what it knew of q, and learns anew from crystals with a
published gap at PBE, of formulas that are trained on: once with q beside what is known of the whole cell and once with
cross-attention to it; both see the same crystals in the same order. Then crystals of pools of four elements are made
from noise, their composition open. λ = 0 ignores the gap. Judges are the first of `judge.py` and the gap model of the
package; `ranked` is the fifth of the crystals that this model has nearest to the target, by the former.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from crystals import read_all
from figures import figure
from gap_data import add_gaps
from numpy.typing import NDArray
from pymatgen.core import Structure
from validator_data import split_of

from aiida_qagenai.api.targeting import predicted_gaps
from aiida_qagenai.common.descriptors import FIELDS
from aiida_qagenai.exchange.checkpoint import FOUNDATION
from aiida_qagenai.exchange.dataset import SPLITS
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.ml.checkpoints import load_checkpoint, save_checkpoint
from conditioning_parts.judge import Judge
from conditioning_parts.steering import MAX_ATOMS, Made, judged, moved, run_here, unique_share, valid_share

LEARNED = ('concatenation', 'cross-attention')
ARMS = ('shipped', *LEARNED)
GUIDANCE = (0.3, 1.0, 3.0)
ASKED = (0.0, 3.0, 5.0)
"""Gaps, eV; 1 eV is about what comes out without one."""

PER_POOL, RANKED = 5, 0.2
STEPS, BATCH_SIZE, LEARNING_RATE = 2500, 64, 5e-4
QUICK_STEPS = 20


def report(data: Path, pools: Sequence[str], judge: Judge, cache: Path, *, quick: bool) -> None:
    """Print medians and distances to the target of all arms, and what they cost.

    :param data: folder with the crystals of the Materials Project.
    :param judge: of gaps.
    :param cache: folder of training set, checkpoints and crystals, which spares making them again.
    :param quick: whether training and sweep are cut to what shows that they run.
    """
    labelled = training_set(data, cache)
    targets, guidance = (ASKED[-1:], GUIDANCE[1:2]) if quick else (ASKED, GUIDANCE)
    for arm in ARMS:
        generator = FOUNDATION if arm == 'shipped' else trained(arm, labelled, cache, QUICK_STEPS if quick else STEPS)
        # Crystals of another number of steps are others.
        folder = cache / arm if arm == 'shipped' else generator.parent
        free = sampled(folder, generator, pools, None, 0.0)
        figure(f'diffusion-valid-{arm}-free', valid_share(free), 'share')
        ours = judged(judge, free), of_model(free)
        for scale, value in itertools.product(guidance, targets):
            found = sampled(folder, generator, pools, value, scale)
            theirs = judged(judge, found), of_model(found)
            name = f'diffusion-{arm}-{scale:g}-{value:g}'
            for suffix, before, after in zip(('', '-model'), ours, theirs, strict=True):
                moved(f'{name}{suffix}', before, after, value, pools)
            moved(f'{name}-ranked', ours[0], nearest(*theirs, value), value, pools)
            figure(f'valid-{name}', valid_share(found), 'share', 'free', valid_share(free))
            figure(f'unique-{name}', unique_share(found), 'share', 'free', unique_share(free))


Arm = dict[str, list[Made]]
Gaps = dict[str, NDArray[np.float64]]


def nearest(said: Gaps, predicted: Gaps, value: float) -> Gaps:
    """Return the gaps by the judge of the crystals that the model of the package has nearest to the target, by pool."""
    distances = {pool: np.abs(gaps - value) for pool, gaps in predicted.items()}
    limit = np.quantile(np.concatenate(list(distances.values())), RANKED)
    return {pool: said[pool][distances[pool] <= limit] for pool in said}


def of_model(found: Arm) -> Gaps:
    """Return the gaps of an arm by the model of the package, by pool, eV."""
    names = [pool for pool, made in found.items() for _ in made]
    gaps = predicted_gaps([each.structure for made in found.values() for each in made], run_here)
    return {
        pool: np.array([gap.band_gap for gap, name in zip(gaps, names, strict=True) if name == pool]) for pool in found
    }


def training_set(folder: Path, cache: Path) -> Path:
    """Return the packed crystals with their gaps, made where they are missing."""
    path = cache / 'gaps.npz'
    if not path.exists():
        crystals = read_all(folder, cache / 'crystals.npz')
        add_gaps(crystals, folder)
        split = np.array([split_of(group) for group in crystals.groups], dtype=np.int8)
        learned = np.isin(split, [SPLITS.index(name) for name in ('train', 'validation')])
        known = np.isfinite(crystals.descriptors[:, FIELDS.index('band_gap')])
        rows = np.flatnonzero(known & learned & (crystals.structures.num_atoms <= MAX_ATOMS))
        chosen = crystals.select(rows)
        chosen.split[:] = split[rows]
        chosen.save(path)
    return path


def forgetful(cache: Path) -> Path:
    """Return a copy of the shipped generator to which q means nothing, so that it can learn it in either way."""
    folder = cache / 'start'
    if not folder.exists():
        tensors, info = load_checkpoint(FOUNDATION, 'generator')
        tensors['q_mean'].zero_()
        tensors['q_deviation'].fill_(1.0)
        tensors['q_embedding.weight'].zero_()
        fields = info.model_dump(exclude={'format_version', 'sha256', 'versions', 'fidelities'})
        save_checkpoint(folder, tensors, **fields)
    return folder.resolve()


def trained(arm: str, labelled: Path, cache: Path, steps: int) -> Path:
    """Return the checkpoint of an arm, trained where it is missing."""
    folder = cache / f'{arm}-{steps}'
    if not (folder / 'checkpoint').exists():
        folder.mkdir(exist_ok=True)
        config = {
            'role': 'generator', 'size': 'base', 'dataset': str(labelled.resolve()), 'steps': steps,
            'initial_checkpoint': str(forgetful(cache)), 'batch_size': BATCH_SIZE, 'learning_rate': LEARNING_RATE,
            'options': {'conditioning': arm},
        }  # fmt: skip
        begun = time.process_time()
        run_here('train', config, folder, '')
        figure(f'diffusion-training-{arm}', (time.process_time() - begun) / 60, 'CPU min')
    return folder / 'checkpoint'


def sampled(folder: Path, generator: Path, pools: Sequence[str], value: float | None, scale: float) -> Arm:
    """Return the crystals of each pool, made where they are missing.

    :param folder: of the arm, which keeps them.
    :param value: of the gap that is asked for, eV; none if not given.
    :param scale: λ.
    """
    kept = folder / f'{len(pools)}-{scale:g}-{value}.json'
    if not kept.exists():
        folder.mkdir(exist_ok=True)
        requests = [
            {
                'mode': 'chemical_system',
                'elements': pool.split('-'),
                'max_atoms': MAX_ATOMS,
                'min_atoms': 4,
                'count': PER_POOL,
            }
            for pool in pools
        ]
        config = {'generator': str(generator.resolve()), 'requests': requests, 'guidance_scale': scale}
        run_here('generate', config | ({} if value is None else {'target': {'band_gap': value}}), folder, '')
        arrays = load_arrays(folder / 'candidates.npz')
        structures = StructureBatch.load(folder / 'candidates.npz').structures()
        found = [(pools[request], each.as_dict()) for request, each in zip(arrays['request'], structures, strict=True)]
        kept.write_text(json.dumps(found))
    crystals: Arm = {pool: [] for pool in pools}
    for pool, structure in json.loads(kept.read_text()):
        crystals[pool].append(Made(Structure.from_dict(structure), ''))
    return crystals

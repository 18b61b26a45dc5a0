"""Noisy, wrong, missing and mixed labels, with and without their recovery (paper Table 17).

    python benchmarks/noise.py [--quick] [--data /path/to/shared/data] [--work FOLDER] [--seeds N] [--record FILE]

A validator of the size `tiny` with two members learns the PBE energies of some 400 crystals and then, for each arm of
`noise_parts/arms.py`, 150 of their r2SCAN energies, after these were spoilt. Both are those of SevenNet-MF-0. The error
is that of the difference of the levels on formulas that nothing was trained on, with undamaged labels.

`error-NOISE-ARM` is its mean over the seeds, beside the error on clean labels without recovery.
`recovered-NOISE-ARM` is the share of the loss that the recovery takes back, with its 95 % bootstrap interval over the
seeds as `…-low` and `…-high`; 1 is as good as clean labels, below 0 the recovery does harm; it is null where no loss is
certain. `loss-NOISE` says how much there is to recover, `change-NOISE-ARM` what the recovery does to the error, both in
eV/atom with their intervals. `found-ARM` is the share of the wrong labels that Cook's distance finds, and
`false-ARM` that of the right ones that it takes for wrong.

With `--data` the crystals are labelled and all arms trained (about 7 minutes of processor time); what is done is kept
in `--work`, and a run that was cut goes on from there. `--record` writes all runs to a file. Without `--data`, the
figures are those of the stored runs. `--quick` repeats some arms of one seed if it is given `--data`, prints them as
`again-NOISE-ARM` beside the stored run, and takes the rest from the stored runs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import typing as t
from pathlib import Path

import numpy as np
from figures import figure
from noise_parts.arms import ARMS
from noise_parts.crystals import labelled
from noise_parts.training import run
from numpy.typing import NDArray

RECORD = Path(__file__).with_name('noise.json')
SEEDS = 5
QUICK = (('clean', 'none'), ('unconverged 5 %', 'none'), ('unconverged 5 %', 'huber, cook leave out'))
RESAMPLES = 2000
NOISES = tuple(dict.fromkeys(arm.noise for arm in ARMS))

Runs = list[dict[str, t.Any]]


def table(runs: Runs, noise: str, key: str = 'error') -> dict[str, NDArray[np.float64]]:
    """Return a figure by arm, of the seeds that all arms of this noise and clean labels have."""
    arms = {arm.name: (noise, arm.name) for arm in ARMS if arm.noise == noise}
    if noise != 'clean':
        arms['clean'] = ('clean', 'none')
    found = {
        name: {each['seed']: each.get(key, 0) for each in runs if (each['noise'], each['arm']) == pair}
        for name, pair in arms.items()
    }
    seeds = sorted(set.intersection(*(set(values) for values in found.values())))
    return {name: np.array([values[seed] for seed in seeds], dtype=float) for name, values in found.items()}


def report(runs: Runs) -> None:
    """Print the figures of stored runs."""
    for noise in NOISES:
        errors = table(runs, noise)
        if not len(errors['none']):
            print(f'{noise}: no stored runs', file=sys.stderr)
            continue
        spoilt = errors['none']
        clean = errors.get('clean', spoilt)
        figure(f'seeds-{slug(noise)}', len(clean), '1')
        if noise != 'clean':
            for suffix, value in zip(('', '-low', '-high'), with_interval(spoilt - clean), strict=True):
                figure(f'loss-{slug(noise)}{suffix}', value, 'eV/atom')
        for name, values in errors.items():
            if name == 'clean':
                continue
            key = f'{slug(noise)}-{slug(name)}'
            figure(f'error-{key}', float(values.mean()), 'eV/atom', 'clean labels', float(clean.mean()))
            if noise != 'clean' and name != 'none':
                for suffix, value in zip(('', '-low', '-high'), recovered(clean, spoilt, values), strict=True):
                    figure(f'recovered-{key}{suffix}', value, '1')
                difference = with_interval(values - spoilt)
                for suffix, value in zip(('', '-low', '-high'), difference, strict=True):
                    figure(f'change-{key}{suffix}', value, 'eV/atom')
            if 'cook' in name:
                report_outliers(runs, noise, name)


def report_outliers(runs: Runs, noise: str, name: str) -> None:
    """Print how many wrong and right labels were taken for outliers."""
    found, wrong, false, right = (table(runs, noise, key)[name].sum() for key in ('found', 'wrong', 'false', 'right'))
    if wrong:
        figure(f'found-{slug(noise)}-{slug(name)}', float(found / wrong), '1')
    if right:
        figure(f'false-{slug(noise)}-{slug(name)}', float(false / right), '1')


def slug(text: str) -> str:
    """Return a name without spaces and commas."""
    return text.replace(',', '').replace(' %', '').replace(' ', '-')


def with_interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return a mean and its 95 % bootstrap interval."""
    draws = np.random.default_rng(0).choice(values, (RESAMPLES, len(values))).mean(axis=1)
    return float(values.mean()), float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def recovered(
    clean: NDArray[np.float64], spoilt: NDArray[np.float64], errors: NDArray[np.float64]
) -> tuple[float | None, float | None, float | None]:
    """Return the share of the loss taken back and its interval; None where no loss is certain."""
    if with_interval(spoilt - clean)[1] <= 0:
        return None, None, None
    rows = np.random.default_rng(0).integers(len(clean), size=(RESAMPLES, len(clean)))
    loss, back = (spoilt - clean)[rows].sum(axis=1), (spoilt - errors)[rows].sum(axis=1)
    low, high = np.quantile(back[loss > 0] / loss[loss > 0], [0.025, 0.975])
    return float((spoilt - errors).sum() / (spoilt - clean).sum()), float(low), float(high)


def again(data: Path | None, work: Path, stored: Runs) -> None:
    """Repeat some arms of the first seed beside the stored runs."""
    labels = labelled(data, work)
    if labels is None:
        print('nothing is repeated without --data: all figures are those of stored runs', file=sys.stderr)
        return
    for arm in ARMS:
        if (arm.noise, arm.name) in QUICK:
            found = run(labels, arm, 0, work)
            same = {'seed': 0, 'noise': arm.noise, 'arm': arm.name}
            before = next(each for each in stored if same.items() <= each.items())
            name = f'again-{slug(arm.noise)}-{slug(arm.name)}'
            figure(name, found['error'], 'eV/atom', 'stored run', before['error'])
    print('these arms of seed 0 were repeated: all other figures are those of stored runs', file=sys.stderr)


def everything(data: Path | None, work: Path, seeds: int) -> Runs:
    """Return the runs of all arms, those that are done already from ``work``."""
    labels = labelled(data, work)
    if labels is None:
        print('nothing is trained without --data: all figures are those of stored runs', file=sys.stderr)
        return json.loads(RECORD.read_text())['runs']
    done = work / 'runs.jsonl'
    runs: Runs = [json.loads(line) for line in done.read_text().splitlines()] if done.exists() else []
    known = {(each['seed'], each['noise'], each['arm']) for each in runs}
    for noise, seed in itertools.product(NOISES, range(seeds)):
        for arm in ARMS:
            if arm.noise == noise and (seed, noise, arm.name) not in known:
                runs.append(run(labels, arm, seed, work))
                with done.open('a') as handle:
                    handle.write(json.dumps(runs[-1]) + '\n')
    return runs


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='repeat some arms, and read the others')
    parser.add_argument('--data', type=Path, help='folder with mp/, mpts/ and mp_extra/')
    parser.add_argument('--work', type=Path, help='folder that keeps what is done')
    parser.add_argument('--seeds', type=int, default=SEEDS)
    parser.add_argument('--record', type=Path, help='file for all runs')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = arguments.work or Path(name)
        work.mkdir(parents=True, exist_ok=True)
        if arguments.quick:
            runs = json.loads(RECORD.read_text())['runs']
            again(arguments.data, work, runs)
        else:
            runs = everything(arguments.data, work, arguments.seeds)
    if arguments.record:
        lines = ',\n'.join(json.dumps(each, separators=(',', ':')) for each in runs)
        arguments.record.write_text(f'{{"runs":[\n{lines}\n]}}\n')
    report(runs)


if __name__ == '__main__':
    main()

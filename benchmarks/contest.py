"""The multi-fidelity network against its alternatives (paper Tables 9 and 16), at several numbers of labels.

    python benchmarks/contest.py --data /path/to/shared/data --work DIR [--only NAME] [--repeats 5] [--store]
    python benchmarks/contest.py --quick [--data /path/to/shared/data]
    python benchmarks/contest.py --only NAME --picture FILE
    python benchmarks/contest.py --label --data /path/to/shared/data --work DIR

The contests are those of `contest_parts/runs.py`, the sets those of `contest_parts/data.py`. All folds take hours of
one core; `--work` keeps a journal, so that a run that was cut goes on, and `--store` writes all results to
`contest_parts/records.json`. `--quick` holds one contest again for one draw of the folds, if there is data, compares
it with the records, and reads all else from them. `--label` makes the labels of the teacher, `--picture` draws the
records.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from contest_parts import data, runs
from figures import figure

from aiida_qagenai.evaluation.contests import Result, Standing, labels_for, plot_contest, standings
from aiida_qagenai.exchange.arms import ABOUT

QUICK = 'experiment-ladder'
QUICK_ARMS = ('lower', 'linear', 'difference')
FOLDS = 5
EFFICIENCY_BAR, TENTH_BAR = 8.0, 1.2
NETWORKS, MEASURED = 'teacher-networks', 'experiment'


def report(name: str, results: Sequence[Result]) -> None:
    """Print what each arm reached in one contest, and which one is taken."""
    repeats = len({each.repeat for each in results})
    figure(f'{name}-folds', len({(each.repeat, each.fold) for each in results}), 'folds', 'draws of the folds', repeats)
    for each in standings(results, list(ABOUT), FOLDS):
        where = f'{name}-{"all" if not each.number else each.number}'
        best = next(other for other in standings_at(results, each.number) if other.best)
        figure(f'{where}-{each.arm}', each.error, 'eV/atom', f'best: {best.arm}', best.error)
        figure(f'{where}-{each.arm}-seconds', each.seconds, 's/fold', f'best: {best.arm}', best.seconds)
        if not each.best:
            figure(f'{where}-{each.arm}-behind-low', each.low, 'eV/atom')
            figure(f'{where}-{each.arm}-behind-high', each.high, 'eV/atom')
        if each.taken:
            figure(f'{where}-taken', each.error, 'eV/atom', each.arm, each.error)


def standings_at(results: Sequence[Result], number: int) -> list[Standing]:
    """Return the standings at one number of labels."""
    return [each for each in standings(results, list(ABOUT), FOLDS) if each.number == number]


def report_efficiency(results: Sequence[Result], arm: str, alone: str, name: str = 'data-efficiency') -> None:
    """Print how many times as many labels the target alone needs for the error that an arm has."""
    found = standings(results, list(ABOUT), FOLDS)
    others = sorted((each for each in found if each.arm == alone), key=lambda each: each.labels)
    ours = sorted((each for each in found if each.arm == arm), key=lambda each: each.labels)
    for each in ours[:-1]:
        needed, reached = labels_for(each.error, [one.labels for one in others], [one.error for one in others])
        ending = f'with-{round(each.labels)}' + ('' if reached else '-at-least')
        figure(f'{name}-{ending}', needed / each.labels, '1', 'bar', EFFICIENCY_BAR)


def report_networks(results: Sequence[Result]) -> None:
    """Print what a tenth of the labels costs, and how much the error varies between draws of the folds."""
    found = standings(results, list(ABOUT), FOLDS)
    ours = sorted((each for each in found if each.arm == 'mf-ennp'), key=lambda each: each.labels)
    few = min(ours, key=lambda each: abs(each.labels - ours[-1].labels / 10))
    figure('r2scan-with-a-tenth', few.error, 'eV/atom', 'all labels', ours[-1].error)
    figure('r2scan-with-a-tenth-ratio', few.error / ours[-1].error, '1', 'bar', TENTH_BAR)
    by_draw: dict[int, list[float]] = {}
    for result in results:
        if result.arm == 'mf-ennp' and not result.number:
            by_draw.setdefault(result.repeat, []).append(result.error)
    if len(by_draw) > 1:
        means = np.array([np.mean(errors) for errors in by_draw.values()])
        figure(
            'mf-ennp-coefficient-of-variation', float(means.std(ddof=1) / means.mean()), '1', 'paper, Table 14', 0.021
        )


def repeat_quickly(folder: Path) -> None:
    """Hold one contest again for one draw of the folds, and print how far the records are from it."""
    with tempfile.TemporaryDirectory() as name:
        again = runs.hold(QUICK, folder, Path(name), 1, QUICK_ARMS)
    known = {(each.arm, each.repeat, each.fold, each.number): each.error for each in runs.stored()[QUICK]}
    differences = [abs(each.error - known[each.arm, each.repeat, each.fold, each.number]) for each in again]
    figure(f'{QUICK}-repeated-results', len(differences), 'results')
    figure(f'{QUICK}-largest-change', max(differences), 'eV/atom')


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='read the records, and repeat a small part')
    parser.add_argument('--only', choices=runs.CONTESTS, help='one contest')
    parser.add_argument('--data', type=Path, help='folder with mp/, mpts/, mp_extra/ and thermochemistry/')
    parser.add_argument('--work', type=Path, default=Path('contest'), help='folder of the journals')
    parser.add_argument('--repeats', type=int, default=5, help='draws of the folds')
    parser.add_argument('--store', action='store_true', help='write the records')
    parser.add_argument('--label', action='store_true', help='make the labels of the teacher')
    parser.add_argument('--picture', type=Path, help='draw the records of --only')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    missing = [name for name in data.FILES if arguments.data is None or not (arguments.data / name).exists()]
    if missing and not arguments.quick and not arguments.picture:
        print(f'this benchmark needs --data, a folder with {", ".join(missing)}, or --quick', file=sys.stderr)
        sys.exit(2)
    if arguments.label:
        data.label(arguments.data, arguments.work)
        return
    if arguments.picture:
        if arguments.only is None:
            parser.error('--picture draws one contest: name it with --only')
        plot_contest(standings(runs.stored()[arguments.only], list(ABOUT), FOLDS), arguments.picture)
        return
    if arguments.quick:
        print('all figures but those of what is repeated are read from the records', file=sys.stderr)
        found = runs.stored()
        if not missing:
            repeat_quickly(arguments.data)
    else:
        names = [arguments.only] if arguments.only else list(runs.CONTESTS)
        found = {name: runs.hold(name, arguments.data, arguments.work, arguments.repeats) for name in names}
        if arguments.store:
            runs.store({**(runs.stored() if runs.RECORDS.exists() else {}), **found})
    for name, results in found.items():
        if arguments.only in (None, name) and results:
            report(name, results)
    if found.get(NETWORKS) and arguments.only in (None, NETWORKS):
        report_efficiency(found[NETWORKS], 'mf-ennp', 'network-high-only')
        report_networks(found[NETWORKS])
    if found.get(MEASURED) and arguments.only in (None, MEASURED):
        report_efficiency(found[MEASURED], 'foundation-linear', 'high-only', 'data-efficiency-foundation')


if __name__ == '__main__':
    main()

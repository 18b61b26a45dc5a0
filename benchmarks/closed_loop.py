"""Does a loop that looks for divergence find more stable crystals? Generators with and without it (Tables 6 to 8).

    python benchmarks/closed_loop.py [--quick] [--work FOLDER] [--only SET ...] [--store]

Five generators make eight candidates of at most ten atoms in every chemical system of three test sets
(`closed_loop_parts/sets.py`). They know no compound of these systems. All candidates are relaxed alike with CHGNet. In
a run half of the systems of a set take part, and as many candidates as these are the best: of the high-divergence set
eight of each of ten runs. `alone` is the order of the generator. `loop` filters by constraints and band gap, predicts
with the shipped validator, computes as many candidates with the largest expected divergence at r2SCAN, learns, asks for
more where hits were found, and ranks by the distance to the hull at r2SCAN (`closed_loop_parts/loop.py`). The oracle is
SevenNet-MF-0, which taught the validator as well. The evaluator is CHGNet at PBE and r2SCAN, which taught nothing:
hits lie within 0.05 eV/atom of its hull, in which no known phase is missing (`closed_loop_parts/hulls.py`).

`SET-GENERATOR-KIND-r2scan` is the share of hits, with the raw counts, `…-r2scan-alone` that of hits that are none at
PBE, `…-r2scan-within-0.1` and `…-r2scan-on-hull` those of candidates within 0.1 and 0.005 eV/atom of the hull.
`ratio-…` is the ratio to another arm, with the 95 % interval over chemical systems, `ratio-on-hull-…` that of what is
on the hull. `loop-RULE` has another rule to choose what is computed. `plan-…` are the comparisons of
`closed_loop_parts/plan.json`, which was written before the run; its checksum stands in every line. `effect-…` are the
effects of the parts of the loop and of pairs of them on hits per run, of a full factorial. `hull-moved-error-…` is the
mean error of the energies of those phases whose crystals are not at hand, found by leaving out phases that have one,
with the span of 95 % of them.

Without `--work` the stored crystals are replayed. `--work` generates, relaxes and labels those of all sets (about 25
minutes of a core), in a folder in which a run that was cut goes on, and `--store` writes crystals and counts. `--quick`
leaves out the factorial. With `--profile` the plan becomes a node of that AiiDA profile, and the input of the
calculation that judges the counts by it (`calculations.functions.plan`); its result has the checksum as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import typing as t
import warnings
from pathlib import Path

import numpy as np
from closed_loop_parts import analysis, crystals, sets

from aiida_qagenai.evaluation.plans import Plan, read_plan

if t.TYPE_CHECKING:
    from aiida.orm import Node

PARTS = Path(__file__).parent / 'closed_loop_parts'
RESULTS, PLAN = PARTS / 'results.json', PARTS / 'plan.json'
MAIN, OURS = 'high-divergence', 'qagenai-loop'
LEVELS = {
    'pbe': analysis.LOW,
    'r2scan': analysis.HIGH,
    'r2scan-alone': analysis.MISSED,
    'r2scan-within-0.1': analysis.CLOSE,
    'r2scan-on-hull': analysis.STABLE,
}
PAPER = {'cdvae': 6.0, 'ion_substitution': 2.2, 'diffcsp': 1.8}
"""Ratios of the paper's hit rates by CCSD(T), of Table 7; GNoME stands beside ionic substitution."""

Results = dict[str, list[dict[str, t.Any]]]


def line(plan: Plan, name: str, found: analysis.Interval, unit: str, **more: t.Any) -> None:
    """Print a figure with its interval and the checksum of the plan as a line of JSON."""
    interval = {'value': found.value, 'lower': found.lower, 'upper': found.upper, 'unit': unit}
    finite = {
        key: None if isinstance(each, float) and not np.isfinite(each) else each for key, each in interval.items()
    }
    print(json.dumps({'name': name, **finite, **more, 'plan_sha256': plan.sha256}), flush=True)


def report(results: Results, plan: Plan) -> None:
    """Print hit rates, ratios, and the comparisons of the plan."""
    for key, rows in results.items():
        name = key.replace(' ', '-')
        for level, place in LEVELS.items():
            hits, asked = analysis.rate(rows, place)
            line(plan, f'{name}-{level}', analysis.over_systems(rows, place=place), '1', hits=hits, candidates=asked)
    for key, rows in results.items():
        name, arm = key.split()
        if arm != OURS and f'{name} {OURS}' in results:
            ours = results[f'{name} {OURS}']
            more = {'reference': arm, 'reference_value': 1.0}
            if name == MAIN and arm.endswith('-alone') and arm.split('-')[0] in PAPER:
                more |= {'paper': PAPER[arm.split('-')[0]]}
            line(plan, f'ratio-{name}-{arm}', analysis.over_systems(ours, rows), '1', **more)
            on_hull = analysis.over_systems(ours, rows, analysis.STABLE)
            line(plan, f'ratio-on-hull-{name}-{arm}', on_hull, '1', reference=arm, reference_value=1.0)
    conclude(results, plan)


def report_hulls(known: crystals.Crystals, plan: Plan) -> None:
    """Print of how many stable compounds there are no crystals, and how wrong their energies are."""
    some = known.competing[crystals.LEVELS[0]]
    lacking = len({each['name'] for each in some.phases} - set(some.names))
    nothing = float('nan')
    line(
        plan,
        'hull-phases-without-crystal',
        analysis.Interval(lacking, nothing, nothing),
        'compounds',
        of=len(some.phases),
    )
    for level in crystals.LEVELS[:4]:
        errors = np.abs(
            [error for system in sorted(known.in_systems) for error in known.competing[level].moved_errors(system)]
        )
        found = analysis.Interval(float(errors.mean()), *(float(each) for each in np.quantile(errors, (0.025, 0.975))))
        line(plan, f'hull-moved-error-{level}', found, 'eV/atom', phases=len(errors))


def samples_of(results: Results, plan: Plan) -> dict[str, list[float]]:
    """Return what the plan compares: hits of each chemical system by arm."""
    return {arm: list(analysis.hits_by_system(results[f'{MAIN} {arm}']).values()) for arm in plan.arms}


def judge_in_profile(profile: str | None, results: Results, plan: Plan) -> Node:
    """Return the judgement by the plan as a node, whose inputs are the plan and the counts, and print where it is.

    :param profile: of AiiDA; the one that is loaded if None.
    """
    from aiida import load_profile
    from aiida.orm import Dict

    from aiida_qagenai.calculations.functions.plan import judge_plan

    load_profile(profile)
    found = judge_plan(Dict(plan.dump()), Dict(samples_of(results, plan)))
    print(json.dumps({'name': 'plan-node', 'value': found.pk, 'uuid': found.uuid, **found.get_dict()}), flush=True)
    return found


def conclude(results: Results, plan: Plan) -> None:
    """Print what came out of the comparisons of the plan, over chemical systems, if all of its arms have runs."""
    if missing := [arm for arm in plan.arms if f'{MAIN} {arm}' not in results]:
        print(f'the comparisons of the plan wait for {", ".join(missing)}', file=sys.stderr)
        return
    for each in plan.judge(samples_of(results, plan)):
        low, high = each.interval or (float('nan'), float('nan'))
        found = analysis.Interval(each.difference, low, high)
        more = {'p_value': each.p_value, 'adjusted_p_value': each.adjusted_p_value, 'cohens_d': each.cohens_d}
        line(plan, f'plan-{each.arm}-{each.control}', found, 'hits per system and run', **more)


def report_effects(rows: list[dict[str, t.Any]], plan: Plan) -> None:
    """Print the effects of the parts and of pairs of them."""
    for name, found in analysis.effects(rows):
        line(plan, f'effect-{name.replace(":", "-with-")}', found, 'hits per run')


def make(folder: Path, only: list[str], generators: list[str]) -> None:
    """Generate and label all candidates, and store them."""
    from closed_loop_parts.make import compact, everything

    content = compact(*everything(folder, only, generators))
    text = json.dumps(content, separators=(',', ':')).replace('],"', '],\n"')
    crystals.RECORDS.write_text(text + '\n', encoding='utf-8')
    crystals.read.cache_clear()


def write(results: Results, rows: list[dict[str, t.Any]], long: list[dict[str, t.Any]], plan: Plan) -> None:
    """Write the raw counts of all runs, with the checksum of the plan."""
    content = {'plan_sha256': plan.sha256, 'runs': results, 'factorial': rows, 'long': long}
    text = json.dumps(content, separators=(',', ':')).replace('},{"', '},\n{"')
    RESULTS.write_text(text + '\n', encoding='utf-8')


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work', type=Path, help='folder in which candidates are made')
    parser.add_argument('--only', nargs='+', choices=sets.SIZES, default=list(sets.SIZES), help='test sets to make')
    parser.add_argument('--generators', nargs='+', choices=analysis.ARMS, default=list(analysis.ARMS), help='to make')
    parser.add_argument('--store', action='store_true', help='write candidates and counts')
    parser.add_argument('--profile', help='of AiiDA, in which the plan and what it says become nodes')
    parser.add_argument('--quick', action='store_true', help='no factorial')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    plan = read_plan(PLAN)
    if arguments.work:
        make(arguments.work, arguments.only, arguments.generators)
    known = crystals.read()
    results = analysis.everything(known, plan.seeds)
    report(results, plan)
    report_hulls(known, plan)
    if arguments.profile:
        judge_in_profile(arguments.profile, results, plan)
    if arguments.quick:
        return
    rows = analysis.factorial(known, MAIN, plan.seeds)
    report_effects(rows, plan)
    if arguments.store:
        write(results, rows, analysis.long_campaigns(known, MAIN, plan.seeds), plan)


if __name__ == '__main__':
    main()

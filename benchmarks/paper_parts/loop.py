"""Tables and figures of the closed loop (`closed_loop.py`), from its crystals and the counts of its runs."""

from __future__ import annotations

import functools
import typing as t

import numpy as np
from closed_loop_parts import analysis, crystals
from closed_loop_parts.loop import EVALUATOR, FACTORS, HIT, NEAR, ON, ORACLE, PROMISING, VALIDATOR
from numpy.typing import NDArray

from aiida_qagenai.common.plotting import BLUE, COLOURS, GREY, RED, new_figure
from aiida_qagenai.evaluation.figures import bootstrap_interval
from aiida_qagenai.evaluation.novelty import CLASSES
from paper_parts.items import BENCHMARKS, Table, load, percent, ratio

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

MAIN, OURS = 'high-divergence', 'qagenai'
NAMES = {
    'qagenai': 'QA-GenAI (ours)', 'cdvae': 'CDVAE (our own, small)', 'diffcsp': 'DiffCSP (our own, small)',
    'ion_substitution': 'ionic substitution, for GNoME', 'random': 'random symmetric crystals',
}  # fmt: skip
STANDARD = {
    'cdvae': '92.1 / 85.3 / 78.5', 'ion_substitution': '98.5 / 45.2 / 22.1', 'diffcsp': '97.8 / 88.9 / 81.2',
    'qagenai': '96.4 / 87.5 / 79.8', 'random': 'none',
}  # fmt: skip
RATES = {
    'cdvae': '15.2 / 3.1', 'ion_substitution': '31.5 / 8.4', 'diffcsp': '28.8 / 10.5', 'qagenai': '25.5 / 18.7',
    'random': 'none',
}  # fmt: skip
WORDS = {
    'latent': 'latent features', 'rungs': 'PBE rung', 'conditioning': 'band gap conditioning',
    'active': 'active choice', 'updates': 'more where hits are', 'levels': 'ranking at r2SCAN',
}  # fmt: skip


@functools.cache
def results() -> dict[str, t.Any]:
    """Return the counts of all runs."""
    return t.cast('dict[str, t.Any]', load(BENCHMARKS / 'closed_loop_parts' / 'results.json'))


def of_arm(known: crystals.Crystals, arm: str, name: str = MAIN) -> NDArray[np.bool_]:
    """Return which candidates a generator made for a test set."""
    found: NDArray[np.bool_] = (known.arms == arm) & (known.sets == name)
    return found


def steps(known: crystals.Crystals, arm: str) -> list[int]:
    """Return how many candidates of a generator are left after each step of the search."""
    mine = of_arm(known, arm)
    first, passed = (np.array([bool(x) for x in known.rows[name]]) for name in ('first', 'passed'))
    valid = np.array([bool(x) for x in known.rows['valid']])
    promising = mine & known.eligible & (known.above_hull[:, VALIDATOR[1]] <= PROMISING)
    at_pbe, at_high = (promising & (known.above_hull[:, level] <= HIT) for level in EVALUATOR)
    return [int(each.sum()) for each in (
        mine, mine & valid, mine & first, mine & first & passed, promising, at_pbe, at_high
    )]  # fmt: skip


STEPS = ('asked for', 'valid', 'distinct', 'within constraints', 'predicted ≤ 0.2', 'hits at PBE', 'hits at r2SCAN')


def funnel() -> Table:
    """Return the table of Figure 2."""
    results()
    known = crystals.read()
    rows = [[NAMES[arm], *steps(known, arm)] for arm in analysis.arms_of(known)]
    note = (
        'Counts in the high-divergence set; each number is a part of the one before, but for the last two, which are '
        'parts of the predicted ones. The paper has 10⁶ compositions and 10³ validated candidates.'
    )
    return Table(('generator', *STEPS), rows, note)


def draw_funnel() -> Figure:
    """Draw what is left after each step."""
    results()
    known = crystals.read()
    figure, axes = new_figure(7.2, 2.8)
    for arm, colour in zip(analysis.arms_of(known), COLOURS, strict=False):
        axes.plot(range(len(STEPS)), steps(known, arm), 'o-', color=colour, label=NAMES[arm])
    axes.set(xticks=range(len(STEPS)), xticklabels=STEPS, ylabel='candidates', ylim=(0, None))
    axes.tick_params(axis='x', labelrotation=20, labelsize=7)
    axes.legend(fontsize=6.5)
    return figure


def standard() -> Table:
    """Return Table 6: validity, uniqueness and novelty."""
    results()
    known, rows = crystals.read(), []
    novel_classes = set(CLASSES[1:])
    for arm in analysis.ARMS:
        mine = np.flatnonzero(known.arms == arm)
        if not len(mine):
            rows.append([NAMES[arm], STANDARD[arm], None, None, None, 0])
            continue
        valid = np.array([bool(known.rows['valid'][row]) for row in mine])
        keys = [(known.sets[row], known.rows['cluster'][row]) for row in mine]
        relaxed = np.array([key[1] is not None for key in keys])
        unique = len({key for key, done in zip(keys, relaxed, strict=True) if done}) / max(1, int(valid.sum()))
        novel = np.array([known.rows['relation'][row] in novel_classes for row in mine])[relaxed]
        shares = [percent(float(valid.mean())), percent(unique), percent(float(novel.mean()) if len(novel) else None)]
        rows.append([NAMES[arm], STANDARD[arm], *shares, len(mine)])
    header = (
        'generator', 'paper: valid / unique / novel, %', 'ours: valid', 'unique, of the valid', 'novel, of the relaxed',
        'candidates',
    )  # fmt: skip
    note = (
        'All test sets that were made. Unique are distinct crystals after relaxation. Novel is what equals no crystal '
        'of the whole library; compounds of the systems were hidden from the generators, so that one that is found '
        'again is not novel.'
    )
    return Table(header, rows, note)


def interval(found: analysis.Interval) -> tuple[float, float]:
    """Return the ends of an interval."""
    return found.lower, found.upper


def hit_rates() -> Table:
    """Return Table 7: hit rates at both levels, and ratios."""
    runs, rows = results()['runs'], []
    ours = runs[f'{MAIN} {OURS}-loop']
    for arm in analysis.ARMS:
        for kind in ('alone', 'loop'):
            paper = RATES[arm] if (kind == 'loop') == (arm == OURS) else 'none'
            name = f'{NAMES[arm]}{", with the loop" if kind == "loop" else ", its own order"}'
            if f'{MAIN} {arm}-{kind}' not in runs:
                rows.append([name, paper, *[None] * 5])
                continue
            mine = runs[f'{MAIN} {arm}-{kind}']
            low, high, missed = (
                analysis.over_systems(mine, place=place) for place in (analysis.LOW, analysis.HIGH, analysis.MISSED)
            )
            hits, asked = analysis.rate(mine)
            times = analysis.over_systems(ours, mine)
            compared = 'itself' if mine is ours else ratio(times.value, interval(times)).replace('inf', '∞')
            rows.append([
                name, paper,
                percent(low.value, interval(low), 0), percent(high.value, interval(high), 0), f'{hits}/{asked}',
                percent(missed.value, None, 0), compared,
            ])  # fmt: skip
    header = (
        'generator', 'paper: PBE / CCSD(T), %', 'ours: PBE, %', 'ours: r2SCAN, %', 'raw counts',
        'hits that PBE misses, %', 'ours with the loop, times as many',
    )  # fmt: skip
    note = f'Intervals of 95 % over chemical systems. Plan {results()["plan_sha256"][:12]}.'
    return Table(header, rows, note)


def auc(known: crystals.Crystals) -> float:
    """Return how well the validator tells hits from others: the area under its curve over all eligible candidates."""
    from sklearn.metrics import roc_auc_score

    rows = known.eligible
    return float(roc_auc_score(known.above_hull[rows, EVALUATOR[1]] <= HIT, -known.above_hull[rows, VALIDATOR[1]]))


def draw_generators() -> Figure:
    """Draw hit rates side by side, and how well the validator tells hits from others."""
    from sklearn.metrics import roc_curve

    runs, known = results()['runs'], crystals.read()
    figure, (left, right) = new_figure(7.2, 2.8, 1, 2, width_ratios=(2, 1))
    arms = analysis.arms_of(known)
    places = np.arange(len(arms))
    kinds = [(kind, name, place) for kind in ('alone', 'loop') for name, place in (('PBE', 1), ('r2SCAN', 2))]
    for shift, ((kind, name, place), colour) in enumerate(zip(kinds, COLOURS, strict=False)):
        found = [analysis.over_systems(runs[f'{MAIN} {arm}-{kind}'], place=place) for arm in arms]
        values = np.array([each.value for each in found])
        errors = [values - [each.lower for each in found], np.array([each.upper for each in found]) - values]
        left.bar(
            places + 0.2 * (shift - 1.5), 100 * values, 0.2, yerr=100 * np.maximum(errors, 0), color=colour,
            error_kw={'lw': 0.7}, label=f'{name}, {"its own order" if kind == "alone" else "with the loop"}',
        )  # fmt: skip
    left.set(xticks=places, xticklabels=[name.replace('_', ' ') for name in arms], ylabel='hits, %')
    left.tick_params(axis='x', labelsize=7)
    left.legend(fontsize=6, ncols=4, loc='lower center', bbox_to_anchor=(0.5, 1.0))
    rows = known.eligible
    wrong, right_ones, _ = roc_curve(known.above_hull[rows, EVALUATOR[1]] <= HIT, -known.above_hull[rows, VALIDATOR[1]])
    right.plot(wrong, right_ones, color=BLUE)
    right.plot([0, 1], [0, 1], ':', color=GREY)
    right.set(xlabel='false hits', ylabel='true hits', title=f'area {auc(known):.2f}')
    return figure


def generators() -> Table:
    """Return the table of Figure 4."""
    results()
    known = crystals.read()
    rows = [['area under the curve of the validator', 'no number', auc(known), int(known.eligible.sum())]]
    return Table(('figure', 'paper', 'ours', 'candidates'), rows)


def mean_hits(rows: list[dict[str, t.Any]], off: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the share of hits of each run with all parts but some."""
    chosen = [row for row in rows if all(row[factor] != (factor in off) for factor in FACTORS)]
    return np.array([row['hits'] / row['asked'] for row in sorted(chosen, key=lambda row: row['seed'])])


def ablations() -> Table:
    """Return Table 8: all parts but one."""
    rows, stored = [], results()['factorial']
    variants: dict[str, tuple[tuple[str, ...], str]] = {
        'all parts': ((), '18.7 ± 2.8'),
        'without band gap conditioning': (('conditioning',), '14.2 ± 2.5'),
        'ranked at PBE': (('levels',), '9.8 ± 2.1'),
        'random choice': (('active',), '12.9 ± 2.4'),
        'ranked at PBE, without conditioning': (('levels', 'conditioning'), '5.5 ± 1.6'),
        'without latent features': (('latent',), 'none'),
        'without the PBE rung': (('rungs',), 'none'),
        'without asking more where hits are': (('updates',), 'none'),
        'nothing of all this': (FACTORS, 'none'),
    }
    full = mean_hits(stored, ())
    for name, (off, paper) in variants.items():
        mine = mean_hits(stored, off)
        difference = full - mine
        spread = bootstrap_interval(difference) or (0.0, 0.0)
        loss = 'itself' if not off else ratio(100 * float(difference.mean()), (100 * spread[0], 100 * spread[1]), 1)
        rows.append([name, paper, percent(float(mine.mean())), loss])
    note = (
        'Paired over ten runs, which share chemical systems; intervals of 95 % by bootstrap. The weights of the '
        'generator are not trained here: its update is that more is asked for where hits were found.'
    )
    return Table(('variant', 'paper: hit rate, %', 'ours: hit rate at r2SCAN, %', 'loss, points'), rows, note)


def effects() -> Table:
    """Return the table of Figure 5: the largest effects."""
    rows = [[named(name), ratio(found.value, interval(found))] for name, found in analysis.effects(stored())[:10]]
    return Table(('part or pair of parts', 'effect, hits per run'), rows, 'A pair is what both add beyond their sum.')


def stored() -> list[dict[str, t.Any]]:
    """Return the runs of the factorial."""
    return t.cast('list[dict[str, t.Any]]', results()['factorial'])


def named(name: str) -> str:
    """Return the words for an effect."""
    return ' × '.join(WORDS[part] for part in name.split(':'))


def draw_effects() -> Figure:
    """Draw the effects of parts and pairs with their intervals."""
    found = analysis.effects(stored())[::-1]
    figure, axes = new_figure(6.0, 4.2)
    for place, (name, each) in enumerate(found):
        colour = BLUE if ':' not in name else GREY
        axes.plot([each.lower, each.upper], [place, place], color=colour, lw=1)
        axes.plot(each.value, place, 'o', color=colour)
    axes.axvline(0, color=RED, lw=0.8)
    axes.set(yticks=range(len(found)), yticklabels=[named(name) for name, _ in found], xlabel='effect, hits per run')
    axes.tick_params(axis='y', labelsize=6.5)
    return figure


def class_of(known: crystals.Crystals, row: int) -> str:
    """Return the class of materials of a candidate."""
    symbols = set(str(known.systems[row]).split('-'))
    for symbol, name in (('O', 'oxides'), ('N', 'nitrides'), ('C', 'carbides'), ('S', 'sulfides'), ('B', 'borides')):
        if symbol in symbols:
            return name
    return 'others'


def failures() -> Table:
    """Return the table of Figure 6: hits by class, overconfidence by f electrons, share of simple packings."""
    results()
    known = crystals.read()
    ours = (known.arms == OURS) & known.eligible
    classes = np.array([class_of(known, row) for row in range(len(known))])
    paper = {'oxides': '18.7 %', 'nitrides': '14.2 %', 'carbides': '8.9 % (carbon)'}
    hits = known.above_hull[:, EVALUATOR[1]] <= HIT
    rows: list[list[object]] = []
    for name in sorted(set(classes[ours].tolist())):
        mine = ours & (classes == name)
        rows.append([f'hits among {name}', paper.get(name, 'none'), f'{percent(float(hits[mine].mean()), None, 0)} %',
                     int(mine.sum())])  # fmt: skip
    error = np.abs(known.energies[: len(known), VALIDATOR[1]] - known.energies[: len(known), ORACLE[1]])
    beyond = error > 1.645 * known.column('sigma')
    electrons = np.array([bool(value) for value in known.rows['f_electrons']])
    for name, which in (('with f electrons', electrons), ('without', ~electrons)):
        mine = known.eligible & which
        share = percent(float(beyond[mine].mean()) if mine.any() else None, None, 0)
        rows.append([f'errors beyond the interval of 90 %, {name}', '15 % affected', share and f'{share} %',
                     int(mine.sum())])  # fmt: skip
    groups = np.isin(known.column('space_group'), (194, 225, 229)) & (known.column('gap') == 0)
    for name in (OURS, 'random'):
        mine = (known.arms == name) & known.eligible
        share = percent(float(groups[mine].mean()) if mine.any() else None, None, 0)
        rows.append([f'metals in space groups 194, 225, 229, {NAMES[name]}', 'no number', share and f'{share} %',
                     int(mine.sum())])  # fmt: skip
    return Table(('figure', 'paper', 'ours', 'candidates'), rows, 'Of candidates within the constraints, all sets.')


def divergences() -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Return the signed difference that the oracle finds, and the predicted ones of the paper's Eqs 3 to 5."""
    results()
    known = crystals.read()
    rows = known.eligible
    energies = known.energies[: len(known)][rows]
    found = energies[:, ORACLE[0]] - energies[:, ORACLE[1]]
    signed = energies[:, ORACLE[0]] - energies[:, VALIDATOR[1]]
    sigma = np.maximum(known.column('sigma')[rows], 1e-3)
    return found, {'absolute': np.abs(signed), 'relative': np.abs(signed) / sigma, 'signed': signed}


def correlation() -> Table:
    """Return the table of Figure 9."""
    found, predicted = divergences()
    paper, rows = {'absolute': 0.750, 'relative': 0.525, 'signed': 0.816}, []
    for name, values in predicted.items():
        target = found if name == 'signed' else np.abs(found)
        rows.append([name, paper[name], float(np.corrcoef(values, target)[0, 1] ** 2), len(found)])
    note = (
        'R² between the divergence that is expected before the calculation, E(PBE) of the oracle less the '
        'prediction of the validator at r2SCAN, and that of the oracle at both levels.'
    )
    return Table(('divergence', 'paper: R²', 'ours: R²', 'candidates'), rows, note)


def draw_correlation() -> Figure:
    """Draw expected over found divergences."""
    found, predicted = divergences()
    figure, axes = new_figure(7.2, 2.5, 1, 3)
    for place, (name, values) in zip(axes, predicted.items(), strict=True):
        place.plot(values, found if name == 'signed' else np.abs(found), '.', color=BLUE, ms=3)
        unit = '' if name == 'relative' else ', eV/atom'
        place.set(title=name, xlabel=f'expected{unit}', ylabel='found, eV/atom')
    return figure


def distances() -> Table:
    """Return the table of Figure 11: shares near the hull."""
    results()
    known, rows = crystals.read(), []
    for arm in analysis.arms_of(known):
        mine = of_arm(known, arm)
        far = known.above_hull[mine, EVALUATOR[1]]
        shares = [percent(float((np.nan_to_num(far, nan=9.0) <= limit).mean()), None, 0) for limit in (ON, HIT, NEAR)]
        rows.append([NAMES[arm], {OURS: '44.9', 'random': '30.3'}.get(arm, 'none'), *shares, int(mine.sum())])
    note = (
        'At r2SCAN by the evaluator, of all candidates that were asked for in the high-divergence set, before any '
        'choice.'
    )
    header = ('generator', 'paper: stable, %', 'ours: on the hull (≤ 0.005), %', '≤ 0.05', '≤ 0.1', 'candidates')
    return Table(header, rows, note)


def draw_distances() -> Figure:
    """Draw the shares of candidates below each distance to the hull."""
    results()
    known = crystals.read()
    figure, axes = new_figure(4.6, 2.8)
    for arm, colour in zip(analysis.arms_of(known), COLOURS, strict=False):
        far = np.sort(np.nan_to_num(known.above_hull[of_arm(known, arm), EVALUATOR[1]], nan=9.0))
        axes.step(far, np.arange(1, len(far) + 1) / len(far), where='post', color=colour, label=NAMES[arm])
    axes.set(xlim=(-0.2, 1.0), xlabel='distance to the hull at r2SCAN, eV/atom', ylabel='share of candidates')
    axes.legend(fontsize=6.5)
    return figure

"""Tables of the page on the ladder, from the data that come with the package.

    python benchmarks/ladder_tables.py [--page FILE] [--check] [--quick]

What stands between marks on the page `docs/explanation/ladder.md` is made anew. Nothing is computed here: that is done
by `verdi run examples/ladder/ladder.py --results FILE`, and `python recipes/ladder_data.py --results FILE` packs it.
`--check` writes nothing and fails if a table of the page is not what the data say. Each figure is one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import typing as t
from pathlib import Path

from figures import figure
from paper_parts.items import Item, NotMeasuredError, Table
from paper_parts.page import renewed

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.plotting import write_text
from aiida_qagenai.evaluation.ladder import (
    by_class,
    cohesive_errors,
    composite_error,
    correlations,
    divergences,
    doubts,
    polymorphs,
)
from aiida_qagenai.thermodynamics.ladder.records import LadderCrystal, load_ladder

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'explanation' / 'ladder.md'
ARCHIVES = Path(__file__).resolve().parents[1] / 'examples' / 'ladder' / 'archives'
LEARNED = Path(__file__).resolve().parent / 'records' / 'ladder_heads.json'
COMMAND = 'python recipes/ladder_data.py --results FILE'
WAYS = {
    'lower': 'PBE as it is',
    'linear': 'linear correction: shift, slope, a term per element',
    'difference': 'the same and a Gaussian process on features of the validator',
    'mf-ennp-shipped': 'new heads of the shipped validator',
    'levels': 'linear combination of all rungs below',
    'foundation': 'corrected validator, without any energy of the crystal',
}
"""Arms of ``ladder_heads.py`` as the page calls them."""

EV = 'eV/atom'


def number(value: float | None, digits: int = 2, sign: str = '') -> str:
    """Return a number, or a dash for what there is not."""
    return '–' if value is None else f'{value:{sign}.{digits}f}'


def computed() -> dict[str, LadderCrystal]:
    """Return the crystals at equilibrium with an energy on any level.

    :raises NotMeasuredError: if there is none.
    """
    found = load_ladder().at_equilibrium()
    if not found:
        raise NotMeasuredError('no crystal is computed')
    return found


def cohesion() -> Table:
    """Return cohesive energies by level beside experiment."""
    rows = []
    for name, crystal in computed().items():
        values = [number(crystal.cohesive_energy(level)) for level in LADDER[:-1]]
        top = f'{number(crystal.cohesive_energy(Fidelity.CCSD_T))} ± {number(composite_error(crystal))}'
        rows.append([name, *values, top, number(crystal.cohesive)])
    errors = cohesive_errors(load_ladder())
    if errors[Fidelity.CCSD_T].denominator:
        means = [number(errors[level].value) for level in LADDER]
        rows.append(['**mean absolute error**', *means, f'{errors[Fidelity.CCSD_T].denominator} crystals'])
    note = 'In eV/atom, without zero-point energy. The error is the standard error of the composite.'
    return Table(('crystal', *LADDER, 'experiment'), rows, note)


def formation() -> Table:
    """Return formation energies by level beside experiment."""
    rows = []
    for name, crystal in computed().items():
        values = [number(crystal.energies.get(level, {}).get('anchored')) for level in LADDER]
        rows.append([name, *values, number(crystal.measured_formation)])
    note = (
        'In eV/atom, against the elements in their reference states at 0 K without zero-point energy, through atoms '
        'and measured atomisation energies of the elements.'
    )
    return Table(('crystal', *LADDER, 'experiment'), rows, note)


def orders() -> Table:
    """Return differences of polymorphs by level."""
    computed()
    rows = []
    for pair in polymorphs(load_ladder()):
        values = [number(pair.differences.get(level), 3, '+') for level in LADDER[:-1]]
        top = f'{number(pair.differences.get(Fidelity.CCSD_T), 3, "+")} ± {number(pair.error, 3)}'
        right = [level for level in LADDER if pair.is_right(level)]
        rows.append([pair.stable, pair.other, *values, top, ', '.join(right) or 'none'])
    if not rows:
        raise NotMeasuredError('no pair is complete')
    note = (
        'E(other) − E(stable) in eV/atom at fixed geometries. The stable one is what experiment finds at low pressure '
        'of the two. The error is that of the extrapolations, taken as independent.'
    )
    return Table(('stable', 'other', *LADDER, 'measured order at'), rows, note)


def divergence() -> Table:
    """Return the divergence of PBE and CCSD(T) by class."""
    computed()
    found = divergences(load_ladder())
    rows = []
    for name, members in by_class(found).items():
        mean = sum(one.absolute for one in members) / len(members)
        each = ', '.join(f'{one.name} {one.signed:+.2f}' for one in members)
        rows.append([name, number(mean), each])
    note = 'Formation energy by PBE minus that by CCSD(T), in eV/atom; the mean is of absolute values.'
    return Table(('class', 'mean D', 'signed, by crystal'), rows, note)


def correlation() -> Table:
    """Return R² of divergences and errors of PBE."""
    computed()
    rows = []
    for name, one in correlations(divergences(load_ladder())).items():
        interval = '–' if one.interval is None else f'{one.interval[0]:.2f} to {one.interval[1]:.2f}'
        rows.append([name, number(one.value), interval, str(one.denominator)])
    note = 'Absolute and relative divergence against the absolute error of PBE, signed against signed; 95 % intervals.'
    return Table(('divergence', 'R²', 'interval', 'crystals with a measured energy'), rows, note)


def learned() -> Table:
    """Return how well the upper rungs are learned from the ladder, as `ladder_heads.py` has measured it."""
    if not LEARNED.exists():
        raise NotMeasuredError('nothing was learned from the ladder')
    records = json.loads(LEARNED.read_text(encoding='utf-8'))
    rows = []
    for arm, text in WAYS.items():
        errors = [target[arm] for target in records['errors'].values()]
        rows.append([text, *(f'{value:.3f} ({low:.3f} to {high:.3f})' for value, low, high in errors)])
    note = (
        f'Mean absolute error in eV/atom of {records["crystals"]} crystals at equilibrium, {records["compounds"]} '
        'compounds left out one by one, with intervals of 95 %.'
    )
    return Table(('learned', *records['errors']), rows, note)


def reliability() -> Table:
    """Return the diagnostics of CCSD(T)."""
    computed()
    rows = [
        [one.name, number(one.t1, 4), number(one.gap), number(one.limits, 3), ', '.join(one.flags) or 'none']
        for one in doubts(load_ladder())
    ]
    note = 'The gap (eV) is that of PBE on its mesh; the error (eV/atom) is that of the extrapolations of CCSD(T).'
    return Table(('crystal', 'T1', 'gap', 'error', 'beyond a limit'), rows, note)


def volumes() -> Table:
    """Return energies at further volumes relative to that at equilibrium."""
    ladder = load_ladder()
    rows = []
    for name, crystal in ladder.crystals.items():
        start = ladder.crystals.get(name.rsplit('-', 1)[0])
        if crystal.volume == 1 or start is None:
            continue
        pairs = [(crystal.per_atom(level), start.per_atom(level)) for level in LADDER]
        values = [None if None in pair else pair[0] - pair[1] for pair in t.cast('list[tuple[float, float]]', pairs)]
        rows.append([name, *(number(value, 3, '+') for value in values)])
    if not rows:
        raise NotMeasuredError('no further volume is computed')
    return Table(('crystal and relative volume', *LADDER), rows, 'E(V) − E(V0) in eV/atom.')


def cost() -> Table:
    """Return the cost of each crystal."""
    rows = []
    for name, crystal in load_ladder().crystals.items():
        memory = max((one.memory_mb or 0 for one in crystal.calculations), default=0) / 1000
        failed = '; '.join(crystal.failures) or 'none'
        minutes = [number(60 * crystal.cpu_hours_of(level), 1) for level in LADDER]
        whole = number(60 * crystal.cpu_hours, 1)
        archive = 'yes' if (ARCHIVES / f'{name}.aiida').exists() else 'no'
        rows.append([name, *minutes, whole, number(memory, 1), str(len(crystal.calculations)), archive, failed])
    if not rows:
        raise NotMeasuredError('nothing is computed')
    header = ('crystal', *LADDER, 'all, core minutes', 'GB', 'calculations', 'archive', 'refused or failed')
    note = 'Time of the processor in minutes of one core, atoms included; memory of the largest calculation.'
    return Table(header, rows, note)


def open_list() -> Table:
    """Return what is not complete, and what is refused and why."""
    ladder = load_ladder()
    rows = [['not complete', str(len(ladder.missing)), ', '.join(ladder.missing) or 'none']]
    if ladder.refused:
        reasons = '; '.join(f'{name} {reason}' for name, reason in ladder.refused.items())
        rows.append(['refused', str(len(ladder.refused)), reasons])
    return Table(('', 'number', 'names'), rows)


ITEMS = (
    Item('Cohesive energies', 'By level, beside experiment', COMMAND, cohesion),
    Item('Formation energies', 'By level, beside experiment', COMMAND, formation),
    Item('Polymorphs', 'Energy differences of two structures', COMMAND, orders),
    Item('Divergence', 'Of PBE and CCSD(T) by class of compounds', COMMAND, divergence),
    Item('Correlation', 'Of the divergence with the error of PBE', COMMAND, correlation),
    Item('Heads', 'Upper rungs of compounds that were left out', 'python benchmarks/ladder_heads.py --store', learned),
    Item('Reliability', 'Of CCSD(T)', COMMAND, reliability),
    Item('Volumes', 'Energies of compressed and stretched crystals', COMMAND, volumes),
    Item('Cost', 'Of each crystal', COMMAND, cost),
    Item('Open', 'What is not computed, or not on all levels', COMMAND, open_list),
)


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--page', type=Path, default=PAGE, help='page with the marks')
    parser.add_argument('--check', action='store_true', help='write nothing, fail if a table is not up to date')
    parser.add_argument('--quick', action='store_true', help='the same as --check')
    arguments = parser.parse_args()
    before = arguments.page.read_text(encoding='utf-8')
    after = renewed(before, ITEMS, arguments.page.stem)
    ladder = load_ladder()
    figure('ladder-complete', sum(one.is_complete for one in ladder.crystals.values()), 'crystals')
    for one in [*cohesive_errors(ladder).values(), *correlations(divergences(ladder)).values()]:
        if one.value is not None:
            figure(one.name, one.value, EV if 'cohesive' in one.name else '', one.definition)
    if arguments.check or arguments.quick:
        sys.exit(
            'the page is not what the data say: run `python benchmarks/ladder_tables.py`' if after != before else 0
        )
    write_text(after, arguments.page)


if __name__ == '__main__':
    main()

"""The closed loop on stored crystals: what a run may do, and what is made of its counts."""

import dataclasses
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Composition

from aiida_qagenai.chemistry.formula import reduced_formula
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.convex_hull import distances_to_hull
from aiida_qagenai.thermodynamics.hull.phases import Phase
from aiida_qagenai.thermodynamics.hull.reference import SCALE, ReferenceHull
from aiida_qagenai.thermodynamics.references.mp_elements import formation_energy_per_atom

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
sys.path.insert(0, str(BENCHMARKS))

import closed_loop  # noqa: E402
from closed_loop_parts import analysis, crystals, loop, sets  # noqa: E402
from closed_loop_parts.hulls import Known, distances  # noqa: E402

from aiida_qagenai.evaluation.plans import read_plan  # noqa: E402
from aiida_qagenai.motifs.library import MotifLibrary  # noqa: E402

MAIN = closed_loop.MAIN


@pytest.fixture(scope='module')
def known():
    return crystals.read()


def plain(values):
    """Return values as JSON keeps them, with the digits that all processors agree on."""
    return json.loads(json.dumps(values), parse_float=lambda text: float(f'{float(text):.9g}'))


@pytest.fixture(scope='module')
def stored():
    return json.loads(closed_loop.RESULTS.read_text())


def test_the_counts_are_those_of_the_plan(known, stored):
    plan = read_plan(closed_loop.PLAN)
    assert stored['plan_sha256'] == plan.sha256
    made = {f'{MAIN} {arm}' for arm in plan.arms if arm.split('-')[0] in analysis.arms_of(known)}
    assert made <= set(stored['runs'])
    for rows in stored['runs'].values():
        assert [row['seed'] for row in rows] == list(plan.seeds)
    assert plan.settings['hit_threshold'] == loop.HIT
    assert plan.settings['divergence'] == sets.DIVERGENT and plan.settings['complete'] == sets.COMPLETE
    assert plan.settings['systems'] == sets.SIZES[MAIN]


@pytest.mark.usefixtures('aiida_profile')
def test_the_plan_is_a_node_and_its_judgement_that_of_the_figures(stored, capsys):
    plan = read_plan(closed_loop.PLAN)
    found = closed_loop.judge_in_profile(None, stored['runs'], plan)
    assert found.creator.inputs.plan['hypotheses'] == list(plan.hypotheses)
    assert found['plan_sha256'] == plan.sha256
    capsys.readouterr()
    closed_loop.conclude(stored['runs'], plan)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    values = [each['p_value'] for each in found['comparisons']]
    assert values == pytest.approx([line['p_value'] for line in lines])


def test_a_run_again_gives_the_stored_counts(known, stored):
    for arm, kind in itertools.product(analysis.arms_of(known), ('alone', 'loop')):
        found = analysis.play(known, MAIN, arm, kind, [3])
        before = [row for row in stored['runs'][f'{MAIN} {arm}-{kind}'] if row['seed'] == 3]
        assert plain(found) == plain(before)


def test_a_loop_keeps_to_its_budget_and_its_systems(known):
    systems = analysis.drawn(known, MAIN, 0)
    outcome = loop.run(known, 'qagenai', systems, analysis.parts_of('loop', len(systems)))
    assert 0 < len(outcome.computed) <= len(systems)
    assert len(set(outcome.computed)) == len(outcome.computed)
    rows = [*outcome.top, *outcome.computed]
    assert set(known.systems[rows]) <= set(systems) and known.eligible[rows].all()
    assert sum(record.num_computed for record in outcome.history) == len(outcome.computed)
    clusters = [known.rows['cluster'][row] for row in outcome.top]
    assert len(set(clusters)) == len(clusters) <= len(systems)


def test_a_generator_alone_computes_nothing_and_keeps_its_order(known):
    systems = analysis.drawn(known, MAIN, 0)
    outcome = loop.run(known, 'random', systems, loop.GENERATOR_ALONE)
    assert outcome.computed == () and outcome.low_calls == 0
    assert (np.diff(known.order[list(outcome.top)]) >= 0).all()


def test_updates_ask_for_more_where_hits_were_found(known):
    systems = analysis.drawn(known, MAIN, 0)
    rows = loop.candidates_of(known, 'qagenai', systems)
    wanted = dict.fromkeys(systems, loop.FEWEST) | {systems[0]: loop.MOST}
    shown = loop.proposals(known, rows, loop.Parts(), wanted)
    counts = {system: int((known.systems[rows][shown] == system).sum()) for system in systems}
    assert counts[systems[0]] == loop.MOST and counts[systems[1]] == loop.FEWEST


def test_no_stable_phase_is_missing_from_any_hull(known):
    """At every level each hull has all stable phases of the Materials Project in its system, elements included."""
    hull = ReferenceHull.default()
    for system in known.in_systems:
        wanted = {reduced_formula(phase.amounts) for phase in hull.phases(system.split('-'))}
        assert {reduced_formula(element) for element in system.split('-')} <= wanted
        for level, competing in known.competing.items():
            assert wanted <= {reduced_formula(phase.amounts) for phase in competing.competing(system)}, (system, level)


def test_no_candidate_is_far_more_stable_than_on_the_hull_of_the_package(known):
    """A hull with gaps would place candidates of the evaluator at PBE below that of the Materials Project."""
    level = crystals.LEVELS.index('chgnet-pbe')
    rows = np.flatnonzero(known.eligible)
    energies = known.column('chgnet-pbe')[rows]
    amounts = [Composition(known.rows['formula'][row]).get_el_amt_dict() for row in rows]
    own = [
        Phase(each, formation_energy_per_atom(energy, each), level=SCALE)
        for each, energy in zip(amounts, energies, strict=True)
    ]
    competing = ReferenceHull.default().competing(phase.elements for phase in own)
    placed = [each.decomposition_energy for each in distances_to_hull(own, competing, min_references=0)]
    difference = known.above_hull[rows, level] - np.array(placed)
    assert difference.min() > -0.25


def test_a_hull_without_a_reference_of_an_element_is_an_error():
    with pytest.raises(InvalidInputError, match='no crystal of O for the hull of Fe-O'):
        Known(['mp-1'], ['Fe'], np.array([0.0]), []).competing('Fe-O')


def test_a_phase_without_a_crystal_moves_with_the_others():
    """One of two compounds has a crystal, 0.1 eV/atom above its energy in the Materials Project: so has the other."""
    phases = [
        {'name': 'mp-3', 'formula': 'FeO', 'energy': -1.5},
        {'name': 'mp-4', 'formula': 'Fe2O3', 'energy': -1.7},
    ]
    known = Known(['mp-1', 'mp-2', 'mp-3'], ['Fe', 'O2', 'FeO'], np.array([0.0, 0.0, -1.4]), phases)
    found = {reduced_formula(phase.amounts): phase.energy_per_atom for phase in known.competing('Fe-O')}
    assert found == pytest.approx({'Fe': 0.0, 'O2': 0.0, 'FeO': -1.4, 'Fe2O3': -1.6})
    assert distances(['Fe2O3'], ['Fe-O'], np.array([-1.7]), known) == pytest.approx([-0.1])


def test_the_sets_are_drawn_again_and_have_their_references(known):
    library = MotifLibrary.default()
    drawn = sets.draw_sets(library)
    names = {name: ['-'.join(system) for system in each] for name, each in drawn.items()}
    assert names == json.loads(crystals.RECORDS.read_text())['sets']
    assert {name: len(each) for name, each in drawn.items()} == sets.SIZES | {'prospective': 3}
    assert not {name for each in names.values() for name in each} & sets.SEEN
    assert {element for each in drawn.values() for system in each for element in system} <= sets.with_references(
        library
    )


def test_every_eligible_candidate_has_a_distance_at_every_level(known):
    """No generated crystal lies far below the hull of what is known at the same level: references do not mix."""
    assert np.isfinite(known.above_hull[known.eligible]).all()
    for level, name in enumerate(crystals.LEVELS[:4]):
        assert known.above_hull[known.eligible, level].min() > -0.15, name


def rows_of(hits, asked=2):
    return [{'systems': {name: [1, 0, each, 0, each, 0] for name, each in run.items()}, 'asked': asked} for run in hits]


def test_a_ratio_to_itself_is_one():
    rows = rows_of([{'A': 1, 'B': 0}, {'B': 1, 'C': 1}])
    found = analysis.over_systems(rows, rows)
    assert (found.value, found.lower, found.upper) == (1.0, 1.0, 1.0)
    assert analysis.rate(rows) == (3, 4)
    assert analysis.hits_by_system(rows) == {'A': 1.0, 'B': 0.5, 'C': 1.0}


def test_a_ratio_is_open_where_the_other_arm_may_find_nothing():
    found = analysis.over_systems(rows_of([{'A': 2, 'B': 2, 'C': 2}]), rows_of([{'A': 1, 'B': 0, 'C': 0}]))
    assert found.value == 6.0 and found.upper == np.inf


def test_effects_are_differences_of_means():
    rng = np.random.default_rng(0)
    rows = [
        {**cell, 'seed': seed, 'hits': 2 * cell['levels'] + cell['latent'] * cell['rungs'] + rng.normal(0, 0.05)}
        for cell, seed in itertools.product(analysis.cells(), range(4))
    ]
    found = dict(analysis.effects(rows))
    assert found['levels'].value == pytest.approx(2, abs=0.05)
    assert found['latent'].value == pytest.approx(0.5, abs=0.05)
    assert found['latent:rungs'].value == pytest.approx(1, abs=0.1)
    assert found['active'].lower < 0 < found['active'].upper or abs(found['active'].value) < 0.05


def test_every_combination_of_parts_is_run_once_per_seed(stored):
    cells = {(*(row[name] for name in loop.FACTORS), row['seed']) for row in stored['factorial']}
    assert len(cells) == len(stored['factorial']) == 2 ** len(loop.FACTORS) * 10
    assert {field.name for field in dataclasses.fields(loop.Parts)} >= set(loop.FACTORS)

"""Algorithm 3 on synthetic databases: order-independent, idempotent, by the rules of the paper."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polymorphs import FAMILIES, disguised
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.databases.merge.analysis import Analysis, analyse
from aiida_qagenai.databases.merge.materials import MergeEntry, explain_material, merge
from aiida_qagenai.databases.merge.rules import default_rules, read_rules

RULES = default_rules()


def entry(database='mp', identifier='1', a=4.0, **changes) -> MergeEntry:
    """Return an entry of LiH in the structure of rock salt."""
    values = {
        'version': '1',
        'uuid': f'{database}-{identifier}',
        'formula': 'LiH',
        'analysis': Analysis(225, 'H1 Li1', 192, (a, a, a, a)),
        **changes,
    }
    return MergeEntry(database=database, identifier=identifier, **values)


ENTRIES = st.lists(
    st.builds(
        entry,
        database=st.sampled_from(['mp', 'oqmd', 'alexandria', 'icsd']),
        identifier=st.sampled_from('abcde'),
        formula=st.sampled_from(['LiH', 'Li2O']),
        analysis=st.builds(
            lambda number, operations, a: Analysis(number, 'H1 Li1', operations, (a, a, a, a)),
            st.sampled_from([0, 225, 221]),
            st.sampled_from([48, 96]),
            st.sampled_from([4.0, 4.1, 4.19, 4.3, 4.6]),
        ),
        experimental=st.sampled_from([True, False, None]),
        energies=st.dictionaries(st.sampled_from(['mp:PBE', 'oqmd:PBE']), st.floats(-2, 2), max_size=2),
        properties=st.dictionaries(
            st.sampled_from(['band_gap', 'ediff', 'kppra', 'date']), st.floats(0, 5), max_size=4
        ),
    ),
    max_size=12,
    unique_by=lambda item: item.key,
)
RULE_SETS = st.sampled_from([RULES, RULES.model_copy(update={'on_lattice_mismatch': 'separate'})])


@settings(max_examples=150, deadline=None)
@given(ENTRIES, RULE_SETS, st.randoms())
def test_the_order_of_the_entries_does_not_matter(entries, rules, random):
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert merge(entries, rules) == merge(shuffled, rules)


@settings(max_examples=100, deadline=None)
@given(ENTRIES, RULE_SETS)
def test_merging_the_representatives_changes_nothing(entries, rules):
    by_uuid = {(item.uuid, item.version): item for item in entries}
    once = merge(entries, rules)
    representatives = [by_uuid[m.representative.uuid, m.representative.version] for m in once]
    twice = merge(representatives, rules)
    assert {m.representative.uuid for m in twice} == {m.representative.uuid for m in once}
    assert all(len(m.members) == 1 and not m.discarded for m in twice)


@settings(max_examples=100, deadline=None)
@given(ENTRIES, RULE_SETS)
def test_every_entry_is_accounted_for_once(entries, rules):
    found = [item.uuid for m in merge(entries, rules) for item in (*m.members, *m.discarded)]
    assert sorted(found) == sorted(item.uuid for item in entries)


def test_representative_experimental_then_symmetry_then_energy():
    low = entry(identifier='low', energies={'mp:PBE': -1.0})
    high = entry(identifier='high', energies={'mp:PBE': -0.5})
    distorted = dataclasses.replace(low, identifier='distorted', analysis=Analysis(225, 'H1 Li1', 48, (4.0,) * 4))
    measured = dataclasses.replace(distorted, identifier='measured', experimental=True)

    def first(*entries):
        (material,) = merge(entries, RULES)
        return material.representative.identifier, material.decided_by

    assert first(low, high) == ('low', 'lowest energy at mp:PBE')
    assert first(high, distorted) == ('high', 'highest symmetry')
    assert first(high, distorted, measured) == ('measured', 'experimental')


def test_energies_of_two_levels_are_not_compared():
    (material,) = merge(
        [entry('oqmd', 'deep', energies={'oqmd:PBE': -9.0}), entry('mp', 'shallow', energies={'mp:PBE': -0.5})], RULES
    )
    assert material.representative.identifier == 'shallow'  # the order of the databases, not the number
    assert 'energy_spread' not in material.flags


@pytest.mark.parametrize(('a', 'merged'), [(4.19, True), (4.21, False), (3.81, True), (3.79, False)])
def test_lattice_cross_check_at_five_percent(a, merged):
    best = entry('mp', 'best', experimental=True)
    (material,) = merge([best, entry('oqmd', 'other', a=a)], RULES)
    assert len(material.members) == 1 + merged
    assert ('lattice_mismatch' in material.flags) is not merged
    if not merged:
        assert material.discarded[0].deviation == pytest.approx(abs(a / 4 - 1))


def test_separate_keeps_the_other_lattice_as_a_material():
    rules = RULES.model_copy(update={'on_lattice_mismatch': 'separate'})
    first, second = merge([entry('mp', 'a'), entry('oqmd', 'b', a=5.0)], rules)
    assert {first.representative.identifier, second.representative.identifier} == {'a', 'b'}


@pytest.mark.parametrize(
    ('ours', 'theirs', 'rule'),
    [
        ({'kppra': 1000}, {'kppra': 8000}, 'higher k-point density'),
        ({'kppra': 8, 'ediff': 1e-4}, {'kppra': 8, 'ediff': 1e-6}, 'stricter convergence'),
        ({}, {'has_props': {'elasticity': True}}, 'full elastic tensor'),
        ({}, {'density': 1.0}, 'more complete property set'),
    ],
)
def test_conflict_rules(ours, theirs, rule):
    entries = [
        entry(identifier='ours', properties={'band_gap': 1.0, **ours}),
        entry(identifier='theirs', properties={'band_gap': 2.0, **theirs}),
    ]
    (material,) = merge(entries, RULES)
    conflict = next(item for item in material.conflicts if item.property == 'band_gap')
    assert (conflict.winner, conflict.value, conflict.rule) == ('mp:theirs', 2.0, rule)
    assert material.properties['band_gap'] == 2.0


def test_most_recent_of_oqmd():
    entries = [
        entry('oqmd', 'new', properties={'band_gap': 1.0, 'date': '2023-12-01'}),
        entry('oqmd', 'old', properties={'band_gap': 2.0, 'date': '2013-12-01'}),
    ]
    assert merge(entries, RULES)[0].properties['band_gap'] == 1.0


def test_experimental_data_overrides_computed():
    entries = [
        entry('icsd', 'x', experimental=True, properties={'band_gap': 3.0}),
        entry('mp', 'y', experimental=False, properties={'band_gap': 2.0, 'kppra': 9999}),
    ]
    (material,) = merge(entries, RULES)
    assert material.conflicts[0].rule == 'experimental data overrides computational'
    assert material.properties == {'band_gap': 3.0, 'kppra': 9999}
    assert material.identifier.startswith('ICSD-MP-')
    text = '\n'.join(explain_material(material))
    assert 'icsd x (*) represents them by: experimental' in text
    assert '`band_gap` is 3.0 (icsd:x)' in text


def test_symmetry_does_not_depend_on_the_cell():
    conventional = Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.08), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    turned = conventional.get_primitive_structure().copy()
    turned.apply_operation(_rotation())
    turned.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    analyses = [
        analyse(s.lattice.matrix.tolist(), [x.specie.symbol for x in s], s.cart_coords.tolist(), 0.1, 0.01)
        for s in (conventional, turned)
    ]
    assert analyses[0].orbits == 'H1 Li1'
    assert analyses[0].number == 225
    assert (analyses[0].number, analyses[0].orbits, analyses[0].operations) == (
        analyses[1].number,
        analyses[1].orbits,
        analyses[1].operations,
    )
    assert analyses[0].lengths == pytest.approx(analyses[1].lengths)


def test_another_arrangement_in_the_same_space_group_is_another_cluster():
    cubic = Lattice.cubic(5.0)
    first = Structure.from_spacegroup('Fm-3m', cubic, ['Li', 'O'], [[0.25, 0.25, 0.25], [0, 0, 0]])
    analysis = analyse(cubic.matrix.tolist(), [x.specie.symbol for x in first], first.cart_coords.tolist(), 0.1, 0.01)
    assert analysis.orbits == 'Li2 O1'


def test_given_twice():
    with pytest.raises(InvalidInputError, match='given twice'):
        merge([entry(), entry()], RULES)


def test_wrong_rules(tmp_path):
    path = tmp_path / 'rules.yaml'
    path.write_text('version: 1\nsymprec: -1\n')
    with pytest.raises(InvalidInputError, match='`symprec`'):
        read_rules(path)


def _rotation():
    from pymatgen.core import SymmOp

    axis = np.array([1.0, 2.0, 3.0])
    return SymmOp.from_axis_angle_and_translation(axis, 37)


@pytest.mark.parametrize('name', FAMILIES)
def test_a_merge_keeps_the_phases_of_a_family_apart_and_joins_their_copies(name):
    entries = []
    for index, phase in enumerate(FAMILIES[name]):
        copies = {'icsd': phase, 'mp': disguised(phase, 4 * index, 0.005, 1.01)}
        for database, copy in copies.items():
            analysis = analyse(
                copy.lattice.matrix.tolist(),
                [site.specie.symbol for site in copy],
                copy.cart_coords.tolist(),
                RULES.symprec,
                RULES.symprec_tight,
            )
            entries.append(MergeEntry(database, '1', str(index), f'{database}-{index}', name, analysis))
    materials = merge(entries, RULES)
    found = sorted(sorted(member.uuid for member in material.members) for material in materials)
    assert found == [[f'icsd-{index}', f'mp-{index}'] for index in range(len(FAMILIES[name]))]

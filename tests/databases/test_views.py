"""Training sets from the graph, and the tables of what it holds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.chemistry.classes import CLASSES, material_class
from aiida_qagenai.cli import main
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.databases.merge.process import select_databases
from aiida_qagenai.databases.sources.importer import import_files
from aiida_qagenai.databases.views import make_view, select, view_outputs
from aiida_qagenai.exchange.dataset import SPLITS, stratified_splits
from aiida_qagenai.queries.quality import composition, quality_controls

CATIONS = ('Li', 'Na', 'K', 'Rb', 'Cs')
ANIONS = ('F', 'Cl', 'Br', 'I')


@pytest.fixture(scope='module')
def database(aiida_profile, tmp_path_factory):
    """Import twenty salts in two structures each, with PBE and for half of them SCAN energies."""
    import csv

    from pymatgen.core import Lattice, Structure

    from aiida_qagenai.databases.sources.settings import make_settings

    aiida_profile.reset_storage()
    path = tmp_path_factory.mktemp('views') / 'salts.csv'
    names = ['material_id', 'cif', 'formation_energy_per_atom', 'formation_energy_per_atom_scan', 'e_above_hull']
    with path.open('w', newline='') as handle:
        writer = csv.DictWriter(handle, names)
        writer.writeheader()
        for index, pair in enumerate((c, a) for c in CATIONS for a in ANIONS):
            for shift in (0.5, 0.4):
                structure = Structure(Lattice.cubic(3.5), pair, [[0, 0, 0], [shift] * 3])
                scan = -1.1 if index % 2 else ''
                row = [f's-{index}-{shift}', structure.to(fmt='cif'), -1.0 - 0.01 * index, scan, 0.0 if scan else 0.1]
                writer.writerow(dict(zip(names, row, strict=True)))
    import_files([path], [make_settings(database='salts', version='1', license='CC-BY-4.0', format='csv')])
    return select_databases(['salts/1'])


@pytest.fixture(scope='module')
def view(database):
    """Return the process that built a training set of it."""
    return make_view(select(databases=database), seed=1)[0]


def test_all_of_it_is_linked(view):
    links = view.base.links.get_incoming(link_type=LinkType.INPUT_CALC).all()
    kinds = [link.link_label.split('__')[0] for link in links]
    assert (kinds.count('structures'), kinds.count('energies')) == (40, 60)
    dataset, report = view_outputs(view)
    assert dataset.counts == {'PBE': 40, 'SCAN': 20, 'HSE06': 0, 'CCSD(T)': 0}
    assert dataset.base.attributes.get('license') == 'CC-BY-4.0'
    assert dataset.base.attributes.get('level_tags') == {'PBE': 'salts:PBE', 'SCAN': 'salts:SCAN'}
    assert sum(report['splits'].values()) == 40


def test_packed_structures_are_the_nodes(view):
    batch = view_outputs(view)[0].labels()
    name = str(batch.structures.identifiers[7])
    builder = orm.QueryBuilder().append(orm.Node, filters={'attributes.identifier': name.split('/')[2]}, project='*')
    assert batch.structures.structure(7) == builder.first(flat=True).get_pymatgen()


def test_no_formula_is_in_two_splits(view):
    batch = view_outputs(view)[0].labels()
    for formula in set(batch.groups.tolist()):
        assert len(set(batch.split[batch.groups == formula].tolist())) == 1


def test_building_again_adds_nothing(view, database):
    before = orm.QueryBuilder().append(orm.Node).count()
    again, repeated = make_view(select(databases=database), seed=1)
    assert (again.pk, repeated) == (view.pk, True)
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_another_seed_is_another_split_of_the_same_energies(view, database):
    first, other = view_outputs(view)[1], view_outputs(make_view(select(databases=database), seed=2)[0])[1]
    assert first['split_sha256'] != other['split_sha256']
    assert first['splits'] == other['splits']


def test_only_some_fidelities(database):
    selection = select(databases=database, fidelities=[Fidelity.SCAN])
    assert (len(selection.structures), len(selection.energies)) == (20, 20)


def test_levels_of_theory_never_mix(database, write_csv, rows, settings):
    import_files([write_csv(rows(2))], [settings(database='other')])
    both = select(databases=[*database, *select_databases(['other/1'])])
    before = orm.QueryBuilder().append(orm.ProcessNode).count()
    with pytest.raises(InvalidInputError, match='never mix'):
        make_view(both)
    assert orm.QueryBuilder().append(orm.ProcessNode).count() == before
    chosen = select(databases=[*database, *select_databases(['other/1'])], level_tags=['other:PBE'])
    assert len(view_outputs(make_view(chosen)[0])[0]) == 2


def test_two_levels_on_one_rung_are_kept_apart_if_both_are_named(database, write_csv, rows, settings):
    import_files([write_csv(rows(2))], [settings(database='salts', version='2', level='small basis')])
    tags = ['salts:PBE', 'salts:PBE:small basis']
    chosen = select(databases=[*database, *select_databases(['salts/2'])], level_tags=tags)
    dataset, report = view_outputs(make_view(chosen, level_tags=tags)[0])
    batch = dataset.labels()
    assert batch.levels == (Level('salts:PBE', Fidelity.PBE), Level('salts:PBE:small basis', Fidelity.PBE))
    assert np.isfinite(batch.energies).sum(axis=0).tolist() == [40, 2]
    assert (np.isfinite(batch.energies).sum(axis=1) == 1).all()
    assert dataset.base.attributes.get('level_tags') == {'PBE': 'salts:PBE:small basis'}
    assert sum(report['fidelities']['PBE'].values()) == 42
    turned = view_outputs(make_view(chosen, level_tags=tags[::-1])[0])[0]
    assert turned.base.attributes.get('level_tags') == {'PBE': 'salts:PBE'}


def test_table_of_the_graph(database):
    table = composition().set_index('fidelity')
    assert table.loc['SCAN', 'structures'] == 20
    assert 'salts' in table.loc['PBE', 'sources']
    controls = quality_controls().set_index(['fidelity', 'control'])
    stable = controls.loc['SCAN', 'stable at PBE']
    assert (stable['checked'], stable['passed']) == (20, 20)
    assert controls.loc['PBE', 'consistent with diffraction']['note'].startswith('not checked')
    assert controls.loc['PBE', 'converged']['failed'] == 0


def test_commands(view):
    result = CliRunner().invoke(main, ['dataset', 'build', '--database', 'salts/1', '--seed', '1'])
    assert result.exit_code == 0, result.output
    assert 'made before' in result.output
    assert 'fluoride' in result.output
    result = CliRunner().invoke(main, ['dataset', 'table', '--controls', '--format', 'json'])
    assert {row['fidelity'] for row in json.loads(result.output)} == {'PBE', 'SCAN', 'HSE06', 'CCSD(T)'}


GROUPS = st.lists(st.integers(0, 60), min_size=1, max_size=150)


@given(GROUPS, st.integers(0, 5), st.randoms())
def test_stratified_splits_keep_groups_and_ignore_the_order(numbers, seed, random):
    def assign(order):
        groups = np.array([f'g{number}' for number in order])
        classes = np.array([f'c{number % 3}' for number in order])
        return dict(
            zip(groups, stratified_splits(groups, classes, fractions=(0.8, 0.05, 0.05, 0.1), seed=seed), strict=True)
        )

    shuffled = list(numbers)
    random.shuffle(shuffled)
    assert assign(numbers) == assign(shuffled)


@given(st.integers(40, 200), st.integers(0, 5))
def test_every_class_is_shared_out_alike(n, seed):
    groups = np.array([f'g{number}' for number in range(2 * n)])
    classes = np.array(['a', 'b'] * n)
    fractions = (0.8, 0.05, 0.05, 0.1)
    split = stratified_splits(groups, classes, fractions=fractions, seed=seed)
    for name in 'ab':
        counts = np.bincount(split[classes == name], minlength=len(SPLITS))
        assert np.abs(counts - np.array(fractions) * n).max() <= 1.0


@pytest.mark.parametrize(
    ('elements', 'expected'),
    [
        ('Li', 'element'),
        ('Li Fe P O', 'oxide'),
        ('Y O F', 'fluoride'),
        ('Na Cl', 'halide'),
        ('Ti N', 'nitride'),
        ('Ga As', 'pnictide'),
        ('Li H', 'hydride'),
        ('Cu Zn', 'intermetallic'),
    ],
)
def test_class_of_a_material(elements, expected):
    assert material_class(elements.split()) == expected
    assert expected in CLASSES

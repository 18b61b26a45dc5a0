"""The merge over nodes: provenance, repetition, export with its schema, explanations."""

from __future__ import annotations

import json

import pytest
from aiida import orm
from aiida.common.links import LinkType
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.databases.merge.process import (
    MergeExport,
    export_merge,
    find_material,
    load_merge,
    merge_databases,
    select_databases,
)
from aiida_qagenai.databases.sources.importer import import_file, import_files


@pytest.fixture(scope='module')
def merged(aiida_profile, tmp_path_factory):
    """Import two small databases, which share LiH, and merge them."""
    from aiida_qagenai.databases.sources.settings import make_settings

    aiida_profile.reset_storage()
    salt = Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.08), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    caesium = Structure(Lattice.cubic(2.6), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    stretched = Structure(Lattice.cubic(4.9), salt.species, salt.frac_coords)
    databases = {
        'mp': [('mp-1', salt, -0.4, True, 3.0), ('mp-2', caesium, -0.3, True, 2.0)],
        'oqmd': [('o-1', salt.get_primitive_structure(), -0.5, False, 4.0), ('o-3', stretched, -0.1, True, 3.0)],
    }
    folder = tmp_path_factory.mktemp('merge')
    for name, rows in databases.items():
        lines = ['material_id,formation_energy_per_atom,theoretical,band_gap']
        (folder / name).mkdir()
        for identifier, structure, energy, theoretical, gap in rows:
            (folder / name / f'{identifier}.cif').write_text(structure.to(fmt='cif'))
            lines.append(f'{identifier},{energy},{theoretical},{gap}')
        (folder / name / 'metadata.csv').write_text('\n'.join(lines) + '\n')
        import_files([folder / name], [make_settings(database=name, version='1', license='CC-BY-4.0', format='cif')])
    return merge_databases(select_databases(['mp/1', 'oqmd/1']))[0]


def test_links_say_what_was_merged(merged):
    inputs = merged.base.links.get_incoming(link_type=LinkType.INPUT_CALC).all()
    identifiers = sorted(
        link.node.base.attributes.get('identifier') for link in inputs if link.link_label.startswith('entries__')
    )
    assert identifiers == ['mp-1', 'mp-2', 'o-1', 'o-3']
    assert sum(link.link_label.startswith('energies__') for link in inputs) == 4
    assert merged.inputs.rules.get_dict()['lattice_tolerance'] == 0.05
    materials, report = load_merge(merged)
    assert (report['entries'], report['materials'], report['merged']) == (4, 2, 1)
    assert report['overlaps'] == {'mp': 1, 'mp+oqmd': 1}
    salt = next(material for material in materials if len(material.members) == 2)
    assert salt.representative.identifier == 'o-1'  # measured
    assert [item.identifier for item in salt.discarded] == ['o-3']
    assert 'lattice_mismatch' in salt.flags
    assert salt.identifier.startswith('MP-OQMD-')


def test_merging_again_in_another_order_adds_nothing(merged):
    before = orm.QueryBuilder().append(orm.Node).count()
    again, repeated = merge_databases(select_databases(['oqmd/1', 'mp/1']))
    assert (again.pk, repeated) == (merged.pk, True)
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_export_holds_what_its_schema_says(merged, tmp_path):
    path = tmp_path / 'merge.json'
    assert export_merge(path, merged) == 2
    content = MergeExport.model_validate_json(path.read_bytes())
    assert content.process == merged.uuid
    assert content.databases[0]['license'] == 'CC-BY-4.0'
    salt = next(material for material in content.materials if len(material.members) == 2)
    assert Structure(salt.cell, salt.symbols, salt.positions, coords_are_cartesian=True).formula == 'Li1 H1'
    assert all(len(source['sha256']) == 64 for source in salt.sources)
    assert json.loads(path.read_text())['$schema'] == content.schema_id


@pytest.mark.parametrize(('identifier', 'text'), [('mp-1', 'represents them by: experimental'), ('o-3', 'left out')])
def test_why(merged, identifier, text):
    from aiida_qagenai.cli import main

    result = CliRunner().invoke(main, ['dataset', 'why', identifier])
    assert result.exit_code == 0, result.output
    assert text in result.output
    assert '`band_gap` is 4.0 (oqmd:o-1), by: experimental data overrides computational' in result.output


def test_why_of_nothing(merged):
    with pytest.raises(InvalidInputError, match='no material or entry `mp-99`'):
        find_material('mp-99')


def test_unknown_database_names_those_there_are(merged):
    with pytest.raises(InvalidInputError, match='mp/1, oqmd/1'):
        select_databases(['mp/2'])


def test_unfinished_imports_are_not_merged(merged, write_csv, rows, settings):
    import_file(write_csv(rows(1)), settings(database='open'))
    with pytest.raises(InvalidInputError, match='has not finished'):
        merge_databases(select_databases(['open/1']))

"""The ladder of the package as nodes."""

import hashlib
import json

import pytest
from aiida import orm
from click.testing import CliRunner
from ladder_results import CRYSTALS, recipe, results

from aiida_qagenai.cli import main
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.groups import databases
from aiida_qagenai.databases.merge.process import select_databases
from aiida_qagenai.databases.sources.ladder import install_ladder
from aiida_qagenai.databases.views import make_view, select, view_outputs


@pytest.fixture
def data(tmp_path):
    """Return the file of a small ladder, with its card beside it."""
    text = json.dumps(recipe.pack(results(), CRYSTALS, {}, {}))
    card = {'license': 'CC BY 4.0', 'recipe': '', 'sha256': {'ladder.json': hashlib.sha256(text.encode()).hexdigest()}}
    (tmp_path / 'ladder.json').write_text(text)
    (tmp_path / 'card.json').write_text(json.dumps(card))
    return tmp_path / 'ladder.json'


def test_crystals_and_energies_become_nodes(data, aiida_profile_clean):
    """Each energy belongs to its entry and has tag and parts; the process leads to the file."""
    found = install_ladder(data)
    assert (found.entries, found.energies, found.repeated) == (4, 14, False)
    builder = orm.QueryBuilder().append(EntryData, filters={'attributes.identifier': 'LiH'}, project='*')
    (entry,) = builder.all(flat=True)
    assert entry.base.attributes.get('space_group_number') == 225
    assert entry.base.attributes.get('properties')['compound_class'] == 'hydride'
    builder = orm.QueryBuilder().append(EnergyData, filters={'attributes.structure_uuid': entry.uuid}, project='*')
    energies = {energy.fidelity.value: energy for energy in builder.all(flat=True)}
    assert set(energies) == {'PBE', 'SCAN', 'HSE06', 'CCSD(T)'}
    top = energies['CCSD(T)'].content
    assert top.level_tag == 'moderate:CCSD(T)' and top.components['mp2_correlation_error'] == 0.08
    assert top.t1_diagnostic == 0.03 and energies['CCSD(T)'].base.links.get_incoming().one().node.pk == found.pk
    (row,) = databases().to_dict('records')
    assert row['license'] == 'CC BY 4.0' and row['complete'] and (row['entries'], row['energies']) == (4, 14)


def test_installing_again_adds_nothing(data, aiida_profile_clean):
    """The version is that of the content, and a training set is made of it."""
    first, second = install_ladder(data), install_ladder(data)
    assert second.repeated and second.pk == first.pk
    assert orm.QueryBuilder().append(EntryData).count() == 4
    (name,) = databases()['version']
    process, _ = make_view(select(databases=select_databases([f'ladder/{name}'])))
    dataset, _ = view_outputs(process)
    assert len(dataset) == 4


def test_the_command_installs_the_ladder_of_the_package(aiida_profile_clean):
    """As many crystals as the card says."""
    result = CliRunner().invoke(main, ['dataset', 'install', 'ladder'])
    assert result.exit_code == 0, result.output
    assert 'energies (process' in result.output

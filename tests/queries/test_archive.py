"""An archive holds the whole campaign, answers the same queries elsewhere, and is refused if it was damaged."""

from __future__ import annotations

import json
import shutil
import zipfile

import pandas as pd
import pytest
from aiida.engine import run_get_node
from aiida.manage import get_manager
from aiida.manage.caching import enable_caching
from aiida.orm import Dict, Group, InstalledCode, Int, Node, QueryBuilder, load_code, load_node
from batch_processes import GenerateToy, PredictToy
from fake_campaign import FakeCampaign, make_campaign

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.queries import searches
from aiida_qagenai.queries.archive import MANIFEST, export_campaign, import_archive, verify_archive

QUERIES = {
    'candidates': lambda: searches.candidates('toy', sort_by='name'),
    'search': lambda: searches.candidates(min_divergence=0.02, max_e_above_hull=0.1),
    'energies': lambda: searches.energies('toy'),
    'side_by_side': lambda: searches.energies_side_by_side('toy'),
    'ledger': lambda: searches.cost_ledger('toy'),
    'stages': lambda: searches.campaign_summary('toy').stages,
}


def answers() -> dict[str, pd.DataFrame]:
    """Return the answers of all queries, without pks, which an import changes."""
    tables = {name: query() for name, query in QUERIES.items()}
    return {name: table.drop(columns='pk', errors='ignore') for name, table in tables.items()}


def all_columns() -> dict[str, tuple]:
    """Return uuid → the other columns of all nodes, but for keys of other tables."""
    names = ['node_type', 'process_type', 'label', 'description', 'ctime', 'mtime', 'attributes', 'extras']
    rows = QueryBuilder().append(Node, project=['uuid', *names, 'repository_metadata']).all()
    return {uuid: tuple(columns) for uuid, *columns in rows}


@pytest.fixture(scope='module')
def exported(aiida_profile, tmp_path_factory):
    """Return the archive of a campaign with what the profile answered before, and the hashes it held."""
    aiida_profile.reset_storage()
    fake = make_campaign('toy')
    Int(7).store()  # belongs to no campaign
    path = tmp_path_factory.mktemp('archive') / 'toy.aiida'
    info = export_campaign(fake.campaign.pk, path)
    hashes = dict(QueryBuilder().append(Node, project=['uuid', 'extras._aiida_hash']).all())
    lineage = searches.lineage(fake.state['validator'].uuid)
    return {
        'path': path,
        'info': info,
        'answers': answers(),
        'hashes': hashes,
        'nodes': all_columns(),
        'validator': fake.state['validator'].uuid,
        'lineage': lineage['what'].tolist(),
    }


@pytest.fixture
def copy(exported, tmp_path, aiida_profile_clean):
    """Return a copy of the archive, to be damaged, and an empty profile."""
    return shutil.copy(exported['path'], tmp_path / 'copy.aiida')


def test_import_into_an_empty_profile_answers_the_same(exported, copy):
    assert QueryBuilder().append(Node).count() == 0
    info = import_archive(copy)
    assert info.new_nodes == sum(info.nodes.values()) == QueryBuilder().append(Node).count()
    for name, table in answers().items():
        pd.testing.assert_frame_equal(table, exported['answers'][name], obj=name)
    assert searches.lineage(exported['validator'])['what'].tolist() == exported['lineage']


def test_archive_holds_the_campaign_and_nothing_else(exported, copy):
    info = import_archive(copy)
    assert info == exported['info']
    assert info.nodes['CandidateData'] == 10
    assert info.campaign == 'toy'
    assert QueryBuilder().append(Int, filters={'attributes.value': 7}).count() == 0
    assert QueryBuilder().append(Group, project='label').all(flat=True) == ['qagenai/campaign/toy']


def test_hashes_survive_and_are_right(exported, copy):
    import_archive(copy)
    found = QueryBuilder().append(Node, project=['*', 'uuid', 'extras._aiida_hash']).all()
    for node, uuid, hash_ in found:
        assert hash_ == exported['hashes'][uuid]
        if not node.node_type.startswith('process.'):
            assert node.base.caching.compute_hash() == hash_


def test_nodes_are_the_same_in_every_column(exported, copy):
    """AiiDA would leave the marks of the cache out of the extras."""
    import_archive(copy)
    imported = all_columns()
    assert imported == {uuid: exported['nodes'][uuid] for uuid in imported}
    assert len(imported) == len(exported['nodes']) - 1  # without the one that belongs to no campaign


def test_an_interrupted_import_stores_nothing(exported, copy, monkeypatch):
    """And does not stand in the way of the next one."""

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr('aiida.tools.archive.imports._import_links', interrupt)
        with pytest.raises(KeyboardInterrupt):
            import_archive(copy)
    assert QueryBuilder().append(Node).count() == 0
    assert 'bulk_insert' not in vars(get_manager().get_profile_storage())
    assert import_archive(copy).new_nodes == len(exported['nodes']) - 1


def test_checkpoints_survive(exported, copy):
    import_archive(copy)
    validator = load_node(exported['validator'])
    assert validator.info.role == 'validator'
    assert len(validator.weights) > 0


def test_importing_again_adds_nothing(copy):
    import_archive(copy)
    before = QueryBuilder().append(Node, project=['id', 'mtime']).all()
    assert import_archive(copy).new_nodes == 0
    assert QueryBuilder().append(Node, project=['id', 'mtime']).all() == before


def test_truncated_archive_is_refused(copy):
    copy.write_bytes(copy.read_bytes()[:-1000])
    with pytest.raises(CorruptFileError, match='truncated'):
        import_archive(copy)
    assert QueryBuilder().append(Node).count() == 0


@pytest.mark.parametrize('member', ['db.sqlite3', 'metadata.json', 'repo/'])
def test_altered_file_is_refused(copy, tmp_path, member):
    """A file in the archive was replaced, by someone who knows how to write a valid zip file."""
    changed = tmp_path / 'changed.aiida'
    with zipfile.ZipFile(copy) as old, zipfile.ZipFile(changed, 'w') as new:
        name = next(name for name in old.namelist() if name.startswith(member) and not name.endswith('/'))
        for item in old.namelist():
            content = old.read(item)
            new.writestr(item, content + b'?' if item == name else content)
    with pytest.raises(CorruptFileError, match=f'altered: 1 files .*{name}'):
        import_archive(changed)
    assert QueryBuilder().append(Node).count() == 0


@pytest.mark.parametrize('position', [0.01, 0.5, 0.9, 'directory'])
def test_flipped_byte_is_refused(copy, position):
    content = bytearray(copy.read_bytes())
    if position == 'directory':
        position = content.index(b'PK\x01\x02') + 10
    content[int(position * len(content)) if isinstance(position, float) else position] ^= 0xFF
    copy.write_bytes(content)
    with pytest.raises(CorruptFileError):
        verify_archive(copy)


def change_manifest(path, **changes) -> None:
    """Write other values into the manifest of an archive."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents[MANIFEST] = json.dumps(json.loads(contents[MANIFEST]) | changes).encode()
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def test_other_counts_than_in_the_manifest_are_refused(exported, copy):
    change_manifest(copy, nodes=exported['info'].nodes | {'CandidateData': 11})
    with pytest.raises(CorruptFileError, match='altered: it holds'):
        import_archive(copy)
    assert QueryBuilder().append(Node).count() == 0


def test_archive_of_a_later_release_is_refused(exported, copy):
    change_manifest(copy, versions=exported['info'].versions | {'aiida-qagenai': '99.1'})
    with pytest.raises(InvalidInputError, match=r'written by aiida-qagenai 99\.1.*upgrade'):
        import_archive(copy)
    assert QueryBuilder().append(Node).count() == 0


def test_added_and_missing_files_are_refused(copy, tmp_path):
    with zipfile.ZipFile(copy, 'a') as archive:
        archive.writestr('repo/extra', b'')
    with pytest.raises(CorruptFileError, match='repo/extra'):
        verify_archive(copy)


def test_other_files_are_refused(tmp_path, aiida_profile_clean):
    with pytest.raises(InvalidInputError, match='no file'):
        import_archive(tmp_path / 'missing.aiida')
    (tmp_path / 'text').write_text('hello')
    with pytest.raises(CorruptFileError, match='not an archive'):
        import_archive(tmp_path / 'text')
    with zipfile.ZipFile(tmp_path / 'other.zip', 'w') as archive:
        archive.writestr('a', b'')
    with pytest.raises(InvalidInputError, match='verdi archive import'):
        import_archive(tmp_path / 'other.zip')


def test_manifest_names_versions(exported):
    with zipfile.ZipFile(exported['path']) as archive:
        manifest = json.loads(archive.read(MANIFEST))
    assert set(manifest['versions']) == {'aiida-core', 'aiida-qagenai'}
    assert {'db.sqlite3', 'metadata.json'} <= set(manifest['files'])


def test_existing_file_is_kept_unless_forced(tmp_path, aiida_profile_clean):
    make_campaign('toy', n=2, cycles=1)
    path = tmp_path / 'a.aiida'
    path.write_text('precious')
    with pytest.raises(InvalidInputError, match='exists'):
        export_campaign('toy', path)
    assert path.read_text() == 'precious'
    export_campaign('toy', path, force=True)
    assert verify_archive(path).nodes['CandidateData'] == 4
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InvalidInputError, match='folder'):
        export_campaign('toy', tmp_path / 'nowhere' / 'a.aiida')


def test_running_campaign_is_not_exported(tmp_path, aiida_profile_clean):
    FakeCampaign('young').start()
    with pytest.raises(InvalidInputError, match='still runs'):
        export_campaign('young', tmp_path / 'a.aiida')
    assert list(tmp_path.iterdir()) == []


def test_cycle_runs_from_the_cache_after_an_import(batch_codes, tmp_path, aiida_profile, localhost):
    """No calculation repeats where a campaign was imported: its jobs, whose outputs came in bulk, are cache hits."""
    fake = FakeCampaign('toy')
    campaign = fake.start()
    inputs = {'code': batch_codes, 'parameters': Dict({'n': 2}).store()}
    generated = run_get_node(GenerateToy, **inputs)[1]
    set_uuid = generated.outputs.candidate_set.uuid
    predicted = run_get_node(PredictToy, candidate_set=generated.outputs.candidate_set, **inputs)[1]
    fake.group.add_nodes([generated, predicted])
    campaign.seal()
    code_uuid, uuids = batch_codes.uuid, (generated.uuid, predicted.uuid)
    export_campaign('toy', tmp_path / 'a.aiida')
    aiida_profile.reset_storage()
    import_archive(tmp_path / 'a.aiida')
    assert load_code(code_uuid).computer.label == 'localhost'
    code = load_node(code_uuid)
    assert isinstance(code, InstalledCode)
    inputs = {'code': code, 'parameters': Dict({'n': 2})}
    with enable_caching(identifier='*toy*'):
        first = run_get_node(GenerateToy, **inputs)[1]
        second = run_get_node(PredictToy, candidate_set=load_node(set_uuid), **inputs)[1]
    assert (first.base.caching.get_cache_source(), second.base.caching.get_cache_source()) == uuids

"""What a user types: a label, a pk, a uuid or a name, and one text for each error."""

from __future__ import annotations

import pytest
from aiida.orm import Dict, StructureData
from ase.build import bulk

from aiida_qagenai.cli.loaders import load_campaign, load_checkpoint, load_node, load_process, load_structure
from aiida_qagenai.common.errors import InvalidInputError


@pytest.fixture
def copper(aiida_profile_clean):
    """Return a stored crystal with a label."""
    return StructureData(ase=bulk('Cu'), label='copper').store()


def test_label_pk_and_uuid_name_the_same_node(copper):
    for identifier in ('copper', str(copper.pk), copper.uuid, copper.uuid[:8]):
        assert load_structure(identifier).pk == copper.pk


def test_an_ambiguous_label_names_the_nodes(copper):
    other = StructureData(ase=bulk('Al'), label='copper').store()
    with pytest.raises(InvalidInputError, match=rf'2 structures \(pk {copper.pk}, {other.pk}\), expected exactly one'):
        load_structure('copper')


def test_a_label_counts_only_among_nodes_of_the_kind(copper):
    Dict({}, label='copper').store()
    assert load_structure('copper').pk == copper.pk
    with pytest.raises(InvalidInputError, match='2 nodes'):
        load_node('copper')


def test_digits_that_are_no_pk_may_be_a_label(copper):
    copper.label = '20260101'
    assert load_structure('20260101').pk == copper.pk


@pytest.mark.parametrize(
    ('load', 'message'),
    [
        (load_structure, r'no structure `nothing`, expected exactly one node with this label, pk or uuid'),
        (load_checkpoint, r'no checkpoint `nothing`, expected exactly one'),
        (load_process, r'no process `nothing`, expected exactly one'),
        (load_campaign, r'no campaign `nothing`, expected exactly one .*`aiida-qagenai campaign list`'),
    ],
)
def test_what_is_missing_is_named(aiida_profile_clean, load, message):
    with pytest.raises(InvalidInputError, match=message):
        load('nothing')


def test_another_kind_is_named(copper):
    with pytest.raises(InvalidInputError, match=f'of type StructureData \\(pk {copper.pk}\\), not a checkpoint'):
        load_checkpoint('copper')


def test_candidates_and_campaigns_by_name(toy):
    candidate = load_structure('001-00002')
    assert (candidate.cycle, candidate.index) == (1, 2)
    assert load_structure(str(candidate.pk)).uuid == candidate.uuid
    assert load_campaign('toy').pk == load_campaign(str(toy.campaign.pk)).pk == load_campaign(toy.campaign.uuid).pk


def test_the_same_file_is_the_same_node(copper, tmp_path):
    file = tmp_path / 'crystal.cif'
    bulk('Cu').write(file)
    node = load_structure(str(file)).store()
    assert node.label == 'crystal'
    assert load_structure(str(file)).pk == node.pk
    bulk('Cu', a=3.7).write(file)
    assert load_structure(str(file)).pk is None

"""The recipe of quantum descriptors by our own DFT: which crystals, and what becomes of them."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from fake_campaign import make_energy
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.descriptors import FIELDS
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.exchange.dataset import LabelledBatch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

import descriptors

ROCK_SALT = [[0, 0, 0], [0.5, 0.5, 0.5]]


def rock_salt(cation: str) -> Structure:
    """Return the primitive cell of an oxide."""
    return Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.2), [cation, 'O'], ROCK_SALT).get_primitive_structure()


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a table of small crystals and one of eight atoms."""
    crystals = {f'mp-{number}': rock_salt('Mg') for number in range(40)}
    crystals['mp-large'] = Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.2), ['Mg', 'O'], ROCK_SALT)
    rows = ['"{}","{}"'.format(name, each.to(fmt='cif').replace('"', '""')) for name, each in crystals.items()]
    for name, part in zip(descriptors.FILES, (rows, rows[:1], []), strict=True):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_bytes(gzip.compress('\n'.join(['material_id,cif', *part]).encode()))
    return tmp_path


@pytest.mark.slow
def test_small_crystals_in_an_order_of_their_own_some_of_them_moved(folder):
    found, again = (dict(descriptors.crystals(folder)) for _ in range(2))
    assert list(found) == list(again)
    assert len(found) == 40 and list(found) != sorted(found)
    moved = [name for name in found if name.endswith('-moved')]
    assert 1 <= len(moved) <= 10
    ideal = rock_salt('Mg')
    for name in moved:
        assert not np.allclose(found[name].lattice.abc, ideal.lattice.abc, atol=1e-3)
        assert found[name] == again[name]


def test_skewed_cells_are_reduced(monkeypatch):
    skewed = Structure(Lattice.rhombohedral(9.0, 17.0), ['Co', 'Pt'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    row = {'material_id': 'mp-1', 'cif': skewed.to(fmt='cif')}
    monkeypatch.setattr(descriptors, 'rows_of', lambda path: [row])
    ((_, found),) = descriptors.crystals(Path())
    assert np.prod(found.lattice.abc) < 0.2 * np.prod(skewed.lattice.abc)
    assert found.matches(skewed)


def test_small_cells_come_first_and_what_cannot_be_computed_not_at_all(monkeypatch):
    large = Structure(Lattice.cubic(5), ['Mg'], [[0, 0, 0]])
    found = {'large': large, 'unknown': rock_salt('U'), 'small': rock_salt('Mg')}
    monkeypatch.setattr(descriptors, 'crystals', lambda folder: iter(found.items()))
    names = [name for name, _ in descriptors.in_order(Path(), {'Mg': 200.0, 'O': 200.0})]
    assert names == ['small', 'large']
    monkeypatch.setattr(descriptors, 'LARGEST_BASIS', 2000)
    assert [name for name, _ in descriptors.in_order(Path(), {'Mg': 200.0, 'O': 200.0})] == ['small']
    assert descriptors.num_atoms("_chemical_formula_sum   'Tm1 Mg1 Hg2'") == 4


def finished(group: orm.Group, name: str, structure: Structure, status: int) -> None:
    """Add a work chain that has ended to the group."""
    crystal = orm.StructureData(pymatgen=structure).store()
    node = orm.WorkChainNode()
    node.label = name
    node.base.links.add_incoming(crystal, LinkType.INPUT_WORK, 'structure')
    node.set_process_state('finished')
    node.set_exit_status(status)
    node.store()
    if status == 0:
        values = dict.fromkeys(FIELDS, 0.1)
        energy = make_energy(crystal.uuid, Fidelity.PBE, 'fast')
        for label, output in (('descriptors', orm.Dict(values)), ('energy', energy)):
            output.store()
            output.base.links.add_incoming(node, LinkType.RETURN, label)
    group.add_nodes([node])


def test_what_ended_well_is_packed_and_nothing_is_computed_twice(aiida_profile_clean, tmp_path):
    group, _ = orm.Group.collection.get_or_create('recipe')
    finished(group, 'mp-1', rock_salt('Mg'), 0)
    finished(group, 'mp-2-moved', rock_salt('Ca'), 0)
    finished(group, 'mp-3', rock_salt('Sr'), 410)
    assert set(descriptors.ended(group)) == {'mp-1', 'mp-2-moved', 'mp-3'}
    card = descriptors.pack_all(group, tmp_path / 'set.npz')
    labels = LabelledBatch.load(tmp_path / 'set.npz')
    assert sorted(labels.groups.tolist()) == ['CaO', 'MgO'] and np.allclose(labels.descriptors, 0.1)
    assert (card['num_structures'], card['num_off_equilibrium'], card['failed']) == (2, 1, ['mp-3'])
    assert json.loads((tmp_path / 'set.card.json').read_text()) == card
    assert descriptors.pack_all(group, tmp_path / 'set.npz') == card


def test_another_profile_goes_on_with_the_packed_file(aiida_profile_clean, tmp_path):
    there, here = (orm.Group.collection.get_or_create(name)[0] for name in ('there', 'here'))
    finished(there, 'mp-1', rock_salt('Mg'), 0)
    finished(there, 'mp-2', rock_salt('Sr'), 410)
    before = descriptors.pack_all(there, tmp_path / 'set.npz')
    assert descriptors.Packed.load(tmp_path / 'set.npz').names == {'mp-1', 'mp-2'}
    finished(here, 'mp-2', rock_salt('Sr'), 0)
    finished(here, 'mp-3', rock_salt('Ca'), 0)
    card = descriptors.pack_all(here, tmp_path / 'set.npz')
    labels = LabelledBatch.load(tmp_path / 'set.npz')
    assert labels.structures.identifiers.tolist() == ['mp-1', 'mp-2', 'mp-3']
    assert (card['num_structures'], card['failed'], card['elements']) == (3, [], ['Ca', 'Mg', 'O', 'Sr'])
    assert card['core_hours'] == pytest.approx(3 * before['core_hours'])

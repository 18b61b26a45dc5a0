"""Bases as nodes, and families of them."""

from __future__ import annotations

import pytest
from aiida.common.exceptions import ModificationNotAllowed, ValidationError
from aiida.orm import QueryBuilder

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.data import basis as module
from aiida_qagenai.data.basis import BasisData, BasisFamily, find_bases, find_family, install_families
from aiida_qagenai.exchange.basis import ElementBasis

pytestmark = pytest.mark.usefixtures('aiida_profile_clean')


def test_installing_twice_changes_nothing(toy_basis):
    """The same families, the same nodes."""
    source, folder = toy_basis()
    assert install_families(source, folder) == {'toy/1/dz': True, 'toy/1/tz': True}
    before = QueryBuilder().append(BasisData, project='uuid').all(flat=True)
    assert install_families(source, folder) == {'toy/1/dz': False, 'toy/1/tz': False}
    assert QueryBuilder().append(BasisData, project='uuid').all(flat=True) == before and len(before) == 4


def test_nodes_say_where_they_come_from(toy_basis):
    """And hold the text of one element."""
    install_families(*toy_basis())
    node = find_bases('toy/dz', ['H'])['H']
    attributes = node.base.attributes.all
    assert node.text.startswith('H  S') and 'Li' not in node.text
    assert attributes['valence'] == 1 and attributes['licence'] == 'CC0-1.0' and attributes['cardinal'] == 2
    assert node.auxiliary is None and node.name == 'toy/1/dz'


def test_the_latest_version_is_found(toy_basis):
    """Unless another is asked for; the older one stays."""
    install_families(*toy_basis())
    install_families(*toy_basis(version=10))
    assert find_family('toy/dz').label == 'toy/10/dz' and find_family('toy/1/dz').label == 'toy/1/dz'
    assert find_family('toy/d_') is None and find_family('other/dz') is None


def test_families_do_not_change(toy_basis):
    """Neither by adding nor by taking away."""
    install_families(*toy_basis())
    family, other = find_family('toy/dz'), find_bases('toy/tz', ['H'])['H']
    for change in (lambda: family.add_nodes(other), lambda: family.remove_nodes(other), family.clear):
        with pytest.raises(ModificationNotAllowed, match='immutable'):
            change()
    assert sorted(find_family('toy/dz').bases) == ['H', 'Li']


def test_other_bases_under_the_same_version_are_refused(toy_basis):
    """A label stands for one content."""
    install_families(*toy_basis())
    with pytest.raises(CorruptFileError, match='toy/1/dz is installed with other bases of H: raise the version'):
        install_families(*toy_basis(scale=1.1))


def test_killed_import_leaves_nothing_to_be_found(toy_basis, monkeypatch):
    """And the next one completes it with the nodes that exist."""

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.BasisFamily, 'add_nodes', die)
        with pytest.raises(KeyboardInterrupt):
            install_families(*toy_basis())
    assert find_family('toy/dz') is None
    install_families(*toy_basis())
    assert sorted(find_family('toy/dz').bases) == ['H', 'Li']
    assert QueryBuilder().append(BasisData).count() == 4 and BasisFamily.collection.count() == 2


def test_missing_bases_come_with_the_command(toy_basis):
    """That installs them; an element that no family has is named."""
    with pytest.raises(InvalidInputError, match='run `aiida-qagenai basis install toy`'):
        find_bases('toy/dz', ['H'])
    install_families(*toy_basis())
    with pytest.raises(InvalidInputError, match='no basis for Na; it has H, Li'):
        find_bases('toy/dz', ['H', 'Na'])
    with pytest.raises(InvalidInputError, match='is not the name of a family'):
        find_family('toy')


def test_a_text_that_is_not_the_element_is_not_stored(toy_basis):
    """The node checks itself."""
    source, _ = toy_basis()
    wrong = ElementBasis(element='Li', text='H  S\n1 1\n', num_functions=1, valence=3, file='x')
    with pytest.raises(ValidationError, match='not a basis of Li alone'):
        BasisData(wrong, 'toy/1/dz', source, 2).store()
    empty = BasisData()
    with pytest.raises(ValidationError, match='not a valid basis'):
        empty.store()

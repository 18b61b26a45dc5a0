"""Files of bases: which are accepted, what is cut from them, and against PySCF."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.basis import (
    PACKED,
    BasisSource,
    count_functions,
    cut_elements,
    find_source,
    known_sources,
    read_bases,
    sha256_of,
)

FILE = """# a comment
#BASIS SET: (2s,1p) -> [1s,1p] H
H  S
    1.2    0.3
    0.4    0.7
H  P
    0.8    1.0
#BASIS SET: He
He  S
    2.0    0.5 0.1
    0.9    0.5 0.2
"""


def source(content: str, **changes) -> BasisSource:
    """Return the description of a family of one file."""
    file = {'path': 'h.dat', 'sha256': hashlib.sha256(content.encode()).hexdigest(), 'elements': ['H', 'He']}
    return BasisSource.model_validate(
        {
            'name': 'toy',
            'version': 1,
            'description': 'Two small bases',
            'url': 'https://127.0.0.1:9/{path}',
            'homepage': 'https://example.org',
            'licence': 'CC0-1.0',
            'citation': 'nobody',
            'pseudo': 'gth-hf-rev',
            'valence': {'H': 1, 'He': 2},
            'sets': {'dz': {'cardinal': 2, 'basis': [file]}},
            **changes,
        }
    )


def test_elements_are_cut_verbatim():
    """Each with its own lines, comments left out."""
    blocks = cut_elements(FILE)
    assert list(blocks) == ['H', 'He']
    assert blocks['H'] == 'H  S\n    1.2    0.3\n    0.4    0.7\nH  P\n    0.8    1.0\n'
    assert {symbol: count_functions(text) for symbol, text in blocks.items()} == {'H': 4, 'He': 2}


@settings(deadline=None, max_examples=10)
@given(
    shells=st.lists(st.tuples(st.sampled_from('SPDF'), st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=4)
)
def test_number_of_functions_is_that_of_pyscf(shells):
    """For any number of shells, primitives and contractions."""
    from pyscf import gto

    lines = []
    for shell, primitives, contractions in shells:
        lines.append(f'He  {shell}')
        lines += [f'{0.5 + 0.7 * i} ' + ' '.join(['0.5', '-0.2'][:contractions]) for i in range(primitives)]
    text = '\n'.join(lines) + '\n'
    mol = gto.M(atom='He', basis={'He': gto.basis.parse(text)}, verbose=0)
    assert count_functions(text) == mol.nao


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('1.0 1.0\n', 'before the first element'),
        ('H S\n1 1\nHe S\n1 1\nH P\n1 1\n', 'line 5: a second basis of H'),
    ],
)
def test_files_that_are_not_bases(text, message):
    """Truncated or mixed up."""
    with pytest.raises(CorruptFileError, match=message):
        cut_elements(text)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('H S\n', 'has no primitives'),
        ('H S\n-1.0 1.0\n', 'not an exponent'),
        ('H S\n1.0\n', 'not an exponent'),
        ('H S\n1.0 1.0\n0.5 1.0 1.0\n', 'rows of different length'),
        ('H SP\n1.0 1.0\n', 'angular momentum'),
        ('H S\n1.0 one\n', 'nor numbers'),
    ],
)
def test_bases_that_make_no_sense(text, message):
    """What would be computed with them would be wrong, or nothing."""
    with pytest.raises(CorruptFileError, match=message):
        count_functions(text)


def test_bases_of_a_folder(tmp_path):
    """With the numbers of electrons that the source gives."""
    (tmp_path / 'h.dat').write_text(FILE)
    bases = read_bases(source(FILE), tmp_path)['dz']
    assert [(basis.element, basis.num_functions, basis.valence) for basis in bases] == [('H', 4, 1), ('He', 2, 2)]


def test_wrong_files_are_refused(tmp_path):
    """By their checksum, before they are read."""
    (tmp_path / 'h.dat').write_text(FILE.replace('0.8', '0.9'))
    with pytest.raises(CorruptFileError, match=r'h\.dat is not the file that version 1 of toy is made of'):
        read_bases(source(FILE), tmp_path)
    with pytest.raises(InvalidInputError, match='not a copy of the repository'):
        read_bases(source(FILE), tmp_path / 'nowhere')
    wanted = source('H S\n1 1\n')
    (tmp_path / 'h.dat').write_text('H S\n1 1\n')
    with pytest.raises(CorruptFileError, match='has no basis for He'):
        read_bases(wanted, tmp_path)


def test_the_family_of_the_package_needs_no_network(monkeypatch):
    """All sets, H to Ar, with fitting sets but for Li and Na, which the source has none for."""
    monkeypatch.setattr('urllib.request.urlopen', None)
    found = read_bases(known_sources()['ccgto'])
    assert list(found) == ['cc-pvdz', 'cc-pvtz', 'cc-pvqz']
    for bases in found.values():
        assert {basis.element for basis in bases} == set(known_sources()['ccgto'].valence)
        assert {basis.element for basis in bases if basis.auxiliary is None} == {'Li', 'Na'}
        assert all(basis.num_functions == count_functions(basis.text) for basis in bases)


def test_the_card_belongs_to_the_packed_family():
    """Its checksum, and those of the files of the version."""
    card = json.loads((PACKED / 'ccgto.card.json').read_text())
    assert card['sha256']['ccgto.json'] == sha256_of((PACKED / 'ccgto.json').read_text())
    sets = known_sources()['ccgto'].sets.values()
    assert card['files'] == {f.path: f.sha256 for each in sets for f in (*each.basis, *each.auxiliary)}
    assert card['license_text'].startswith('BSD 3-Clause License')


def test_another_version_is_not_taken_for_that_of_the_package():
    """Its checksums differ: it is downloaded."""
    other = known_sources()['ccgto'].model_copy(update={'version': 2, 'url': 'http://127.0.0.1:9/{path}'})
    with pytest.raises(InvalidInputError, match='cannot be reached'):
        read_bases(other)


def test_closed_network():
    """Says what to do instead."""
    with pytest.raises(InvalidInputError, match=r'cannot be reached: .*aiida-qagenai basis install toy --from FOLDER'):
        read_bases(source(FILE))


def test_known_sources_are_complete(tmp_path):
    """Three cardinal numbers, H to Ar each, and a checksum for every file."""
    sets = known_sources()['ccgto'].sets
    assert [entry.cardinal for entry in sets.values()] == [2, 3, 4]
    for entry in sets.values():
        assert sorted(symbol for file in entry.basis for symbol in file.elements) == sorted(
            known_sources()['ccgto'].valence
        )
    (tmp_path / 'wrong.yaml').write_text('name: x\n')
    for name, message in (('nothing', 'choose from ccgto'), (str(tmp_path / 'wrong.yaml'), 'does not describe')):
        with pytest.raises(InvalidInputError, match=message):
            find_source(name)

"""Packed structures survive the round trip through files, and damaged files are refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import DummySpecies, Lattice, Structure

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays, save_arrays


@st.composite
def batches(draw, max_structures: int = 5) -> StructureBatch:
    """Draw valid packed structures."""
    counts = draw(st.lists(st.integers(1, 6), min_size=0, max_size=max_structures))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n, total = len(counts), sum(counts)
    return StructureBatch(
        num_atoms=np.array(counts, dtype=np.int64),
        cells=np.eye(3) * rng.uniform(1, 9, (n, 1, 1)) + rng.uniform(-0.2, 0.2, (n, 3, 3)),
        species=rng.integers(1, 119, total),
        fractional=rng.uniform(-1, 2, (total, 3)),
        identifiers=np.array([f'name-{i}-é' for i in range(n)], dtype=np.str_) if n else np.zeros(0, dtype='<U1'),
    )


def to_bytes(batch: StructureBatch, tmp_path) -> bytes:
    """Return the packed file."""
    batch.save(tmp_path / 'batch.npz')
    return (tmp_path / 'batch.npz').read_bytes()


def assert_equal(one: StructureBatch, other: StructureBatch) -> None:
    """Compare all arrays exactly."""
    for name, array in one.to_arrays().items():
        np.testing.assert_array_equal(array, other.to_arrays()[name], err_msg=name)


@given(batch=batches())
def test_round_trip_through_a_file(batch, tmp_path_factory):
    content = to_bytes(batch, tmp_path_factory.mktemp('io'))
    assert_equal(StructureBatch.load(io.BytesIO(content)), batch)


@given(batch=batches())
def test_equal_content_gives_equal_bytes(batch, tmp_path_factory):
    first = to_bytes(batch, tmp_path_factory.mktemp('io'))
    assert to_bytes(StructureBatch.load(io.BytesIO(first)), tmp_path_factory.mktemp('io')) == first


@given(batch=batches(), other=batches())
def test_concatenate_and_select_are_inverse(batch, other):
    both = StructureBatch.concatenate([batch, other])
    assert_equal(both.select(list(range(len(batch)))), batch)
    assert_equal(both.select(np.arange(len(batch), len(both))), other)


@settings(max_examples=20)
@given(batch=batches(max_structures=3))
def test_round_trip_through_pymatgen(batch):
    again = StructureBatch.from_structures(batch.structures(), batch.identifiers.tolist())
    for name in ('num_atoms', 'species', 'identifiers'):
        np.testing.assert_array_equal(getattr(again, name), getattr(batch, name))
    np.testing.assert_allclose(again.cells, batch.cells, atol=1e-12)
    np.testing.assert_allclose(again.fractional, batch.fractional, atol=1e-9)


@given(data=st.data())
def test_damaged_file_is_refused_or_reads_the_same(data, tmp_path_factory):
    """Whatever byte is flipped: no wrong numbers, and no other kind of error."""
    rng = np.random.default_rng(1)
    batch = StructureBatch(
        num_atoms=np.array([2]),
        cells=rng.uniform(1, 2, (1, 3, 3)) + 3 * np.eye(3),
        species=np.array([1, 3]),
        fractional=rng.uniform(size=(2, 3)),
        identifiers=np.array(['a']),
    )
    content = bytearray(to_bytes(batch, tmp_path_factory.mktemp('io')))
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    try:
        loaded = StructureBatch.load(io.BytesIO(bytes(content)))
    except CorruptFileError:
        return
    assert_equal(loaded, batch)


@pytest.mark.parametrize('offset', [6, 8, 10])
def test_damaged_directory_is_refused(offset, tmp_path):
    """Version, flags and compression method of the first entry, for each of which zipfile has an error of its own."""
    content = bytearray(to_bytes(StructureBatch.empty(), tmp_path))
    content[content.index(b'PK\x01\x02') + offset] ^= 0xFF
    with pytest.raises(CorruptFileError):
        StructureBatch.load(io.BytesIO(bytes(content)))


@given(fraction=st.floats(0, 0.999))
def test_truncated_file_is_refused(fraction, tmp_path_factory):
    batch = StructureBatch.from_structures([Structure(Lattice.cubic(4), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])])
    content = to_bytes(batch, tmp_path_factory.mktemp('io'))
    with pytest.raises(CorruptFileError):
        StructureBatch.load(io.BytesIO(content[: int(fraction * len(content))]))


def test_missing_file_is_no_corrupt_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / 'missing.npz')


def test_other_format_version_is_refused(tmp_path):
    save_arrays(tmp_path / 'a.npz', {'format_version': np.array(99)})
    with pytest.raises(CorruptFileError, match='format version 99'):
        load_arrays(tmp_path / 'a.npz')


def test_missing_array_is_named(tmp_path):
    arrays = StructureBatch.empty().to_arrays()
    del arrays['cells']
    save_arrays(tmp_path / 'a.npz', arrays)
    with pytest.raises(CorruptFileError, match='cells'):
        StructureBatch.load(tmp_path / 'a.npz')


def test_pickles_are_never_loaded(tmp_path):
    np.savez(tmp_path / 'a.npz', x=np.array([{'a': 1}], dtype=object))
    with pytest.raises(CorruptFileError):
        load_arrays(tmp_path / 'a.npz')


def test_no_partial_file_is_left(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError('disk full')

    monkeypatch.setattr(np.lib.format, 'write_array', fail)
    with pytest.raises(OSError, match='disk full'):
        StructureBatch.empty().save(tmp_path / 'a.npz')
    assert not (tmp_path / 'a.npz').exists()


@pytest.mark.parametrize(
    ('field', 'value', 'text'),
    [
        ('num_atoms', np.array([0, 2]), 'has no atoms'),
        ('cells', np.zeros((2, 3, 3)), 'zero volume'),
        ('cells', np.full((2, 3, 3), np.nan), 'not finite'),
        ('species', np.array([3, 119]), 'unknown element'),
        ('species', np.array([3, 0]), 'unknown element'),
        ('fractional', np.array([[0, 0, 0], [0, 0, np.inf]]), 'coordinates that are not finite'),
        ('fractional', np.zeros((3, 3)), 'shape'),
        ('identifiers', np.array(['a']), 'shape'),
    ],
)
def test_wrong_arrays_are_refused(field, value, text):
    arrays = {
        'num_atoms': np.array([1, 1]),
        'cells': np.stack([np.eye(3), np.eye(3)]),
        'species': np.array([3, 1]),
        'fractional': np.zeros((2, 3)),
        'identifiers': np.array(['a', 'b']),
    }
    with pytest.raises(InvalidInputError, match=text):
        StructureBatch(**{**arrays, field: value})


def test_partial_occupancy_and_wrong_number_of_names_are_refused():
    disordered = Structure(Lattice.cubic(3), [{'Li': 0.5, 'Na': 0.5}], [[0, 0, 0]])
    with pytest.raises(InvalidInputError, match='partial occupancies'):
        StructureBatch.from_structures([disordered])
    with pytest.raises(InvalidInputError, match='1 identifiers for 0'):
        StructureBatch.from_structures([], ['a'])


def test_dummy_species_are_refused():
    structure = Structure(Lattice.cubic(3), [DummySpecies('X')], [[0, 0, 0]])
    with pytest.raises(InvalidInputError):
        StructureBatch.from_structures([structure])


def test_compressed_arrays_are_the_same_and_smaller(tmp_path):
    arrays = {'names': np.array(['crystal'] * 1000), 'format_version': np.array(1)}
    save_arrays(tmp_path / 'plain.npz', arrays)
    save_arrays(tmp_path / 'compressed.npz', arrays, compressed=True)
    assert load_arrays(tmp_path / 'compressed.npz')['names'].tolist() == arrays['names'].tolist()
    sizes = [(tmp_path / name).stat().st_size for name in ('plain.npz', 'compressed.npz')]
    assert sizes[1] < sizes[0] / 10

"""Cleaning and hashing of many values gives what AiiDA gives for each."""

from __future__ import annotations

import collections
import datetime
import uuid

import numpy as np
import pytest
from aiida.common.exceptions import ValidationError
from aiida.common.hashing import make_hash
from aiida.orm.implementation.utils import clean_value
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.engine import canonical

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1e16, 1e-300, 5.0, 0.1 + 0.2]),
    st.text(),
    st.builds(np.float64, st.floats(-1e9, 1e9)),
    st.builds(np.int64, st.integers(-1000, 1000)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4), st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_same_hash(value):
    assert canonical.make_hash(value) == make_hash(value)


@given(VALUES)
def test_same_cleaned_value(value):
    ours, theirs = canonical.clean(value), clean_value(value)
    assert ours == theirs
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(
    'value',
    [
        uuid.UUID(int=3),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        {1: 'a', 'b': 2},
        {'a', 'b'},
        collections.OrderedDict(b=1, a=2),
        b'bytes',
    ],
)
def test_other_types_are_hashed_by_aiida(value):
    assert canonical.make_hash({'x': value}) == make_hash({'x': value})


@pytest.mark.parametrize('value', [float('nan'), float('inf'), np.float64('nan'), object()])
def test_what_cannot_be_stored_is_refused(value):
    with pytest.raises(ValidationError):
        canonical.clean({'x': [value]})

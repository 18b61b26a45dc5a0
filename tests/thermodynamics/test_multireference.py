"""Signs of multireference character in the diagnostics of an energy."""

from __future__ import annotations

import pytest

from aiida_qagenai.data.energy import is_doubtful
from aiida_qagenai.thermodynamics.multireference import FLAGS, multireference_flags

# Ferromagnetic MnO at PBE in a minimal basis: five electrons of one spin.
PURE = {'spin_squared': 8.7502, 'total_moment': 5.0, 'absolute_moment': 5.0}


@pytest.mark.parametrize(
    ('attributes', 'expected'),
    [
        ({}, ()),
        ({'t1_diagnostic': 0.03, 'd1_diagnostic': 0.1}, ()),
        ({'t1_diagnostic': 0.06, 'd1_diagnostic': None}, ('t1',)),
        ({'t1_diagnostic': 0.06, 'd1_diagnostic': 0.2, 'warning_codes': [701, 712]}, ('t1', 'd1', 'near_degenerate')),
        (PURE, ()),
        ({**PURE, 'spin_squared': 9.5}, ('spin_contamination',)),
    ],
)
def test_flags(attributes, expected):
    """What was not computed raises no flag."""
    assert multireference_flags(attributes) == expected
    assert set(expected) <= FLAGS.keys()


def test_an_antiferromagnetic_determinant_is_what_it_is():
    """Two moments of 2 μB that cancel: ⟨S²⟩ is 2 per cell, which is no further contamination."""
    moments = {'total_moment': 0.0, 'absolute_moment': 4.0}
    assert multireference_flags({**moments, 'spin_squared': 2.0}) == ()
    assert multireference_flags({**moments, 'spin_squared': 2.6}) == ('spin_contamination',)
    assert multireference_flags({'total_moment': 0.0, 'absolute_moment': 0.01, 'spin_squared': 0.3}) == ()


def test_which_flags_make_a_label_doubtful():
    """Those of coupled cluster by default, others on request; an iteration that did not converge always does."""
    contaminated = {'converged': True, **PURE, 'spin_squared': 9.5}
    assert not is_doubtful(contaminated)
    assert is_doubtful(contaminated, ['spin_contamination'])
    assert is_doubtful({'converged': True, 't1_diagnostic': 0.06})
    assert not is_doubtful({'converged': True, 't1_diagnostic': 0.06}, [])
    assert is_doubtful({'converged': False}, [])

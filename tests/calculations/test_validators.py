"""Validators of ports by what a check raises."""

from __future__ import annotations

from aiida import orm

from aiida_qagenai.calculations.validators import problem_of, validator
from aiida_qagenai.common.fidelity import Fidelity


def test_a_check_that_raises_is_a_text():
    assert problem_of(Fidelity.parse, 'PBE') is None
    assert 'unknown fidelity' in problem_of(Fidelity.parse, 'B3LYP')


def test_a_validator_takes_plain_values(aiida_profile):
    """Of texts and dictionaries; an optional input that is missing is not checked."""
    seen = []
    check = validator(seen.append)
    assert check(orm.Str('PBE'), None) is None and check(orm.Dict({'a': 1}), None) is None
    assert check(None, None) is None
    assert seen == ['PBE', {'a': 1}]

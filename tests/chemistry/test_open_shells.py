"""Open d and f shells."""

import numpy as np
import pytest

from aiida_qagenai.chemistry.open_shells import F_ELEMENTS, OPEN_SHELLS, has_f_electrons, is_magnetic, shells_of
from aiida_qagenai.common.errors import InvalidInputError


@pytest.mark.parametrize(
    'composition',
    [
        {'La': 2, 'Cu': 1, 'O': 4},
        {'Ni': 1, 'O': 1},
        {'Fe': 3, 'O': 4},
        {'Ti': 2, 'O': 3},
        {'Fe': 1},
        {'Fe': 3, 'Al': 1},
        {'Li': 1, 'Co': 1, 'O': 2},
        {'Cu': 1, 'O': 1},
    ],
)
def test_open_d_shells_are_magnetic(composition):
    assert is_magnetic(composition)


@pytest.mark.parametrize(
    'composition',
    [
        {'Ti': 1, 'O': 2},
        {'V': 2, 'O': 5},
        {'Cu': 2, 'O': 1},
        {'Cu': 1},
        {'Cu': 1, 'Zn': 1},
        {'Zn': 1, 'O': 1},
        {'Mg': 1, 'O': 1},
        {'Ti': 1, 'Al': 3},
    ],
)
def test_empty_and_full_d_shells_are_not(composition):
    assert not is_magnetic(composition)


def test_f_electrons():
    assert has_f_electrons(['Ce', 'O'])
    assert has_f_electrons(['U'])
    assert not has_f_electrons(['La', 'Lu', 'Th', 'O'])
    assert len(F_ELEMENTS) == 13 + 12


def test_crystals_are_told_apart():
    """A magnetic crystal with f electrons counts among those with f electrons."""
    crystals = [np.array(numbers) for numbers in ([11, 17], [28, 8], [57, 28, 8, 8, 8], [60, 28, 8, 8, 8])]
    assert [OPEN_SHELLS[k] for k in shells_of(crystals)] == ['closed', 'magnetic', 'magnetic', 'f_electrons']


def test_an_unknown_element_is_refused():
    with pytest.raises(InvalidInputError):
        has_f_electrons(['Xx'])

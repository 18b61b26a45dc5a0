"""What can be asked of the generator."""

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.requests import MotifsRequest


def test_amounts_are_those_of_the_formula_and_the_stoichiometry():
    request = MotifsRequest(mode='motifs', formula='Ca(OH)2', count=1)
    assert request.composition == {'H': 2, 'O': 2, 'Ca': 1} and set(request.symbols) == {'H', 'O', 'Ca'}
    system = MotifsRequest(mode='motifs', elements=('Na', 'Cl', 'O'), stoichiometry='AB3C', count=1)
    assert system.amounts == (1, 1, 3) and system.composition is None and system.symbols == ('Na', 'Cl', 'O')


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        ({}, 'either a `formula` or the `elements`'),
        ({'formula': 'NaCl', 'elements': ['Na', 'Cl']}, 'either a `formula` or the `elements`'),
        ({'formula': 'NaCl', 'only_library': True}, '`only_library` needs a `library`'),
        ({'formula': 'NaCl', 'exclude': ['nonsense']}, 'nonsense'),
        ({'formula': 'NaCl', 'novelty': 1.5}, 'less than or equal to 1'),
        ({'formula': 'Li0.5O'}, 'fractional amounts'),
        ({'formula': 'NaCl', 'pool': True}, 'a `pool` needs `elements`'),
        ({'elements': ['Na', 'Na']}, 'an element stands twice'),
        ({'elements': ['Na', 'Cl'], 'stoichiometry': 'ABC'}, 'has 3 elements, but 2 are given'),
    ],
)
def test_wrong_requests_are_refused(values, expected):
    with pytest.raises(InvalidInputError, match=expected) as error:
        MotifsRequest.parse({'mode': 'motifs', 'count': 1, **values})
    assert 'mode' not in str(error.value)

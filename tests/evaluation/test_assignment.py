"""Tests for :mod:`aiida_qagenai.evaluation.assignment`."""

import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.assignment import assign_samples


def crystal(*symbols):
    return Structure(Lattice.cubic(4.0), symbols, [[0, 0, 0], [0.5, 0.5, 0.5]])


REFERENCES = {'mp-1': crystal('Na', 'Cl'), 'mp-2': crystal('Mg', 'O'), 'mp-3': crystal('Cl', 'Na')}


def assign(*samples):
    """Assign samples given as name, structure and columns."""
    return assign_samples(*(list(items) for items in zip(*samples, strict=True)), REFERENCES)


def test_identifiers_come_first():
    """The column `reference` before the others; a formula, a request or a name beside them does not count."""
    found = assign(
        ('a', crystal('Na', 'Cl'), {'reference': 'mp-2', 'identifier': 'mp-1'}),
        ('b', crystal('Mg', 'O'), {'identifier': 'mp-1', 'request': 2}),
        ('c', None, {'reference': 'unknown', 'material_id': 'mp-1'}),
        ('mp-3', crystal('Na', 'Cl'), {}),
    )
    assert found.indices == {'mp-1': [1, 2], 'mp-2': [0], 'mp-3': []}
    assert (found.rule, found.left) == ('identifier', 1)


def test_names_of_samples_come_before_their_formulas():
    found = assign(('mp-3', crystal('Mg', 'O'), {}), ('mp-4', crystal('Mg', 'O'), {}))
    assert found.indices == {'mp-1': [], 'mp-2': [], 'mp-3': [0]}
    assert (found.rule, found.left) == ('name', 1)


def test_requests_are_indices_of_the_references():
    found = assign(*((f'g#{n}', crystal('K', 'F'), {'request': text}) for n, text in enumerate(['1', 0, 1, ''])))
    assert found.indices == {'mp-1': [1], 'mp-2': [0, 2], 'mp-3': []}
    assert (found.rule, found.left) == ('column `request`', 1)


def test_by_formula_a_sample_belongs_to_all_polymorphs():
    found = assign(('a', crystal('Cl', 'Na'), {}), ('b', crystal('K', 'F'), {}), ('c', None, {}))
    assert found.indices == {'mp-1': [0], 'mp-2': [], 'mp-3': [0]}
    assert (found.rule, found.left) == ('reduced formula', 2)


@pytest.mark.parametrize('request_text', ['3', '-1', 'two', 1.5])
def test_a_request_out_of_range_is_refused(request_text):
    with pytest.raises(InvalidInputError, match='expected the index of a reference from 0 to 2'):
        assign(('a', crystal('Na', 'Cl'), {'request': request_text}))

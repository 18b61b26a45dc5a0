"""What structures can be asked to have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.geometry import GeometricConstraint, GeometryOptions


def read(*texts):
    """Return the constraints of some texts."""
    return GeometryOptions.parse({'constraints': texts}).constraints


@pytest.mark.parametrize(
    ('text', 'minimum', 'maximum'),
    [
        ('coordination(Si,O)=6', 6, 6),
        ('coordination(Cu,[Si, P]) = 3..6', 3, 6),
        ('volume_per_atom=6.8±5%', 6.46, 7.14),
        ('volume_per_atom=6.8+-5%', 6.46, 7.14),
        ('density = 4.0 +/- 0.5', 3.5, 4.5),
        ('bond_length(Co,O)=1.8..2.1', 1.8, 2.1),
        ('min_distance>=1.5', 1.5, None),
        ('c/a≤1.6', None, 1.6),
        ('tetrahedral(Si,O)', None, 15),
        ('edge_sharing(Ti,O)', 1, None),
        ('corner_sharing(Si,O)=0', 0, 0),
        ('dimensionality=2', 2, 2),
    ],
)
def test_windows_are_read(text, minimum, maximum):
    (constraint,) = read(text)
    assert (constraint.minimum, constraint.maximum) == (minimum, maximum)


def test_elements_and_options_are_read():
    (constraint,) = read('coordination(Cu,[Si,P])=4; share=50%; weight=2; cutoff=2.8')
    assert (constraint.centre, constraint.neighbours) == ('Cu', ('Si', 'P'))
    assert (constraint.share, constraint.weight, constraint.cutoff) == (0.5, 2, 2.8)
    assert constraint.elements == ('Cu', 'Si', 'P')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('coordination(Si,O)', 'a value is missing, as in `coordination'),
        ('coordinaton(Si,O)=6', 'did you mean `coordination`'),
        ('coordination(Si,O)=six', '`six` is not a value: write 6, 6.8±5%'),
        ('coordination(Si,O)=5.5', '`coordination` takes whole numbers'),
        ('coordination(Si)=6', r'`\(Si\)` is not a pair of elements'),
        ('coordination=6', 'the elements A and B are missing'),
        ('coordination(Xx,O)=6', 'unknown element Xx'),
        ('coordination(Cu,[P,P])=4', 'a neighbour stands twice'),
        ('volume_per_atom=6.8', 'no exact volume_per_atom: give a tolerance, as in 6.8±5%'),
        ('volume_per_atom=6.8±5% Å3', 'without a unit'),
        ('volume_per_atom(B)=6..7', 'is not a pair of elements'),
        ('density(Si,O)=3..4', '`density` does not take elements'),
        ('a=3..2', 'the window ends at 2, before it begins'),
        ('a>=3..4', 'takes one number'),
        ('min_distance<=1.5', 'give the smallest distance'),
        ('dimensionality=3', '0 are molecules, 1 chains and 2 layers'),
        ('octahedral(Ti,O)<=90', 'largest deviation of the angles'),
        ('alpha=110..190', 'angles are below 180'),
        ('density=3±5%; share=50%', '`share` belongs to `coordination`, `corner_sharing`'),
        ('density=3±5%; wait=2', '`wait=2` is not an option'),
        ('composition(Si)=0.5', 'the formula, or the elements and the stoichiometry'),
        ('edge_sharing=2', r'as in `edge_sharing\(A,B\)=VALUE`'),
        ('edge_sharing(Ti,O)=2.5', '`edge_sharing` takes whole numbers'),
        ('edge_shareing(Ti,O)', 'did you mean `edge_sharing`'),
        ('6 oxygen', '`6 oxygen` is not a constraint'),
    ],
)
def test_what_cannot_be_read_is_named(text, expected):
    with pytest.raises(InvalidInputError, match=expected) as error:
        read(text)
    assert 'constraints.0' in str(error.value)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('coordination(Si,O)=200', 'no crystal satisfies this: coordination is between 0 and 24'),
        ('edge_sharing(Ti,O)>=40', 'edge_sharing is between 0 and 36'),
        ('volume_per_atom=0.1..0.2', 'volume_per_atom is between 1 and 500'),
        ('density>=60', 'density is between 0.01 and 40'),
        ('c/a=0.5..0.8', 'c/a is between 1 and 100'),
        ('gamma=20..30', 'gamma is between 60 and 120'),
        ('bond_length(Si,O)=18..21', 'bond_length is between 0.5 and 6'),
    ],
)
def test_what_no_crystal_has_is_refused(text, expected):
    with pytest.raises(InvalidInputError, match=expected) as error:
        GeometryOptions.of_texts(text)
    # the text stands there once
    assert str(error.value).count(text) == 1 and 'constraints.0' not in str(error.value)


def test_at_least_one_is_needed():
    with pytest.raises(InvalidInputError, match='give one constraint or more'):
        read()


def test_constraints_that_exclude_each_other_are_refused():
    with pytest.raises(InvalidInputError, match='contradict each other'):
        read('coordination(Si,O)=6', 'coordination(Si,O)=4')
    assert len(read('coordination(Si,O)=6; share=50%', 'coordination(Si,O)=4; share=50%')) == 2


def test_absent_elements_are_named():
    options = GeometryOptions.parse({'constraints': ['coordination(Si,[O,N])=6']})
    with pytest.raises(InvalidInputError, match=r'`coordination\(Si,\[O,N\]\)=6` needs N, but SiO2 has only O, Si'):
        options.check_elements(['Si', 'O'], 'SiO2')
    options.check_elements(['Si', 'O', 'N'], 'Si2N2O')


def test_elements_that_no_crystal_has_are_named():
    cubes = [Structure(Lattice.cubic(3), [symbol], [[0, 0, 0]]) for symbol in ('Si', 'O')]
    options = GeometryOptions.of_texts('coordination(Si,O)=6')
    options.check_crystals(cubes)
    options.check_crystals([])
    with pytest.raises(InvalidInputError, match='needs O, but the set of crystals has only Si'):
        options.check_crystals(cubes[:1])


values = st.integers(500, 6000).map(lambda number: number / 1000)


@given(values, values, values)
def test_a_constraint_comes_back_from_its_text_and_its_json(low, width, weight):
    (constraint,) = read(f'bond_length(Si,[O,N])={low}..{low + width:.3f}; weight={min(weight, 100)}')
    assert GeometricConstraint.model_validate(constraint.text) == constraint
    assert GeometricConstraint.model_validate(constraint.dump()) == constraint

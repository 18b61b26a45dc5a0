"""Tests for :mod:`aiida_qagenai.chemistry.formula`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.chemistry.formula import chemical_system, parse_formula, reduced_formula
from aiida_qagenai.common.errors import InvalidInputError


@pytest.mark.parametrize(
    ('formula', 'meaning'),
    [
        ('CuSO4.5H2O', 'CuSO9H10'),
        ('CuSO4·5H2O', 'CuSO9H10'),
        ('CuSO4*5H2O', 'CuSO9H10'),
        ('CuSO4 . 5 H2O', 'CuSO9H10'),
        ('CuSO4 5H2O', 'CuSO9H10'),
        ('CuSO4 x 5H2O', 'CuSO9H10'),
        ('CuSO4.5(H2O)', 'CuSO9H10'),
        ('CuSO4.(H2O)5', 'CuSO9H10'),
        ('5H2O.CuSO4', 'CuSO9H10'),
        ('CuSO₄·5H₂O', 'CuSO9H10'),
        ('CuSO4.5D2O', 'CuSO9H10'),
        ('CaSO4.0.5H2O', 'Ca2S2O9H2'),
        ('CaSO4·½H2O', 'Ca2S2O9H2'),
        ('CaSO4.1/2H2O', 'Ca2S2O9H2'),
        ('KAl(SO4)2.12H2O', 'KAlS2O20H24'),
        ('BaCl2.H2O', 'BaCl2OH2'),
        ('K4[Fe(CN)6].3H2O', 'K4FeC6N6O3H6'),
        ('3CaO·Al2O3·6H2O', 'Ca3Al2O12H12'),
        ('{MgO}2', 'MgO'),
        ('Ca(OH)2', 'CaO2H2'),
        ('Fe(0.5)Co(0.5)O(2)', 'FeCoO4'),
        ('Fe 2 O 3', 'Fe2O3'),
        ('Mg O2 H2', 'MgO2H2'),
        ('Li$_{0.5}$CoO$_2$', 'LiCo2O4'),
        ('Li<sub>2</sub>O', 'Li2O'),
        ('D2O', 'H2O'),
        ('NaN', 'NaN'),
        ('CH3COONa.3H2O', 'C2H9NaO5'),
        ('Li.5CoO2', 'LiCo2O4'),
    ],
)
def test_formulas_as_they_are_written(formula, meaning):
    amounts, expected = parse_formula(formula), parse_formula(meaning)
    scale = sum(expected.values()) / sum(amounts.values())
    assert {element: amount * scale for element, amount in amounts.items()} == pytest.approx(expected)


def test_reduced_formula():
    assert reduced_formula('Ca2S2O8·4H2O') == reduced_formula('CaSO6H4') == 'CaH4SO6'


def test_decimals_are_amounts():
    assert parse_formula('La1.8Sr0.2CuO4') == {'O': 4.0, 'Cu': 1.0, 'Sr': 0.2, 'La': 1.8}
    assert parse_formula('Fe0.95O') == {'O': 1.0, 'Fe': 0.95}
    assert parse_formula('Na0.7CoO2.1.3H2O') == pytest.approx({'H': 2.6, 'O': 3.3, 'Na': 0.7, 'Co': 1.0})
    assert chemical_system('Pb(Zr0.52Ti0.48)O3') == 'O-Pb-Ti-Zr'


@pytest.mark.parametrize(
    ('formula', 'reason'),
    [
        ('Al2O3.2SiO2', 'either side'),
        ('CaO.2SiO2', 'either side'),
        ('Li2.2H2O', 'decimal point or separate'),
        ('Na+', 'a charge'),
        ('SO4-2', 'a charge'),
        ('Fe³⁺', 'a charge'),
        ('Fe1-xO', 'a range'),
        ('CuSO4_5H2O', 'not understood'),
        ('CuSO4..5H2O', 'two dots'),
        ('(Mg,Fe)2SiO4', 'not understood'),
        ('Ca(OH]2', 'not understood'),
        ('(((((', 'not understood'),
        ('()2', 'empty'),
        ('Li2O.', 'empty'),
        ('5', 'empty'),
        ('1/0H2O', 'not a number'),
        ('NACL', '`A` is not an element'),
        ('nan', 'not understood'),
        ('', 'positive amounts'),
        ('LiO0', 'positive amounts'),
    ],
)
def test_what_is_ambiguous_or_no_formula_is_refused(formula, reason):
    with pytest.raises(InvalidInputError, match=reason):
        parse_formula(formula)


@given(st.text('NaCl0123456789.·*()[]{}/+- ₂½x_$', max_size=25))
def test_any_text_is_a_composition_or_an_error_of_one_line(text):
    try:
        amounts = parse_formula(text)
    except InvalidInputError as exception:
        assert '\n' not in str(exception)
    else:
        assert all(amount > 0 for amount in amounts.values())

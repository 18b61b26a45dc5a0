"""Base classes of calculations and parsers of the models: what a subclass must define is enforced."""

from __future__ import annotations

import pytest
from aiida.orm import CalcJobNode

from aiida_qagenai.calculations.models.base import MlCalculation
from aiida_qagenai.parsers.base import AtomisticParser, MlParser


@pytest.mark.parametrize('base', [MlParser, AtomisticParser])
def test_parser_without_its_hook(base, aiida_profile):
    """A parser that does not say how its outputs are made cannot be used."""
    incomplete = type('Incomplete', (base,), {})
    with pytest.raises(TypeError, match='abstract'):
        incomplete(CalcJobNode())


def test_calculation_without_its_hook():
    """A calculation that does not say what its inputs are cannot be used."""
    assert MlCalculation.__abstractmethods__ == {'write_inputs'}

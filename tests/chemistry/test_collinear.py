"""What the moments of a solution are called, in the package and in the script of a PySCF job."""

from __future__ import annotations

import ast
from importlib.resources import files

import pytest

from aiida_qagenai.chemistry.collinear import SMALLEST_MOMENT, moment_warnings, moments_are_lost, name_ordering

CASES = [
    ([1.7, -1.7, 0.0, 0.0], 0.0, 'antiferromagnetic'),
    ([1.7, 1.6, 0.1, 0.1], 3.8, 'ferromagnetic'),
    ([-2.2], -2.2, 'ferromagnetic'),
    ([4.0, 4.0, -3.8], 4.2, 'ferrimagnetic'),
    # Moments that the magnetic sites induce on their ligands.
    ([4.0, 4.0, -0.2], 8.0, 'ferromagnetic'),
    ([0.01, 0.02], 0.0, 'nonmagnetic'),
    ([0.05, 0.05], 1.0, 'ferromagnetic'),
]


@pytest.mark.parametrize(('moments', 'total', 'ordering'), CASES)
def test_orderings_are_named(moments, total, ordering):
    assert name_ordering(moments, total) == ordering


@pytest.mark.parametrize(('moments', 'total', 'ordering'), CASES)
def test_the_script_of_pyscf_says_the_same(moments, total, ordering):
    """The script runs without this package and has its own copy."""
    text = files('aiida_qagenai.calculations.pyscf').joinpath('templates/spin.py.j2').read_text('utf8')
    tree = ast.parse(text)
    (function,) = (node for node in tree.body if getattr(node, 'name', '') == 'name_ordering')
    names = {'SMALLEST_MOMENT': SMALLEST_MOMENT}
    exec(compile(ast.Module([function], []), 'spin', 'exec'), names)
    assert names['name_ordering'](moments, total) == ordering
    assert f'SMALLEST_MOMENT = {SMALLEST_MOMENT}' in text


def test_lost_moments_and_another_ordering_are_noted():
    assert moments_are_lost([2.0, -2.0, 0.0], [0.01, 0.0, 0.5])
    assert not moments_are_lost([2.0, -2.0, 0.0], [1.2, 0.0, 0.0])
    assert not moments_are_lost([0.0], [0.0])
    assert moment_warnings([2.0, -2.0], [1.5, -1.5]) == []
    ((code, text),) = moment_warnings([2.0, -2.0], [1.5, 0.0])
    assert code == 711 and '1 of 2 sites lost their moment' in text
    ((code, text),) = moment_warnings([2.0, -2.0], [1.5, 1.5])
    assert code == 710 and 'from 2.00, -2.00 to 1.50, 1.50' in text

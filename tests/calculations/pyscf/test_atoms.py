"""Isolated atoms, whose grids and bases differ from those of crystals."""

from __future__ import annotations

CONTRACTED = """C S
 9.0 0.02
 3.8 -0.14
 0.47 0.57
C S
 0.15 1.0
C P
 4.35 0.04
 1.27 0.14
 0.40 0.45
C P
 0.124 1.0
"""
"""Made up after the contraction of correlation-consistent bases, for which PySCF has no first guess of the atom."""


def test_no_electron_is_lost_where_the_first_guess_has_none(load_script, make_structure):
    """PySCF 2.3 takes the points off the grid where the density of its first guess is small: 0.001 electrons here."""
    level = {'fidelity': 'PBE', 'system': 'molecule', 'pseudo': 'gth-pbe', 'grid_level': 3, 'spin': 2}
    basis = {'C': {'format': 'nwchem', 'text': CONTRACTED}}
    script = load_script(make_structure(['C'], [(0, 0, 0)]), {**level, 'basis': basis})
    script.run()
    assert abs(script.RESULTS['integration_error']) < 1e-8

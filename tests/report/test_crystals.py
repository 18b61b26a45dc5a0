"""What the viewer draws of a structure."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_qagenai.queries import searches
from aiida_qagenai.report.crystals import describe_crystals


def test_rock_salt_with_the_atoms_on_its_faces(toy):
    table = searches.candidates('toy', selected=True)
    crystals = describe_crystals(table)
    assert [crystal.name for crystal in crystals] == table['name'].tolist()
    crystal = crystals[0]
    assert 'LiH, 2 atoms' in crystal.description and [symbol for symbol, _ in crystal.key] == ['H', 'Li']
    drawing = crystal.drawing
    lithium = [kind for kind, *_ in drawing['atoms'] if drawing['kinds'][kind][0] == 'Li']
    assert len(lithium) == 8 and len(drawing['edges']) == 12  # an atom on a corner is on all
    places = np.array([place for _, *place in drawing['atoms']])
    assert np.linalg.norm(places, axis=1).max() < drawing['size']
    assert places[:8].mean(axis=0) == pytest.approx(0, abs=1e-2)
    assert crystal.lineage[0].kind == 'candidate' and crystal.lineage[0].made_by.text == 'Generate'

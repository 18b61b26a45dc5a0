"""The filter of the arm `gnome_like`: its features are those of the crystal, whichever cell and volume describe it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from aiida_qagenai.evaluation.held_out import is_held_out
from aiida_qagenai.motifs.library import MotifLibrary

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

from arms import gnome_like


@pytest.fixture(scope='module')
def library():
    """Return a part of the shipped library, with formulas of all splits."""
    whole = MotifLibrary.default()
    return whole.select(np.arange(len(whole)) % 40 == 0)


def test_features_do_not_depend_on_volume_origin_or_order(library):
    crystal = library.crystal(3)
    order = np.random.default_rng(0).permutation(len(crystal.species))
    other = crystal._replace(
        cell=crystal.cell * 1.1, species=crystal.species[order], fractional=crystal.fractional[order] + [0.1, 0.7, 0.3]
    )
    assert gnome_like.features(other) == pytest.approx(gnome_like.features(crystal))
    different = [tuple(gnome_like.features(library.crystal(index)).round(6)) for index in range(20)]
    assert len(set(different)) == 20


@pytest.mark.parametrize(('species', 'alike'), [([6, 6], 1.0), ([31, 33], 0.0)])
def test_bonds_of_the_diamond_lattice(library, species, alike):
    cell = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]])
    fractional = np.array([[0, 0, 0], [0.25, 0.25, 0.25]])
    crystal = library.crystal(0)._replace(cell=cell, species=np.array(species), fractional=fractional)
    coordination, spread, lowest, highest, polarity, _, found, _ = gnome_like.features(crystal)[-8:]
    assert [coordination, lowest, highest] == pytest.approx([4, 4, 4], abs=0.1)
    assert spread < 0.05
    assert found == pytest.approx(alike, abs=0.01)
    assert polarity == pytest.approx((1 - alike) * 0.37, abs=0.01)


def test_the_filter_learns_from_training_formulas_only(library, monkeypatch):
    seen = []
    original = MotifLibrary.crystal

    def crystal(self, index):
        seen.append(str(self.formulas[index]))
        return original(self, index)

    monkeypatch.setattr(MotifLibrary, 'crystal', crystal)
    excluded = frozenset(library.formulas[:50].tolist())
    model = gnome_like.train(library, excluded)
    assert len(seen) > 300
    assert not any(is_held_out(formula) or formula in excluded for formula in seen)
    rows = [index for index, formula in enumerate(library.formulas) if formula in set(seen)]
    energies = np.clip(np.nan_to_num(library.e_above_hull[rows]), 0, gnome_like.LARGEST)
    predicted = model.predict(np.array([gnome_like.features(original(library, index)) for index in rows]))
    assert np.corrcoef(energies, predicted)[0, 1] > 0.5

"""GNoME-like: many substitutions, in the order of an energy above the hull that was learned.

Of GNoME (A. Merchant et al., Nature 624, 80, 2023) this keeps the substitutions with a low threshold of their
probability and the filter by a learned stability. It leaves out the graph network (boosted trees on composition and
bonding stand in for it), its ensembles and test-time augmentation, the partial substitutions, the compositions without
a known crystal, and above all the rounds of DFT whose results train the filter again.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from sklearn.ensemble import HistGradientBoostingRegressor

from aiida_qagenai.evaluation.held_out import is_held_out
from aiida_qagenai.motifs.elements import PROPERTIES, element_properties
from aiida_qagenai.motifs.library import MotifLibrary
from aiida_qagenai.motifs.symmetry import SymmetricCrystal
from arms import Arm, filled_up
from arms.ion_substitution import Substitution, distinct, substitutions

PARTNERS = 300
"""Substitutions of one composition that the filter judges, the most probable ones."""

TRAINED_ON = 6000
"""Known crystals that train the filter, drawn at random from the formulas to which others were fitted as well."""

LARGEST = 0.5
"""Energies above the hull are trained on up to this value, eV/atom."""

BOND, SOFTNESS = 1.25, 0.05
"""Distance at which a neighbour counts half, in units of the shortest bond by radii, and the width of the step."""


def build(excluded: frozenset[str]) -> Arm:
    """Return the arm on the library of the package, after training its filter on formulas outside of ``excluded``."""
    library = MotifLibrary.default()
    return GnomeLike(library, excluded, train(library, excluded))


@dataclasses.dataclass(frozen=True)
class GnomeLike:
    """Substitutions in the order of their predicted energy above the hull; nothing is drawn."""

    library: MotifLibrary
    excluded: frozenset[str]
    filter: HistGradientBoostingRegressor

    def __call__(self, composition: Mapping[str, int], count: int, seed: int) -> list[Structure | None]:
        """Return the substitutions that the filter takes for the most stable, no two alike."""
        found = substitutions(self.library, composition, self.excluded)[:PARTNERS]
        if not found:
            return [None] * count
        energies = self.filter.predict(np.array([features(_exchanged(self.library, each)) for each in found]))
        ordered = (found[index] for index in np.argsort(energies, kind='stable'))
        return filled_up(distinct(self.library, ordered, count), count)


def train(library: MotifLibrary, excluded: frozenset[str]) -> HistGradientBoostingRegressor:
    """Return a regression of the energy above the hull on the features of known crystals."""
    formulas, energies = library.formulas.tolist(), library.e_above_hull
    allowed = {each for each in set(formulas) - excluded if not is_held_out(each)}
    known = [index for index, each in enumerate(formulas) if each in allowed and np.isfinite(energies[index])]
    rows = np.random.default_rng(0).permutation(known)[:TRAINED_ON]
    table = np.array([features(library.crystal(int(row))) for row in rows])
    model = HistGradientBoostingRegressor(max_iter=300, learning_rate=0.05, random_state=0)
    return model.fit(table, np.clip(energies[rows], 0, LARGEST))


def features(crystal: SymmetricCrystal) -> NDArray[np.float64]:
    """Return what the filter sees: elements, symmetry and bonding, none of which depends on the volume."""
    table = element_properties()[crystal.species]
    elements, counts = np.unique(crystal.species, return_counts=True)
    composition = [len(elements), counts.max() / counts.sum(), len(crystal.species), len(crystal.rotations)]
    statistics = [table.mean(0), table.std(0), table.min(0), table.max(0)]
    return np.concatenate([composition, *statistics, _bonding(crystal, table)])


def _bonding(crystal: SymmetricCrystal, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return statistics of coordination numbers, of bonds and of the space that atoms fill."""
    radii = table[:, PROPERTIES.index('radius')]
    electronegativities = table[:, PROPERTIES.index('electronegativity')]
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    steps = crystal.fractional[None, :] - crystal.fractional[:, None]
    distances = np.linalg.norm((steps[:, :, None] + images) @ crystal.cell, axis=-1)
    distances[distances < 1e-6] = np.inf
    relative = distances / (radii[:, None] + radii[None, :])[:, :, None]
    shortest = relative.min()
    # The exponent is cut off where the weight vanishes in any case.
    weights = (1 / (1 + np.exp(np.minimum((relative / shortest - BOND) / SOFTNESS, 60)))).sum(-1)
    coordination, total = weights.sum(1), weights.sum()
    polarity = np.abs(electronegativities[:, None] - electronegativities[None, :])
    mean_polarity = (weights * polarity).sum() / total
    alike = (weights * (crystal.species[:, None] == crystal.species[None, :])).sum() / total
    filled = (4 / 3 * np.pi * (radii * shortest) ** 3).sum() / abs(np.linalg.det(crystal.cell))
    spread = np.sqrt((weights * (polarity - mean_polarity) ** 2).sum() / total)
    statistics = [coordination.mean(), coordination.std(), coordination.min(), coordination.max()]
    return np.array([*statistics, mean_polarity, spread, alike, filled])


def _exchanged(library: MotifLibrary, substitution: Substitution) -> SymmetricCrystal:
    crystal = library.crystal(substitution.motif)
    return crystal._replace(species=np.array([substitution.exchange[int(z)] for z in crystal.species]))

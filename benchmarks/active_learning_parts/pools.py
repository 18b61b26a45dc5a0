"""Compounds whose energies of formation are known at two levels: what a campaign on a table can choose from."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.structures import load_arrays
from aiida_qagenai.thermodynamics.hull.convex_hull import distances_to_hull
from aiida_qagenai.thermodynamics.hull.phases import Phase

Array = NDArray[np.float64]

PAIRS = {
    'gga-experiment': ('hf_gga_gga_u', 'hf_ref'),
    'gga-r2scan': ('hf_gga_gga_u', 'hf_r2scan'),
    'r2scan-experiment': ('hf_r2scan', 'hf_ref'),
    'sevennet-r2scan': ('hf_sevennet', 'hf_sevennet_r2scan'),
    'chgnet-r2scan': ('hf_chgnet', 'hf_chgnet_r2scan'),
}
"""Lower and higher level of each pool, as columns of the table."""

TEACHER = Path(__file__).parent / 'teacher.csv.gz'
"""The pool in the repository, of recipes/teacher_pool.py: crystals labelled by SevenNet-MF-0 at PBE and r2SCAN."""

CRYSTALS = Path(__file__).parent / 'crystals.csv.gz'
"""Those of formulas that the validator was not fitted to, at the levels of that teacher and of CHGNet."""

VALIDATED = Path(__file__).parent / 'validated.npz'
"""What the shipped validator makes of crystals, of ``labels.py``."""

OWN_LEVELS, CORRECTED = {'hf_sevennet': 'SevenNet-MF-0 PBE'}, 'MP2020 PBE'
"""Level of the validator that is the lower one of a pool: all others have the corrections of the Materials Project."""

HIGHEST = 'SevenNet-MF-0 r2SCAN'

MOST = 1000
"""Compounds of a pool: of more, every campaign has others."""

HIT_SHARE = 0.15
PROPERTIES = ('X', 'row', 'group', 'atomic_radius', 'mendeleev_no')
MISSING = {'X': 1.5, 'atomic_radius': 1.5}
"""What stands for the electronegativity or the radius (Å) of an element that has none."""


@dataclasses.dataclass(frozen=True)
class Pool:
    """n compounds.

    :param formulas: as the table writes them.
    :param fractions: of the elements that occur, shape (n, e).
    :param chemistry: mean and spread of properties of the elements, and the energy at the lower level, all
        standardised, shape (n, d).
    :param low: energy of formation at the lower level, eV/atom, shape (n,).
    :param above_hull: distance to the hull of the pool at the lower level, eV/atom, shape (n,).
    :param difference: lower minus higher level, eV/atom, shape (n,).
    :param cost: of a calculation: atoms of the formula unit, shape (n,).
    :param latent: what the validator makes of the crystals, standardised, shape (n, l); l is 0 without crystals.
    :param head: the difference that it expects, eV/atom, shape (n,); 0 without crystals.
    """

    formulas: tuple[str, ...]
    fractions: Array
    chemistry: Array
    low: Array
    above_hull: Array
    difference: Array
    cost: Array
    latent: Array
    head: Array

    def __len__(self) -> int:
        return len(self.formulas)

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Which compounds have the largest differences between the levels, shape (n,)."""
        size = np.abs(self.difference)
        return size > np.quantile(size, 1 - HIT_SHARE)

    def permuted(self, seed: int) -> Pool:
        """Return the pool with the differences dealt out at random: nothing can be learned from it."""
        order = np.random.default_rng([seed, 2]).permutation(len(self))
        return dataclasses.replace(self, difference=self.difference[order])

    def drawn(self, seed: int, most: int = MOST) -> Pool:
        """Return the pool, or ``most`` of its compounds drawn at random; distances to the hull stay as they are."""
        if len(self) <= most:
            return self
        rows = np.sort(np.random.default_rng([seed, 3]).choice(len(self), most, replace=False))
        return Pool(
            formulas=tuple(self.formulas[row] for row in rows),
            **{
                field.name: getattr(self, field.name)[rows]
                for field in dataclasses.fields(self)
                if field.name != 'formulas'
            },
        )


@dataclasses.dataclass(frozen=True)
class Validated:
    """What the validator makes of m crystals.

    :param places: row of every crystal by its identifier.
    :param latent: leading components of its latent features, shape (m, l).
    :param energies: of formation at each of its levels of theory, eV/atom, each of shape (m,).
    """

    places: dict[str, int]
    latent: Array
    energies: dict[str, Array]

    @classmethod
    def read(cls, path: Path = VALIDATED) -> Validated:
        """Return what is stored."""
        arrays = load_arrays(path)
        places = {name: row for row, name in enumerate(arrays['identifiers'].tolist())}
        energies = dict(zip(arrays['levels'].tolist(), arrays['energies'].T.astype(np.float64), strict=True))
        return cls(places, arrays['latent'].astype(np.float64), energies)

    def of(self, names: list[str], low: str) -> tuple[Array, Array]:
        """Return the components, standardised over these crystals, and the differences that the Δ heads expect.

        :param low: column of the lower level.
        """
        rows = [self.places[name] for name in names]
        latent = self.latent[rows]
        head = self.energies[OWN_LEVELS.get(low, CORRECTED)] - self.energies[HIGHEST]
        return (latent - latent.mean(axis=0)) / latent.std(axis=0), head[rows]


def read_pool(path: Path, low: str, high: str, known: Validated | None = None) -> Pool:
    """Read a pool: a CSV file, which may be compressed, with formulas and one column per level (eV/atom).

    Compounds that lack a level, or whose formula cannot be read, are left out.

    :param known: what the validator makes of crystals; compounds whose `mp_id` it does not know are left out.
    :raises InvalidInputError: if a column is missing, or fewer than 50 compounds are left.
    """
    reader = _reader(path)
    needed = {'formula', low, high} | ({'mp_id'} if known else set())
    if missing := needed - set(reader.fieldnames or ()):
        raise InvalidInputError(f'{path} has no column {", ".join(sorted(missing))}')
    rows = [
        (row['formula'], _number(row[low]), _number(row[high]), row['mp_id'] if known else '')
        for row in reader
        if not known or row['mp_id'] in known.places
    ]
    kept = [(row, amounts) for row in rows if (amounts := _amounts(row[0])) and math.isfinite(row[1] + row[2])]
    if len(kept) < 50:
        crystals = ', and crystals that the validator saw' if known else ''
        raise InvalidInputError(f'{path} has {len(kept)} compounds with {low} and {high}{crystals}: 50 are needed')
    latent, head = (
        known.of([row[3] for row, _ in kept], low) if known else (np.zeros((len(kept), 0)), np.zeros(len(kept)))
    )
    lower, higher = (np.array([row[k] for row, _ in kept]) for k in (1, 2))
    formulas = tuple(row[0] for row, _ in kept)
    fractions, chemistry = describe([amounts for _, amounts in kept], lower)
    cost = np.array([float(sum(amounts.values())) for _, amounts in kept])
    above_hull = hull_distances([amounts for _, amounts in kept], lower)
    return Pool(formulas, fractions, chemistry, lower, above_hull, lower - higher, cost, latent, head)


def columns_of(path: Path) -> set[str]:
    """Return the names of the columns of a pool that are not empty.

    :raises InvalidInputError: if there is no such file.
    """
    return {name for row in _reader(path) for name, text in row.items() if name and text and text.strip()}


def present(path: Path) -> list[str]:
    """Return the pairs of levels that a table has energies of.

    :raises InvalidInputError: if there is none.
    """
    columns = columns_of(path)
    found = [pair for pair, levels in PAIRS.items() if set(levels) <= columns]
    if not found:
        raise InvalidInputError(f'{path} has no two of the columns {", ".join(sorted(set().union(*PAIRS.values())))}')
    return found[:2]


def _reader(path: Path) -> csv.DictReader[str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f'{path} cannot be read: {error.strerror}') from None
    text = (gzip.decompress(content) if path.suffix == '.gz' else content).decode('utf-8')
    return csv.DictReader(text.splitlines())


def describe(amounts: list[dict[str, float]], low: Array) -> tuple[Array, Array]:
    """Return the fractions of the elements and the chemistry of compounds, see :class:`Pool`."""
    symbols = sorted({symbol for each in amounts for symbol in each})
    fractions = np.array([[each.get(symbol, 0.0) for symbol in symbols] for each in amounts])
    fractions /= fractions.sum(axis=1, keepdims=True)
    table = np.array([[_property(symbol, name) for name in PROPERTIES] for symbol in symbols])
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    mean = fractions @ table
    spread = np.sqrt(np.maximum(fractions @ table**2 - mean**2, 0.0))
    columns = np.column_stack([mean, spread, low])
    return fractions, (columns - columns.mean(axis=0)) / columns.std(axis=0)


def hull_distances(amounts: list[dict[str, float]], low: Array) -> Array:
    """Return the distances to the hull of these compounds and the elements, eV/atom, shape (n,)."""
    phases = [Phase(each, float(energy)) for each, energy in zip(amounts, low, strict=True)]
    found = distances_to_hull(phases, phases, elements_at_zero=True)
    return np.array([math.nan if each.e_above_hull is None else each.e_above_hull for each in found])


def _property(symbol: str, name: str) -> float:
    value = getattr(Element(symbol), name)
    return MISSING[name] if value is None or not math.isfinite(value) else float(value)


def _number(text: str) -> float:
    return float(text) if text.strip() else math.nan


def _amounts(formula: str) -> dict[str, float] | None:
    try:
        return parse_formula(formula)
    except InvalidInputError:
        return None

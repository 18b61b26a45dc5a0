"""The stored crystals as arrays: energies of formation, distances to the hull of each level, what is known before."""

from __future__ import annotations

import dataclasses
import functools
import typing as t
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.ml.elements import element_statistics
from closed_loop_parts.hulls import Known, distances

Array = NDArray[np.float64]
RECORDS = Path(__file__).parent / 'records.json'
LEVELS = ('chgnet-pbe', 'chgnet-r2scan', 'sevennet-pbe', 'sevennet-r2scan', 'low', 'high')
"""Evaluator, oracle and validator at PBE and r2SCAN; the validator predicts energies of formation."""


@dataclasses.dataclass(frozen=True)
class Crystals:
    """n candidates with all labels, and m known crystals.

    :param sets: test set of each candidate, shape (n,).
    :param arms: generator of each, shape (n,).
    :param systems: chemical system of each, shape (n,).
    :param order: place of each among the proposals of its generator in its system, shape (n,).
    :param rows: what else is stored of each candidate.
    :param eligible: valid, unlike earlier ones, within the constraints, with labels at every level, shape (n,).
    :param energies: of formation at each of ``LEVELS``, candidates first, eV/atom, shape (n + m, 6).
    :param above_hull: distance of each candidate to the complete hull of each level (`hulls.py`), eV/atom, (n, 6).
    :param hull: energy of that hull at its composition, eV/atom, shape (n, 6).
    :param latent: leading components of the validator's features, standardised, shape (n + m, d).
    :param chemistry: statistics of the elements, standardised, shape (n + m, e).
    :param in_systems: which known crystals lie in each chemical system, of shape (m,).
    :param competing: what is known at each level.
    """

    sets: NDArray[np.str_]
    arms: NDArray[np.str_]
    systems: NDArray[np.str_]
    order: NDArray[np.int64]
    rows: dict[str, list[t.Any]]
    eligible: NDArray[np.bool_]
    energies: Array
    above_hull: Array
    hull: Array
    latent: Array
    chemistry: Array
    in_systems: dict[str, NDArray[np.bool_]]
    competing: dict[str, Known]

    def __len__(self) -> int:
        return len(self.sets)

    def column(self, name: str) -> Array:
        """Return what is stored of each candidate as numbers, NaN where there is nothing, shape (n,)."""
        return np.array([np.nan if value is None else value for value in self.rows[name]], dtype=np.float64)


def formation(formulas: list[str], energies: Array, references: dict[str, float], *, is_formation: bool) -> Array:
    """Return energies of formation, eV/atom, shape (n,)."""
    if is_formation:
        return energies
    found = np.full(len(formulas), np.nan)
    for row, formula in enumerate(formulas):
        shares = Composition(formula).fractional_composition.get_el_amt_dict()
        if all(symbol in references for symbol in shares):
            found[row] = energies[row] - sum(share * references[symbol] for symbol, share in shares.items())
    return found


def lowest_elements(formulas: list[str], energies: Array) -> dict[str, float]:
    """Return the lowest energy among the known crystals of every element, eV/atom."""
    found: dict[str, float] = {}
    for formula, energy in zip(formulas, energies, strict=True):
        elements = Composition(formula).elements
        if len(elements) == 1 and np.isfinite(energy):
            symbol = elements[0].symbol
            found[symbol] = min(energy, found.get(symbol, np.inf))
    return found


def described(formulas: list[str]) -> Array:
    """Return the statistics of the elements of formulas, standardised, shape (n, e)."""
    shares = [Composition(formula).fractional_composition.get_el_amt_dict() for formula in formulas]
    elements = sorted({ATOMIC_NUMBERS[symbol] for each in shares for symbol in each})
    fractions = np.zeros((len(formulas), len(elements)))
    for row, each in enumerate(shares):
        for symbol, share in each.items():
            fractions[row, elements.index(ATOMIC_NUMBERS[symbol])] = share
    return standardised(element_statistics(fractions, elements))


def standardised(values: Array) -> Array:
    """Return columns of mean 0 and standard deviation 1; constant ones are left out."""
    spread = values.std(axis=0)
    return (values - values.mean(axis=0))[:, spread > 1e-9] / spread[spread > 1e-9]


def column_of(table: dict[str, list[t.Any]], name: str) -> Array:
    """Return a column as numbers, NaN where there is none."""
    return np.array([np.nan if value is None else value for value in table[name]], dtype=np.float64)


@functools.cache
def read(path: Path = RECORDS) -> Crystals:
    """Return the stored crystals."""
    from paper_parts.items import load

    content = load(path)
    known, rows = content['known'], content['candidates']
    formulas = [formula or 'H' for formula in rows['formula']]
    latent_size = len(known['latent'][0])
    phases = [
        dict(zip(content['phases'], values, strict=True)) for values in zip(*content['phases'].values(), strict=True)
    ]
    energies, above, hulls, hulls_known = [], [], [], {}
    for level in LEVELS:
        is_formation = level in ('low', 'high')
        mine, theirs = column_of(rows, level), column_of(known, level)
        references = {} if is_formation else lowest_elements(known['formula'], theirs)
        own = formation(formulas, mine, references, is_formation=is_formation)
        other = formation(known['formula'], theirs, references, is_formation=is_formation)
        if is_formation:
            other = np.where([len(Composition(formula).elements) == 1 for formula in known['formula']], 0.0, other)
        competing = Known(known['name'], known['formula'], other, phases)
        distance = distances(formulas, rows['system'], own, competing)
        hulls_known[level] = competing
        energies.append(np.concatenate([own, other]))
        above.append(distance)
        hulls.append(own - distance)
    latent = np.array([[0.0] * latent_size if each is None else each for each in rows['latent']] + known['latent'])
    stacked = np.stack(energies, axis=1)
    complete = np.isfinite(stacked[: len(formulas)]).all(axis=1)
    eligible = complete & np.array(rows['passed'], dtype=bool) & np.array(rows['first'], dtype=bool)
    in_systems = {
        system: np.array([set(Composition(f).get_el_amt_dict()) <= set(system.split('-')) for f in known['formula']])
        for system in set(rows['system'])
    }
    return Crystals(
        sets=np.array(rows['set']), arms=np.array(rows['arm']), systems=np.array(rows['system']),
        order=places(rows), rows=rows, eligible=eligible, energies=stacked, above_hull=np.stack(above, axis=1),
        hull=np.stack(hulls, axis=1), latent=standardised(latent), chemistry=described([*formulas, *known['formula']]),
        in_systems=in_systems, competing=hulls_known,
    )  # fmt: skip


def places(rows: dict[str, list[t.Any]]) -> NDArray[np.int64]:
    """Return the place of each candidate among the proposals of its generator in its system, shape (n,)."""
    seen: dict[tuple[str, str, str], int] = {}
    found = []
    for key in zip(rows['set'], rows['arm'], rows['system'], strict=True):
        found.append(seen.get(key, 0))
        seen[key] = found[-1] + 1
    return np.array(found)

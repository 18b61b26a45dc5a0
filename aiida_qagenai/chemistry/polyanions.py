"""Charges of crystals in which atoms of one kind are bonded to each other.

Lists of oxidation states balance most compounds. What they leave out is chemistry of bonds, and is counted here from
the distances:

- *Polyanions* (azides, superoxides, polysulfides, polyhalides). Every bond between two anions saves each of them an
  electron (the octet or 8 − N rule of Zintl and Klemm); ions of oxygen, nitrogen and carbon with multiple bonds have
  the charges of :data:`~aiida_qagenai.chemistry.oxidation_states.POLYATOMIC_IONS`.
- *Mixed valence*: metals that are known in two states may hold both (Pb3O4, GaCl2).
- *Subvalent metals*: metals bonded to each other keep electrons for these bonds (Gd2Cl3, Ag2F, Ti2O), and so do the
  heavy alkali and alkaline-earth metals in their suboxides and subnitrides (Cs3O, Ca2N).
"""

from __future__ import annotations

import collections
import functools
import math
import typing as t
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.bond_valence import BOND_SOFTNESS
from aiida_qagenai.chemistry.charges import CLOSED_SHELL
from aiida_qagenai.chemistry.composition import mixed_elements, reachable_charges
from aiida_qagenai.chemistry.crystal import ANION_BOND_SCATTER, ANION_CONTACT, Crystal
from aiida_qagenai.chemistry.geometry import Fragment, fragments
from aiida_qagenai.chemistry.oxidation_states import (
    DEFAULT_SOURCE,
    MIXED_VALENCE_ELEMENTS,
    electronegativity,
    oxidation_states,
    polyatomic_ions,
)

__all__ = ('bonded_neutrality',)

MIXED_IN_CRYSTALS: frozenset[str] = frozenset(
    {'Ga', 'Ge', 'Hg', 'In', 'Ir', 'Pb', 'Pr', 'Pt', 'Rh', 'Sm', 'Tb', 'Tc', 'Te', 'Tl'}
)
"""Elements with atoms in two positive states in known crystals, beyond those of ``MIXED_VALENCE_ELEMENTS``."""

SUBVALENT: dict[str, frozenset[str]] = {'O': frozenset({'Rb', 'Cs'}), 'N': frozenset({'Ca', 'Sr', 'Ba'})}
"""Anion → metals of the s block that keep electrons beside it, as in Rb9O2, Cs3O, Ca2N and NaBa3N."""

SUBVALENT_RATIO = 2.0
"""Atoms of these metals per anion from which they keep electrons: Ca2N has the fewest."""

METAL_BONDS = {'early': 1.1, 'late': 1.2}
"""Two metals closer than this many sums of their covalent radii are bonded. The ions of groups 3 to 7 and of the f
block are large, and in their oxides 1.05 to 1.2 sums apart."""

CLUSTER_RATIO = 0.5
"""Atoms of metals bonded to each other per anion from which they keep electrons: Zr6CI12 has the fewest."""

POLAR = 0.6
"""Difference of electronegativity from which bonds are not counted as bonds between anions: P–S has 0.4, C–N 0.5."""

_MISSING = {'H': 1, 'B': 5}
_LIGHT = frozenset({'C', 'N', 'O', 'F', 'H'})


def bonded_neutrality(
    crystal: Crystal, *, mixed_valence: bool | Collection[str] = True, source: str = DEFAULT_SOURCE
) -> str | None:
    """Return by which bonds or mixed states the charges of ``crystal`` balance, or ``None`` if they do not.

    The elements are divided in the order of electronegativity into cations with listed states and atoms that have
    filled shells, alone or together with what they are bonded to.
    """
    symbols = sorted(crystal.composition, key=lambda symbol: electronegativity(symbol) or 0.0)
    mixed = mixed_elements(mixed_valence)
    mixed |= MIXED_IN_CRYSTALS if mixed >= MIXED_VALENCE_ELEMENTS else frozenset()
    for number in range(len(symbols) - 1, -1, -1):
        cations, anions = symbols[:number], symbols[number:]
        if not CLOSED_SHELL.keys() >= set(anions):
            break
        units = list(_units(crystal, anions))
        negative = _sums(unit.charges for unit in units)
        usual = {s: reachable_charges(s, crystal.composition[s], 1, s in mixed, source) for s in cations}
        if any(-charge in negative for charge in _sums(usual.values())):
            return _explanation(units, ())
        kept = _subvalent(crystal, cations, anions) if mixed else frozenset()
        if kept and all(unit.formula in anions or unit.formula == 'C2' for unit in units):
            fewer = {s: range(crystal.composition[s] * max(oxidation_states(s, source), default=0) + 1) for s in kept}
            if any(-charge in negative for charge in _sums({**usual, **fewer}.values())):
                return _explanation(units, kept)
    return None


class _Unit(t.NamedTuple):
    """A fragment of anions: its formula, how many atoms it has and which charges it may have."""

    formula: str
    size: int
    charges: frozenset[int]


def _units(crystal: Crystal, anions: Collection[str]) -> Iterator[_Unit]:
    """Yield the fragments into which the anions are bonded."""
    atoms = np.flatnonzero(np.isin(crystal.symbols, list(anions)))
    first, second, _, _ = crystal.neighbors
    bonds = crystal.neighbors.where(np.isin(first, atoms) & np.isin(second, atoms) & crystal.contacts(ANION_CONTACT))
    orders = np.exp((crystal.radii[bonds.first] + crystal.radii[bonds.second] - bonds.distance) / BOND_SOFTNESS)
    negativity = np.array([electronegativity(symbol) or 0.0 for symbol in crystal.symbols])
    polar = np.abs(negativity[bonds.first] - negativity[bonds.second]) > POLAR
    for fragment in fragments(atoms.tolist(), bonds):
        amounts = collections.Counter(str(crystal.symbols[i]) for i in fragment.atoms)
        formula = ''.join(f'{symbol}{n if n > 1 else ""}' for symbol, n in sorted(amounts.items()))
        charges = {q for ion, known in polyatomic_ions() if ion == amounts for q in known if not fragment.dimension}
        inside = np.isin(bonds.first, fragment.atoms)
        if not polar[inside].any() and not (charges and amounts.keys() <= _LIGHT):
            charges |= _octet_charges(fragment, amounts, orders[inside])
        yield _Unit(formula, len(fragment.atoms), frozenset(charges))


def _octet_charges(fragment: Fragment, amounts: Mapping[str, int], orders: NDArray[np.float64]) -> set[int]:
    """Return the charges with which every atom of a fragment has a filled shell.

    :param orders: orders of its bonds by their lengths, every bond in both directions, shape (m,).
    """
    missing = sum(n * _MISSING.get(symbol, -CLOSED_SHELL[symbol]) for symbol, n in amounts.items())
    # whole bonds, and half ones where three centres share four electrons, as in I3−
    least = np.select([orders < 0.8, orders < 1.7], [0.5, 1.0], 2.0)
    most = np.select([orders < 0.45, orders < 1.4], [0.5, 1.0], 2.0)
    step = 2  # the electrons of a molecule are paired
    if fragment.dimension:  # bands, which any number of electrons may fill
        weak, step = orders < 0.45, 1
        least[weak], most[weak] = (1 - ANION_BOND_SCATTER) * orders[weak], (1 + ANION_BOND_SCATTER) * orders[weak]
    lowest, highest = math.ceil(least.sum() - 1e-9), math.floor(most.sum() + 1e-9)
    return {saved - missing for saved in range(lowest, highest + 1) if saved % step == 0}


def _subvalent(crystal: Crystal, cations: Collection[str], anions: Collection[str]) -> frozenset[str]:
    """Return the cations that keep electrons: metals bonded to each other, or s metals in suboxides and subnitrides."""
    amounts = crystal.composition
    number = sum(amounts[symbol] for symbol in anions)
    light = frozenset(cations).intersection(*(SUBVALENT.get(symbol, ()) for symbol in anions))
    if sum(amounts[symbol] for symbol in light) < SUBVALENT_RATIO * number:
        light = frozenset()
    reach = np.array([_metal_reach(str(symbol)) if symbol in cations else 0.0 for symbol in crystal.symbols])
    first, second, _, _ = crystal.neighbors
    pairs = crystal.contacts(np.minimum(reach[first], reach[second]))
    bonded = frozenset(str(symbol) for symbol in np.unique(crystal.symbols[first[pairs]]))
    if 'F' in anions:  # leaves electrons to silver alone, in Ag2F
        bonded &= {'Ag'}
    if sum(amounts[symbol] for symbol in bonded) < CLUSTER_RATIO * number:
        bonded = frozenset()
    return light | bonded


@functools.cache
def _metal_reach(symbol: str) -> float:
    """Return within how many sums of covalent radii a metal is bonded to another; 0 for those that never are."""
    from pymatgen.core import Element

    element = Element(symbol)
    if element.group <= 2 or symbol in ('Al', 'Zn') or not element.is_metal:
        return 0.0
    return METAL_BONDS['early' if element.group <= 7 else 'late']


def _sums(parts: Iterable[Collection[int]]) -> frozenset[int]:
    """Return every sum of one number of each part."""
    sums = frozenset({0})
    for part in parts:
        sums = frozenset(a + b for a in sums for b in part)
    return sums


def _explanation(units: Collection[_Unit], kept: Collection[str]) -> str:
    parts = []
    bonded = sorted({unit.formula for unit in units if unit.size > 1})
    if bonded:
        parts.append(f'bonds between anions: {", ".join(bonded)}')
    if kept:
        parts.append(f'electrons kept by {", ".join(sorted(kept))}')
    return '; '.join(parts) or 'mixed valence'

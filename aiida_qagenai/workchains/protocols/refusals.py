"""Why a structure is not computed at a level of theory."""

from __future__ import annotations

import typing as t
from collections import Counter

from pymatgen.core import Element

from aiida_qagenai.thermodynamics.references.atomization import GROUND_STATE_SPIN
from aiida_qagenai.thermodynamics.references.compounds import is_hydride
from aiida_qagenai.thermodynamics.references.reference_states import reference_state

if t.TYPE_CHECKING:
    from aiida.orm import StructureData

    from aiida_qagenai.workchains.protocols.energy import EnergyLevel

__all__ = ('MINIMUM_GAP', 'ground_state_spin', 'refuse_coupled_cluster', 'refuse_isolated')

MINIMUM_GAP = 0.5
"""Smallest gap, eV, of a structure that CCSD(T) is tried on."""


def refuse_coupled_cluster(
    structure: StructureData, counts: Counter[str], level: EnergyLevel, band_gap: float | None
) -> str | None:
    """Return why a crystal is not computed at CCSD(T), or None.

    :param counts: atoms of its cell by element.
    :param band_gap: known from a lower level, eV.
    """
    if band_gap is not None and band_gap < MINIMUM_GAP:
        return f'CCSD(T) is not defined for a metal: the gap is {band_gap:.2f} eV, at least {MINIMUM_GAP} eV are needed'
    if all(Element(symbol).is_metal for symbol in counts):
        return f'CCSD(T) is not defined for a metal: {structure.get_formula()} consists of metals only'
    num_electrons = sum(count * level.basis_sizes[symbol].valence for symbol, count in counts.items())
    if num_electrons % 2 and not level.unrestricted:
        return f'CCSD(T) needs an even number of electrons per cell, {structure.get_formula()} has {num_electrons}'
    return None


def refuse_isolated(structure: StructureData) -> str | None:
    """Return why an atom or molecule is not computed, or None."""
    symbols = [structure.get_kind(site.kind_name).symbol for site in structure.sites]
    if ground_state_spin(symbols) is not None:
        return None
    if len(symbols) > 1:
        return f'the spin of the molecule {structure.get_formula()} is not known here: use the PyscfCellCalculation'
    return f'the ground state of the atom {symbols[0]} is not known here'


def ground_state_spin(symbols: t.Sequence[str]) -> int | None:
    """Return the unpaired electrons of an atom, a molecule of one element or a hydride, None if not known here."""
    if len(symbols) == 1:
        return GROUND_STATE_SPIN.get(symbols[0])
    if is_hydride(Counter(symbols)):
        return 0
    state = reference_state(symbols[0])
    same = state is not None and state.num_atoms == len(symbols) and len(set(symbols)) == 1
    return state.spin if state is not None and same and not state.is_crystal else None

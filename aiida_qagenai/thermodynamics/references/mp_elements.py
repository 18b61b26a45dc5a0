"""From energies of a potential on the scale of the Materials Project to formation energies."""

from __future__ import annotations

import functools
import json
import typing as t
from pathlib import Path

from aiida_qagenai.thermodynamics.references.reference_states import self_consistent_formation_energy

__all__ = ('FORMATION_LEVELS', 'LEVELS', 'POTENTIALS', 'element_energies', 'formation_energy_per_atom')

POTENTIALS = ('chgnet:0.3.0',)
"""Tags of potentials that were trained on PBE(+U) energies with MP2020 corrections, as those of the shipped hull."""

LEVELS = ('CHGNet-0.3.0',)
"""Levels of theory of these potentials."""

FORMATION_LEVELS = ('MP2020 PBE',)
"""Tags of levels of a validator whose formation energies are on that scale."""


@functools.cache
def element_energies() -> dict[str, float]:
    """Return element → PBE energy of its most stable crystal in the Materials Project, eV/atom."""
    text = Path(__file__).with_name('mp_elements.json').read_text(encoding='utf8')
    return t.cast(dict[str, float], json.loads(text)['energies'])


def formation_energy_per_atom(energy_per_atom: float, composition: t.Mapping[str, int]) -> float | None:
    """Return the formation energy of a crystal, eV/atom, or ``None`` if an element has no reference.

    The elements are those of the Materials Project and not of the potential: against these, energies of known phases
    agree better with the hull (``benchmarks/generation.py`` measures both).

    :param energy_per_atom: by one of :data:`POTENTIALS`, eV/atom.
    :param composition: element → number of atoms.
    """
    energies = element_energies()
    if not energies.keys() >= composition.keys():
        return None
    total = energy_per_atom * sum(composition.values())
    return self_consistent_formation_energy(total, composition, energies)

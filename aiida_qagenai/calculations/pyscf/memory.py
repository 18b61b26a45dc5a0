"""The least memory that a correlation energy of a crystal needs: what does not fit is refused before anything runs."""

from __future__ import annotations

import typing as t
from collections import Counter

from pymatgen.core import Element

from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters

__all__ = ('least_memory', 'num_frozen_core')


CORES = ((2, 0), (10, 1), (30, 5), (38, 9), (48, 14), (70, 18), (80, 23), (103, 34), (111, 50))
"""Last atomic number and orbitals of the core: beyond argon ``chemcore_atm`` of ``pyscf.data.elements``."""


def num_frozen_core(composition: t.Mapping[str, int], valence: t.Mapping[str, int]) -> int:
    """Return the number of core orbitals that the pseudopotentials leave in the valence.

    max(0, n_spectroscopic − (Z − q)/2) per atom, n_spectroscopic = 0 (H, He), 1 (Li–Ne), 5 (Na–Ar), and beyond argon
    the number of PySCF, which counts the semi-core (3s 3p of K–Zn, 3d of Ga–Kr) among the valence.

    :param composition: number of atoms by element symbol.
    :param valence: number of electrons q that the pseudopotential leaves an atom.
    """
    total = 0
    for symbol, count in composition.items():
        number = Element(symbol).Z
        core = next((orbitals for last, orbitals in CORES if number <= last), CORES[-1][1])
        total += count * max(0, core - (number - valence[symbol]) // 2)
    return total


def least_memory(
    parameters: PyscfCellParameters,
    composition: t.Mapping[str, int],
    functions: t.Mapping[str, int],
    valence: t.Mapping[str, int],
) -> float:
    """Return the memory (MB) without which the calculation cannot run, its integrals on disk; 0 for a mean field.

    The script estimates it again, with the fitted integrals, whose number only PySCF knows.

    :param functions: basis functions of an atom by element symbol.
    """
    method = parameters.resolved_method
    if method is None or method == 'HF' or not parameters.is_crystal:
        return 0.0
    mesh = parameters.cc.kmesh or parameters.kmesh or (1, 1, 1)
    num_kpts = mesh[0] * mesh[1] * mesh[2]
    counts = Counter(composition)
    filled = sum(count * valence[symbol] for symbol, count in counts.items()) // 2
    num_occ = filled - (num_frozen_core(counts, valence) if parameters.cc.frozen_core else 0)
    num_vir = sum(count * functions[symbol] for symbol, count in counts.items()) - filled
    if method in {'MP2', 'LNO-CCSD(T)'}:
        # The correction of local CCSD(T) is MP2; how large its fragments are shows in the job.
        return 16e-6 * 3 * num_kpts * (num_occ * num_vir) ** 2
    blocks = 16e-6 * num_kpts**3
    # Unrestricted, there are those of two spins and of the pair of them.
    amplitudes = blocks * 14 * (num_occ * num_vir) ** 2 * (3 if parameters.spin_polarized else 1)
    if '(T)' not in method:
        return amplitudes
    bands = num_occ + num_vir
    triples = blocks * (2 * (num_occ * num_vir) ** 2 + num_occ * num_vir**2 * bands + num_occ**3 * num_vir)
    return max(amplitudes, triples + blocks * 2 * (min(num_vir, 4) * num_occ) ** 3)

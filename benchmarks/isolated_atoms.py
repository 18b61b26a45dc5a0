"""Isolated atoms and molecules by PySCF, with all electrons and with the pseudopotential gth-pbe.

For ``quantum_chemistry.py --only pseudopotential``, which runs it in the interpreter that has PySCF.
"""

from __future__ import annotations

import math
import typing as t

HARTREE_TO_EV = 27.211386245988

VERSION = 1
"""Counted up by a change that moves energies, which makes kept results void."""

SHELLS = (1, 1, 3, 1, 3)
"""Orbitals of 1s, 2s, 2p, 3s and 3p."""

SPHERICAL = (1, 2, 3, 4, 7, 10, 11, 12, 15, 18)
"""Atomic numbers of the atoms whose density is spherical in their ground state."""

DIFFUSE = {'Li': 0.015, 'Na': 0.015}
"""Smallest exponents of s and p, bohr⁻²; 0.05 for the other elements, since more of them make SCAN noisy."""

LARGEST = {True: (2e5, 4e3), False: (120.0, 60.0)}
"""Largest exponents of s and p, with all electrons and with the pseudopotential, bohr⁻²."""

POLARISATION = ((0.1, 5.0), (0.4, 3.0))
"""Range of the exponents of d and f, bohr⁻²: for atoms whose density is not spherical."""

RATIO = 2.0
"""Of one exponent to the next."""

GRID, SPHERICAL_GRID = (150, 302), (150, 50)
"""Radial and angular points around an atom: with 110 angular ones SCAN of C is 5 meV lower."""


def even_tempered(symbol: str, *, all_electron: bool, spherical: bool) -> list[list[t.Any]]:
    """Return an uncontracted basis in the format of PySCF."""
    ranges = [(DIFFUSE.get(symbol, 0.05), largest) for largest in LARGEST[all_electron]]
    return [
        [momentum, [smallest * RATIO**index, 1.0]]
        for momentum, (smallest, largest) in enumerate([*ranges, *(() if spherical else POLARISATION)])
        for index in range(math.ceil(math.log(largest / smallest, RATIO)))
    ]


def system(sites: str, spin: int, basis: t.Any, *, all_electron: bool) -> t.Any:
    """Return an atom or molecule (Å).

    :param spin: number of unpaired electrons.
    """
    from pyscf import gto
    from pyscf.pbc import gto as periodic

    common = {'atom': sites, 'spin': spin, 'basis': basis, 'verbose': 0}
    if all_electron:
        return gto.M(**common)
    # PySCF knows pseudopotentials of this kind by a cell only, whose size does not matter here.
    box = [[20.0, 0.0, 0.0], [0.0, 20.0, 0.0], [0.0, 0.0, 20.0]]
    return periodic.M(**common, a=box, pseudo='gth-pbe').to_mol()


def mean_fields(
    mol: t.Any, functionals: t.Sequence[str], occupations: t.Sequence[float] = (), *, grid: tuple[int, int] = GRID
) -> dict[str, float]:
    """Return the energies of unrestricted calculations by the functionals, eV.

    :param functionals: the second and later ones start from the density of the first.
    :param occupations: of the orbitals of either spin, the lowest first; integers without.
    :raises RuntimeError: if one does not converge.
    """
    import numpy as np
    from pyscf import dft

    def filled(energies: t.Any, _: t.Any = None) -> t.Any:
        filling = np.zeros_like(energies)
        for values, one in zip(energies, filling, strict=True):
            one[np.argsort(values)[: len(occupations)]] = occupations
        return filling

    density, results = None, {}
    for functional in functionals:
        field = dft.UKS(mol)
        field.xc, field.small_rho_cutoff, field.max_cycle = functional, 0.0, 100
        field.grids.atom_grid, field.grids.prune = grid, None
        field.conv_tol = 1e-8
        if density is not None:
            # SCAN is noisy where there are no electrons: its gradient does not vanish, DIIS soon leaves the minimum.
            field.conv_tol, field.conv_tol_grad, field.conv_check = 2e-5, 0.1, False
        if occupations:
            field.get_occ = filled
        field.kernel(density)
        if not field.converged and not occupations:
            field = field.newton()
            field.kernel()
        if not field.converged:
            raise RuntimeError(f'{mol.atom} by {functional} does not converge')
        results[functional] = float(field.e_tot) * HARTREE_TO_EV
        density = field.make_rdm1() if density is None else density
    return results


def spherical_occupations(electrons: int, core: int) -> list[float]:
    """Return the occupations in either spin of the unpolarised spherical atom, the lowest orbital first.

    :param core: electrons of the lowest shells, which are not there.
    """
    occupations: list[float] = []
    for number in SHELLS:
        if core > 0:
            core -= 2 * number
            continue
        filled = min(electrons, 2 * number)
        electrons -= filled
        occupations += [filled / number / 2] * (number if filled else 0)
    return occupations


def atom(symbol: str, spin: int, functionals: t.Sequence[str], *, all_electron: bool) -> dict[str, dict[str, float]]:
    """Return the energies of an atom in the limit of the basis, eV, by the functionals.

    Two of each: `polarised`, the ground state, and `unpolarised` with a spherical density.

    :param spin: number of unpaired electrons of the ground state.
    """
    from pyscf.data.elements import charge

    energies = {}
    for name in ('polarised', 'unpolarised'):
        # An s shell or a half-filled p shell is spherical.
        spherical = name == 'unpolarised' or charge(symbol) in SPHERICAL
        basis = even_tempered(symbol, all_electron=all_electron, spherical=spherical)
        mol = system(f'{symbol} 0 0 0', spin, basis, all_electron=all_electron)
        occupations = spherical_occupations(mol.nelectron, charge(symbol) - mol.nelectron)
        filling = () if name == 'polarised' else occupations
        energies[name] = mean_fields(mol, functionals, filling, grid=SPHERICAL_GRID if spherical else GRID)
    return energies


def molecule(sites: str, spin: int, functional: str, *, all_electron: bool) -> dict[str, float]:
    """Return the energy of a molecule or atom, eV, in cc-pVQZ or, with the pseudopotential, in gth-tzv2p."""
    mol = system(sites, spin, 'cc-pvqz' if all_electron else 'gth-tzv2p', all_electron=all_electron)
    return {'total': mean_fields(mol, [functional])[functional]}

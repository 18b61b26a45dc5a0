"""Cohesive energies of crystals by the composite CCSD(T) and PBE, for ``quantum_chemistry.py --only cohesion``."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

from figures import figure
from pyscf_runs import Runner, Sites, Structure, basis_texts, face_centred, level_parameters, on_mesh

from aiida_qagenai.chemistry.neighbourhood import surrounding_sites
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.thermodynamics.references.atomization import GROUND_STATE_SPIN
from aiida_qagenai.thermodynamics.references.extrapolation import Limit, combine_errors, correlation_limit, mesh_limit

DESIGN = 'Paier et al. 2009, Harl et al. 2010, Grüneis et al. 2010'
RECALLED = 'Harl et al. 2010 (recalled)'


@dataclasses.dataclass(frozen=True)
class Crystal:
    """A crystal of two atoms at its experimental geometry.

    :param lattice: edge of the cubic cell, Å.
    :param references: cohesive energies (eV/atom) by method; the experimental one is without zero-point energy.
    :param grid_spacing: of the uniform grid where that of `fast` loses electrons, Å.
    """

    symbols: tuple[str, ...]
    kind: str
    lattice: float
    references: dict[str, float]
    source: str
    grid_spacing: float | None = None

    @property
    def structure(self) -> Structure:
        """The primitive cell."""
        return face_centred(self.lattice, self.symbols, self.kind)


CRYSTALS = {
    'LiH': Crystal(('Li', 'H'), 'rock salt', 4.0834, {'experiment': 2.49}, RECALLED),
    'C': Crystal(('C',), 'zinc blende', 3.567, {'HF': 5.18, 'PBE': 7.72, 'experiment': 7.55}, DESIGN),
    'BN': Crystal(('B', 'N'), 'zinc blende', 3.616, {'experiment': 6.76}, RECALLED),
    'MgO': Crystal(('Mg', 'O'), 'rock salt', 4.207, {'HF': 3.47, 'PBE': 4.98, 'experiment': 5.20}, DESIGN, 0.08),
    'Si': Crystal(('Si',), 'zinc blende', 5.430, {'HF': 2.82, 'PBE': 4.55, 'experiment': 4.68}, DESIGN),
    'LiF': Crystal(('Li', 'F'), 'rock salt', 4.010, {'HF': 3.25, 'PBE': 4.33, 'experiment': 4.46}, DESIGN, 0.08),
    'AlN': Crystal(('Al', 'N'), 'zinc blende', 4.370, {'HF': 3.65, 'PBE': 5.72, 'experiment': 5.85}, DESIGN),
}
"""The four of the composite first; the others are for the mean fields."""

CORRELATED = ('LiH', 'C', 'BN', 'MgO')
MESHES = {'HF': (3, 4), 'PBE': (4,), 'MP2': (2, 3)}
"""Points in each direction; CCSD(T) − MP2 is on 2×2×2."""


class Cohesion:
    """Cohesive energies of one crystal, eV/atom.

    HF in cc-pVDZ on 3×3×3 and 4×4×4 with 1/N_k, and cc-pVTZ − cc-pVDZ on 2×2×2; MP2 in both bases with X⁻³ on 2×2×2
    and in cc-pVDZ on 2×2×2 and 3×3×3 with 1/N_k; CCSD(T) − MP2 in cc-pVDZ on 2×2×2. The atoms are computed the same
    way, with the functions of the first shell.
    """

    def __init__(self, run: Runner, folder: Path, name: str) -> None:
        self.run, self.folder, self.name, self.crystal = run, folder, name, CRYSTALS[name]
        self.cell, self.sites = self.crystal.structure
        self.symbols = {symbol for symbol, _ in self.sites}

    def bulk(self, fidelity: Fidelity, method: str | None, basis: str, number: int) -> dict[str, float]:
        """Return the energies of the cell by component, eV."""
        label = f'{self.name} {method or fidelity.value} {basis} {number}×{number}×{number}'
        texts = basis_texts(self.folder, basis, self.symbols)
        spacing = self.crystal.grid_spacing
        values = on_mesh(level_parameters(self.crystal.structure, fidelity, method, texts, spacing), number)
        results = self.run(values, self.crystal.structure, label)
        return {**results['components'], 'total': results['total_energy']}

    def atoms(self, fidelity: Fidelity, method: str | None, basis: str, *, ghosts: bool = True) -> dict[str, float]:
        """Return the sum of the energies of the atoms by component, eV."""
        total: dict[str, float] = {}
        for index, (symbol, _) in enumerate(self.sites):
            around: Sites = surrounding_sites(self.cell, self.sites, index, 1) if ghosts else ()
            atom: Structure = ([], [(symbol, [0.0, 0.0, 0.0])])
            values = level_parameters(atom, fidelity, method, basis_texts(self.folder, basis, self.symbols))
            values['spin'] = GROUND_STATE_SPIN[symbol]
            label = f'{symbol} of {self.name} {method or fidelity.value} {basis} {len(around)} ghosts'
            results = self.run(values, atom, label, around)
            for name, value in {**results['components'], 'total': results['total_energy']}.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def per_atom(self, atoms: float, bulk: float) -> float:
        """Return a cohesive energy per atom."""
        return (atoms - bulk) / len(self.sites)

    def functional(self) -> float:
        """Return the cohesive energy by PBE in cc-pVDZ on 4×4×4."""
        bulk = self.bulk(Fidelity.PBE, None, 'cc-pvdz', MESHES['PBE'][0])['total']
        return self.per_atom(self.atoms(Fidelity.PBE, None, 'cc-pvdz')['total'], bulk)

    def hartree_fock(self, *, triple: bool) -> Limit:
        """Return the cohesive energy by Hartree-Fock.

        :param triple: whether to add cc-pVTZ − cc-pVDZ on 2×2×2.
        """
        level = Fidelity.CCSD_T
        # The Hartree-Fock of a mesh that MP2 needs as well comes along with it.
        with_mp2 = MESHES['MP2'] if self.name in CORRELATED else ()
        methods = {number: 'MP2' if number in with_mp2 else 'HF' for number in MESHES['HF']}
        energies = [self.bulk(level, method, 'cc-pvdz', n)['hartree_fock'] for n, method in methods.items()]
        bulk = mesh_limit(energies, [number**3 for number in methods])
        value = self.per_atom(self.atoms(level, 'MP2', 'cc-pvdz')['hartree_fock'], bulk.value)
        if triple:
            small, large = self.double_and_triple('hartree_fock')
            value += large - small
        return Limit(value, bulk.error / len(self.sites))

    def double_and_triple(self, component: str) -> list[float]:
        """Return what a component adds to the cohesive energy on 2×2×2 in cc-pVDZ and cc-pVTZ."""
        level, small = Fidelity.CCSD_T, self.bulk(Fidelity.CCSD_T, 'CCSD(T)', 'cc-pvdz', 2)
        large = self.bulk(level, 'MP2', 'cc-pvtz', 2)
        atoms = [self.atoms(level, method, basis) for method, basis in (('CCSD(T)', 'cc-pvdz'), ('MP2', 'cc-pvtz'))]
        return [
            self.per_atom(atom[component], bulk[component]) for atom, bulk in zip(atoms, (small, large), strict=True)
        ]

    def correlation(self) -> Limit:
        """Return what CCSD(T) adds in cc-pVDZ."""
        bulk = self.bulk(Fidelity.CCSD_T, 'CCSD(T)', 'cc-pvdz', 2)
        atoms = self.atoms(Fidelity.CCSD_T, 'CCSD(T)', 'cc-pvdz')
        return Limit(sum(self.per_atom(atoms[name], bulk[name]) for name in ('ccsd_correlation', 'triples')), 0.0)

    def mp2(self) -> Limit:
        """Return what the limits of basis and mesh add to MP2 in cc-pVDZ on 2×2×2."""
        basis = self.double_and_triple('mp2_correlation')
        coarse = self.bulk(Fidelity.CCSD_T, 'CCSD(T)', 'cc-pvdz', 2)['mp2_correlation']
        dense = self.bulk(Fidelity.CCSD_T, 'MP2', 'cc-pvdz', 3)['mp2_correlation']
        in_basis = correlation_limit(basis, [2, 3])
        in_mesh = mesh_limit([coarse, dense], [number**3 for number in MESHES['MP2']])
        value = in_basis.value - basis[0] + self.per_atom(coarse, in_mesh.value)
        return Limit(value, combine_errors(in_basis.error, in_mesh.error / len(self.sites)))

    def counterpoise(self) -> float:
        """Return by how much the functions of the first shell lower the atoms at CCSD(T) in cc-pVDZ, eV/atom."""
        bare, lent = (self.atoms(Fidelity.CCSD_T, 'CCSD(T)', 'cc-pvdz', ghosts=ghosts) for ghosts in (False, True))
        return self.per_atom(bare['total'], lent['total'])

    def composite(self) -> Limit:
        """Return the cohesive energy by the composite CCSD(T)."""
        hartree_fock, mp2 = self.hartree_fock(triple=True), self.mp2()
        value = hartree_fock.value + self.correlation().value + mp2.value
        return Limit(value, combine_errors(hartree_fock.error, mp2.error))


Row = tuple[str, str, str, float, float | None, Crystal]


def rows(run: Runner, folder: Path, names: t.Iterable[str]) -> t.Iterator[Row]:
    """Yield crystal, method, level, cohesive energy, its error and the crystal, cheapest methods first."""
    for name in names:
        one = Cohesion(run, folder, name)
        mean_field = one.hartree_fock(triple=False)
        mesh = '3×3×3 and 4×4×4 with 1/N_k'
        yield name, 'HF', f'cc-pVDZ, {mesh}', mean_field.value, mean_field.error, one.crystal
        if name in CORRELATED:
            total = mean_field.value + one.correlation().value
            yield (
                name,
                'CCSD(T)',
                'fast: that HF, correlation in cc-pVDZ on 2×2×2',
                total,
                mean_field.error,
                one.crystal,
            )
        yield name, 'PBE', 'cc-pVDZ, 4×4×4', one.functional(), None, one.crystal
        if name in CORRELATED:
            mean_field = one.hartree_fock(triple=True)
            level = f'cc-pVDZ, {mesh}, + (cc-pVTZ − cc-pVDZ) on 2×2×2'
            yield name, 'HF', level, mean_field.value, mean_field.error, one.crystal
            composite = one.composite()
            level = 'that HF; MP2 DZ→TZ and 2×2×2→3×3×3; CCSD(T) − MP2 at DZ on 2×2×2'
            yield name, 'CCSD(T)', level, composite.value, composite.error, one.crystal


def cohesion(run: Runner, folder: Path, names: t.Sequence[str], *, table: bool) -> None:
    """Print cohesive energies as figures, or as the Markdown table of the documentation."""
    if table:
        print('| crystal | method | level | ours, eV/atom | reference | difference | source |')
        print('|---' * 7 + '|')
    for name in () if table else set(names) & set(CORRELATED):
        value = Cohesion(run, folder, name).counterpoise()
        figure(f'counterpoise-{name.lower()}', value, 'eV/atom', 'chemical accuracy', 0.0434)
    for name, method, level, value, error, crystal in rows(run, folder, names or list(CRYSTALS)):
        key = 'experiment' if method == 'CCSD(T)' else method
        reference = crystal.references.get(key)
        if not table:
            label = f'cohesion-{name.lower()}-{method.lower()}: {level}'
            if reference is not None:
                figure(label, value, 'eV/atom', f'{key}, {crystal.source}', reference)
            continue
        ours = f'{value:.2f}' + (f' ± {error:.2f}' if error is not None else '')
        known = '' if reference is None else f'{reference:.2f}'
        difference = '' if reference is None else f'{value - reference:+.2f}'
        source = '' if reference is None else f'{key}, {crystal.source}'
        print(f'| {name} | {method} | {level} | {ours} | {known} | {difference} | {source} |', flush=True)

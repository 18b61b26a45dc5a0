"""Why PBE with gth-pbe binds crystals too weakly, for ``quantum_chemistry.py --only pseudopotential``.

Three causes: the Gaussian basis, the mesh, and the isolated atoms. The pseudopotential has no nonlinear core correction
and makes the spin polarisation of atoms too large: Willand et al., J. Chem. Phys. 138, 104109 (2013). Needs pw.x.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import tempfile
import typing as t
from pathlib import Path

import isolated_atoms
from cohesion import CRYSTALS, Cohesion
from figures import figure
from gth_plane_waves import MEASURED_CUTOFFS, converged_energy
from pyscf_runs import Runner, kept

from aiida_qagenai.thermodynamics.references.atomization import GROUND_STATE_SPIN

MESHES = (4, 6)
"""Points in each direction, for plane waves."""

FUNCTIONALS = {'PBE': 'pbe', 'SCAN': 'scan', 'HSE06': 'hse06'}
"""What the package uses gth-pbe for, with the names of PySCF."""

ELEMENTS = ('H', 'Li', 'B', 'C', 'N', 'O', 'F', 'Na', 'Al', 'Si', 'P', 'S', 'Cl')
"""Those up to Ar whose atoms are spin polarised."""

MOLECULES = {'N2': ('N', 'N', 1.10, 0), 'O2': ('O', 'O', 1.22, 2), 'CO': ('C', 'O', 1.13, 0)}
"""Symbols, bond length (Å) and unpaired electrons."""

SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import isolated_atoms
print(json.dumps(getattr(isolated_atoms, sys.argv[2])(**json.loads(sys.argv[3]))))
"""


@dataclasses.dataclass(frozen=True)
class Atoms:
    """Energies of atoms and molecules by the interpreter with PySCF and the cache of a runner."""

    run: Runner

    def compute(self, name: str, **options: t.Any) -> dict[str, t.Any]:
        """Return what a function of isolated_atoms returns, from the cache if it is there."""
        folder, values = Path(isolated_atoms.__file__).parent, json.dumps(options, sort_keys=True)

        def call() -> dict[str, t.Any]:
            command = [self.run.python, '-W', 'ignore', '-c', SCRIPT, str(folder), name, values]
            # PySCF keeps its integrals where it runs.
            with tempfile.TemporaryDirectory() as empty:
                done = subprocess.run(command, cwd=empty, check=False, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f'{name} {values} failed: {done.stderr}')
            return t.cast('dict[str, t.Any]', json.loads(done.stdout.splitlines()[-1]))

        if self.run.cache is None:
            return call()
        return kept(self.run.cache, f'{self.run.version}\n{isolated_atoms.VERSION}\n{name}\n{values}', call)

    def energies(self, symbol: str, functional: str, *, all_electron: bool) -> dict[str, float]:
        """Return the energies of an atom, polarised and unpolarised, eV."""
        spin, name = GROUND_STATE_SPIN[symbol], FUNCTIONALS[functional]
        options = {'spin': spin, 'functionals': list(FUNCTIONALS.values()), 'all_electron': all_electron}
        return {state: values[name] for state, values in self.compute('atom', symbol=symbol, **options).items()}

    def polarisation(self, symbol: str, functional: str, *, all_electron: bool) -> float:
        """Return how much the spin polarisation lowers an atom, eV."""
        energies = self.energies(symbol, functional, all_electron=all_electron)
        return energies['unpolarised'] - energies['polarised']

    def error(self, symbol: str, functional: str) -> float:
        """Return by how much the pseudopotential makes that too large, eV."""
        if not GROUND_STATE_SPIN[symbol]:
            return 0.0
        exact, ours = (self.polarisation(symbol, functional, all_electron=one) for one in (True, False))
        return ours - exact

    def atomisation(self, name: str, *, all_electron: bool) -> float:
        """Return the energy of atomisation of a molecule by PBE, eV."""
        first, second, length, spin = MOLECULES[name]
        systems = [(f'{first} 0 0 0; {second} 0 0 {length}', spin)]
        systems += [(f'{symbol} 0 0 0', GROUND_STATE_SPIN[symbol]) for symbol in (first, second)]
        options = {'functional': FUNCTIONALS['PBE'], 'all_electron': all_electron}
        bound, *free = (self.compute('molecule', sites=s, spin=n, **options)['total'] for s, n in systems)
        return sum(free) - bound


@dataclasses.dataclass(frozen=True)
class Parts:
    """Cohesive energies of a crystal by PBE with gth-pbe, eV/atom.

    :param gaussians: in cc-pVDZ on 4×4×4.
    :param waves: in plane waves, on each of the meshes; none where they cost too much.
    :param spin: what the error of the spin polarisation of its atoms takes away.
    :param published: by all electrons or projector augmented waves.
    """

    gaussians: float
    waves: list[float]
    spin: float
    published: float | None

    @property
    def total(self) -> float:
        """Return the best of these energies with the spin polarisation of all electrons."""
        return [self.gaussians, *self.waves][-1] + self.spin


def signed(value: float, digits: int) -> str:
    """Return a number with its sign, zero without."""
    return f'{value:+.{digits}f}' if round(value, digits) else f'{0:.{digits}f}'


def parts(run: Runner, folder: Path, name: str) -> Parts:
    """Return the parts of the cohesive energy of a crystal; plane waves with the atoms in the limit of Gaussians."""
    atoms, crystal = Atoms(run), CRYSTALS[name]
    symbols = [symbol for symbol, _ in crystal.structure[1]]
    waves = []
    if set(symbols) <= set(MEASURED_CUTOFFS):
        free = sum(atoms.energies(symbol, 'PBE', all_electron=False)['polarised'] for symbol in symbols)
        bound = [converged_energy(run.python, run.cache, crystal.structure, mesh) for mesh in MESHES]
        waves = [(free - energy) / len(symbols) for energy in bound]
    return Parts(
        gaussians=Cohesion(run, folder, name).functional(),
        waves=waves,
        spin=sum(atoms.error(symbol, 'PBE') for symbol in symbols) / len(symbols),
        published=crystal.references.get('PBE'),
    )


def crystals(run: Runner, folder: Path, names: t.Iterable[str], *, table: bool) -> None:
    """Print the parts of the cohesive energies."""
    if table:
        print('| crystal | cc-pVDZ, 4×4×4 | plane waves, 4×4×4 | 6×6×6 | spin of the atoms | sum | published |')
        print('|---' * 7 + '|')
    for name in names:
        one = parts(run, folder, name)
        if table:
            waves = ' | '.join(f'{value:.2f}' for value in one.waves) or ' | '
            known = '' if one.published is None else f'{one.published:.2f}'
            rest = f'{waves} | {signed(one.spin, 2)} | {one.total:.2f} | {known}'
            print(f'| {name} | {one.gaussians:.2f} | {rest} |', flush=True)
            continue
        reference, source = one.published, 'PBE, published'
        if reference is None:
            reference, source = one.gaussians, 'cc-pVDZ, 4×4×4'
        values = {'cc-pvdz-4x4x4': one.gaussians, 'with-spin-of-all-electrons': one.total}
        values.update(
            {f'plane-waves-{mesh}x{mesh}x{mesh}': wave for mesh, wave in zip(MESHES, one.waves, strict=False)}
        )
        for label, value in values.items():
            figure(f'cohesion-{name.lower()}-pbe-{label}', value, 'eV/atom', source, reference)
        figure(f'spin-{name.lower()}-pbe', one.spin, 'eV/atom', 'chemical accuracy', 0.0434)


def elements(run: Runner, symbols: t.Iterable[str], *, table: bool) -> None:
    """Print how much too large the pseudopotential makes the spin polarisation of atoms, eV."""
    atoms = Atoms(run)
    if table:
        print('\n| atom | all electrons, PBE | gth-pbe, PBE | error, PBE | error, SCAN | error, HSE06 |')
        print('|---' * 6 + '|')
    for symbol in symbols:
        errors = {functional: atoms.error(symbol, functional) for functional in FUNCTIONALS}
        values = [atoms.polarisation(symbol, 'PBE', all_electron=one) for one in (True, False)]
        if table:
            numbers = ' | '.join([f'{value:.3f}' for value in values] + [signed(error, 3) for error in errors.values()])
            print(f'| {symbol} | {numbers} |', flush=True)
            continue
        for functional, error in errors.items():
            name = f'spin-error-{symbol.lower()}-{functional.lower()}'
            figure(name, error, 'eV', 'chemical accuracy', 0.0434)


def molecules(run: Runner, *, table: bool) -> None:
    """Print the energies of atomisation of molecules by PBE, eV."""
    atoms = Atoms(run)
    if table:
        print('\n| molecule | all electrons | gth-pbe | difference | spin of the atoms |')
        print('|---' * 5 + '|')
    for name, (*symbols, _, _) in MOLECULES.items():
        exact, ours = (atoms.atomisation(name, all_electron=one) for one in (True, False))
        spin = sum(atoms.error(str(symbol), 'PBE') for symbol in symbols)
        if table:
            print(f'| {name} | {exact:.2f} | {ours:.2f} | {signed(ours - exact, 2)} | {signed(spin, 2)} |', flush=True)
        else:
            figure(f'atomisation-{name.lower()}-gth-pbe', ours, 'eV', 'all electrons, cc-pVQZ', exact)


def pseudopotential(run: Runner, folder: Path, names: t.Sequence[str], *, table: bool) -> None:
    """Print the parts of the cohesive energies of crystals, the errors of their atoms, and, of all crystals, more.

    :raises SystemExit: if pw.x is not installed.
    """
    if shutil.which('pw.x') is None:
        raise SystemExit('pseudopotential needs pw.x: apt-get install quantum-espresso')
    crystals(run, folder, names, table=table)
    every = set(names) == set(CRYSTALS)
    symbols = {symbol for name in names for symbol in CRYSTALS[name].symbols}
    elements(run, [symbol for symbol in ELEMENTS if every or symbol in symbols], table=table)
    if every:
        molecules(run, table=table)

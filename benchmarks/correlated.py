"""Antiferromagnetic oxides: magnetic ground states, moments, gaps and reactions at PBE and HSE06, beside experiment.

    python benchmarks/correlated.py --work DIR [--only MnO NiO] [--levels PBE HSE06] [--store]
    python benchmarks/correlated.py --quick

The commands that users have compute every ordering of an oxide with up to four atoms by pw.x, with the pseudopotentials
gth-pbe of PySCF (`aiida-qagenai basis upf`): those of the other engine. Reactions compare the lowest ordering of each
compound, at the geometry of experiment; that of O2 is a molecule in a box.
`--work` holds the profile, in which nothing is computed twice: a run that was cut goes on. `--store` writes what was
found to `correlated.json`, from which `--quick` prints it. pw.x comes with Debian's package quantum-espresso.

Experiments: moments of Cheetham and Hope, Phys. Rev. B 27, 6964 (1983) (MnO, NiO), of Roth, Phys. Rev. 110, 1333 (1958)
(FeO) and of Khan and Erickson, Phys. Rev. B 1, 2243 (1970) (CoO); gaps of van Elp et al., Phys. Rev. B 44, 1530 (MnO)
and 6090 (CoO) (1991), of Sawatzky and Allen, Phys. Rev. Lett. 53, 2339 (1984) (NiO) and of Bowen, Adler and Auker, J.
Solid State Chem. 12, 355 (1975) (FeO); the magnetic order of all four is that of the second kind. Enthalpies from the
oxides of Wang and Navrotsky, Solid State Ionics 166, 167 (2004), by solution calorimetry at 298 K; those of Li2O and
NiO from the elements of Chase, NIST-JANAF Thermochemical Tables (1998), and Kubaschewski, Materials Thermochemistry.
Published calculations with the same functionals: moments of Tran et al., Phys. Rev. B 102, 024407 (2020), gaps of Tran
and Blaha, J. Phys. Chem. A 121, 3318 (2017). The numbers of experiments and of these are recalled.
Moments of a density functional belong to spheres or orbitals around the ions, those of neutrons contain what orbits add
(in FeO and CoO about 1 μB). The lattice constants are those of room temperature.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from figures import figure
from pymatgen.core import Lattice, Structure

RECORDS = Path(__file__).with_suffix('.json')
BIN = Path(sys.executable).parent
FAMILY = 'gth/pbe'
CUTOFF = 200.0
"""Of the wave functions, Ry; gaps, moments and differences between orderings do not need the absolute energies of the
semi-core electrons, which take 300 and more."""

SETTINGS = {
    'ecutwfc': CUTOFF,
    'ecutrho': 4 * CUTOFF,
    'meshes.PBE': '{spacing: 1.25}',
    'meshes.HSE06': '{spacing: 1.25}',
    'exchange': '{every: 1, ecutfock: 200}',
    'orderings.max_atoms': 4,
}
LEVELS = ('PBE', 'HSE06')

Records = dict[str, dict[str, list[dict[str, t.Any]]]]
"""Attributes of energies by compound and level."""


@dataclasses.dataclass(frozen=True)
class Compound:
    """A crystal, or the molecule O2 in a box.

    :param settings: further settings of its energies.
    :param options: further options of the command.
    :param magnetic: whether its ions have moments.
    :param moment: of the ion by neutrons, μB.
    :param gap: by spectroscopy or conduction, eV.
    :param published: moment (μB) and gap (eV) by level, of calculations by others.
    """

    structure: Structure
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    options: tuple[str, ...] = ()
    magnetic: bool = True
    moment: float | None = None
    gap: float | None = None
    published: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    @property
    def formula_unit(self) -> float:
        """Atoms in the reduced formula."""
        return float(self.structure.composition.reduced_composition.num_atoms)


def monoxide(metal: str, edge: float, moment: float, gap: float, **published: tuple[float, float]) -> Compound:
    """Return a rock-salt oxide, without magnetic order in its primitive cell."""
    cell = Lattice(edge / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
    structure = Structure(cell, [metal, 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    # On the mesh of the others PBE takes the order of type I of MnO for the lowest one.
    settings = {'meshes.PBE': '{spacing: 0.7}'} if metal == 'Mn' else {}
    return Compound(structure, settings=settings, moment=moment, gap=gap, published=published)


def layered(metal: str, a: float, c: float, height: float, **options: t.Any) -> Compound:
    """Return a layered oxide LiMO2, R-3m; ``height`` is that of oxygen above the metal in units of c."""
    cell = Lattice.hexagonal(a, c)
    sites = [[0, 0, 0], [0, 0, 0.5], [0, 0, height]]
    crystal = Structure.from_spacegroup('R-3m', cell, [metal, 'Li', 'O'], sites)
    return Compound(crystal.get_primitive_structure(), **options)


def of_metal(spacing: float) -> dict[str, str]:
    """Return the settings of an element: a denser mesh (1/Å), and exchange on every second point of it."""
    mesh = f'{{spacing: {spacing}}}'
    return {'meshes.PBE': mesh, 'meshes.HSE06': mesh, 'exchange': '{every: 2, ecutfock: 200}'}


MOLECULE = Structure(Lattice.orthorhombic(6.0, 6.0, 7.2), ['O', 'O'], [[0, 0, 0], [0, 0, 1.2075 / 7.2]])
GAMMA = '{spacing: 2.0}'

COMPOUNDS = {
    'MnO': monoxide('Mn', 4.445, 4.58, 3.9, PBE=(4.17, 0.89), HSE06=(4.36, 2.82)),
    'NiO': monoxide('Ni', 4.177, 1.90, 4.3, PBE=(1.38, 0.95), HSE06=(1.67, 4.28)),
    'FeO': monoxide('Fe', 4.332, 3.32, 2.4, PBE=(3.39, 0.0)),
    'CoO': monoxide('Co', 4.260, 3.35, 2.5, PBE=(2.43, 0.0)),
    # Orman and Wiseman, Acta Cryst. C 40, 12 (1984).
    'LiCoO2': layered('Co', 2.816, 14.054, 0.2605, magnetic=False),
    # Hirano et al., Solid State Ionics 78, 123 (1995).
    'LiNiO2': layered('Ni', 2.878, 14.19, 0.2586, options=('--moments', 'Ni=1')),
    'Li2O': Compound(
        Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.619), ['O', 'Li'], [[0] * 3, [0.25] * 3]), magnetic=False
    ),
    'O2': Compound(
        MOLECULE,
        settings={'meshes.PBE': GAMMA, 'meshes.HSE06': GAMMA},
        options=('--as-given', '--moments', 'O=1', '--orderings', '1'),
    ),
    'Li': Compound(
        Structure(Lattice.cubic(3.510), ['Li', 'Li'], [[0] * 3, [0.5] * 3]).get_primitive_structure(),
        settings=of_metal(0.45),
        magnetic=False,
    ),
    'Ni': Compound(
        Structure.from_spacegroup('Fm-3m', Lattice.cubic(3.524), ['Ni'], [[0] * 3]).get_primitive_structure(),
        settings=of_metal(0.8),
        options=('--moments', 'Ni=1', '--orderings', '1'),
    ),
}


class Reaction(t.NamedTuple):
    """A reaction of compounds.

    :param amounts: formula units of each, negative for what is used up.
    :param measured: enthalpy, eV.
    """

    amounts: dict[str, float]
    measured: float


KJ_MOL = 0.010364270
REACTIONS = {
    'CoO + Li2O/2 + O2/4 = LiCoO2': Reaction({'LiCoO2': 1, 'CoO': -1, 'Li2O': -0.5, 'O2': -0.25}, -142.54 * KJ_MOL),
    'NiO + Li2O/2 + O2/4 = LiNiO2': Reaction({'LiNiO2': 1, 'NiO': -1, 'Li2O': -0.5, 'O2': -0.25}, -56.21 * KJ_MOL),
    '2 Li + O2/2 = Li2O': Reaction({'Li2O': 1, 'Li': -2, 'O2': -0.5}, -598.7 * KJ_MOL),
    'Ni + O2/2 = NiO': Reaction({'NiO': 1, 'Ni': -1, 'O2': -0.5}, -239.7 * KJ_MOL),
}


class Runner:
    """The commands, in a profile of their own.

    :param folder: of the profile and of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.environment = {**os.environ, 'AIIDA_PATH': str(self.folder), 'OMP_NUM_THREADS': '1'}
        self.environment['PATH'] = f'{BIN}{os.pathsep}{os.environ["PATH"]}'

    def __call__(self, *command: str) -> str:
        """Run a command and return its standard output.

        :raises SystemExit: with its last lines, if it fails.
        """
        ended = subprocess.run(
            command, check=False, env=self.environment, cwd=self.folder, capture_output=True, text=True
        )
        if ended.returncode:
            last = '\n'.join((ended.stdout + ended.stderr).strip().splitlines()[-5:])
            raise SystemExit(f'{" ".join(command[:4])} … failed:\n{last}')
        return ended.stdout

    def prepare(self) -> None:
        """Make the profile, the code of pw.x and the family of pseudopotentials, unless they are there."""
        if (self.folder / 'ready').exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self('aiida-qagenai', 'setup')
        options = ['--label', 'pw', '--computer', 'localhost', '--default-calc-job-plugin', 'quantumespresso.pw']
        executable = str(shutil.which('pw.x'))
        self('verdi', 'code', 'create', 'core.code.installed', '-n', *options, '--filepath-executable', executable)
        elements = {element.symbol for each in COMPOUNDS.values() for element in each.structure.composition}
        self('aiida-qagenai', 'basis', 'upf', FAMILY, *sorted(elements))
        (self.folder / 'ready').touch()

    def energies(self, name: str, levels: Sequence[str]) -> dict[str, list[dict[str, t.Any]]]:
        """Compute the orderings of a compound, unless they are there, and return them by level.

        All of them are computed at PBE, above it those that are near the lowest one.
        """
        compound = COMPOUNDS[name]
        missing = [
            level
            for level in levels
            if not any(each['ordering'] or not compound.magnetic for each in self.stored(name, level))
        ]
        if missing:
            path = self.folder / f'{name}.cif'
            compound.structure.to(str(path))
            options = [text for level in missing for text in ('--level', level)]
            for key, value in {**SETTINGS, **compound.settings}.items():
                options += ['--set', f'{key}={value}']
            options += ['--engine', 'espresso', '--pseudos', FAMILY, '--no-references', '--label', name]
            options += ['--max-concurrent', '1']
            options += [*compound.options, '--magnetism', 'auto' if compound.magnetic else 'none']
            self('aiida-qagenai', 'energy', 'run', str(path), *options)
        return {level: self.stored(name, level) for level in levels}

    def stored(self, name: str, level: str) -> list[dict[str, t.Any]]:
        """Return some attributes of all energies of a compound at one level."""
        return t.cast('list[dict[str, t.Any]]', json.loads(self(sys.executable, __file__, '--read', name, level)))


ATTRIBUTES = (
    'ordering', 'magnetic_ordering', 'energy_per_atom', 'band_gap', 'site_moments', 'absolute_moment', 'core_hours',
    'level_tag',
)  # fmt: skip


def read(name: str, level: str) -> list[dict[str, t.Any]]:
    """Return some attributes of the energies of a compound that the profile holds, the lowest ordering among them.

    They are of one level of theory, that of the last energy: on another mesh they cannot be compared. Of one that was
    derived more than once, the last is returned.
    """
    from aiida import load_profile
    from aiida.orm import QueryBuilder

    from aiida_qagenai.data.energy import EnergyData

    load_profile()
    filters = {'attributes.formula': name, 'attributes.fidelity': level}
    query = QueryBuilder().append(EnergyData, filters=filters, project='attributes', tag='energy')
    found = [content for (content,) in query.order_by({'energy': 'id'}).all()]
    last = [each for each in found if each['level_tag'] == found[-1]['level_tag']]
    once = {(each.get('ordering'), each['total_energy']): each for each in last}
    return [{key: each.get(key) for key in ATTRIBUTES} for each in once.values()]


def lowest(rows: Sequence[dict[str, t.Any]]) -> dict[str, t.Any]:
    """Return the energy of a compound: that of its lowest ordering, or the only one."""
    return next((row for row in rows if row['ordering']), rows[0])


def others(rows: Sequence[dict[str, t.Any]], found: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return the antiferromagnetic orderings of a compound that are not the lowest one."""
    return [
        row
        for row in rows
        if row['magnetic_ordering'] == 'antiferromagnetic' and row['energy_per_atom'] > found['energy_per_atom'] + 1e-6
    ]


def report(name: str, level: str, rows: Sequence[dict[str, t.Any]]) -> None:
    """Print the figures of one compound at one level."""
    compound, where, found = COMPOUNDS[name], f'{name.lower()}-{level.lower()}', lowest(rows)
    if compound.moment is not None:
        by_order: dict[str, float] = {}
        for row in rows:
            order = row['magnetic_ordering']
            by_order[order] = min(row['energy_per_atom'], by_order.get(order, math.inf))
        is_right = float(found['magnetic_ordering'] == 'antiferromagnetic')
        figure(f'{where}-antiferromagnetic', is_right, '1', 'experiment', 1.0)
        if {'antiferromagnetic', 'ferromagnetic'} <= by_order.keys():
            splitting = 2000 * (by_order['ferromagnetic'] - by_order['antiferromagnetic'])
            figure(f'{where}-ferromagnetic-above', splitting, 'meV/f.u.')
        moment = max(abs(each) for each in found['site_moments'])
        figure(f'{where}-moment', moment, 'μB', 'experiment', compound.moment)
        figure(f'{where}-gap', found['band_gap'], 'eV', 'experiment', compound.gap)
        if level in compound.published:
            published = compound.published[level]
            figure(f'{where}-moment-published', moment, 'μB', 'the same functional, published', published[0])
            figure(f'{where}-gap-published', found['band_gap'], 'eV', 'the same functional, published', published[1])
        for row in others(rows, found):
            above = compound.formula_unit * 1000 * (row['energy_per_atom'] - found['energy_per_atom'])
            figure(f'{where}-other-above', above, 'meV/f.u.')
            figure(f'{where}-other-moment', max(abs(each) for each in row['site_moments']), 'μB')
            figure(f'{where}-other-gap', row['band_gap'], 'eV')
    figure(f'{where}-core-hours', found['core_hours'], 'h')


def report_reactions(found: Records) -> None:
    """Print the energies of reactions whose compounds are all there, and how D goes with the error of PBE."""
    divergences: dict[int, tuple[float, float]] = {}
    for number, (equation, reaction) in enumerate(REACTIONS.items(), start=1):
        energies = {}
        for level in LEVELS:
            if all(level in found.get(name, {}) for name in reaction.amounts):
                energies[level] = sum(
                    amount * COMPOUNDS[name].formula_unit * lowest(found[name][level])['energy_per_atom']
                    for name, amount in reaction.amounts.items()
                )
                name = f'reaction-{number}-{level.lower()}'
                figure(name, energies[level], 'eV', f'experiment, {equation}', reaction.measured)
        if energies.keys() == set(LEVELS):
            divergences[number] = energies['PBE'] - energies['HSE06'], energies['PBE'] - reaction.measured
    for number, (divergence, error) in divergences.items():
        figure(f'reaction-{number}-divergence', divergence, 'eV', 'error of PBE', error)


def compute(arguments: argparse.Namespace) -> Records:
    """Return what was found of each compound and level."""
    if shutil.which('pw.x') is None:
        raise SystemExit('this benchmark needs pw.x: apt-get install quantum-espresso; or --quick')
    run = Runner(arguments.work)
    run.prepare()
    found = stored()
    for name in arguments.only:
        found.setdefault(name, {}).update(run.energies(name, arguments.levels))
        for level in arguments.levels:
            report(name, level, found[name][level])
        if arguments.store:
            RECORDS.write_text(json.dumps(found, indent=1) + '\n')
    return found


def stored() -> Records:
    """Return the stored results."""
    return t.cast(Records, json.loads(RECORDS.read_text())) if RECORDS.exists() else {}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='read all figures from the records')
    parser.add_argument('--work', type=Path, default=Path('correlated'), help='folder of the profile')
    parser.add_argument('--only', nargs='+', choices=COMPOUNDS, default=list(COMPOUNDS), help='some compounds')
    parser.add_argument('--levels', nargs='+', choices=LEVELS, default=LEVELS, help='some levels')
    parser.add_argument('--store', action='store_true', help='write the records')
    parser.add_argument('--read', nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(read(*arguments.read)))
        return
    if arguments.quick:
        if not stored():
            parser.error('there are no records yet: run with --store, which takes hours')
        print('all figures are read from the records', file=sys.stderr)
        for name, levels in stored().items():
            for level, rows in levels.items():
                report(name, level, rows)
        report_reactions(stored())
        return
    report_reactions(compute(arguments))


if __name__ == '__main__':
    main()

"""Antiferromagnetic oxides: magnetic ground states, moments and gaps at PBE and HSE06, beside experiment.

    python benchmarks/correlated.py --work DIR [--only MnO NiO] [--levels PBE HSE06] [--store]
    python benchmarks/correlated.py --quick

The commands that users have compute every ordering of a rock-salt oxide with up to four atoms by pw.x, with the
pseudopotentials gth-pbe of PySCF (`aiida-qagenai basis upf`): those of the other engine.
`--work` holds the profile, in which nothing is computed twice: a run that was cut goes on. `--store` writes what was
found to `correlated.json`, from which `--quick` prints it. pw.x comes with Debian's package quantum-espresso.

Experiments: moments of Cheetham and Hope, Phys. Rev. B 27, 6964 (1983) (MnO, NiO), of Roth, Phys. Rev. 110, 1333 (1958)
(FeO) and of Khan and Erickson, Phys. Rev. B 1, 2243 (1970) (CoO); gaps of van Elp et al., Phys. Rev. B 44, 1530 (MnO)
and 6090 (CoO) (1991), of Sawatzky and Allen, Phys. Rev. Lett. 53, 2339 (1984) (NiO) and of Bowen, Adler and Auker, J.
Solid State Chem. 12, 355 (1975) (FeO), all recalled; the magnetic order of all four is that of the second kind.
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
from collections.abc import Sequence
from pathlib import Path

from figures import figure

RECORDS = Path(__file__).with_suffix('.json')
BIN = Path(sys.executable).parent
FAMILY = 'gth/pbe'
CUTOFF = 200.0
"""Of the wave functions, Ry; gaps, moments and differences between orderings do not need the absolute energies of the
semi-core electrons, which take 300 and more."""

SETTINGS = {
    'ecutwfc': CUTOFF,
    'ecutrho': 4 * CUTOFF,
    'meshes.PBE': '{spacing: 0.7}',
    'meshes.HSE06': '{spacing: 1.25}',
    'exchange': '{every: 1, ecutfock: 200}',
    'orderings.max_atoms': 4,
}
LEVELS = ('PBE', 'HSE06')

Records = dict[str, dict[str, list[dict[str, t.Any]]]]
"""Attributes of energies by compound and level."""


@dataclasses.dataclass(frozen=True)
class Oxide:
    """A rock-salt oxide.

    :param lattice: edge of the cubic cell, Å.
    :param moment: of the ion by neutrons, μB.
    :param gap: by spectroscopy or conduction, eV.
    """

    metal: str
    lattice: float
    moment: float
    gap: float

    @property
    def cif(self) -> str:
        """The primitive cell, without magnetic order, as CIF."""
        from pymatgen.core import Lattice, Structure
        from pymatgen.io.cif import CifWriter

        half = self.lattice / 2
        cell = Lattice([[0, half, half], [half, 0, half], [half, half, 0]])
        return str(CifWriter(Structure(cell, [self.metal, 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]])))


OXIDES = {
    'MnO': Oxide('Mn', 4.445, 4.58, 3.9),
    'NiO': Oxide('Ni', 4.177, 1.90, 4.3),
    'FeO': Oxide('Fe', 4.332, 3.32, 2.4),
    'CoO': Oxide('Co', 4.260, 3.35, 2.5),
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
        metals = (oxide.metal for oxide in OXIDES.values())
        self('aiida-qagenai', 'basis', 'upf', FAMILY, 'O', *metals)
        (self.folder / 'ready').touch()

    def energies(self, name: str, level: str) -> list[dict[str, t.Any]]:
        """Compute the orderings of a compound at one level, unless they are there, and return them."""
        found = self.stored(name, level)
        if not any(each['ordering'] for each in found):
            path = self.folder / f'{name}.cif'
            path.write_text(OXIDES[name].cif)
            options = [text for key, value in SETTINGS.items() for text in ('--set', f'{key}={value}')]
            options += ['--engine', 'espresso', '--pseudos', FAMILY, '--magnetism', 'auto', '--no-references']
            self('aiida-qagenai', 'energy', 'run', str(path), '--level', level, *options, '--label', f'{name}-{level}')
            found = self.stored(name, level)
        return found

    def stored(self, name: str, level: str) -> list[dict[str, t.Any]]:
        """Return some attributes of all energies of a compound at one level."""
        return t.cast('list[dict[str, t.Any]]', json.loads(self(sys.executable, __file__, '--read', name, level)))


ATTRIBUTES = (
    'ordering', 'magnetic_ordering', 'energy_per_atom', 'band_gap', 'site_moments', 'absolute_moment', 'core_hours',
)  # fmt: skip


def read(name: str, level: str) -> list[dict[str, t.Any]]:
    """Return some attributes of the energies of a compound that the profile holds, the lowest ordering among them."""
    from aiida import load_profile
    from aiida.orm import QueryBuilder

    from aiida_qagenai.data.energy import EnergyData

    load_profile()
    filters = {'attributes.formula': name, 'attributes.fidelity': level}
    query = QueryBuilder().append(EnergyData, filters=filters, project='attributes')
    return [{key: content.get(key) for key in ATTRIBUTES} for (content,) in query.all()]


def report(name: str, level: str, rows: Sequence[dict[str, t.Any]]) -> None:
    """Print the figures of one compound at one level."""
    oxide, where = OXIDES[name], f'{name.lower()}-{level.lower()}'
    lowest = next(row for row in rows if row['ordering'])
    by_order: dict[str, float] = {}
    for row in rows:
        order = row['magnetic_ordering']
        by_order[order] = min(row['energy_per_atom'], by_order.get(order, math.inf))
    is_right = float(lowest['magnetic_ordering'] == 'antiferromagnetic')
    figure(f'{where}-antiferromagnetic', is_right, '1', 'experiment', 1.0)
    if {'antiferromagnetic', 'ferromagnetic'} <= by_order.keys():
        splitting = 2000 * (by_order['ferromagnetic'] - by_order['antiferromagnetic'])
        figure(f'{where}-ferromagnetic-above', splitting, 'meV/f.u.')
    figure(f'{where}-moment', max(abs(each) for each in lowest['site_moments']), 'μB', 'experiment', oxide.moment)
    figure(f'{where}-gap', lowest['band_gap'], 'eV', 'experiment', oxide.gap)
    figure(f'{where}-core-hours', lowest['core_hours'], 'h')


def compute(arguments: argparse.Namespace) -> Records:
    """Return what was found of each compound and level."""
    if shutil.which('pw.x') is None:
        raise SystemExit('this benchmark needs pw.x: apt-get install quantum-espresso; or --quick')
    run = Runner(arguments.work)
    run.prepare()
    found = stored()
    for level in arguments.levels:
        for name in arguments.only:
            found.setdefault(name, {})[level] = run.energies(name, level)
            report(name, level, found[name][level])
    return found


def stored() -> Records:
    """Return the stored results."""
    return t.cast(Records, json.loads(RECORDS.read_text())) if RECORDS.exists() else {}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='read all figures from the records')
    parser.add_argument('--work', type=Path, default=Path('correlated'), help='folder of the profile')
    parser.add_argument('--only', nargs='+', choices=OXIDES, default=list(OXIDES), help='some compounds')
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
        return
    found = compute(arguments)
    if arguments.store:
        RECORDS.write_text(json.dumps(found, indent=1) + '\n')


if __name__ == '__main__':
    main()

"""Relaxations at PBE against published lattice constants, energies by finite differences, and each other.

    python benchmarks/relaxation.py [--quick] [--pseudos FOLDER] [--other-python PYTHON]

One figure per line of JSON. Silicon, and without ``--quick`` diamond, by pw.x with the pseudopotentials of Debian's
``quantum-espresso-data``, which are those of the examples of Quantum ESPRESSO and no family for production; the forces
of PySCF against central differences of its energies; the bond of H2 in a cube of 4 Å by both engines. With
``--other-python``, the Python of a PySCF of at least 2.14, also its pressure against central differences.

Published: lattice constants at PBE by all-electron calculations, Haas, Tran & Blaha, Phys. Rev. B 79, 085104 (2009);
Raman frequency of silicon at room temperature, 520 1/cm.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import numpy as np
from figures import figure
from provenance import temporary_profile

from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf.script import write_script
from aiida_qagenai.common.units import EV_PER_A3_TO_GPA

FILES = {'Si': 'Si.pbe-rrkj.UPF', 'C': 'C.pbe-rrkjus.UPF', 'H': 'H.pbe-kjpaw.UPF'}
LATTICES = {'Si': (5.30, 5.475, 24.0, 96.0), 'C': (3.70, 3.575, 30.0, 240.0)}
"""Element → starting and published lattice constant (Å), cutoffs of orbitals and density (Ry)."""
RAMAN = 15.59
"""THz."""
MOLECULE = {
    'fidelity': 'PBE',
    'basis': 'gth-tzv2p',
    'pseudo': 'gth-pbe',
    'kmesh': [1, 1, 1],
    'grid_mesh': [45, 45, 45],
    'precision': 1e-8,
    'scf': {'conv_tol': 1e-10},
}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='silicon and the forces only')
    parser.add_argument('--pseudos', type=Path, default=Path('/usr/share/espresso/pseudo'), help='folder of UPF files')
    parser.add_argument('--other-python', help='Python with PySCF >= 2.14, for the pressure')
    arguments = parser.parse_args()
    force_error(sys.executable)
    if arguments.other_python:
        pressure_error(arguments.other_python)
    if shutil.which('pw.x') is None or not arguments.pseudos.is_dir():
        print('pw.x or its pseudopotentials are missing: run .ci/espresso', file=sys.stderr)
        return
    with temporary_profile():
        codes = make_codes()
        family = install_family(arguments.pseudos)
        lattice(codes['espresso'], family, 'Si', kpoints_distance=0.3 if arguments.quick else 0.15)
        if not arguments.quick:
            lattice(codes['espresso'], family, 'C', kpoints_distance=0.2)
            bond_of_both(codes, family)


def run_script(python: str, bond: float = 0.8, scale: float = 1.0) -> dict[str, t.Any]:
    """Return the results of PySCF for H2 in a cube of 4 Å; everything, the bond too, is scaled."""
    cell, sites = np.eye(3) * 4.0 * scale, [('H', (0.0, 0.0, 0.0)), ('H', (0.1 * scale, 0.0, bond * scale))]
    parameters = PyscfCellParameters.parse({**MOLECULE, 'forces': True})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'script.py'
        path.write_text(write_script(parameters, cell.tolist(), sites), encoding='utf-8')
        subprocess.run(
            [python, path.name], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        results: dict[str, t.Any] = json.loads((Path(folder) / 'results.json').read_text(encoding='utf-8'))
    return results


def force_error(python: str) -> None:
    """Print the force on one atom of H2 beside the central difference of the energy."""
    step = 0.002
    force = run_script(python)['forces'][1][2]
    above, below = (run_script(python, bond=0.8 + sign * step)['total_energy'] for sign in (1, -1))
    figure('force-H2-pyscf', force, 'eV/Å', 'central difference of the energy', -(above - below) / (2 * step))


def pressure_error(python: str) -> None:
    """Print the pressure of H2 in a cube beside the central difference of the energy."""
    scales = (1.001, 0.999)
    pressure = run_script(python)['pressure']
    above, below = (run_script(python, scale=scale)['total_energy'] for scale in scales)
    volumes = [(4.0 * scale) ** 3 for scale in scales]
    expected = -(above - below) / (volumes[0] - volumes[1]) * EV_PER_A3_TO_GPA
    figure('pressure-H2-pyscf', pressure, 'GPa', 'central difference of the energy', expected)


def make_codes() -> dict[str, t.Any]:
    """Return codes of both engines on this machine."""
    from aiida import orm

    folder = tempfile.mkdtemp()
    computer = orm.Computer('here', 'localhost', '', 'core.local', 'core.direct', folder).store()
    computer.configure(safe_interval=0, use_login_shell=False)
    computer.set_minimum_job_poll_interval(0)
    programs = {
        'pyscf': (sys.executable, 'qagenai.pyscf_cell'),
        'espresso': (shutil.which('pw.x'), 'quantumespresso.pw'),
    }
    return {
        name: orm.InstalledCode(
            label=name,
            computer=computer,
            filepath_executable=path,
            default_calc_job_plugin=plugin,
            prepend_text='export OMP_NUM_THREADS=1',
        ).store()
        for name, (path, plugin) in programs.items()
    }


def install_family(folder: Path) -> str:
    """Return the label of a family of the UPF files used here."""
    from aiida_pseudo.data.pseudo import UpfData
    from aiida_pseudo.groups.family import PseudoPotentialFamily

    with tempfile.TemporaryDirectory() as copies:
        for name in FILES.values():
            shutil.copy(folder / name, copies)
        PseudoPotentialFamily.create_from_folder(Path(copies), 'debian', pseudo_type=UpfData)
    return 'debian'


def relax(code: t.Any, structure: t.Any, engine: str, overrides: dict[str, t.Any], **arguments: t.Any) -> t.Any:
    """Return the outputs of one relaxation."""
    from aiida.engine import run_get_node

    from aiida_qagenai.workchains.relaxation.pbe_relax import PbeRelaxWorkChain

    builder = PbeRelaxWorkChain.get_builder_from_protocol(
        code, structure, 'moderate', engine=engine, overrides=overrides, **arguments
    )
    outputs, node = run_get_node(builder)
    if not node.is_finished_ok:
        sys.exit(f'the relaxation failed: {node.exit_message}')
    return outputs


def lattice(code: t.Any, family: str, symbol: str, kpoints_distance: float) -> None:
    """Print the lattice constant, and for silicon the phonon at Γ, from a strained start with an atom off its site."""
    from aiida.orm import StructureData

    start, published, ecutwfc, ecutrho = LATTICES[symbol]
    half = start / 2
    structure = StructureData(cell=[[0, half, half], [half, 0, half], [half, half, 0]])
    structure.append_atom(symbols=symbol, position=(0, 0, 0))
    structure.append_atom(symbols=symbol, position=(half / 2 + 0.03, half / 2, half / 2))
    espresso = {'pseudo_family': family, 'ecutwfc': ecutwfc, 'ecutrho': ecutrho, 'kpoints_distance': kpoints_distance}
    outputs = relax(code, structure, 'espresso', {'espresso': espresso}, check_phonons=symbol == 'Si')
    edge = (4 * outputs['relaxed'].get_cell_volume()) ** (1 / 3)
    figure(f'relaxed-lattice-{symbol}-espresso', edge, 'Å', 'all-electron PBE, Haas et al. (2009)', published)
    if 'phonons' in outputs:
        lowest = outputs['phonons']['min_frequency_gamma']
        figure(f'phonon-gamma-{symbol}-espresso', lowest, 'THz', 'Raman line at room temperature', RAMAN)


def bond_of_both(codes: dict[str, t.Any], family: str) -> None:
    """Print the bond of H2 in a cube by PySCF beside that by pw.x."""
    from aiida.orm import StructureData

    structure = StructureData(cell=(np.eye(3) * 4.0).tolist())
    for z in (0.0, 0.85):
        structure.append_atom(symbols='H', position=(0, 0, z))
    espresso = {'pseudo_family': family, 'ecutwfc': 46, 'ecutrho': 250, 'kpoints_distance': 2.0}
    basis = {
        'basis': 'gth-tzv2p',
        'basis_sizes': {'H': {'functions': 9, 'valence': 1}},
        'meshes': {'PBE': {'spacing': None, 'fixed': [1, 1, 1]}},
        'smearing': None,
    }
    bonds = {}
    for engine, overrides in (('espresso', {'espresso': espresso}), ('pyscf', {'pyscf': {'energy': basis}})):
        outputs = relax(codes[engine], structure, engine, {'freedom': 'atoms', **overrides})
        bonds[engine] = math.dist(*(site.position for site in outputs['relaxed'].sites))
    figure('bond-H2-pyscf', bonds['pyscf'], 'Å', 'pw.x in the same cell', bonds['espresso'])


if __name__ == '__main__':
    main()

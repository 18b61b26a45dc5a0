"""Single points by PySCF and by pw.x: one crystal by both, and magnetic crystals by pw.x beside published values.

    python benchmarks/engines.py [--quick] [--only PART...] [--pseudos FOLDER]

One figure per line of JSON. Silicon with the same pseudopotential (`gth-pbe`, converted to UPF) by both engines on the
same displaced 2×2×2 mesh: the energy of compression, whose difference is the error of the Gaussian basis. Without
``--quick`` also antiferromagnetic NiO at PBE and at PBE with U by pw.x, and body-centred iron, with the
pseudopotentials of Debian's ``quantum-espresso-data``, which are those of the examples of Quantum ESPRESSO and no
family for production: half an hour of one core.

Published: U of 5 eV reproduces the moment and the optical properties of NiO, Bengone et al., Phys. Rev. B 62, 16392
(2000). Its moment by neutrons is 1.64 (Alperin 1962) to 1.90 (Cheetham and Hope, Phys. Rev. B 27, 6964 (1983)) and its
gap 4.3 eV (Sawatzky and Allen, Phys. Rev. Lett. 53, 2339 (1984)). Iron has 2.2 at PBE with all electrons.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import typing as t
from pathlib import Path

import numpy as np
from figures import figure
from provenance import temporary_profile
from relaxation import make_codes

PARTS = ('compression', 'nickel', 'iron')
FAMILY = 'examples'
KMESH = {'fixed': [2, 2, 2], 'spacing': None, 'shift': [0.5, 0.5, 0.5]}
COMPRESSED, EXPERIMENTAL = 5.23, 5.43
"""Lattice constants of silicon, Å."""

GAUSSIANS = ('gth-szv', 'gth-dzvp')
"""Bases of PySCF for silicon, from small to large; gth-tzv2p is linearly dependent in the crystal."""

UPF_FILES = ('Ni.pbe-nd-rrkjus.UPF', 'O.pbe-rrkjus.UPF', 'Fe.pbe-spn-rrkjus_psl.0.2.1.UPF')
HUBBARD = {'Ni': {'U': 5.0, 'source': 'Bengone et al., Phys. Rev. B 62, 16392 (2000)'}}
MAGNETIC = {'ecutwfc': 45, 'ecutrho': 360, 'degauss': 0.005, 'scf': {'conv_thr_per_atom': 1e-8}}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='the compression of silicon only')
    parser.add_argument('--only', nargs='+', choices=PARTS, default=list(PARTS), help='some of the parts')
    parser.add_argument('--pseudos', type=Path, default=Path('/usr/share/espresso/pseudo'), help='folder of UPF files')
    arguments = parser.parse_args()
    if shutil.which('pw.x') is None or not arguments.pseudos.is_dir():
        print('pw.x or its pseudopotentials are missing: run .ci/espresso', file=sys.stderr)
        raise SystemExit(2)
    wanted = set(arguments.only) & ({'compression'} if arguments.quick else set(PARTS))
    with temporary_profile():
        codes = make_codes()
        if 'compression' in wanted:
            compression(codes, GAUSSIANS[:1] if arguments.quick else GAUSSIANS)
        if wanted & {'nickel', 'iron'}:
            install_files(arguments.pseudos)
        if 'nickel' in wanted:
            nickel_oxide(codes['espresso'])
        if 'iron' in wanted:
            iron(codes['espresso'])


def energy(code: t.Any, structure: t.Any, fidelity: str = 'PBE', **arguments: t.Any) -> t.Any:
    """Return what is known of an energy.

    :raises SystemExit: if it fails.
    """
    from aiida.engine import run_get_node

    from aiida_qagenai.workchains.energy.energy import EnergyWorkChain

    builder = EnergyWorkChain.get_builder_from_protocol(code, structure, fidelity, 'pipeline', **arguments)
    outputs, node = run_get_node(builder)
    if not node.is_finished_ok:
        raise SystemExit(f'{structure.get_formula()} at {fidelity}: {node.exit_message}')
    return outputs['energy'].content


def crystal(symbols: t.Sequence[str], fractions: t.Sequence[t.Sequence[float]], cell: t.Any) -> t.Any:
    """Return a structure."""
    from aiida.orm import StructureData

    structure = StructureData(cell=np.array(cell).tolist())
    for symbol, position in zip(symbols, np.array(fractions) @ np.array(cell), strict=True):
        structure.append_atom(symbols=symbol, position=position.tolist())
    return structure


def silicon(lattice: float) -> t.Any:
    """Return silicon."""
    cell = lattice / 2 * (np.ones((3, 3)) - np.eye(3))
    return crystal(['Si', 'Si'], [[0, 0, 0], [0.25, 0.25, 0.25]], cell)


def by_pyscf(basis: str, fidelity: str = 'PBE') -> dict[str, t.Any]:
    """Return arguments of the energy of silicon by PySCF."""
    overrides = {
        'basis': basis,
        'meshes': {fidelity: KMESH},
        'grid_spacing': 0.12,
        'precision': 1e-9,
        'smearing': None,
        'scf': {'conv_tol': 1e-8},
    }
    return {'overrides': overrides}


def by_pw(fidelity: str = 'PBE') -> dict[str, t.Any]:
    """Return arguments of the energy of silicon by pw.x, with the pseudopotential of PySCF."""
    from aiida_qagenai.calculations.espresso.gth import install_gth_family
    from aiida_qagenai.calculations.espresso.pseudos import load_family
    from aiida_qagenai.common.errors import InvalidInputError

    try:
        load_family('gth/pbe')
    except InvalidInputError:
        install_gth_family('gth/pbe', ['Si'])
    numerics = {'degauss': 0.001, 'scf': {'conv_thr_per_atom': 1e-9}, 'exchange': {'every': 1}}
    return {
        'engine': 'espresso',
        'pseudos': 'gth/pbe',
        'overrides': {'meshes': {fidelity: KMESH}, **numerics},
    }


def compression(codes: dict[str, t.Any], bases: t.Sequence[str]) -> None:
    """Print the energy of compression of silicon by both engines, eV/atom."""

    def difference(code: t.Any, arguments: dict[str, t.Any]) -> float:
        small, large = (energy(code, silicon(a), **arguments) for a in (COMPRESSED, EXPERIMENTAL))
        return float(small.energy_per_atom - large.energy_per_atom)

    plane_waves = difference(codes['espresso'], by_pw())
    for basis in bases:
        gaussians = difference(codes['pyscf'], by_pyscf(basis))
        name = f'compression-Si-{COMPRESSED}-{EXPERIMENTAL}-{basis}-pyscf'
        figure(name, gaussians, 'eV/atom', 'pw.x with the same pseudopotential', plane_waves)
        figure(f'{name}-error', 1000 * (gaussians - plane_waves), 'meV/atom', 'pw.x with the same pseudopotential', 0.0)


def install_files(folder: Path) -> None:
    """Store a family of the UPF files of magnetic crystals."""
    from aiida_pseudo.data.pseudo import UpfData
    from aiida_pseudo.groups.family import PseudoPotentialFamily

    with tempfile.TemporaryDirectory() as copy:
        for name in UPF_FILES:
            shutil.copy(folder / name, copy)
        PseudoPotentialFamily.create_from_folder(Path(copy), FAMILY, pseudo_type=UpfData)


def nickel_oxide(code: t.Any) -> None:
    """Print moment and gap of NiO at PBE and at PBE with U, and what the ferromagnetic ordering lies above."""
    cell = 4.17 * np.array([[1.0, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 1.0]])
    fractions = [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]
    structure = crystal(['Ni', 'Ni', 'O', 'O'], fractions, cell)
    for name, hubbard in (('PBE', {}), ('PBE+U', HUBBARD)):
        overrides = {**MAGNETIC, 'meshes': {'PBE': {'fixed': [4, 4, 4], 'spacing': None}}, 'hubbard': hubbard}
        common = {'engine': 'espresso', 'pseudos': FAMILY, 'overrides': overrides}
        antiparallel = energy(code, structure, moments=[2.0, -2.0, 0.0, 0.0], **common)
        parallel = energy(code, structure, moments=[2.0, 2.0, 0.0, 0.0], **common)
        figure(f'moment-NiO-{name}', antiparallel.site_moments[0], 'μB', 'neutrons, 1.64 to 1.90', 1.77)
        figure(f'gap-NiO-{name}', antiparallel.band_gap, 'eV', 'photoemission and its inverse', 4.3)
        above = 1000 * (parallel.energy_per_atom - antiparallel.energy_per_atom)
        figure(f'ferromagnetic-minus-antiferromagnetic-NiO-{name}', above, 'meV/atom')
        figure(f'core-hours-NiO-{name}', antiparallel.core_hours, 'h')


def iron(code: t.Any) -> None:
    """Print the moment of body-centred iron at PBE."""
    structure = crystal(['Fe'], [[0, 0, 0]], 2.87 / 2 * (np.ones((3, 3)) - 2 * np.eye(3)))
    overrides = {
        **MAGNETIC,
        'ecutwfc': 60,
        'ecutrho': 600,
        'degauss': 0.02,
        'meshes': {'PBE': {'fixed': [10, 10, 10], 'spacing': None}},
    }
    found = energy(code, structure, engine='espresso', pseudos=FAMILY, overrides=overrides, moments=[3.0])
    figure('moment-Fe-PBE', found.total_moment, 'μB', 'PBE, all electrons', 2.2)


if __name__ == '__main__':
    main()

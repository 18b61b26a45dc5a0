"""Quantum descriptors of the orbitals of pw.x, beside other programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pw_runs import PSEUDOS, needs_espresso

from aiida_qagenai.calculations.espresso import wave_functions
from aiida_qagenai.calculations.espresso.gth import gth_parameters, gth_to_upf
from aiida_qagenai.common.descriptors import EXTRA_FIELDS, FIELDS

pytestmark = needs_espresso

INPUT = """&control
 calculation='scf', outdir='out', prefix='aiida', pseudo_dir='.'
/
&system
 ibrav=0, nat=2, ntyp={kinds}, ecutwfc={cutoff}, ecutrho={density}, input_dft='PBE', {more}
/
&electrons
 conv_thr=1e-9
/
ATOMIC_SPECIES
{species}
CELL_PARAMETERS angstrom
0 {half} {half}
{half} 0 {half}
{half} {half} 0
ATOMIC_POSITIONS crystal
{first} 0 0 0
{second} {place} {place} {place}
K_POINTS automatic
{mesh}
"""


def run_pw(
    folder: Path, more: str, mesh: str = '2 2 2 0 0 0', pseudo: str | None = None, grid: str = '24 24 24'
) -> Path:
    """Run pw.x of silicon and return the folder that it leaves.

    :param more: variables of the system.
    :param pseudo: file of Debian's package; that of Goedecker, Teter and Hutter by default.
    :param grid: points along each axis.
    """
    folder.mkdir(parents=True)
    text = (PSEUDOS / pseudo).read_text() if pseudo else gth_to_upf('Si', gth_parameters('gth-pbe', 'Si'))
    (folder / 'Si.upf').write_text(text)
    values = {'kinds': 1, 'species': 'Si 28.08 Si.upf', 'first': 'Si', 'second': 'Si', 'half': 2.715, 'place': 0.25}
    more = f'{more}, ' + ', '.join(f'nr{axis}={count}' for axis, count in enumerate(grid.split(), start=1))
    content = INPUT.format(**values, cutoff=14, density=56, more=more, mesh=mesh)
    (folder / 'pw.in').write_text(content)
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    subprocess.run(['pw.x', '-in', 'pw.in'], cwd=folder, check=True, capture_output=True, env=environment)
    return folder / 'out' / 'aiida.save'


def describe(folder: Path) -> dict:
    """Return what the script writes about silicon."""
    inputs = {
        'folder': str(folder),
        'symbols': ['Si', 'Si'],
        'positions': [[0, 0, 0], [2.5653] * 3],
        'valence': {'Si': 4},
        'basis': 'gth-szv-molopt-sr',
    }
    (folder / 'inputs.json').write_text(json.dumps(inputs))
    wave_functions.main(str(folder / 'inputs.json'), str(folder / 'results.json'))
    return json.loads((folder / 'results.json').read_text())


@pytest.fixture(scope='module')
def silicon(tmp_path_factory):
    """Return the folder of pw.x, which used the symmetry of the crystal, and its descriptors."""
    folder = run_pw(tmp_path_factory.mktemp('silicon') / 'run', "occupations='fixed', nbnd=8")
    return folder, describe(folder)['descriptors']


def test_all_descriptors_of_silicon(silicon):
    _, found = silicon
    assert set(FIELDS) <= set(found) <= {*FIELDS, *EXTRA_FIELDS}
    assert sum(found[f'elf_{index}'] for index in range(10)) == pytest.approx(1)
    assert 0.5 < found['band_gap'] < 1.5
    # Two electrons of four are in s of the free atom, less in the crystal.
    assert 0.25 < found['dos_s_fraction'] < 0.45
    assert found['dos_s_mean'] < found['dos_mean'] < found['dos_p_mean'] < 0
    assert 0 < found['chi0_q_min'] < found['chi0_q_max']


def test_the_localisation_is_that_of_pp(silicon, tmp_path):
    """The program pp.x of Quantum ESPRESSO writes ELF on the same grid."""
    folder, found = silicon
    lines = ["&inputpp prefix='aiida', outdir='.', filplot='elf', plot_num=8 /"]
    lines.append("&plot iflag=3, output_format=6, fileout='elf.cube' /")
    shutil.copytree(folder, tmp_path / 'aiida.save')
    (tmp_path / 'pp.in').write_text('\n'.join(lines).replace(', ', '\n').replace(' /', '\n/') + '\n')
    subprocess.run(['pp.x', '-in', 'pp.in'], cwd=tmp_path, check=True, capture_output=True)
    rows = (tmp_path / 'elf.cube').read_text().splitlines()
    values = np.array(' '.join(rows[8:]).split(), dtype=float)
    histogram = np.histogram(values, bins=10, range=(0, 1))[0] / values.size
    assert [found[f'elf_{index}'] for index in range(10)] == pytest.approx(histogram.tolist(), abs=1e-3)


@pytest.mark.parametrize('mesh', ['2 2 2 0 0 0', '3 3 3 0 0 0'])
def test_symmetry_does_not_change_the_descriptors(tmp_path, mesh):
    with_it, without = (
        describe(run_pw(tmp_path / name, f"occupations='fixed', nbnd=8, nosym={name}", mesh))['descriptors']
        for name in ('.false.', '.true.')
    )
    scale = {name: 0.02 if name.startswith('elf') else 1e-3 for name in with_it}
    assert set(with_it) == set(without)
    for name, value in with_it.items():
        assert value == pytest.approx(without[name], rel=5e-3, abs=scale[name]), name


def test_a_grid_that_symmetry_does_not_map_to_itself(silicon, tmp_path):
    """A rotation takes points of it to places between points: pw.x symmetrises plane waves."""
    _, cubic = silicon
    found = describe(run_pw(tmp_path / 'run', "occupations='fixed', nbnd=8", grid='24 20 27'))
    assert found['status'] == 'finished', found['message']
    for name, value in found['descriptors'].items():
        assert value == pytest.approx(cubic[name], rel=5e-3, abs=0.02 if name.startswith('elf') else 1e-3), name


def test_a_displaced_mesh_is_completed_by_symmetry(tmp_path):
    """It has not the symmetry of the crystal, so that pw.x without it would have another density."""
    found = describe(run_pw(tmp_path / 'run', "occupations='fixed', nbnd=8", '2 2 2 1 1 1'))
    assert found['status'] == 'finished'
    assert min(found['descriptors']['chi0_q_min'], found['descriptors']['chi0_q_max']) > 0


def test_two_spin_densities_without_a_moment_are_one(silicon, tmp_path):
    _, alone = silicon
    more = "occupations='smearing', smearing='cold', degauss=0.002, nbnd=8, nspin=2, starting_magnetization(1)=0.1"
    found = describe(run_pw(tmp_path / 'spin', more))['descriptors']
    for name, value in alone.items():
        assert found[name] == pytest.approx(value, rel=1e-2, abs=2e-3), name


def test_what_cannot_be_read_is_said(silicon, tmp_path):
    folder = tmp_path / 'aiida.save'
    shutil.copytree(silicon[0], folder)
    (folder / 'wfc2.dat').unlink()
    found = describe(folder)
    assert (found['status'], found['message'][:33]) == ('unreadable', 'pw.x has left no wfc2.dat: it has')
    (folder / 'data-file-schema.xml').unlink()
    assert describe(folder)['message'] == 'pw.x has left no data-file-schema.xml'


def test_orbitals_that_lack_a_part_of_the_density_are_refused(tmp_path):
    """Ultrasoft pseudopotentials add charge to that of the orbitals."""
    folder = run_pw(tmp_path / 'soft', "occupations='fixed', nbnd=8", pseudo='Si.pbe-nl-rrkjus_psl.1.0.0.UPF')
    assert describe(folder)['message'] == 'the orbitals of pw.x do not give its density: only norm-conserving ones do'

"""Energies from the command line: computed by PySCF on the daemon, shown, planned, and refused before anything runs."""

from __future__ import annotations

import csv
import io
import json

import pytest
from aiida.orm import ProcessNode, QueryBuilder, StructureData, WorkChainNode
from ase import Atoms
from ase.build import bulk
from pw_runs import needs_espresso

CUBE = 3.0
GAMMA = 'meshes={PBE: {fixed: [1, 1, 1]}, HF: {fixed: [1, 1, 1]}, CCSD(T): {fixed: [1, 1, 1]}}'
"""One k-point: seconds per energy."""


@pytest.fixture
def hydrogen(tmp_path):
    """Return a file with a crystal of H2 molecules."""
    file = tmp_path / 'h2.cif'
    Atoms('H2', positions=[(0, 0, 0), (0, 0, 0.75)], cell=[CUBE] * 3, pbc=True).write(file)
    return file


@pytest.fixture
def rock_salt(tmp_path):
    """Return a file with LiH in its conventional cell of 8 atoms."""
    file = tmp_path / 'lih.cif'
    bulk('LiH', 'rocksalt', a=4.084, cubic=True).write(file)
    return file


@pytest.mark.slow
def test_from_a_new_profile_to_a_table(new_machine, hydrogen):
    """Two levels with their formation energies; found by label afterwards, and in the list of all energies."""
    machine = new_machine('energies')
    levels = ('--level', 'CCSD(T)', '--level', 'pbe')
    arguments = ('--protocol', 'pipeline', '--set', GAMMA, '--label', 'hydrogen')
    printed = machine.run('aiida-qagenai', 'energy', 'run', str(hydrogen), *levels, *arguments)
    for text in (
        'LadderWorkChain',
        'references 2/2, PBE 1/1, CCSD(T) 1/1',
        'exit status 0',
        'formation eV/atom',
        'not scientific',
        '2 energies',
    ):
        assert text in printed
    rows = json.loads(machine.run('aiida-qagenai', 'energy', 'show', 'hydrogen', '--format', 'json'))
    assert [row['fidelity'] for row in rows] == ['PBE', 'CCSD(T)']
    for row in rows:
        assert row['total_energy'] == pytest.approx(2 * row['energy_per_atom'])
        assert -35 < row['total_energy'] < -25
        assert row['formation_energy_per_atom'] == pytest.approx(row['anchored'])
        assert row['name'] == 'h2'
    assert rows[1]['t1_diagnostic'] is not None
    (one,) = csv.DictReader(
        io.StringIO(machine.run('aiida-qagenai', 'energy', 'show', rows[1]['uuid'], '--format', 'csv'))
    )
    assert float(one['total_energy']) == pytest.approx(rows[1]['total_energy'])
    assert 'CCSD(T)' in machine.run('aiida-qagenai', 'energy', 'list', '--level', 'CCSD(T)', '--each')
    assert '2 energies' in machine.run('aiida-qagenai', 'energy', 'continue', 'hydrogen')


def test_a_dry_run_shows_what_would_be_computed(run, pyscf_code, rock_salt):
    """The conventional cell is reduced; nothing is submitted."""
    result = run('energy', 'run', rock_salt, '--all-levels', '--protocol', 'pipeline', '--dry-run')
    for text in ('isolated atoms of H, Li', 'cost: seconds', 'expected error: eV/atom', 'not scientific', '2×2×2'):
        assert text in result.output
    arguments = ('--all-levels', '--protocol', 'pipeline', '--dry-run', '--format', 'json')
    rows = json.loads(run('energy', 'run', rock_salt, *arguments).output)
    assert [(row['atoms'], row['level'], row['refused']) for row in rows] == [
        (2, level, '') for level in ('PBE', 'SCAN', 'HSE06', 'CCSD(T)')
    ]
    assert rows[3]['memory_mb'] > 0
    as_given = json.loads(run('energy', 'run', rock_salt, *arguments, '--as-given').output)
    assert [row['refused'] for row in as_given] == [
        '',
        '',
        '8 atoms, protocol `pipeline` allows 6 at HSE06',
        '8 atoms, protocol `pipeline` allows 4 at CCSD(T)',
    ]
    assert QueryBuilder().append(ProcessNode).count() == 0


def test_all_levels_are_those_that_the_system_has(run, pyscf_code, tmp_path):
    """Beyond argon there is no CCSD(T): its row says so, and the other levels are computed."""
    from pymatgen.core import Lattice, Structure

    half = 4.177 / 2
    cell = Lattice([[0, half, half], [half, 0, half], [half, half, 0]])
    path = tmp_path / 'NiO.cif'
    Structure(cell, ['Ni', 'O'], [[0, 0, 0], [0.5] * 3]).to(str(path))
    rows = json.loads(run('energy', 'run', str(path), '--all-levels', '--dry-run', '--format', 'json').output)
    assert [row['level'] for row in rows if not row['refused']] == ['PBE', 'SCAN', 'HSE06']
    assert 'the top rung of this system is HSE06' in rows[3]['refused']


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ([], 'choose the level of theory'),
        (['--level', 'B3LYP'], 'unknown fidelity `B3LYP`'),
        (['--level', 'CCSD(T)', '--as-given'], '8 atoms, protocol `pipeline` allows 4 at CCSD(T)'),
        (['--level', 'PBE', '--protocol', 'fats'], 'unknown protocol `fats` of energies'),
        (['--level', 'PBE', '--protocol', 'fast'], '(--no-references leaves out formation energies)'),
        (['--level', 'CCSD(T)', '--protocol', 'moderate'], 'run `aiida-qagenai basis install ccgto`'),
        (['--level', 'PBE', '--set', 'scf.max_cycles=3'], 'max_cycles'),
        (['--level', 'CCSD(T)', '--set', 'max_memory_mb=0.01'], '`max_memory_mb` is 0'),
        (['--level', 'PBE', '--code', 'nothing'], 'no code `nothing`'),
        (['--level', 'PBE', '--options', '{options}'], 'has no section `pyscf`'),
        (['--level', 'PBE', '999999'], 'no structure `999999`'),
        (['--level', 'PBE', '{uranium}'], 'with a basis for U'),
        (['--level', 'CCSD(T)', '{metal}', '--only'], 'CCSD(T) is not defined for a metal'),
    ],
)
def test_what_cannot_be_computed_is_one_line(run, pyscf_code, rock_salt, tmp_path, arguments, text):  # noqa: PLR0917
    """Nothing is started, and the exit status is 1."""
    files = {'metal': tmp_path / 'li.cif', 'uranium': tmp_path / 'u.cif', 'options': tmp_path / 'options.yaml'}
    bulk('Li').write(files['metal'])
    bulk('U', 'fcc', a=4.0).write(files['uranium'])
    files['options'].write_text('models: {queue_name: gpu}', encoding='utf8')
    arguments = [argument.format(**files) for argument in arguments]
    only = '--only' in arguments or 'u.cif' in ' '.join(arguments)
    given = [] if only else [rock_salt]
    protocol = [] if '--protocol' in arguments else ['--protocol', 'pipeline']
    arguments = [argument for argument in arguments if argument != '--only']
    result = run('energy', 'run', *given, *arguments, *protocol, status=1)
    assert text in ' '.join(result.output.split())
    assert 'Traceback' not in result.output
    assert QueryBuilder().append(ProcessNode).count() == 0


def test_what_can_be_computed_is_left(run, pyscf_code, rock_salt, tmp_path):
    """A metal keeps its PBE energy, an element without a basis has none; both are listed with the reason."""
    metal, uranium = tmp_path / 'li.cif', tmp_path / 'u.cif'
    bulk('Li').write(metal)
    bulk('U', 'fcc', a=4.0).write(uranium)
    arguments = ('--level', 'PBE', '--level', 'CCSD(T)', '--protocol', 'pipeline', '--dry-run', '--format', 'json')
    rows = json.loads(run('energy', 'run', rock_salt, metal, uranium, *arguments).output)
    refused = [(row['structure'], row['level']) for row in rows if row['refused']]
    assert refused == [('s001Li', 'CCSD(T)'), ('s002U', 'PBE'), ('s002U', 'CCSD(T)')]


def test_elements_of_a_run_decide_the_basis(run, pyscf_code, rock_salt, tmp_path):
    """LiH has the basis of ZnO that it is computed with, but not that of a structure that is left out."""
    oxide, uranium = tmp_path / 'zno.cif', tmp_path / 'u.cif'
    bulk('ZnO', 'zincblende', a=4.6).write(oxide)
    bulk('UZn', 'zincblende', a=4.6).write(uranium)
    arguments = ('--all-levels', '--protocol', 'pipeline', '--no-references', '--dry-run', '--format', 'json')
    rows = json.loads(run('energy', 'run', rock_salt, oxide, *arguments).output)
    assert {row['basis'] for row in rows if not row['refused']} == {'gth-szv-molopt-sr'}
    refused = [row for row in rows if row['refused']]
    assert [(row['structure'], row['level']) for row in refused] == [('s000LiH', 'CCSD(T)'), ('s001ZnO', 'CCSD(T)')]
    assert all('the top rung of this system is HSE06' in row['refused'] for row in refused)
    rows = json.loads(run('energy', 'run', uranium, rock_salt, *arguments).output)
    assert [(row['structure'], row.get('basis')) for row in rows if not row['refused']] == [('s001LiH', 'gth-szv')] * 4
    assert [row['structure'] for row in rows if row['refused']] == ['s000UZn'] * 4


def test_show_of_what_has_no_energies(run, pyscf_code):
    assert 'has no energies' in run('energy', 'show', pyscf_code.pk, status=1).output


def test_show_says_why_an_energy_is_missing(run, aiida_profile_clean):
    """What was refused keeps the reason that the work chain reported, what runs says so."""
    from aiida.common.links import LinkType
    from aiida.orm import Dict

    node = WorkChainNode(process_type='aiida.workflows:qagenai.ladder')
    node.set_process_label('LadderWorkChain')
    for name, value in {
        'structures__s000Li': StructureData(ase=bulk('Li'), label='lithium'),
        'plan': Dict({'s000Li': ['PBE', 'CCSD(T)']}),
    }.items():
        node.base.links.add_incoming(value.store(), link_type=LinkType.INPUT_WORK, link_label=name)
    node.store()
    node.logger.report('[1|LadderWorkChain|submit_task]: s000Liccsdt was refused: the gap is 0.00 eV')
    rows = json.loads(run('energy', 'show', node.pk, '--format', 'json').output)
    assert [(row['name'], row['fidelity'], row['remarks']) for row in rows] == [
        ('lithium', 'PBE', 'waiting'),
        ('lithium', 'CCSD(T)', 'the gap is 0.00 eV'),
    ]


def test_protocols_are_listed(run):
    assert 'all_electron' in run('energy', 'protocols').output


@pytest.fixture
def silicon_carbide(tmp_path):
    """Return a file with SiC in the structure of zinc blende."""
    file = tmp_path / 'sic.cif'
    bulk('SiC', 'zincblende', a=4.36).write(file)
    return file


BY_PW = ('--engine', 'espresso', '--pseudos', 'local', '--protocol', 'pipeline', '--level', 'PBE')


@needs_espresso
def test_a_dry_run_by_pw_names_cutoffs_u_and_elements(run, pw_code, family, silicon_carbide):
    """The cutoffs and every U are in the level tag; the elements are what formation energies refer to."""
    family('Si.pbe-rrkj.UPF', 'C.pbe-rrkjus.UPF')
    settings = ('--set', 'ecutwfc=25', '--set', 'ecutrho=200', '--hubbard', 'Mn=3.9 Wang 2006')
    result = run('energy', 'run', silicon_carbide, *BY_PW, *settings, '--dry-run')
    assert 'and the elements C, Si at each level' in result.output
    assert 'pw.x-25-200Ry+U(Mn=3.9)' in result.output
    (row,) = json.loads(
        run('energy', 'run', silicon_carbide, *BY_PW, *settings, '--dry-run', '--format', 'json').output
    )
    assert (row['calculations'], row['kmesh'], row['refused']) == (1, '4×4×4', '')
    assert QueryBuilder().append(ProcessNode).count() == 0


@needs_espresso
@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--hubbard', 'Mn'], 'expected an element and U in eV, as in Mn=3.9'),
        (['--hubbard', 'Si=3'], 'U is for elements of the d and f blocks'),
        (['--level', 'CCSD(T)'], 'not CCSD(T): use the engine pyscf'),
        (['--set', 'scf.max_cycles=3'], 'max_cycles'),
        (['--pseudos', 'none'], 'the family of pseudopotentials none is not installed'),
    ],
)
def test_what_pw_cannot_compute_is_one_line(run, pw_code, family, silicon_carbide, arguments, text):  # noqa: PLR0917
    family('Si.pbe-rrkj.UPF', 'C.pbe-rrkjus.UPF')
    settings = ('--set', 'ecutwfc=25', '--set', 'ecutrho=200')
    arguments = [*BY_PW, *settings, *arguments] if arguments[0] != '--level' else [*BY_PW[:-2], *settings, *arguments]
    result = run('energy', 'run', silicon_carbide, *arguments, status=1)
    assert text in result.output
    assert QueryBuilder().append(ProcessNode).count() == 0


def test_an_element_without_tables_is_a_row_with_the_reason(run, pyscf_code):
    """So is what the energies of its system refer to."""
    nickel, cerium = json.loads(run('energy', 'elements', 'Ni', 'Ce', '--format', 'json').output)
    assert nickel['functions'] == 26 and 'the energy of Ce' in nickel['reference']
    assert 'need pw.x' in cerium['remarks']


def test_elements_of_a_protocol(run, pyscf_code):
    """All 71 in `pipeline`, each with its basis; of a system also what it refers to."""
    rows = json.loads(run('energy', 'elements', '--protocol', 'pipeline', '--format', 'json').output)
    assert len(rows) == 71 and all(row['basis'] for row in rows)
    found = {row['element']: row for row in rows}
    assert (found['Li']['basis'], found['Mn']['basis']) == ('gth-szv', 'gth-szv-molopt-sr')
    assert (found['Mn']['functions'], found['Mn']['electrons'], found['Mn']['levels']) == (10, 15, 'PBE, SCAN, HSE06')
    assert 2.8 < found['Mn']['atomization'] < 3.1 and 'no experimental atomisation energy' in found['Tc']['remarks']
    result = run('energy', 'elements', 'Li', 'Mn', 'O', '--protocol', 'pipeline')
    for text in ('(Li2O - O) / 2', 'MnO - O', 'H2O - 2 H', '3 of 3 elements have a basis'):
        assert text in result.output
    assert 'no element' in run('energy', 'elements', 'Xx', status=1).output.replace('unknown element', 'no element')

"""The Python of the pages on energies runs as it is printed."""

from __future__ import annotations

import shutil
import sys

import pytest
from aiida import orm
from pw_runs import PSEUDOS, needs_espresso

from aiida_qagenai.calculations.espresso.gth import install_gth_family
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.workchains.protocols.energy import energy_settings


def test_levels(blocks, submitted, pyscf_code, lithium_hydride, ccgto):
    """The page on levels of theory submits a basis correction, a counterpoise correction and a study of convergence."""
    from aiida_qagenai.workchains.energy.basis_correction import BasisCorrectionWorkChain

    names = {'code': pyscf_code, 'structure': lithium_hydride.store()}
    energy = ccsdt_energy(lithium_hydride, 'fast:unknown')
    with pytest.raises(InvalidInputError) as refusal:
        BasisCorrectionWorkChain.get_builder_from_protocol(
            **names, energy=energy, protocol='fast', larger_basis='ccgto/cc-pvtz'
        )
    # the refusal names the level that the energy should have
    names['energy'] = ccsdt_energy(lithium_hydride, str(refusal.value).rsplit('`', 2)[1])
    for _ in blocks('docs/explanation/levels.md', **names):
        pass
    labels = [process.node.process_label for process in submitted]
    assert labels == ['BasisCorrectionWorkChain', 'CounterpoiseWorkChain', 'ConvergenceWorkChain']


def ccsdt_energy(structure, level_tag: str) -> EnergyData:
    """Return an energy by CCSD(T) as the protocol `fast` stores it."""
    return EnergyData(
        fidelity='CCSD(T)',
        total_energy=-21.0,
        num_atoms=len(structure.sites),
        formula='LiH',
        chemical_system='H-Li',
        converged=True,
        protocol='fast',
        level_tag=level_tag,
        scientific=True,
        structure_uuid=structure.uuid,
    )


def test_local_coupled_cluster(blocks, submitted, python_code, lithium_hydride):
    """The page on local CCSD(T) submits an energy, and its overrides are those that `precise` needs without it."""
    python_code('pyscf-forge', 'qagenai.pyscf_cell')
    *_, names = blocks('docs/howto/local_cc.md', structure=lithium_hydride)
    assert len(submitted) == 1 and submitted[0].node.inputs.structure.pk == lithium_hydride.pk
    resolved = energy_settings('precise', names['overrides'])
    assert resolved.local is None


@needs_espresso
def test_energy(blocks, submitted, pw_code, make_structure, tmp_path):
    """The page on energies submits NiO by pw.x, with its U and its moments and the cutoffs of the family."""
    from aiida_pseudo.data.pseudo import UpfData
    from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily

    for name in ('Ni.pbe-nd-rrkjus.UPF', 'O.pbe-rrkjus.UPF'):
        shutil.copy(PSEUDOS / name, tmp_path)
    family = CutoffsPseudoPotentialFamily.create_from_folder(tmp_path, 'SSSP/1.3/PBE/efficiency', pseudo_type=UpfData)
    family.set_cutoffs(
        {symbol: {'cutoff_wfc': 40.0, 'cutoff_rho': 320.0} for symbol in ('Ni', 'O')}, 'normal', unit='Ry'
    )
    cell = [[4.17, 2.085, 2.085], [2.085, 4.17, 2.085], [2.085, 2.085, 4.17]]
    sites = [(0.0, 0.0, 0.0), (4.17, 4.17, 4.17), (2.085, 2.085, 2.085), (6.255, 6.255, 6.255)]
    oxide = make_structure(['Ni', 'Ni', 'O', 'O'], sites, cell)
    for _ in blocks('docs/howto/energy.md', pw_code=pw_code, nickel_oxide=oxide):
        pass
    (process,) = submitted
    parameters = process.node.inputs.espresso.parameters
    assert (parameters['ecutwfc'], parameters['moments']) == (40.0, [2.0, -2.0, 0.0, 0.0])
    assert parameters['hubbard']['Ni']['U'] == 5.0


@pytest.mark.slow
@needs_espresso
def test_relaxation(blocks, localhost, tmp_path):
    """The script of the page on relaxations relaxes silicon by pw.x, and its inputs are those of the ladder."""
    from aiida_pseudo.cli.root import cmd_root
    from click.testing import CliRunner

    (tmp_path / 'upf').mkdir()
    shutil.copy(PSEUDOS / 'Si.pbe-rrkj.UPF', tmp_path / 'upf')
    command = ['install', 'family', str(tmp_path / 'upf'), 'local', '-P', 'pseudo.upf', '-F', 'pseudo.family.cutoffs']
    assert CliRunner().invoke(cmd_root, command).exit_code == 0
    orm.InstalledCode(
        label='pw',
        computer=localhost,
        filepath_executable=shutil.which('pw.x'),
        default_calc_job_plugin='quantumespresso.pw',
        prepend_text='export OMP_NUM_THREADS=1',
    ).store()
    orm.InstalledCode(label='pyscf', computer=localhost, filepath_executable=sys.executable).store()
    page = blocks('docs/howto/relax.md')
    names = next(page)
    assert names['node'].is_finished_ok, names['node'].exit_message
    assert (4 * names['outputs']['relaxed'].get_cell_volume()) ** (1 / 3) == pytest.approx(5.47, rel=0.01)
    builder = next(page)['builder']
    assert builder.relax['engine'] == 'espresso' and builder.relax_code.label == 'pw'
    assert set(builder.relax_pseudos) == {'Si'}
    assert next(page, None) is None


def test_magnetic_orderings(blocks):
    """The page on magnetic oxides lists the orderings of MnO in cells of four atoms."""
    names = next(blocks('docs/howto/magnetism.md'))
    assert [len(each.cell) for each in names['found'].orderings] == [2, 4, 4]


def test_pyscf_reference(blocks, aiida_profile_clean):
    """The parameters and the query of the page on PySCF are valid."""
    *_, names = blocks('docs/reference/pyscf.md')
    assert names['query'].all() == []


def test_ladder(blocks):
    """The page on the ladder reads the crystals of the package."""
    names = next(blocks('docs/explanation/ladder.md'))
    assert all(crystal.symbols for crystal in names['crystals'].values())


@needs_espresso
def test_descriptors_of_pw(blocks, pw_code, pyscf_code, lithium_hydride):
    """The page on pw.x builds a calculation with descriptors."""
    install_gth_family('gth/pbe', ['Li', 'H'])
    builder = next(blocks('docs/reference/espresso.md', structure=lithium_hydride))['builder']
    assert builder.espresso.describe_code.label == 'pyscf'
    assert builder.espresso.parameters['empty_levels'] > 0

"""Local CCSD(T) through the work chains: refused where it is not installed, killed and continued where it is."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain
from aiida_qagenai.workchains.energy.references import isolated_atom
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.composite import plan_composite
from aiida_qagenai.workchains.protocols.energy import EnergyLevel, energy_settings

EXIT_CODES = PyscfCellCalculation.exit_codes
MESH = {'fixed': [2, 1, 1], 'shift': [0, 0, 0]}
LOCAL = {'local': {}, 'precision': 1e-6, 'meshes': {'HF': MESH, 'CCSD(T)': MESH}}

DEATH = """
import os
replace, calls = os.replace, []
def replace_and_die(source, target):
    replace(source, target)
    calls.extend([1] * (target == 'fragments.h5'))
    if len(calls) == 3 and not os.path.exists(MARKER):
        open(MARKER, 'w').close()
        os.kill(os.getpid(), 9)
os.replace = replace_and_die
"""
"""Kills the process, once, when Hartree-Fock, MP2 and the first fragment are saved."""


@pytest.fixture(autouse=True)
def profile(aiida_profile_clean):
    """Start every test from an empty profile."""


@pytest.fixture
def compute(lithium_hydride):
    """Return a function that runs the work chain and returns its node and its calculations in their order."""

    def run(code) -> tuple:
        overrides = {**LOCAL, 'cc': {'conv_tol': 1e-10, 'conv_tol_normt': 1e-7}, 'scf': {'conv_tol': 1e-10}}
        builder = EnergyWorkChain.get_builder_from_protocol(
            code, lithium_hydride, 'CCSD(T)', 'pipeline', overrides=overrides
        )
        node = run_get_node(builder)[1]
        children = [child for child in node.called_descendants if isinstance(child, orm.CalcJobNode)]
        return node, sorted(children, key=lambda child: child.ctime)

    return run


def test_refused_where_it_is_not_installed(compute, pyscf_code):
    """The Python of the tests has no pyscf-forge: said before anything is computed, with what to do, and only once."""
    node, children = compute(pyscf_code)
    assert [child.exit_status for child in children] == [EXIT_CODES.ERROR_LNO_NOT_INSTALLED.status]
    assert children[0].outputs.results['timings'] == {}
    assert node.exit_status == EnergyWorkChain.exit_codes.ERROR_CALCULATION_FAILED.status
    for text in ('pip install', 'pyscf-forge', 'libopenblas-dev', '`local: null`'):
        assert text in node.exit_message


@pytest.mark.slow
def test_killed_between_fragments(compute, python_code, lno_python, tmp_path):
    """The finished fragment and the mean field are not computed again, and the energy is the undisturbed one."""
    undisturbed, _ = compute(python_code('forge', 'qagenai.pyscf_cell', executable=lno_python))
    expected = undisturbed.outputs.energy.content
    assert expected.level_tag.split(':')[1] == 'lno-gth-szv' and expected.converged

    (tmp_path / 'sitecustomize.py').write_text(DEATH.replace('MARKER', repr(str(tmp_path / 'done'))), encoding='utf-8')
    prepend = f'export OMP_NUM_THREADS=1 PYTHONPATH={tmp_path}'
    node, (first, last) = compute(python_code('killed', 'qagenai.pyscf_cell', prepend, executable=lno_python))
    assert first.exit_status == EXIT_CODES.ERROR_KILLED.status
    assert 'total_energy' not in first.outputs.results.get_dict()
    found = last.outputs.results.get_dict()
    assert (found['restarted_from_fragments'], found['num_new_fragments'], found['scf_cycles']) == (1, 1, 0)
    assert 'HF' not in found['timings'] and 'MP2' not in found['timings']
    difference = found['total_energy_hartree'] - undisturbed.called[0].outputs.results['total_energy_hartree']
    assert abs(difference) < 1e-8
    assert node.outputs.energy.content.components == pytest.approx(expected.components, abs=2.7e-7)


def test_settings(lithium_hydride, make_structure):
    """A tag of its own, for atoms the same but for the mesh; canonical tags do not change; more atoms are admitted."""
    local, canonical = energy_settings('pipeline', LOCAL), energy_settings('pipeline', {**LOCAL, 'local': None})
    coarser = energy_settings('pipeline', {**LOCAL, 'local': {'virtual_threshold': 1e-6}})
    roomier = energy_settings('pipeline', {**LOCAL, 'local': {'max_atoms': 20}})
    tags = [one.tag(Fidelity.CCSD_T) for one in (local, canonical, coarser)]
    assert len(set(tags)) == 3 and roomier.tag(Fidelity.CCSD_T) == tags[0]
    assert local.tag(Fidelity.PBE) == canonical.tag(Fidelity.PBE)
    levels = [EnergyLevel.create(local, Fidelity.CCSD_T, isolated=isolated) for isolated in (False, True)]
    crystal, atom = (level.level_tag.split(':') for level in levels)
    assert [*crystal[:3], crystal[4]] == [*atom[:3], atom[4]] and [level.max_atoms for level in levels] == [8, 4]
    parameters = local.parameters(Fidelity.CCSD_T, lithium_hydride)
    assert (parameters['method'], parameters['local']['virtual_threshold']) == ('LNO-CCSD(T)', 1e-5)
    assert local.parameters(Fidelity.CCSD_T, isolated_atom('H'))['method'] is None
    with pytest.raises(InvalidInputError, match='needs a mesh with Γ'):
        energy_settings('pipeline', {'local': {}}).parameters(Fidelity.CCSD_T, lithium_hydride)
    with pytest.raises(InvalidInputError, match=r'local\.threshold'):
        energy_settings('pipeline', {'local': {'threshold': 1e-6}})


def test_composite(lithium_hydride):
    """Its CCSD(T) − MP2 is local and gives the Hartree-Fock of its mesh along; of an atom it is canonical."""
    settings = energy_settings('pipeline', {'local': {}})
    plan, level, _ = plan_composite(EnergyProtocol.of_settings(settings, []), lithium_hydride)
    methods = {label: (job.parameters['method'], job.parameters['local']) for label, job in plan.jobs.items()}
    thresholds = {'occupied_threshold': 1e-4, 'virtual_threshold': 1e-5}
    assert methods == {'k2x2x2_gth_szv': ('LNO-CCSD(T)', thresholds), 'k3x3x3_gth_szv': ('HF', None)}
    assert level.level_tag.startswith('pipeline:composite-lno-gth-szv:') and level.max_atoms == 8
    atom = plan_composite(EnergyProtocol.of_settings(settings, []), isolated_atom('H'))[0]
    assert [job.parameters['method'] for job in atom.jobs.values()] == ['CCSD(T)']


def test_precise_is_local():
    """As the table of protocols has it: triple zeta on 3×3×3 in local natural orbitals."""
    settings = energy_settings('precise')
    assert settings.local is not None and settings.composite.coupled_cluster.mesh.fixed == (3, 3, 3)
    assert not settings.splits_triples and energy_settings('precise', {'local': None}).splits_triples

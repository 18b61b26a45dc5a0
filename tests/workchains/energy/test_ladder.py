"""Many structures on many levels: failures are counted and the others go on."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from pymatgen.core import Lattice, Structure

from aiida_qagenai.calculations.functions.dataset import build_dataset
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.queries.energies import energies
from aiida_qagenai.workchains.energy.ladder import LadderWorkChain
from aiida_qagenai.workchains.energy.ladder_order import ready
from aiida_qagenai.workchains.protocols.energy import energy_settings
from aiida_qagenai.workchains.protocols.relaxation import relaxation_settings


@pytest.fixture
def structures(aiida_profile_clean):
    """Return rock-salt LiH, an insulator, and bcc Li, a metal."""
    fcc = Lattice(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 4.08 / 2)
    bcc = Lattice(np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) * 3.49 / 2)
    return {
        'c00000': CandidateData(Structure(fcc, ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]]), index=0),
        'c00001': CandidateData(Structure(bcc, ['Li'], [[0, 0, 0]]), index=1),
    }


@pytest.fixture
def lithium(structures):
    """Return the energy of the element Li at PBE; there is none of hydrogen."""
    return pbe_energy('Li', -200.0, structures['c00001'].uuid)


def pbe_energy(symbol, total_energy, structure_uuid, *, isolated=False, changes=None):
    """Return the energy of one atom at the cheapest level, in its crystal or isolated."""
    return EnergyData(
        fidelity='PBE',
        total_energy=total_energy,
        num_atoms=1,
        formula=symbol,
        chemical_system=symbol,
        converged=True,
        protocol='pipeline',
        level_tag=energy_settings('pipeline', changes).tag(Fidelity.PBE, isolated=isolated),
        scientific=False,
        structure_uuid=structure_uuid,
    )


def inputs(code, structures, plan):
    """Return the inputs of a ladder at the cheapest level."""
    return {
        'code': code,
        'structures': structures,
        'plan': orm.Dict(plan),
        'settings': orm.Dict(energy_settings('pipeline').dump()),
        'max_concurrent': orm.Int(2),
        'descriptors': orm.Bool(False),
    }


@pytest.mark.slow
def test_a_metal_is_refused_and_the_others_go_on(pyscf_code, structures):
    """Both are computed at PBE; the metal gets no CCSD(T), which is not a failure."""
    plan = {'c00000': ['PBE'], 'c00001': ['PBE', 'CCSD(T)']}
    outputs, node = run_get_node(LadderWorkChain, **inputs(pyscf_code, structures, plan))
    assert node.is_finished_ok, node.exit_message
    assert sorted(outputs['energies']) == ['c00000pbe', 'c00001pbe']
    assert not any('ccsdt' in (entry.link_label or '') for entry in node.base.links.get_outgoing().all())


@pytest.mark.slow
def test_self_consistent_where_all_elements_are_known(pyscf_code, structures, lithium):
    """Li is placed against the element; LiH, whose other element was not computed, is not refused for it."""
    plan = {'c00000': ['PBE'], 'c00001': ['PBE']}
    elements = {'pbe': {'Li': lithium}}
    outputs, node = run_get_node(LadderWorkChain, **inputs(pyscf_code, structures, plan), elemental_references=elements)
    assert node.is_finished_ok, node.exit_message
    metal, hydride = (outputs['energies'][f'{label}pbe'].content for label in ('c00001', 'c00000'))
    assert metal.self_consistent == pytest.approx(metal.total_energy + 200.0)
    assert hydride.self_consistent is None


@pytest.mark.slow
def test_references_are_computed_first(pyscf_code, structures):
    """Formation energies refer to atoms and elements that were computed here, which are outputs."""
    references = {'reference_elements': orm.List(['Li']), 'self_consistent': orm.Bool(True)}
    outputs, node = run_get_node(LadderWorkChain, **inputs(pyscf_code, structures, {'c00001': ['PBE']}), **references)
    assert node.is_finished_ok, node.exit_message
    content, element = outputs['energies']['c00001pbe'].content, outputs['elemental_references']['pbe']['Li'].content
    assert content.self_consistent == pytest.approx(content.total_energy - element.total_energy / element.num_atoms)
    assert content.formation_energy_per_atom is not None
    assert outputs['atomic_references']['pbe']['Li'].content.num_atoms == 1
    assert [child.process_label for child in node.called] == ['ReferenceWorkChain', 'EnergyWorkChain']


@pytest.mark.slow
def test_overrides_reach_every_energy(pyscf_code, structures):
    """The crystal and the atom that it refers to are computed with the settings of the builder."""
    builder = LadderWorkChain.get_builder_from_protocol(
        pyscf_code,
        structures,
        {'c00001': ['PBE']},
        'pipeline',
        overrides={'scf': {'max_cycle': 41}},
        reference_elements=['Li'],
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert outputs['energies']['c00001pbe'].formation_energy_per_atom is not None
    jobs = [job for job in node.called_descendants if isinstance(job, orm.CalcJobNode)]
    assert [job.inputs.parameters['scf']['max_cycle'] for job in jobs] == [41, 41]


@pytest.mark.slow
def test_an_energy_that_needs_too_much_memory_is_refused(pyscf_code, structures):
    """The ports of the energy refuse it when it is submitted; the others go on."""
    builder = LadderWorkChain.get_builder_from_protocol(
        pyscf_code, structures, {'c00000': ['CCSD(T)'], 'c00001': ['PBE']}, 'pipeline', overrides={'max_memory_mb': 0.1}
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert list(outputs['energies']) == ['c00001pbe']


def test_without_references_nothing_is_computed(python_code, structures):
    """There would be no formation energy, so that no time is spent on the others."""
    broken = python_code('broken', 'qagenai.pyscf_cell', prepend_text='export PYTHONPATH=/nowhere PYTHONHOME=/nowhere')
    plan = {'c00000': ['PBE'], 'c00001': ['PBE', 'SCAN']}
    common = inputs(broken, structures, plan)
    _, node = run_get_node(LadderWorkChain, **common, reference_elements=orm.List(['Li', 'H']))
    assert node.exit_status == LadderWorkChain.exit_codes.ERROR_REFERENCES.status
    assert 'No formation energy at PBE' in node.exit_message
    assert {child.process_label for child in node.called} == {'ReferenceWorkChain'}


def test_references_that_are_not_known_here_are_said(pyscf_code, structures):
    """Self-consistent formation energies with boron do not exist yet."""
    common = inputs(pyscf_code, structures, {'c00001': ['PBE']})
    references = {'reference_elements': orm.List(['Li', 'B']), 'self_consistent': orm.Bool(True)}
    _, node = run_get_node(LadderWorkChain, **common, **references)
    assert node.exit_status == LadderWorkChain.exit_codes.ERROR_REFERENCES.status
    assert 'reference state of B is not known' in node.exit_message


def test_references_given_and_to_be_computed_are_refused(pyscf_code, structures, lithium):
    common = inputs(pyscf_code, structures, {'c00001': ['PBE']})
    with pytest.raises(ValueError, match='leave out one of them'):
        run_get_node(
            LadderWorkChain,
            **common,
            elemental_references={'pbe': {'Li': lithium}},
            reference_elements=orm.List(['Li']),
        )


def test_failed_calculations_are_counted(python_code, structures):
    """A code that cannot run PySCF fails every calculation, and the work chain says so."""
    broken = python_code('broken', 'qagenai.pyscf_cell', prepend_text='export PYTHONPATH=/nowhere PYTHONHOME=/nowhere')
    _, node = run_get_node(LadderWorkChain, **inputs(broken, structures, {'c00000': ['PBE'], 'c00001': ['PBE']}))
    assert node.exit_status == LadderWorkChain.exit_codes.ERROR_ALL_FAILED.status
    assert 'Not one of the 2' in node.exit_message


@pytest.mark.slow
def test_structures_are_relaxed_before_any_level(pyscf_code, aiida_profile_clean):
    """Energies and training set are of the relaxed geometry, found from the candidate; what is not relaxed has none."""
    cube = Lattice.cubic(3.5)
    molecule = Structure(cube, ['H', 'H'], [[0, 0, 0], [0.0, 0, 0.95]], coords_are_cartesian=True)
    candidates = {
        'c00000': CandidateData(molecule, index=0),
        'c00001': CandidateData(Structure(cube, ['K'], [[0, 0, 0]]), index=1),
    }
    mesh = {'meshes': {'PBE': {'fixed': [1, 1, 1], 'shift': [0, 0, 0]}}}
    outputs, node = run_get_node(
        LadderWorkChain,
        **{
            **inputs(pyscf_code, candidates, {label: ['PBE'] for label in candidates}),
            'settings': orm.Dict(energy_settings('pipeline', mesh).dump()),
        },
        atomic_references={'pbe': {'H': pbe_energy('H', -13.0, 'a' * 32, isolated=True, changes=mesh)}},
        relax=orm.Dict(relaxation_settings('pipeline', 'pyscf', {'pyscf': {'energy': mesh}}).dump()),
    )
    assert node.is_finished_ok, node.exit_message
    assert list(outputs['relaxed']) == ['c00000']
    assert list(outputs['energies']) == ['c00000pbe']
    relaxed, energy = outputs['relaxed']['c00000'], outputs['energies']['c00000pbe']
    assert energy.content.structure_uuid == relaxed.uuid
    distance = relaxed.get_pymatgen().get_distance(0, 1)
    assert distance < molecule.get_distance(0, 1) - 0.02
    assert energy.content.formation_energy_per_atom is not None
    dataset = build_dataset(
        parameters=orm.Dict({'fractions': [0.8, 0.1, 0.1, 0.0], 'seed': 1}), structures=candidates, **outputs
    )
    learned = dataset.structures()
    assert learned.identifiers.tolist() == [candidates['c00000'].name]
    assert learned.structure(0).get_distance(0, 1) == pytest.approx(distance)
    assert dataset.labels().energies[0, 0] == pytest.approx(energy.content.formation_energy_per_atom)
    labels, forces = dataset.labels(), outputs['forces']['c00000']
    assert forces.base.attributes.get('level_tag') == energy.content.level_tag
    np.testing.assert_allclose(labels.forces[:, 0], forces.get_array('forces'))
    assert labels.force_counts == {'PBE': 1, 'SCAN': 0, 'HSE06': 0, 'CCSD(T)': 0}
    found = energies(structure_uuids=[candidates['c00000'].uuid])
    assert found[['name', 'uuid', 'structure_uuid', 'candidate_uuid']].values.tolist() == [
        ['000-00000', energy.uuid, relaxed.uuid, candidates['c00000'].uuid]
    ]


def test_bad_settings_of_the_relaxation_are_refused(pyscf_code, structures):
    """A misspelt key never starts."""
    relax = orm.Dict({**relaxation_settings('fast').dump(), 'max_farce': 0.1})
    with pytest.raises(ValueError, match='max_farce'):
        run_get_node(LadderWorkChain, **inputs(pyscf_code, structures, {'c00000': ['PBE']}), relax=relax)


def test_a_code_that_cannot_relax_is_refused(pyscf_code, python_code, structures):
    """pw.x needs a code of its own, one of its plugin, and a code alone relaxes nothing."""
    common = inputs(pyscf_code, structures, {'c00000': ['PBE']})
    espresso = orm.Dict(relaxation_settings('fast', 'espresso').dump())
    with pytest.raises(ValueError, match=r'needs `relax_code`, a code of quantumespresso\.pw'):
        run_get_node(LadderWorkChain, **common, relax=espresso)
    with pytest.raises(ValueError, match=r'needs a code of quantumespresso\.pw, pyscf is of qagenai\.pyscf_cell'):
        run_get_node(LadderWorkChain, **common, relax=espresso, relax_code=pyscf_code)
    with pytest.raises(ValueError, match='`relax_code` is given, but `relax` is not'):
        run_get_node(LadderWorkChain, **common, relax_code=pyscf_code)


@pytest.mark.parametrize(
    ('plan', 'message'),
    [
        ({'c00000': ['PBE+U']}, 'unknown fidelity `PBE.U`'),
        ({'c00009': ['PBE']}, 'structures that are not given: c00009'),
    ],
)
def test_bad_plans_are_refused_before_anything_runs(pyscf_code, structures, plan, message):
    """Unknown levels and unknown labels never start."""
    with pytest.raises(ValueError, match=message):
        run_get_node(LadderWorkChain, **inputs(pyscf_code, structures, plan))


@pytest.mark.parametrize(
    ('waiting', 'running', 'limit', 'expected'),
    [
        (['PBE a', 'PBE b', 'CCSD(T) a', 'HSE06 a'], [], 2, ['PBE a', 'PBE b']),
        (['PBE b', 'CCSD(T) a', 'CCSD(T) b', 'HSE06 a'], ['PBE a'], 4, ['PBE b', 'HSE06 a']),
        (['CCSD(T) a', 'CCSD(T) b', 'SCAN a'], ['PBE b'], 3, ['CCSD(T) a', 'SCAN a']),
        (['CCSD(T) a'], ['CCSD(T) b', 'HSE06 b'], 0, []),
        (['relax b', 'PBE a', 'PBE b', 'PBE c'], ['relax a'], 3, ['relax b', 'PBE c']),
        (['references PBE', 'PBE a', 'references SCAN', 'SCAN a'], [], 3, ['references PBE']),
        (['PBE a', 'references SCAN', 'SCAN a'], ['references PBE'], 3, []),
        (['PBE a', 'references SCAN', 'HSE06 a', 'SCAN a'], [], 3, ['PBE a', 'references SCAN', 'HSE06 a']),
    ],
)
def test_what_a_task_waits_for(waiting, running, limit, expected):
    """Energies for the relaxed structure, CCSD(T) for the gap; everything else goes on meanwhile."""
    pairs = [[task.split() for task in tasks] for tasks in (waiting, running)]
    assert ready(*pairs, limit) == [task.split() for task in expected]


def test_a_builder_that_relaxes_first(pyscf_code, lithium_hydride):
    """Engine, protocol and changes make complete settings; an engine has to be named."""
    arguments = (pyscf_code, {'a': lithium_hydride}, {'a': ['PBE']}, 'pipeline')
    relax = {'engine': 'pyscf', 'protocol': 'pipeline', 'max_steps': 7}
    builder = LadderWorkChain.get_builder_from_protocol(*arguments, relax=relax)
    assert builder.relax['max_steps'] == 7 and builder.relax['pyscf']['energy']['protocol'] == 'pipeline'
    with pytest.raises(InvalidInputError, match=r'`relax\.engine` is missing'):
        LadderWorkChain.get_builder_from_protocol(*arguments, relax={'protocol': 'pipeline'})

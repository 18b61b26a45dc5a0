"""The composite CCSD(T) energy: which calculations it needs, what they add up to, and for real."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

from aiida_qagenai.calculations.functions.composite import apply_basis_correction, evaluate_composite
from aiida_qagenai.calculations.pyscf.results import EnergyResults
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.basis import install_families
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.workchains.energy.basis_correction import BasisCorrectionWorkChain
from aiida_qagenai.workchains.energy.composite import CompositeWorkChain, builder_of_level
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain
from aiida_qagenai.workchains.energy.references import isolated_atom, reference_structure
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.composite import CompositePlan, plan_composite
from aiida_qagenai.workchains.protocols.energy import energy_settings

TWO_BASES = {
    'basis': 'toy/dz',
    'composite': {
        'hartree_fock': {'bases': ['toy/dz', 'toy/tz'], 'meshes': [{'fixed': [2, 2, 2]}, {'fixed': [3, 3, 3]}]},
        'mp2': {'bases': ['toy/dz', 'toy/tz'], 'meshes': [{'fixed': [2, 2, 2]}, {'fixed': [3, 3, 3]}]},
        'coupled_cluster': {'basis': 'toy/dz', 'mesh': {'fixed': [2, 2, 2]}},
        'residual_error': 0.1,
    },
}
MESHES = {
    'precision': 1e-5,
    'composite': {
        'hartree_fock': {'bases': ['gth-szv'], 'meshes': [{'fixed': [1, 1, 1]}, {'fixed': [2, 1, 1]}]},
        'coupled_cluster': {'basis': 'gth-szv', 'mesh': {'fixed': [1, 1, 1]}},
    },
}


@pytest.fixture(autouse=True)
def profile(aiida_profile_clean):
    """Start every test from an empty profile."""


@pytest.fixture
def build(pyscf_code):
    """Return a factory of builders at the pipeline level."""

    def create(structure, **arguments):
        return CompositeWorkChain.get_builder_from_protocol(pyscf_code, structure, protocol='pipeline', **arguments)

    return create


def test_plan_needs_no_calculation_twice(lithium_hydride, toy_basis):
    """Hartree-Fock comes with MP2, MP2 with CCSD(T); the corner of each component is shared."""
    install_families(*toy_basis())
    plan, level, bases = plan_composite(EnergyProtocol.resolve('pipeline', TWO_BASES, ['Li', 'H']), lithium_hydride)
    methods = {label: job.parameters['method'] for label, job in plan.jobs.items()}
    assert methods == {
        'k2x2x2_toy_1_dz': 'CCSD(T)',
        'k3x3x3_toy_1_dz': 'MP2',
        'k2x2x2_toy_1_tz': 'MP2',
    }
    assert plan.mp2.mesh.num_kpoints == 27 and plan.mp2.basis.cardinal == 3
    assert plan.jobs['k3x3x3_toy_1_dz'].parameters['cc']['kmesh'] == [3, 3, 3]
    assert set(bases) == {'toy_1_dz', 'toy_1_tz'} and set(bases['toy_1_dz']) == {'H', 'Li'}
    assert level.level_tag.startswith('pipeline:composite-cbs-toy-1-dz:gth-hf-rev:k2x2x2-3x3x3-cc2x2x2:')


def test_step_in_the_basis_on_a_mesh_of_its_own(lithium_hydride, toy_basis):
    """Hartree-Fock in the larger basis comes with MP2 on the coarse mesh; the tag says so, and only then."""
    install_families(*toy_basis())
    dense = {'meshes': [{'fixed': [3, 3, 3]}, {'fixed': [4, 4, 4]}], 'basis_mesh': {'fixed': [2, 2, 2]}}
    composite = {**TWO_BASES['composite'], 'hartree_fock': {**TWO_BASES['composite']['hartree_fock'], **dense}}
    protocol = EnergyProtocol.resolve('pipeline', {**TWO_BASES, 'composite': composite}, ['Li', 'H'])
    plan, level, _ = plan_composite(protocol, lithium_hydride)
    methods = {label: job.parameters['method'] for label, job in plan.jobs.items()}
    assert methods == {
        'k2x2x2_toy_1_dz': 'CCSD(T)',
        'k2x2x2_toy_1_tz': 'MP2',
        'k3x3x3_toy_1_dz': 'MP2',
        'k4x4x4_toy_1_dz': 'HF',
    }
    assert [point.job for point in plan.hartree_fock.points] == [
        'k3x3x3_toy_1_dz',
        'k4x4x4_toy_1_dz',
        'k2x2x2_toy_1_tz',
        'k2x2x2_toy_1_dz',
    ]
    composite['hartree_fock'].pop('basis_mesh')
    protocol = EnergyProtocol.resolve('pipeline', {**TWO_BASES, 'composite': composite}, ['Li', 'H'])
    other, other_level, _ = plan_composite(protocol, lithium_hydride)
    assert 'k3x3x3_toy_1_tz' in other.jobs and other_level.level_tag != level.level_tag
    with pytest.raises(InvalidInputError, match='`basis_mesh` is for two bases'):
        energy_settings('pipeline', {'composite': {'hartree_fock': {**dense, 'bases': ['gth-szv']}}})


def test_plan_of_an_atom_has_no_meshes(toy_basis):
    """The bases are extrapolated all the same, and only the mesh differs in the tag."""
    install_families(*toy_basis())
    settings = energy_settings('pipeline', TWO_BASES)
    protocol = EnergyProtocol.of_settings(settings, ['Li'])
    plan, level, _ = plan_composite(protocol, isolated_atom('Li'))
    assert set(plan.jobs) == {'isolated_toy_1_dz', 'isolated_toy_1_tz'} and plan.mp2.mesh is None
    crystal = plan_composite(protocol, reference_structure('Li'))[1].level_tag.split(':')
    parts = level.level_tag.split(':')
    assert parts[3] == 'isolated' and [*parts[:3], parts[4]] == [*crystal[:3], crystal[4]]


def test_triples_of_crystals_may_be_separate(lithium_hydride):
    """Where the protocol asks for it; an atom is computed in one go, and no energy changes by it."""
    whole, split = (energy_settings('pipeline', {**MESHES, 'separate_triples': value}) for value in (False, True))
    plans = [plan_composite(EnergyProtocol.of_settings(settings, []), lithium_hydride) for settings in (whole, split)]
    assert [plan.separate_triples for plan, *_ in plans] == [False, True]
    assert plans[0][1].level_tag == plans[1][1].level_tag
    assert not plan_composite(EnergyProtocol.of_settings(split, []), isolated_atom('Li'))[0].separate_triples


def test_tags_tell_composites_apart(lithium_hydride):
    """Any change of mesh, basis or threshold; not the estimate of an error."""

    def tag(**changes):
        settings = energy_settings('pipeline', {'composite': {**MESHES['composite'], **changes}})
        return plan_composite(EnergyProtocol.of_settings(settings, []), lithium_hydride)[1].level_tag

    denser = {'bases': ['gth-szv'], 'meshes': [{'fixed': [1, 1, 1]}, {'fixed': [3, 1, 1]}]}
    assert tag() != tag(hartree_fock=denser) and tag() == tag(residual_error=0.5)


def test_core_is_of_all_electrons(lithium_hydride):
    """With scalar relativity, once frozen and once not; not in a basis made for pseudopotentials."""
    core = {'basis': 'cc-pvdz', 'mesh': {'fixed': [1, 1, 1]}}
    settings = energy_settings('pipeline', {'composite': {**MESHES['composite'], 'core': core}})
    plan = plan_composite(EnergyProtocol.of_settings(settings, []), lithium_hydride)[0]
    frozen, full = (plan.jobs[label].parameters for label in plan.core)
    assert frozen['pseudo'] is None and frozen['relativity'] == 'sfx2c1e' and frozen['method'] == 'MP2'
    assert frozen['cc'].pop('frozen_core') and not full['cc'].pop('frozen_core') and frozen == full
    settings = energy_settings('pipeline', {'composite': {**MESHES['composite'], 'core': {**core, 'basis': 'a/b'}}})
    with pytest.raises(InvalidInputError, match='all-electron basis of PySCF'):
        plan_composite(EnergyProtocol.of_settings(settings, []), lithium_hydride)


def test_parts_add_up():
    """On energies that follow the laws exactly, the limit is found: −8 + −1 + CCSD(T) − MP2."""

    def results(cardinal, number, **more):
        decay = {2: 3 * 2.7182818284590452 ** (-9 * 2**0.5), 3: 4 * 2.7182818284590452 ** (-9 * 3**0.5)}[cardinal]
        components = {
            'hartree_fock': -8.0 + 5.0 * decay + 2.0 / number,
            'mp2_correlation': -1.0 + 0.4 / cardinal**3 + 0.1 / number,
            **more,
        }
        values = {'fidelity': 'CCSD(T)', 'scf_converged': True, 'total_energy': -9.0, 'components': components}
        return EnergyResults.parse(values)

    jobs = {'a': results(2, 8, ccsd_correlation=-0.9, triples=-0.05), 'b': results(2, 27), 'c': results(3, 8)}
    points = {
        'corner': {'job': 'a', 'cardinal': 2, 'num_kpoints': 8},
        'mesh': {'job': 'b', 'cardinal': 2, 'num_kpoints': 27},
        'basis': {'job': 'c', 'cardinal': 3, 'num_kpoints': 8},
    }
    plan = {'hartree_fock': points, 'mp2': points, 'coupled_cluster': 'a'}
    parts = evaluate_composite(plan, jobs)
    assert parts['hartree_fock'].value == pytest.approx(-8.0) and parts['mp2_correlation'].value == pytest.approx(-1.0)
    mp2 = jobs['a'].components['mp2_correlation']
    assert parts['ccsdt_minus_mp2'].value == pytest.approx(-0.95 - mp2)
    assert parts['hartree_fock'].error > 0 and parts['ccsdt_minus_mp2'].error == 0
    jobs['d'] = results(2, 64)
    step = {**points, 'corner': points['mesh'], 'mesh': {**points['mesh'], 'job': 'd', 'num_kpoints': 64}}
    step['small'] = points['corner']
    assert evaluate_composite({**plan, 'hartree_fock': step}, jobs)['hartree_fock'].value == pytest.approx(-8.0)
    single = evaluate_composite({**plan, 'mp2': None}, jobs)
    assert set(single) == {'hartree_fock', 'ccsdt_correlation'}


@pytest.mark.parametrize('change', [{'coupled_cluster': 'nowhere'}, {'jobs': {}}, {'more': 1}])
def test_plans_that_do_not_hold_together(lithium_hydride, change):
    """A missing calculation, or a key that means nothing."""
    plan = plan_composite(EnergyProtocol.resolve('pipeline', MESHES), lithium_hydride)[0].model_dump(mode='json')
    assert CompositePlan.parse(plan).coupled_cluster == 'k1x1x1_gth_szv'
    with pytest.raises(InvalidInputError, match=r'the plan has no calculation|unknown key `more`'):
        CompositePlan.parse({**plan, **change})


def test_refusals(build, pyscf_code, lithium_hydride, make_structure):
    """As those of the EnergyWorkChain."""
    with pytest.raises(InvalidInputError, match='not of PBE: use the EnergyWorkChain'):
        build(lithium_hydride, fidelity='PBE')
    with pytest.raises(InvalidInputError, match='has no composite energy'):
        build(lithium_hydride, overrides={'composite': None})
    with pytest.raises(InvalidInputError, match='consists of metals only'):
        build(reference_structure('Al'))
    with pytest.raises(InvalidInputError, match='run `aiida-qagenai basis install ccgto`'):
        builder_of_level(pyscf_code, lithium_hydride, Fidelity.CCSD_T, EnergyProtocol.resolve('moderate'))
    single = builder_of_level(pyscf_code, lithium_hydride, Fidelity.CCSD_T, EnergyProtocol.resolve('pipeline'))
    assert single.process_class is EnergyWorkChain
    inputs = build(lithium_hydride)._inputs(prune=True)
    for changes, text in (
        ({'band_gap': orm.Float(0.1)}, 'not defined for a metal'),
        ({'plan': orm.Dict({'jobs': {}})}, 'not the plan of a composite'),
        ({'fidelity': orm.Str('SCAN')}, 'not of SCAN'),
    ):
        with pytest.raises(ValueError, match=text):
            instantiate_process(get_manager().get_runner(), CompositeWorkChain, **{**inputs, **changes})


@pytest.mark.slow
def test_crystal_for_real(build, lithium_hydride):
    """Hartree-Fock is extrapolated in the mesh, and every part has a calculation of its own."""
    outputs, node = run_get_node(build(lithium_hydride, overrides=MESHES))
    assert node.is_finished_ok, node.exit_message
    energy, jobs = (
        outputs['energy'].content,
        {label: value.get_dict() for label, value in outputs['components'].items()},
    )
    coarse, dense = (jobs[f'k{k}x1x1_gth_szv']['components']['hartree_fock'] for k in (1, 2))
    assert energy.components['hartree_fock'] == pytest.approx(2 * dense - coarse)
    small = jobs['k1x1x1_gth_szv']['components']
    assert energy.total_energy == pytest.approx(2 * dense - coarse + small['ccsd_correlation'] + small['triples'])
    assert energy.uncertainty == pytest.approx(((dense - coarse) ** 2 / 4 + 2.0**2) ** 0.5)
    assert energy.core_hours == pytest.approx(sum(job['core_hours'] for job in jobs.values()))
    assert energy.converged and energy.warnings == ['not scientific'] and energy.t1_diagnostic is not None
    creator = outputs['energy'].creator
    assert {creator.inputs[f'job{label}'].uuid for label in jobs} == {v.uuid for v in outputs['components'].values()}


@pytest.mark.slow
def test_molecule_for_real(build, toy_basis):
    """H2 in two bases of an installed family, against isolated atoms of the same composite: bound by some eV."""
    install_families(*toy_basis())
    outputs, node = run_get_node(build(isolated_atom('H'), overrides=TWO_BASES))
    assert node.is_finished_ok, node.exit_message
    atom = outputs['energy']
    assert atom.content.components['mp2_correlation'] == 0
    molecule = build(reference_structure('H'), overrides=TWO_BASES, atomic_references={'H': atom})
    outputs, node = run_get_node(molecule)
    assert node.is_finished_ok, node.exit_message
    energy = outputs['energy'].content
    assert -5.5 < energy.total_energy - 2 * atom.total_energy < -3.5
    assert (
        energy.components['mp2_correlation']
        < outputs['components']['isolated_toy_1_tz']['components']['mp2_correlation']
    )
    assert abs(energy.anchored) < 0.7 and energy.formation_scheme == 'anchored'


def test_basis_set_correction():
    """Adds what MP2 lacks, under another tag; calculations of different systems are refused."""
    values = {'num_electrons': 4, 'cc_kmesh': [2, 2, 2], 'pseudo': 'gth-hf-rev', 'core_hours': 1.0}
    values.update(fidelity='CCSD(T)', method='MP2', scf_converged=True, total_energy=-219.0)
    small, large = (orm.Dict({**values, 'components': {'mp2_correlation': energy}}) for energy in (-1.0, -1.2))
    energy = EnergyData(
        fidelity='CCSD(T)',
        total_energy=-219.0,
        num_atoms=2,
        formula='LiH',
        chemical_system='H-Li',
        converged=True,
        protocol='fast',
        level_tag='fast:ccgto-1-cc-pvdz:gth-hf-rev:k2x2x2:0123',
        scientific=True,
        structure_uuid='0',
        formation_energy_per_atom=-0.4,
        formation_scheme='anchored',
        anchored=-0.4,
        core_hours=5.0,
        components={'hartree_fock': -218.0},
    )
    numbers = orm.Dict({'small': 2, 'large': 3})
    corrected = apply_basis_correction(energy, small, large, numbers).content
    limit = (27 * -1.2 - 8 * -1.0) / 19
    assert corrected.total_energy == pytest.approx(-219.0 + limit + 1.0)
    assert corrected.uncertainty == pytest.approx(abs(limit + 1.2) / 2) and corrected.core_hours == 7.0
    assert corrected.level_tag == 'fast:ccgto-1-cc-pvdz+mp2cbs23:gth-hf-rev:k2x2x2:0123'
    assert corrected.formation_scheme is None and corrected.anchored is None
    other = orm.Dict({**large.get_dict(), 'num_electrons': 10})
    with pytest.raises(InvalidInputError, match='`num_electrons` of the two MP2 calculations differs: 4 and 10'):
        apply_basis_correction(energy, small, other, numbers)


@pytest.mark.slow
def test_basis_set_correction_for_real(pyscf_code, toy_basis):
    """H2 in the small basis, corrected by MP2 in both; another level, structure or smaller basis is refused."""
    install_families(*toy_basis())
    overrides = {'basis': 'toy/dz'}
    common = {'code': pyscf_code, 'protocol': 'pipeline', 'overrides': overrides}
    molecule = reference_structure('H')
    builder = EnergyWorkChain.get_builder_from_protocol(structure=molecule, fidelity='CCSD(T)', **common)
    energy = run_get_node(builder)[0]['energy']
    common.update(structure=molecule, energy=energy, larger_basis='toy/tz')
    outputs, node = run_get_node(BasisCorrectionWorkChain.get_builder_from_protocol(**common))
    assert node.is_finished_ok, node.exit_message
    small, large = (outputs['components'][name]['components']['mp2_correlation'] for name in ('small', 'large'))
    corrected = outputs['energy'].content
    assert small == pytest.approx(energy.content.components['mp2_correlation'], abs=1e-5)
    assert corrected.total_energy - energy.total_energy == pytest.approx(27 * (large - small) / 19)
    assert '+mp2cbs23' in corrected.level_tag
    for changes, text in (
        ({'larger_basis': 'toy/dz'}, 'is not larger'),
        ({'structure': isolated_atom('H')}, 'the energy is of 2 atoms'),
        ({'overrides': {**overrides, 'precision': 1e-5}}, 'the energy is of the level'),
    ):
        with pytest.raises(InvalidInputError, match=text):
            BasisCorrectionWorkChain.get_builder_from_protocol(**{**common, **changes})

"""From a structure and a fidelity to an energy, and all that is refused before."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida.orm import CalcJobNode, Dict, QueryBuilder

from aiida_qagenai.calculations.functions.energy import assemble_energy
from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.basis import BasisData, find_bases, install_families
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.queries.energies import energies, energies_side_by_side
from aiida_qagenai.thermodynamics.references.atomization import atomization_energy
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain
from aiida_qagenai.workchains.energy.references import isolated_atom
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.energy import EnergyLevel, available_protocols, energy_settings

CUBE = [[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]]
CHEAP = {'meshes': {'PBE': {'fixed': [1, 1, 1]}}, 'grid_spacing': 0.15}


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ({'fidelity': 'MP2'}, 'unknown fidelity `MP2`: choose from PBE'),
        ({'protocol': 'quick'}, 'unknown protocol `quick` of energies: the protocols are pipeline, fast'),
        ({'overrides': {'grid': 0.1}}, 'unknown key `grid`'),
        ({'overrides': {'scf': {'tolerance': 1}}}, 'unknown key `scf.tolerance`: expected one of conv_tol, max_cycle'),
        ({'overrides': {'meshes': {'PBE': {'spacing': -1}}}}, 'meshes.PBE.spacing'),
        ({'fidelity': 'SCAN', 'descriptors': True}, '`descriptors` need PBE'),
        ({'moments': [1.0]}, '1 `moments` for 2 sites'),
    ],
)
def test_wrong_arguments_are_named(build, lithium_hydride, arguments, text):
    """Unknown names come with what there is instead."""
    with pytest.raises(InvalidInputError, match=text):
        build(lithium_hydride, **arguments)


@pytest.mark.parametrize(
    ('symbols', 'fidelity', 'protocol', 'text'),
    [
        (['La'], 'PBE', 'pipeline', 'no pseudopotential gth-pbe with a basis for La'),
        (['Na', 'Cl'], 'PBE', 'fast', 'no basis for Cl, Na, only for C, H, Li, N, O: run'),
        (['Li'] * 5 + ['H'] * 4, 'PBE', 'pipeline', '9 atoms, protocol `pipeline` allows 8 at PBE'),
        (['Li', 'H', 'Li', 'H', 'Li', 'H'], 'CCSD(T)', 'pipeline', 'allows 4 at CCSD'),
        (['Li', 'Li'], 'CCSD(T)', 'pipeline', 'consists of metals only'),
        (['Li', 'H', 'H'], 'CCSD(T)', 'pipeline', 'even number of electrons per cell, H2Li has 5'),
    ],
)
def test_refused_structures(build, make_structure, symbols, fidelity, protocol, text):  # noqa: PLR0917
    """What a level does not admit is refused before anything is computed."""
    positions = [(0.3 * index, 0.2 * index, 0.25 * index) for index in range(len(symbols))]
    with pytest.raises(InvalidInputError, match=text):
        build(make_structure(symbols, positions, CUBE), fidelity, protocol)


def test_metal_by_its_gap(build, lithium_hydride):
    """A gap known from a lower level decides whether CCSD(T) is tried."""
    with pytest.raises(InvalidInputError, match=r'not defined for a metal: the gap is 0\.20 eV'):
        build(lithium_hydride, 'CCSD(T)', band_gap=0.2)
    assert build(lithium_hydride, 'CCSD(T)', band_gap=4.0).band_gap.value == 4.0
    assert build(lithium_hydride, 'PBE', band_gap=0.0).fidelity.value == 'PBE'


def test_moments_become_attributes(build):
    """Hydrogen atoms far apart: the alternating order is computed, and found again by a search."""
    chain = orm.StructureData(cell=[[5.0, 0, 0], [0, 5.0, 0], [0, 0, 5.0]])
    for name, height in (('H1', 0.0), ('H2', 2.5)):
        # Kinds of one element may have names of their own.
        chain.append_atom(symbols='H', name=name, position=(0, 0, height))
    builder = build(chain, moments=[1, -1], overrides={**CHEAP, 'smearing': None})
    energy = run_get_node(builder)[0]['energy'].content
    assert energy.spin_polarized and energy.magnetic_ordering == 'antiferromagnetic'
    assert energy.initial_moments == [1.0, -1.0] and energy.site_moments[0] > 0.9 > -0.9 > energy.site_moments[1]
    assert 0 < energy.band_gap <= min(energy.band_gap_up, energy.band_gap_down) and energy.spin_squared > 0.8
    query = QueryBuilder().append(EnergyData, filters={'attributes.magnetic_ordering': 'antiferromagnetic'})
    assert energy.structure_uuid == chain.uuid and query.count()


@pytest.mark.slow
def test_coupled_cluster_with_moments_is_labelled_as_what_it_is(build, make_structure):
    """CCSD of two spins has its own level tag and never stands for CCSD(T)."""
    chain = make_structure(['H', 'H'], [(0, 0, 0), (0, 0, 2.5)], [[5.0, 0, 0], [0, 5.0, 0], [0, 0, 5.0]])
    restricted, builder = build(chain, 'CCSD(T)'), build(chain, 'CCSD(T)', moments=[1, -1])
    assert ':uccsd-' in builder.level['level_tag'] and ':uccsd-' not in restricted.level['level_tag']
    energy = run_get_node(builder)[0]['energy']
    assert (energy.content.method, energy.content.formation_energy_per_atom) == ('CCSD', None)
    assert 'triples' not in energy.content.components and energy.content.t1_diagnostic is not None
    assert any('not the level CCSD(T)' in warning for warning in energy.content.warnings)
    table = energies_side_by_side()
    assert table.empty or table['formation_ccsdt'].isna().all()


@pytest.mark.slow
def test_lost_moments_are_an_error(build, make_structure):
    """Atoms of a hydrogen molecule lose their moments three times; no energy is passed off as the magnetic one."""
    molecule = make_structure(['H', 'H'], [(0, 0, 0), (0, 0, 0.75)], [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]])
    outputs, node = run_get_node(build(molecule, moments=[1, -1], overrides={**CHEAP, 'smearing': None}))
    assert node.exit_status == EnergyWorkChain.exit_codes.ERROR_MAGNETIC_COLLAPSE.status
    assert 'energy' not in outputs and 'the sites have' in node.exit_message
    assert len(node.called[0].called) == 3


def test_moment_of_a_metal_is_free(build, make_structure):
    """A metal has bands of both spins at one Fermi level; a given spin, and that of an insulator, is kept."""
    metal, hydride = (make_structure(symbols, [(0, 0, 0), (0, 0, 1.5)], CUBE) for symbols in (['Li'] * 2, ['Li', 'H']))
    options = [build(metal, moments=[1, 1]), build(metal, moments=[1, 1], spin=2), build(hydride, moments=[1, 1])]
    assert [one.pyscf.parameters['free_moment'] for one in options] == [True, False, False]
    assert [one.pyscf.parameters['spin'] for one in options] == [None, 2, None]


def test_odd_number_of_electrons_is_an_open_shell(build, make_structure):
    """A crystal with one is spin-polarised by itself; a metal without moments has no unpaired electron."""
    hydride, metal = (
        make_structure(symbols, [(0, 0, 0), (0, 0, 1.5)], CUBE) for symbols in (['He', 'H'], ['Be', 'Li'])
    )
    odd, even = build(hydride).pyscf.parameters, build(metal).pyscf.parameters
    assert (odd['spin_polarized'], odd['spin'], odd['free_moment']) == (True, 1, True)
    assert 'spin_polarized' not in even.get_dict()
    assert 'spin_polarized' not in build(hydride, overrides={'magnetism': 'none'}).pyscf.parameters.get_dict()


def test_molecules_of_elements_only(build, make_structure):
    """The spin of others is not known here."""
    with pytest.raises(InvalidInputError, match='spin of the molecule HLi is not known here: use the PyscfCellCalc'):
        build(make_structure(['H', 'Li'], [(0, 0, 0), (0, 0, 1.6)]))
    oxygen = build(make_structure(['O', 'O'], [(0, 0, 0), (0, 0, 1.2)])).pyscf.parameters
    assert (oxygen['system'], oxygen['spin'], oxygen['kmesh']) == ('molecule', 2, None)


def change(builder, **inputs):
    """Return the inputs of a builder with some replaced."""
    return {**builder._inputs(prune=True), **inputs}


def test_ports_refuse_what_a_builder_would(build, make_structure, lithium_hydride, atom_energy):
    """The checks hold for inputs put together by hand as well."""
    lithium = make_structure(['Li', 'Li'], [(0, 0, 0), (1.5, 1.5, 1.5)], CUBE)
    coupled = build(lithium_hydride, 'CCSD(T)')
    large = coupled.pyscf.parameters.get_dict() | {'max_memory_mb': 0.01}
    pyscf = coupled._inputs(prune=True)['pyscf']
    cases = [
        (change(coupled, structure=lithium), 'consists of metals only'),
        (change(coupled, fidelity=orm.Str('PBE')), r'the parameters are for CCSD\(T\)'),
        (change(coupled, fidelity=orm.Str('MP2')), 'unknown fidelity'),
        (change(coupled, band_gap=orm.Float(0.1)), 'not defined for a metal'),
        (change(coupled, level=orm.Dict({'protocol': 'pipeline'})), 'level_tag'),
        (change(coupled, pyscf={**pyscf, 'parameters': orm.Dict(large)}), r'CCSD\(T\) would need at least 0.1 MB'),
        (change(coupled, atomic_references={'H': atom_energy('H')}), 'is of PBE'),
        (change(coupled, atomic_references={'H': atom_energy('H', 'CCSD(T)')}), 'no reference for Li'),
    ]
    for inputs, text in cases:
        with pytest.raises((ValueError, InvalidInputError), match=text):
            instantiate_process(get_manager().get_runner(), EnergyWorkChain, **inputs)


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'level_tag': 'pipeline:other:gth-pbe:isolated:0'}, 'has the level tag'),
        ({'num_atoms': 2}, 'not an isolated H atom'),
        ({'fidelity': 'SCAN'}, 'is of SCAN'),
    ],
)
def test_references_of_another_level_are_refused(build, lithium_hydride, atom_energy, changes, text):
    """A formation energy never mixes levels."""
    references = {'H': atom_energy('H', **changes), 'Li': atom_energy('Li')}
    inputs = change(build(lithium_hydride), atomic_references=references)
    with pytest.raises(ValueError, match=text):
        instantiate_process(get_manager().get_runner(), EnergyWorkChain, **inputs)


def test_energy_for_real(build, lithium_hydride, atom_energy):
    """The energy carries all its labels, and the formation energy follows from the atoms and from experiment."""
    references = {'H': atom_energy('H'), 'Li': atom_energy('Li')}
    builder = build(lithium_hydride, overrides=CHEAP)
    tag = builder.level['level_tag']
    same = tag.rsplit(':', 2)[0] + ':isolated:' + tag.rsplit(':', 1)[1]
    builder.atomic_references = {symbol: atom_energy(symbol, level_tag=same) for symbol in references}
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    energy = outputs['energy'].content
    assert (energy.formula, energy.chemical_system, energy.num_atoms) == ('LiH', 'H-Li', 2)
    assert energy.structure_uuid == lithium_hydride.uuid and energy.converged and energy.core_hours > 0
    assert not energy.scientific and 'not scientific' in energy.warnings and energy.warning_codes == [700]
    assert energy.memory_mb > 10
    expected = (energy.total_energy + 213.0 + atomization_energy('Li') + atomization_energy('H')) / 2
    assert energy.formation_energy_per_atom == pytest.approx(expected)
    assert energy.formation_scheme == 'anchored'
    assert 'descriptors' not in outputs
    calculation = node.called_descendants[1]
    assert (
        calculation.process_class is PyscfCellCalculation and calculation.inputs.structure.uuid == lithium_hydride.uuid
    )


def test_an_energy_with_forces(build, make_structure):
    """Forces and stress are attributes of the energy; they push the two atoms of a squeezed molecule apart."""
    squeezed = make_structure(['H', 'H'], [[0, 0, 0], [0, 0, 0.6]], CUBE)
    outputs, node = run_get_node(build(squeezed, overrides=CHEAP, forces=True))
    assert node.is_finished_ok, node.exit_message
    energy = outputs['energy'].content
    assert np.shape(energy.forces) == (2, 3)
    np.testing.assert_allclose(np.sum(energy.forces, axis=0), 0, atol=1e-6)
    assert np.abs(energy.forces).max() > 0.01
    assert energy.stress is None or np.shape(energy.stress) == (3, 3)


def test_failed_calculation_ends_with_its_reason_and_keeps_its_cost(build, lithium_hydride):
    """A basis that PySCF does not know: one attempt, its reason, its cost."""
    builder = build(lithium_hydride)
    builder.pyscf.parameters = orm.Dict(builder.pyscf.parameters.get_dict() | {'basis': 'no-such-basis'})
    _, node = run_get_node(builder)
    assert node.exit_status == EnergyWorkChain.exit_codes.ERROR_CALCULATION_FAILED.status
    assert '210, PySCF refused the input' in node.exit_message
    calculations = [child for child in node.called_descendants if isinstance(child, orm.CalcJobNode)]
    assert len(calculations) == 1 and calculations[0].outputs.results['core_hours'] > 0


def test_assembled_energy_is_not_cached(lithium_hydride, atom_energy):
    """Its clone would name the structure of another run."""
    results = {
        'fidelity': 'PBE',
        'total_energy': -219.0,
        'warnings': [],
        'scf_converged': True,
        'core_hours': 0.1,
        'wall_seconds': 1.0,
        'components': {},
    }
    level = EnergyLevel.create(energy_settings('pipeline'), Fidelity.PBE).model_dump(mode='json')
    energy, node = assemble_energy.run_get_node(orm.Dict(results), lithium_hydride, orm.Dict(level))
    assert energy.formation_energy_per_atom is None and energy.content.energy_per_atom == -109.5
    assert not node.base.caching.is_valid_cache


def test_searches_leave_out_energies_with_a_warning(aiida_profile_clean, lithium_hydride):
    """The codes of the calculation and that of the level are attributes, and any of them can be excluded."""
    level = EnergyLevel.create(energy_settings('pipeline'), Fidelity.CCSD_T).model_dump(mode='json')
    results = {
        **{'fidelity': 'CCSD(T)', 'total_energy': -219.0, 'scf_converged': True, 'cc_converged': True},
        **{'core_hours': 0.1, 'wall_seconds': 1.0, 'components': {}, 't1_diagnostic': 0.03, 'd1_diagnostic': 0.04},
    }
    for scientific, codes in ((False, []), (True, [701, 702]), (True, [701]), (True, [])):
        values = {**results, 'warnings': [str(code) for code in codes], 'warning_codes': codes}
        assemble_energy(orm.Dict(values), lithium_hydride, orm.Dict({**level, 'scientific': scientific}))
    found = energies()
    assert sorted(map(list, found['warning_codes'])) == [[], [700], [701], [701, 702]]
    assert sorted(map(list, energies(exclude_warnings=[702])['warning_codes'])) == [[], [700], [701]]
    assert [*energies(exclude_warnings=[700, 701])['warning_codes']] == [[]]
    assert orm.QueryBuilder().append(EnergyData, filters={'attributes.d1_diagnostic': {'>': 0.039}}).count() == 4


def test_basis_of_an_installed_family_is_an_input(build, lithium_hydride, toy_basis):
    """The graph holds it, the tag names it, and the script is complete with its text."""
    install_families(*toy_basis())
    overrides = {**CHEAP, 'basis': 'toy/dz', 'precision': 1e-5}
    builder = build(lithium_hydride, overrides=overrides)
    assert builder.level['level_tag'].split(':')[1] == 'toy-1-dz'
    assert builder.level['basis_sizes'] == {'H': {'functions': 3, 'valence': 1}, 'Li': {'functions': 7, 'valence': 3}}
    node = run_get_node(builder)[1]
    assert node.is_finished_ok, node.exit_message
    calculation = node.called_descendants[1]
    assert calculation.inputs.bases.Li.text in calculation.base.repository.get_object_content('script.py').replace(
        '\\\\n', '\n'
    )
    assert calculation.outputs.results['num_basis_functions'] == 10
    energies = QueryBuilder().append(BasisData, filters={'attributes.element': 'Li'}, tag='basis')
    energies.append(CalcJobNode, with_incoming='basis', tag='job').append(Dict, with_incoming='job')
    assert energies.count() == 1


def test_bases_must_fit(build, lithium_hydride, toy_basis):
    """A basis of another family, or of another element, under the name of this one."""
    install_families(*toy_basis())
    builder = build(lithium_hydride, overrides={**CHEAP, 'basis': 'toy/dz'})
    pyscf, other = builder._inputs(prune=True)['pyscf'], find_bases('toy/tz', ['H', 'Li'])
    for bases, text in (
        ({**pyscf['bases'], 'H': other['H']}, 'is of the family toy/1/tz'),
        ({'H': pyscf['bases']['H'], 'Li': pyscf['bases']['H']}, 'is a basis of H'),
        ({'H': pyscf['bases']['H']}, 'no entry for Li'),
    ):
        with pytest.raises(ValueError, match=text):
            inputs = change(builder, pyscf={**pyscf, 'bases': bases})
            instantiate_process(get_manager().get_runner(), EnergyWorkChain, **inputs)
    with pytest.raises(InvalidInputError, match='family toy/1/dz has no basis for Na'):
        EnergyProtocol.resolve('pipeline', {'basis': 'toy/dz'}, ['Na']).cover(['Na'])


def test_without_a_family(build, lithium_hydride, make_structure):
    """The protocol says what stands in, or which command installs what is missing."""
    level = build(lithium_hydride, 'PBE', 'fast').level
    assert level['level_tag'].split(':')[1] == 'gth-cc-dzvp'
    assert level['notes'] == ['basis gth-cc-dzvp of PySCF, because the family ccgto/cc-pvdz is not installed']
    with pytest.raises(InvalidInputError, match='cannot describe the isolated atom of Li: run `aiida-qagenai basis'):
        build(isolated_atom('Li'), 'PBE', 'fast')
    for protocol in ('moderate', 'precise'):
        with pytest.raises(InvalidInputError, match='are not installed: run `aiida-qagenai basis install ccgto`'):
            build(lithium_hydride, 'PBE', protocol)


def test_protocols_are_described():
    """Each says what it is; the one that is not scientific says so."""
    assert set(available_protocols()) == {'pipeline', 'fast', 'moderate', 'precise', 'all_electron'}
    assert 'Not scientific' in available_protocols()['pipeline'] and not energy_settings('pipeline').scientific
    assert energy_settings('fast').expected_error.startswith('0.2')

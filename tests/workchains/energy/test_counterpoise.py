"""Atoms with the functions of their neighbours, and formation energies that refer to them."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

from aiida_qagenai.calculations.functions.counterpoise import average_atoms, surround_atom, surroundings_of
from aiida_qagenai.calculations.functions.energy import assemble_energy
from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.basis import install_families
from aiida_qagenai.thermodynamics.references.atomization import atomization_energy
from aiida_qagenai.workchains.energy.composite import CompositeWorkChain
from aiida_qagenai.workchains.energy.counterpoise import CounterpoiseWorkChain, builder_with_atoms
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain
from aiida_qagenai.workchains.energy.references import isolated_atom
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol

COARSE = {'precision': 1e-5, 'meshes': {'HF': {'fixed': [1, 1, 1]}, 'CCSD(T)': {'fixed': [1, 1, 1]}}}
CORRECTED = {**COARSE, 'counterpoise': {'shells': 1}}


@pytest.fixture(autouse=True)
def profile(aiida_profile_clean):
    """Start every test from an empty profile."""


@pytest.mark.slow
def test_formation_energy_against_corrected_atoms_for_real(pyscf_code, lithium_hydride):
    """Borrowed functions lower both atoms; the formation energy refers to them, and all is linked to the crystal."""
    common = {'code': pyscf_code, 'fidelity': 'CCSD(T)', 'protocol': 'pipeline', 'overrides': CORRECTED}
    resolved = {'code': pyscf_code, 'fidelity': Fidelity.CCSD_T}
    resolved['protocol'] = EnergyProtocol.resolve('pipeline', CORRECTED)
    outputs, node = run_get_node(builder_with_atoms(structure=lithium_hydride, **resolved))
    assert node.is_finished_ok and node.process_class is CounterpoiseWorkChain, node.exit_message
    energy, atoms = outputs['energy'].content, outputs['atoms']
    assert energy.level_tag.split(':')[1] == 'gth-szv+cp1'
    for element, atom in atoms.items():
        assert atom.content.level_tag.split(':')[3] == surroundings_of(lithium_hydride)
        bare = EnergyWorkChain.get_builder_from_protocol(structure=isolated_atom(element), **common)
        lowering = run_get_node(bare)[0]['energy'].total_energy - atom.total_energy
        assert 1e-4 < lowering < 1.0
    expected = energy.total_energy - sum(atoms[e].total_energy - atomization_energy(e) for e in ('Li', 'H'))
    assert energy.anchored == pytest.approx(expected / 2)
    calculations = [one for one in node.called_descendants if one.process_class is PyscfCellCalculation]
    ghosts = [one.inputs.ghosts for one in calculations if 'ghosts' in one.inputs]
    assert len(ghosts) == 2 and all(one.creator.inputs.structure.uuid == lithium_hydride.uuid for one in ghosts)


def test_corrected_and_uncorrected_never_meet(pyscf_code, lithium_hydride):
    """Atoms of another crystal, or without ghosts, are refused by a level that asks for the correction."""
    common = {'code': pyscf_code, 'fidelity': 'PBE', 'protocol': 'pipeline', 'overrides': CORRECTED}
    crystal = EnergyWorkChain.get_builder_from_protocol(structure=lithium_hydride, **common)
    plain = EnergyWorkChain.get_builder_from_protocol(structure=lithium_hydride, **{**common, 'overrides': COARSE})
    assert crystal.level['level_tag'].replace('+cp1', '') == plain.level['level_tag']
    other = lithium_hydride.clone()
    other.set_cell([[2.0 * x for x in vector] for vector in lithium_hydride.cell])
    for around, text in ((None, 'an atom `isolated`'), (other, surroundings_of(other))):
        atoms = {element: _energy_of_atom(element, around, common) for element in ('Li', 'H')}
        crystal.atomic_references = atoms
        with pytest.raises(ValueError, match=f'{text}.*belongs to one crystal'):
            instantiate_process(get_manager().get_runner(), EnergyWorkChain, **crystal)
    plain.atomic_references = atoms
    with pytest.raises(ValueError, match='belongs to one crystal'):
        instantiate_process(get_manager().get_runner(), EnergyWorkChain, **plain)


def _energy_of_atom(element, crystal, common, total_energy=-13.0):
    builder = EnergyWorkChain.get_builder_from_protocol(structure=isolated_atom(element), crystal=crystal, **common)
    values = {'fidelity': 'PBE', 'total_energy': total_energy, 'scf_converged': True, 'warnings': [], 'components': {}}
    results = orm.Dict({**values, 'core_hours': 0.1, 'wall_seconds': 1.0})
    return assemble_energy(results, builder.structure, orm.Dict(builder.level.get_dict()))


def test_sites_of_one_element_are_averaged(pyscf_code, lithium_hydride):
    """Every site counts as often as it occurs; the costs add up and the level stays."""
    common = {'code': pyscf_code, 'fidelity': 'PBE', 'protocol': 'pipeline', 'overrides': CORRECTED}
    energies = {f'site{i}': _energy_of_atom('H', lithium_hydride, common, -10.0 - i) for i in (0, 3)}
    mean = average_atoms(orm.Dict({'site0': 3, 'site3': 1}), **energies).content
    assert mean.total_energy == mean.energy_per_atom == pytest.approx(-10.75)
    assert mean.core_hours == pytest.approx(0.2) and mean.level_tag == energies['site0'].content.level_tag


def test_composite_lends_functions_of_both_bases(pyscf_code, lithium_hydride, toy_basis):
    """The ghosts of a composite: bases of all elements of the crystal, and the tag of the crystal."""
    install_families(*toy_basis())
    parts = {'bases': ['toy/dz', 'toy/tz'], 'meshes': [{'fixed': [2, 2, 2]}]}
    composite = {'coupled_cluster': {'basis': 'toy/dz', 'mesh': {'fixed': [2, 2, 2]}}, 'residual_error': 0.1}
    overrides = {
        'basis': 'toy/dz',
        'prefer_composite': True,
        'counterpoise': {'shells': 1},
        'composite': {**composite, 'hartree_fock': parts, 'mp2': parts},
    }
    builder = CompositeWorkChain.get_builder_from_protocol(
        pyscf_code, isolated_atom('H'), protocol='pipeline', overrides=overrides, ghosts=lithium_hydride,
        crystal=lithium_hydride,
    )  # fmt: skip
    assert all(set(bases) == {'H', 'Li'} for bases in builder.bases.values()) and builder.ghosts
    tag = builder.level['level_tag'].split(':')
    assert tag[1].endswith('toy-1-dz+cp1') and tag[3] == surroundings_of(lithium_hydride)


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ({'overrides': {}}, '`counterpoise` is not set in protocol `pipeline`'),
        ({'structure': 'H'}, 'the counterpoise correction is for crystals'),
        ({'overrides': {'counterpoise': {'shells': 9}}}, 'counterpoise.shells'),
    ],
)
def test_refusals(pyscf_code, lithium_hydride, arguments, text):
    """What has no correction is refused before anything runs."""
    structure = isolated_atom('H') if arguments.get('structure') else lithium_hydride
    overrides = arguments.get('overrides', CORRECTED)
    with pytest.raises(InvalidInputError, match=text):
        CounterpoiseWorkChain.get_builder_from_protocol(pyscf_code, structure, 'PBE', 'pipeline', overrides=overrides)


def test_ghosts_are_not_for_crystals(pyscf_code, lithium_hydride, pyscf_parameters):
    """A crystal has its own neighbours."""
    builder = PyscfCellCalculation.get_builder()
    builder.code, builder.structure, builder.ghosts = pyscf_code, lithium_hydride, lithium_hydride
    builder.parameters = pyscf_parameters('PBE')
    with pytest.raises(ValueError, match='`ghosts` are for atoms and molecules'):
        instantiate_process(get_manager().get_runner(), PyscfCellCalculation, **builder)


def test_grid_of_an_atom_among_ghosts_keeps_its_electron(pyscf_code, lithium_hydride):
    """PBE of H among six Li: a grid that the ghosts share in loses 2e-4 electrons and is refused."""
    parts = surround_atom(lithium_hydride, orm.Int(1), orm.Int(1))
    builder = EnergyWorkChain.get_builder_from_protocol(
        pyscf_code, parts['atom'], 'PBE', 'pipeline', ghosts=parts['ghosts']
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert outputs['energy'].total_energy == pytest.approx(-13.5, abs=0.3)

"""References of formation energies: isolated atoms and elements."""

from __future__ import annotations

import pytest
from aiida.engine import run_get_node
from aiida.orm import load_node

from aiida_qagenai.calculations.functions.energy import formation_fields
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.thermodynamics.references.atomization import atomization_energy, spin_polarization_error
from aiida_qagenai.workchains.energy.composite import builder_of_level
from aiida_qagenai.workchains.energy.references import ReferenceWorkChain, reference_structure
from aiida_qagenai.workchains.protocols import energy as protocol_energy
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.energy import energy_settings


@pytest.mark.slow
def test_references_for_real(pyscf_code):
    """Isolated H and Li, labelled by element and fidelity."""
    levels = [Fidelity.SCAN, Fidelity.CCSD_T]
    builder = ReferenceWorkChain.get_builder_from_protocol(
        code=pyscf_code, elements=['H', 'Li'], fidelities=levels, protocol='pipeline'
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    energies = {(e, f): value for e, levels in outputs['atomic_references'].items() for f, value in levels.items()}
    assert set(energies) == {(element, fidelity.label) for element in ('H', 'Li') for fidelity in levels}
    for (element, fidelity), energy in energies.items():
        content = energy.content
        assert (content.formula, content.num_atoms, content.fidelity.label) == (element, 1, fidelity)
        assert content.formation_energy_per_atom is None and content.level_tag.split(':')[3] == 'isolated'
    # One electron: Hartree-Fock, and no functional is far from it.
    assert energies['H', 'ccsdt'].content.components['ccsd_correlation'] == 0
    assert all(energies['H', f.label].total_energy == pytest.approx(-13.5, abs=0.1) for f in levels)


def test_known_references_are_passed_on(pyscf_code, atom_energy):
    """Nothing is computed, and what is of another level is refused."""
    levels = {'fidelities': ['PBE'], 'protocol': 'pipeline', 'code': pyscf_code, 'elements': ['H']}
    known = {'H': {'pbe': atom_energy('H')}}
    outputs, node = run_get_node(ReferenceWorkChain.get_builder_from_protocol(**levels, known_atomic_references=known))
    assert node.is_finished_ok and not node.called
    assert outputs['atomic_references']['H']['pbe'].uuid == known['H']['pbe'].uuid
    known = {'H': {'pbe': atom_energy('H', level_tag='pipeline:other:gth-pbe:isolated:0')}}
    node = run_get_node(ReferenceWorkChain.get_builder_from_protocol(**levels, known_atomic_references=known))[1]
    assert node.exit_status == 211 and 'has the level tag' in node.exit_message


def test_references_without_atoms(pyscf_code):
    """Where crystals have atoms of their own only the elements are computed, with the changes that were asked for."""
    builder = ReferenceWorkChain.get_builder_from_protocol(
        code=pyscf_code,
        elements=['H'],
        fidelities=['PBE'],
        protocol='pipeline',
        overrides={'precision': 1e-7},
        atoms=False,
        self_consistent=True,
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert len(node.called) == 1 and 'atomic_references' not in outputs
    (parameters,) = (child.inputs.pyscf.parameters for child in node.called)
    assert parameters['precision'] == 1e-7
    assert outputs['elemental_references']['H']['pbe'].content.formula == 'H2'


@pytest.mark.slow
def test_self_consistent_formation_energy_for_real(build, pyscf_code):
    """H2 against itself is zero; both fields are there, the anchored one is that of hulls."""
    references = ReferenceWorkChain.get_builder_from_protocol(
        code=pyscf_code, elements=['H'], fidelities=['PBE'], protocol='pipeline', self_consistent=True
    )
    outputs, node = run_get_node(references)
    assert node.is_finished_ok, node.exit_message
    atom, molecule = outputs['atomic_references']['H']['pbe'], outputs['elemental_references']['H']['pbe']
    assert molecule.content.formula == 'H2' and molecule.content.num_atoms == 2
    builder = build(reference_structure('H'), atomic_references={'H': atom}, elemental_references={'H': molecule})
    energy = run_get_node(builder)[0]['energy'].content
    assert energy.self_consistent == pytest.approx(0, abs=1e-8)
    binding = energy.total_energy / 2 - atom.total_energy
    assert energy.anchored == pytest.approx(binding + atomization_energy('H'))
    assert energy.formation_energy_per_atom == energy.anchored and energy.formation_scheme == 'anchored'
    assert energy.anchored_uncertainty < 1e-3
    with pytest.raises(ValueError, match='no reference state for Li'):
        formation_fields(-1.0, {'Li': 1}, Fidelity.PBE, molecule.content.level_tag, {'elementH': molecule})


@pytest.mark.parametrize(('fidelity', 'corrected'), [('PBE', True), ('CCSD(T)', False)])
def test_anchored_formation_energies_are_corrected_for_the_spin_of_the_atoms(atom_energy, fidelity, corrected):
    """Of functionals by what their pseudopotential binds the atoms too strongly; what was added is a field."""
    level = Fidelity.parse(fidelity)
    energies = {'B': -70.0, 'N': -266.0}
    atoms = {
        symbol: atom_energy(symbol, fidelity, total_energy=energy, formula=symbol, chemical_system=symbol)
        for symbol, energy in energies.items()
    }
    tag = energy_settings('pipeline').tag(level)
    fields = formation_fields(-350.0, {'B': 1, 'N': 1}, level, tag, atoms)
    error = sum(spin_polarization_error('gth-pbe', level, symbol) for symbol in energies) / 2
    assert (error > 0.1) is corrected
    assert fields['anchored_spin_correction'] == pytest.approx(-error)
    uncorrected = (-350.0 + 336.0 + atomization_energy('B') + atomization_energy('N')) / 2
    assert fields['anchored'] == pytest.approx(uncorrected - error)


def test_energies_from_before_the_correction_are_told_apart(monkeypatch):
    """Their tag has another hash, so that they never meet in a training set; those of CCSD(T) are the same."""
    settings = energy_settings('fast')

    def tags():
        return [settings.tag(fidelity) for fidelity in LADDER]

    now = tags()
    monkeypatch.setattr(protocol_energy, 'has_spin_error', lambda *_: False)
    assert [new == old for new, old in zip(now, tags(), strict=True)] == [False, False, False, True]


def test_compounds_take_the_place_of_atoms(pyscf_code):
    """In Mn-O the oxide and the hydride are computed, which the inputs hold with their experimental energies."""
    builder = ReferenceWorkChain.get_builder_from_protocol(
        code=pyscf_code, elements=['Mn', 'O'], fidelities=['PBE', 'HSE06'], protocol='fast', self_consistent=True
    )
    assert set(builder.compounds) == {'H', 'H2O', 'MnO'} and not builder.atoms and not builder.states
    derivations = builder.derivations.get_dict()['order']
    assert [plan['element'] for plan in derivations] == ['H', 'O', 'Mn']
    assert derivations[-1]['enthalpy'] == pytest.approx(-3.989, abs=0.001)
    assert builder.settings.get_dict()['basis'] == 'gth-dzvp-molopt-sr'


@pytest.mark.slow
def test_formation_energies_against_compounds_for_real(pyscf_code, make_structure):
    """KCl has its experimental formation enthalpy at any level, by construction, and says what it refers to."""
    builder = ReferenceWorkChain.get_builder_from_protocol(
        code=pyscf_code, elements=['K', 'Cl'], fidelities=['PBE'], protocol='pipeline'
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert set(outputs['compound_references']) == {'H', 'HCl', 'KCl'} and 'atomic_references' not in outputs
    elements = {symbol: levels['pbe'] for symbol, levels in outputs['elemental_references'].items()}
    assert elements['K'].content.reference_reactions['K'] == 'K = KCl - Cl'
    compound = outputs['compound_references']['KCl']['pbe']
    protocol = EnergyProtocol.resolve('pipeline', symbols=['K', 'Cl'])
    structure = load_node(compound.content.structure_uuid)
    builder = builder_of_level(pyscf_code, structure, Fidelity.PBE, protocol, elemental_references=elements)
    energy = run_get_node(builder)[0]['energy'].content
    assert energy.formation_scheme == 'reference_compounds' and energy.self_consistent is None
    assert energy.formation_energy_per_atom == pytest.approx(-4.52504 / 2, abs=1e-6)
    assert energy.reference_reactions == {
        'H': 'H = H (reference state)',
        'Cl': 'Cl = HCl - H',
        'K': 'K = KCl - Cl',
    }
    # What HCl brings cancels in the compound itself.
    assert energy.reference_errors['HCl'] == pytest.approx(0, abs=1e-12)
    assert energy.reference_uncertainty == pytest.approx(0.02, abs=0.001)


@pytest.mark.parametrize(
    ('elements', 'arguments', 'text'),
    [
        (['La'], {}, 'gth-pbe with a basis for La'),
        (['Po', 'O'], {}, 'nothing to refer the energy of Po to'),
        (['S'], {'self_consistent': True}, 'reference state of S is not known'),
    ],
)
def test_impossible_references_are_refused(pyscf_code, elements, arguments, text):
    """An element without a basis, or without a reference state."""
    with pytest.raises(InvalidInputError, match=text):
        ReferenceWorkChain.get_builder_from_protocol(
            code=pyscf_code, elements=elements, fidelities=['PBE'], protocol='pipeline', **arguments
        )

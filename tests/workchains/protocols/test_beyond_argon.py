"""Elements beyond argon: one basis for all elements of a system, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.workchains.energy.composite import builder_of_level
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.beyond_argon import MOLOPT_BASES
from aiida_qagenai.workchains.protocols.energy import EnergyLevel, energy_settings, find_refusal

FUNCTIONALS = (Fidelity.PBE, Fidelity.SCAN, Fidelity.HSE06)


@pytest.fixture
def crystal(make_structure):
    """Return a factory of crystals with an atom of each element."""

    def create(symbols):
        positions = [(1.1 * index, 1.0 * index, 0.9 * index) for index in range(len(symbols))]
        return make_structure(symbols, positions, [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]])

    return create


@pytest.mark.parametrize('basis', MOLOPT_BASES)
def test_functions_and_electrons_are_those_of_pyscf(basis):
    """The table that refuses structures tells the truth about the bases and gth-pbe."""
    from pyscf.pbc import gto

    elements = MOLOPT_BASES[basis]
    atoms = [(symbol, (0.0, 0.0, 5.0 * index)) for index, symbol in enumerate(elements)]
    edges = np.diag([99.0, 99.0, 999.0])
    cell = gto.M(a=edges, atom=atoms, basis=basis, pseudo='gth-pbe', spin=None, verbose=0, precision=1e-5)
    functions = cell.aoslice_by_atom()[:, 3] - cell.aoslice_by_atom()[:, 2]
    found = {cell.atom_symbol(i): (functions[i], cell.atom_charge(i)) for i in range(cell.natm)}
    assert len(found) == 71
    assert found == {symbol: (entry.functions, entry.valence) for symbol, entry in elements.items()}


@pytest.mark.parametrize(
    ('protocol', 'basis'),
    [('pipeline', 'gth-szv-molopt-sr'), ('fast', 'gth-dzvp-molopt-sr'), ('moderate', 'gth-dzvp-molopt-sr')],
)
def test_one_basis_for_all_elements_of_a_system(aiida_profile_clean, protocol, basis):
    """The oxygen of Li-Mn-O has the basis of its manganese, and one tag belongs to all compounds."""
    complete = EnergyProtocol.resolve(protocol, symbols=['Li', 'Mn', 'O'])
    complete.cover(['Li', 'Mn', 'O'])
    resolved = complete.basis(complete.settings.basis, ['Li', 'O'], isolated=True)
    assert resolved.settings.basis == basis and resolved.bases == {} and resolved.notes == ()
    tags = {resolved.settings.tag(level).split(':')[1] for level in FUNCTIONALS}
    assert tags == {basis}
    assert resolved.settings.grid_spacing <= 0.1


@pytest.mark.parametrize('protocol', ['pipeline', 'fast', 'moderate'])
def test_light_systems_keep_their_level(aiida_profile_clean, protocol):
    """The elements of the light system decide, and the tag is that of before these bases."""
    complete = EnergyProtocol.resolve(protocol, symbols=['Li', 'O'])
    before = energy_settings(protocol).model_copy(update={'beyond_argon': None})
    after = complete.settings.with_basis_names({'gth-cc-dzvp': before.basis})
    assert [after.tag(level) for level in FUNCTIONALS] == [before.tag(level) for level in FUNCTIONALS]
    assert complete.settings.available_levels == LADDER


def test_light_compounds_at_the_level_of_a_heavier_system(aiida_profile_clean):
    """Naming the basis gives Li2O the level of Li-Mn-O."""
    chosen = EnergyProtocol.resolve('fast', {'basis': 'gth-dzvp-molopt-sr'}, ['Li', 'O'])
    system = EnergyProtocol.resolve('fast', symbols=['Li', 'Mn', 'O'])
    assert [chosen.settings.tag(level) for level in FUNCTIONALS] == [
        system.settings.tag(level) for level in FUNCTIONALS
    ]


def test_a_system_that_is_resolved_stays_as_it_is(aiida_profile_clean):
    """What the inputs of a campaign hold is not resolved another way later, whatever its candidates contain."""
    settings = EnergyProtocol.resolve('fast', symbols=['Li', 'Mn', 'O']).settings
    again = EnergyProtocol.of_settings(type(settings).parse(settings.dump()), ['Li', 'O'])
    assert again.settings == settings


def test_a_basis_that_has_the_element_is_kept(aiida_profile_clean):
    """Bases that the user names for heavier elements are not replaced."""
    sizes = {'Ga': {'functions': 9, 'valence': 13}, 'As': {'functions': 4, 'valence': 5}}
    complete = EnergyProtocol.resolve('pipeline', {'basis_sizes': sizes}, ['Ga', 'As'])
    complete.cover(['Ga', 'As'])
    assert complete.settings.basis == 'gth-szv'


def test_overrides_have_an_effect(aiida_profile_clean):
    """A finer grid and fewer atoms than those of the heavier basis apply to it as well."""
    changes = {'grid_spacing': 0.05, 'max_atoms': {'PBE': 3}, 'beyond_argon': {'max_atoms': {'HSE06': 2}}}
    settings = EnergyProtocol.resolve('fast', changes, ['Mn', 'O']).settings
    assert settings.grid_spacing == 0.05
    assert settings.max_atoms[Fidelity.PBE] == 3 and settings.max_atoms[Fidelity.HSE06] == 2
    with pytest.raises(InvalidInputError, match='gth-szv-molopt-sr'):
        energy_settings('fast', {'beyond_argon': {'basis': 'gth-qzv3p'}})


def test_a_heavier_crystal_gets_a_builder(aiida_profile_clean, pyscf_code, crystal):
    structure = crystal(['Zn', 'O'])
    builder = builder_of_level(pyscf_code, structure, Fidelity.PBE, EnergyProtocol.resolve('fast', symbols=['Zn', 'O']))
    parameters = builder.pyscf.parameters.get_dict()
    assert (parameters['basis'], parameters['pseudo']) == ('gth-dzvp-molopt-sr', 'gth-pbe')


def test_coupled_cluster_is_refused_by_name(aiida_profile_clean, pyscf_code, crystal):
    """The refusal says why and what the top rung of the system is; the composite is not tried."""
    for protocol in ('fast', 'moderate'):
        complete = EnergyProtocol.resolve(protocol, symbols=['Zn', 'O'])
        assert complete.settings.available_levels == FUNCTIONALS
        with pytest.raises(InvalidInputError, match='gth-hf-rev there: the top rung of this system is HSE06'):
            builder_of_level(pyscf_code, crystal(['Zn', 'O']), Fidelity.CCSD_T, complete)


@pytest.mark.parametrize(
    ('symbols', 'protocol', 'message'),
    [
        (['La', 'Mn', 'O'], 'fast', r'gth-pbe with a basis for La: .* pw.x \(engine `espresso`\)'),
        (['U', 'O'], 'moderate', 'with a basis for U: '),
        (['Mn', 'O'], 'all_electron', r'has no basis for Mn \(`fast` and `moderate` have\); it has Al, Ar'),
    ],
)
def test_elements_without_a_basis_are_refused_by_name(aiida_profile_clean, crystal, symbols, protocol, message):
    complete = EnergyProtocol.resolve(protocol, symbols=symbols)
    with pytest.raises(InvalidInputError, match=message):
        complete.cover(symbols)
    level = EnergyLevel.create(complete.settings, Fidelity.PBE)
    with pytest.raises(InvalidInputError, match=message):
        raise InvalidInputError(find_refusal(crystal(symbols), Fidelity.PBE, level) or 'admitted')

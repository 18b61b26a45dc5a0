"""Magnetic orderings of small crystals by PySCF: the lowest one counts, all are kept, failures are counted."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from magnetic_crystals import rock_salt_cell
from pw_runs import needs_espresso

from aiida_qagenai.cli.energy.commands import ordering_rows
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.workchains.energy.composite import builder_of_level
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain
from aiida_qagenai.workchains.energy.ladder import LadderWorkChain
from aiida_qagenai.workchains.energy.orderings import OrderingsWorkChain, has_orderings
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.energy import energy_settings
from aiida_qagenai.workchains.protocols.espresso import EspressoProtocol

SPARSE = {'fixed': [1, 1, 2]}
SETTINGS = {'meshes': dict.fromkeys(('PBE', 'SCAN', 'HSE06'), SPARSE), 'grid_spacing': 0.15, 'smearing': None}
SOFT = {'ecutwfc': 20, 'ecutrho': 120, 'meshes': {'PBE': {'spacing': 2.0}}, 'scf': {'conv_thr_per_atom': 1e-4}}
"""Two k-points along a chain: seconds per energy."""


@pytest.fixture
def chain(aiida_profile_clean, make_structure):
    """Return a cell of one hydrogen atom, in chains along z whose atoms are 2.5 Å apart."""
    return make_structure(['H'], [(0, 0, 0)], [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 2.5]])


@pytest.fixture
def oxide(aiida_profile_clean):
    """Return a factory of primitive cells of oxides with the structure of rock salt."""
    return lambda cation='Mn': orm.StructureData(pymatgen=rock_salt_cell(cation))


def with_settings(**changes):
    return EnergyProtocol.resolve('pipeline', {**SETTINGS, **changes}, ['H'])


@pytest.mark.slow
def test_the_lowest_ordering_of_a_chain_counts(pyscf_code, chain):
    """Hydrogen atoms far apart are antiferromagnetic along the chain; the ferromagnetic energy is kept beside."""
    protocol = with_settings(orderings={'max_atoms': 2, 'max_orderings': 2})
    builder = builder_of_level(pyscf_code, chain, Fidelity.PBE, protocol, moments={'H': 1.0})
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert node.process_label == 'OrderingsWorkChain'
    assert sorted(outputs['orderings']) == ['antiferromagnetic_1', 'ferromagnetic']
    content, lowest = outputs['energy'].content, outputs['orderings']['antiferromagnetic_1']
    assert (content.num_atoms, content.structure_uuid) == (1, chain.uuid)
    assert (content.ordering, content.ordering_uuid) == ('antiferromagnetic_1', lowest.uuid)
    assert content.total_energy == pytest.approx(lowest.total_energy / 2)
    assert abs(content.site_moments[0]) > 0.8
    assert content.magnetic_ordering == 'antiferromagnetic'
    assert content.energy_per_atom < outputs['orderings']['ferromagnetic'].content.energy_per_atom - 0.05
    assert content.level_tag == lowest.content.level_tag == protocol.settings.tag(Fidelity.PBE)
    assert outputs['listing']['sources'] == ['given']
    rows = ordering_rows(node)
    assert [row['name'] for row in rows] == ['antiferromagnetic_1', 'ferromagnetic']
    assert rows[0]['moments'].count('+') == rows[0]['moments'].count('-') == 1


@pytest.mark.slow
def test_an_ordering_that_fails_is_counted(pyscf_code, chain):
    """Within one second of walltime nothing converges, and the text names the ordering."""
    protocol = with_settings(orderings={'max_atoms': 1, 'max_orderings': 1})
    builder = OrderingsWorkChain.get_builder_from_protocol(
        pyscf_code, chain, 'PBE', protocol, moments=[1.0], options={'max_wallclock_seconds': 1}
    )
    _, node = run_get_node(builder)
    assert node.exit_status == 500
    assert 'not one of 1 orderings has an energy; ferromagnetic:' in node.exit_message


@pytest.mark.slow
def test_the_ladder_computes_what_is_near_the_lowest(pyscf_code, chain):
    """All orderings at PBE, one at a time, and at HSE06, which waits for them, the one within the window."""
    builder = LadderWorkChain.get_builder_from_protocol(
        pyscf_code,
        {'chain': chain},
        {'chain': ['PBE', 'HSE06']},
        'pipeline',
        overrides={**SETTINGS, 'orderings': {'max_atoms': 2, 'max_orderings': 2}},
        moments={'chain': {'H': 1.0}},
        reference_elements=['H'],
        max_concurrent=1,
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert sorted(outputs['energies']) == ['chainhse06', 'chainpbe']
    children = {child.process_label: [] for child in node.called}
    for child in node.called:
        children[child.process_label].append(child)
    assert {child.inputs.max_concurrent.value for child in children['OrderingsWorkChain']} == {1}
    computed = [set(child.outputs.orderings) for child in children['OrderingsWorkChain']]
    assert computed == [{'ferromagnetic', 'antiferromagnetic_1'}, {'antiferromagnetic_1'}]
    for energy in outputs['energies'].values():
        assert energy.content.ordering == 'antiferromagnetic_1'
        assert energy.content.anchored is not None


def test_what_is_computed_by_its_orderings(oxide, make_structure):
    """Crystals with local moments at the density functionals, if the settings say so; light ones where asked for."""
    settings = energy_settings('pipeline')
    assert settings.magnetism == 'auto'
    assert has_orderings(oxide('Mn'), Fidelity.PBE, settings)
    assert not has_orderings(oxide('Mg'), Fidelity.PBE, settings)
    assert not has_orderings(oxide('Mn'), Fidelity.CCSD_T, settings)
    assert not has_orderings(oxide('Mn'), Fidelity.HSE06, energy_settings('pipeline', {'magnetism': 'none'}))
    assert has_orderings(oxide('Mg'), Fidelity.PBE, settings, [1.0, -1.0])
    low_spin = energy_settings('pipeline', {'orderings': {'spin_state': 'low'}})
    assert not has_orderings(oxide('Fe'), Fidelity.PBE, low_spin)
    assert not has_orderings(make_structure(['Fe'], [(0, 0, 0)]), Fidelity.PBE, settings)


def test_moments_that_are_not_used_are_refused(oxide):
    """Rather than ignored."""
    with pytest.raises(InvalidInputError, match='`magnetism: none` is computed without them'):
        has_orderings(oxide(), Fidelity.PBE, energy_settings('pipeline', {'magnetism': 'none'}), [5.0, 0.0])
    with pytest.raises(InvalidInputError, match=r'CCSD\(T\) is computed without them'):
        has_orderings(oxide(), Fidelity.CCSD_T, energy_settings('pipeline'), [5.0, 0.0])


def test_the_builder_of_a_magnetic_oxide(pyscf_code, oxide):
    """Complete options, with cells as large as the level admits; a light oxide is one calculation, as before."""
    protocol = EnergyProtocol.resolve('pipeline', {'orderings': {'max_atoms': 50}}, ['Mn', 'O'])
    builder = builder_of_level(pyscf_code, oxide(), Fidelity.HSE06, protocol)
    assert builder.process_class is OrderingsWorkChain
    options = builder.ordering_options.get_dict()
    assert options['max_atoms'] == protocol.settings.max_atoms[Fidelity.HSE06]
    assert options['max_orderings'] == 4
    assert builder.level['level_tag'] == protocol.settings.tag(Fidelity.HSE06)
    light = EnergyProtocol.resolve('pipeline', None, ['Mg', 'O'])
    assert builder_of_level(pyscf_code, oxide('Mg'), Fidelity.PBE, light).process_class is EnergyWorkChain


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'fidelity': 'CCSD(T)'}, 'not by CCSD'),
        ({'moments': [5.0]}, '1 moments for the 2 atoms'),
        ({'moments': {'Fe': 5.0}}, 'given for Fe'),
        ({'moments': [0.0, 0.0]}, 'no site with a moment'),
        ({'only': ['ferrimagnetic_9']}, 'no ordering `ferrimagnetic_9`'),
    ],
)
def test_wrong_orders_are_refused_at_once(pyscf_code, oxide, changes, text):
    """The builder says why."""
    with pytest.raises(InvalidInputError, match=text):
        OrderingsWorkChain.get_builder_from_protocol(
            pyscf_code, oxide(), **{'fidelity': 'PBE', 'protocol': 'pipeline', **changes}
        )


def test_inputs_of_the_process_are_checked(pyscf_code, oxide):
    """What the builder refuses, the process refuses as well."""
    builder = OrderingsWorkChain.get_builder_from_protocol(pyscf_code, oxide(), 'PBE', 'pipeline')
    builder.ordering_options = orm.Dict({**builder.ordering_options.get_dict(), 'moments': [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match='3 moments for the 2 atoms'):
        run_get_node(builder)


@needs_espresso
@pytest.mark.slow
def test_orderings_by_plane_waves(pw_code, family, oxide):
    """At one k-point the ferromagnetic order loses its moments: it is counted, and the other one is the energy."""
    family('Ni.pbe-nd-rrkjus.UPF', 'O.pbe-rrkjus.UPF')
    overrides = {**SOFT, 'orderings': {'max_atoms': 4, 'max_orderings': 2}}
    protocol = EspressoProtocol.resolve('pipeline', overrides, ['Ni', 'O'], 'local')
    builder = builder_of_level(pw_code, oxide('Ni'), Fidelity.PBE, protocol)
    assert builder.process_class is OrderingsWorkChain
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert list(outputs['orderings']) == ['antiferromagnetic_1']
    content, lowest = outputs['energy'].content, outputs['orderings']['antiferromagnetic_1'].content
    assert content.energy_per_atom == pytest.approx(lowest.energy_per_atom)
    assert content.site_moments == [lowest.site_moments[0], lowest.site_moments[2]]
    assert (content.num_atoms, content.magnetic_ordering) == (2, 'antiferromagnetic')
    assert 713 in content.warning_codes
    assert any('no energy of ferromagnetic' in text for text in content.warnings)
    assert content.level_tag == lowest.level_tag == protocol.settings.tag(Fidelity.PBE)

"""Single points by pw.x behind the interface of the EnergyWorkChain, with the real program."""

from __future__ import annotations

import io

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from pw_runs import needs_espresso

from aiida_qagenai.calculations.espresso import pseudos
from aiida_qagenai.calculations.espresso.gth import install_gth_family
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.queries.costs import core_hours
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain
from aiida_qagenai.workchains.energy.ladder import LadderWorkChain
from aiida_qagenai.workchains.protocols.espresso import EspressoProtocol

CHEAP = {'ecutwfc': 16, 'ecutrho': 64, 'meshes': {'PBE': {'spacing': 0.8}, 'HSE06': {'spacing': 1.8}}}
SOFT = {'ecutwfc': 20, 'ecutrho': 120, 'meshes': {'PBE': {'spacing': 2.0}}, 'scf': {'conv_thr_per_atom': 1e-4}}
NICKEL, OXYGEN = 'Ni.pbe-nd-rrkjus.UPF', 'O.pbe-rrkjus.UPF'


@pytest.fixture
def silicon(make_structure):
    """Return silicon."""
    half = 2.73
    cell = [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]
    return make_structure(['Si', 'Si'], [(0, 0, 0), (half / 2, half / 2, half / 2)], cell)


@pytest.fixture
def nickel_oxide(make_structure):
    """Return NiO with planes of spin along [111]: four atoms."""
    a = 4.17
    cell = np.array([[1.0, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 1.0]]) * a
    fractions = [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]
    return make_structure(['Ni', 'Ni', 'O', 'O'], (np.array(fractions) @ cell).tolist(), cell.tolist())


@pytest.fixture
def build(pw_code):
    """Return a factory of builders for pw.x at the pipeline level."""

    def create(structure, fidelity='PBE', protocol='pipeline', **arguments):
        arguments = {'engine': 'espresso', 'pseudos': 'local', 'overrides': CHEAP, **arguments}
        return EnergyWorkChain.get_builder_from_protocol(pw_code, structure, fidelity, protocol, **arguments)

    return create


@needs_espresso
def test_silicon_has_its_energy_gap_and_cost(build, family, silicon):
    """The energy is of the structure that was given; a level tag names engine, cutoffs, family and mesh."""
    family('Si.pbe-rrkj.UPF')
    outputs, node = run_get_node(build(silicon))
    assert node.is_finished_ok, node.exit_message
    content = outputs['energy'].content
    assert content.structure_uuid == silicon.uuid
    assert content.total_energy == pytest.approx(-213.6, abs=2.0)
    # The gap of PBE is 0.6 eV; on this mesh, without the bottom of the conduction band, it is larger.
    assert 0.5 < content.band_gap < 2.0
    protocol, method, pseudo, mesh, _ = content.level_tag.split(':')
    assert (protocol, method, mesh) == ('pipeline', 'pw.x-16-64Ry', 'k0.8')
    assert pseudo.startswith('local@') and len(pseudo) == len('local@') + 8
    assert content.components['ewald'] < 0
    assert 700 in content.warning_codes
    assert core_hours(node.pk)['espresso'] == pytest.approx(content.core_hours)
    assert content.core_hours > 0


@needs_espresso
@pytest.mark.parametrize(
    ('files', 'fidelity', 'arguments', 'message'),
    [
        (['Si.pbe-rrkj.UPF'], 'CCSD(T)', {}, r'computes PBE, SCAN, HSE06, not CCSD\(T\): use the engine pyscf'),
        (['C.pbe-rrkjus.UPF'], 'PBE', {}, 'no pseudopotential for Si; it has C'),
        (['Si.pz-vbc.UPF'], 'PBE', {}, r'Si\.pz-vbc\.UPF of Si is of SLA PZ NOGX NOGC, not of PBE'),
        (['Si.pbe-nl-rrkjus_psl.1.0.0.UPF'], 'HSE06', {}, 'HSE06 by pw.x needs norm-conserving'),
        (['Si.pbe-nl-rrkjus_psl.1.0.0.UPF'], 'SCAN', {}, 'SCAN by pw.x needs norm-conserving'),
        (['Si.pbe-rrkj.UPF'], 'PBE', {'overrides': {'ecutwfc': 20}}, '`ecutwfc` and `ecutrho` go together'),
        (['Si.pbe-rrkj.UPF'], 'PBE', {'overrides': {}}, 'recommends no cutoffs'),
        (['Si.pbe-rrkj.UPF'], 'PBE', {'overrides': {'ecut': 20}}, 'unknown key `ecut`'),
        (['Si.pbe-rrkj.UPF'], 'PBE', {'moments': [0.0, 0.0]}, 'stay at the nonmagnetic solution'),
        (['Si.pbe-rrkj.UPF'], 'PBE', {'moments': [1.0]}, '1 `moments` for 2 sites'),
        (['Si.pbe-rrkj.UPF'], 'PBE', {'overrides': {**CHEAP, 'hubbard': {'Si': {'U': 3, 'source': 'x'}}}}, 'd and f'),
        (['Si.pbe-rrkj.UPF'], 'PBE', {'overrides': {**CHEAP, 'hubbard': {'Mn': {'U': 3.9}}}}, 'hubbard.Mn.source'),
        (['Si.pbe-rrkj.UPF'], 'PBE', {'overrides': {**CHEAP, 'max_atoms': {'PBE': 1}}}, '2 atoms, protocol `pipeline`'),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(  # noqa: PLR0917
    build, family, silicon, files, fidelity, arguments, message
):
    family(*files)
    with pytest.raises(InvalidInputError, match=message):
        build(silicon, fidelity, **arguments)


@needs_espresso
def test_a_pseudopotential_without_the_shell_of_u_is_refused(build, family, nickel_oxide):
    """GTH pseudopotentials, and the norm-conserving one of O here, carry no atomic orbitals."""
    family(NICKEL, OXYGEN)
    node = orm.load_group('local').get_pseudo(element='Ni')
    assert pseudos.orbitals_of(node) == {'3d', '4s'}
    overrides = {**CHEAP, 'hubbard': {'Ni': {'U': 6.0, 'source': 'a test'}}}
    builder = build(nickel_oxide, overrides=overrides)
    text = node.get_content().replace('label="3D"', 'label="XX"')
    bare = type(node)(io.BytesIO(text.encode()), filename='Ni.upf')
    builder.espresso.pseudos = {**builder.espresso.pseudos, 'Ni': bare}
    with pytest.raises(ValueError, match=r'Ni\.upf of Ni has no 3d orbital, which U acts on'):
        run_get_node(builder)


@needs_espresso
def test_a_code_of_the_other_engine_is_refused(pyscf_code, family, silicon):
    family('Si.pbe-rrkj.UPF')
    with pytest.raises(
        InvalidInputError, match=r'needs a code of quantumespresso\.pw, pyscf is of qagenai\.pyscf_cell'
    ):
        EnergyWorkChain.get_builder_from_protocol(
            pyscf_code, silicon, 'PBE', 'pipeline', engine='espresso', pseudos='local', overrides=CHEAP
        )


def test_without_the_extra_the_error_says_what_to_install(pyscf_code, silicon, monkeypatch):
    monkeypatch.setattr(pseudos, 'is_installed', lambda: False)
    with pytest.raises(InvalidInputError, match=r'aiida-qagenai\[espresso\]'):
        EnergyWorkChain.get_builder_from_protocol(pyscf_code, silicon, 'PBE', 'pipeline', engine='espresso')


@needs_espresso
@pytest.mark.parametrize('shift', ['mean-value', [0.25, 0.0, 0.0]])
def test_meshes_are_displaced_by_half_a_step_or_not_at_all(shift):
    """What pw.x can do."""
    mesh = {'meshes': {'PBE': {'fixed': [2, 2, 2], 'spacing': None, 'shift': shift}}}
    with pytest.raises(InvalidInputError, match='by 0 or'):
        EspressoProtocol.resolve('pipeline', mesh, ['Ni', 'O'], 'gth/pbe')


@needs_espresso
def test_level_tags_keep_apart_what_must_not_meet(family):
    """Engines, cutoffs, families by their content, U and meshes; tuning of the mean field changes none."""
    family(NICKEL, OXYGEN)

    def tag(fidelity='PBE', **changes):
        protocol = EspressoProtocol.resolve('pipeline', {**CHEAP, **changes}, ['Ni', 'O'], 'local')
        return protocol.settings.tag(Fidelity.parse(fidelity))

    term = {'U': 6.0, 'source': 'one'}
    tags = [
        tag(),
        tag(ecutwfc=20, ecutrho=200),
        tag(meshes={'PBE': {'spacing': 0.5}}),
        tag(hubbard={'Ni': term}),
        tag(hubbard={'Ni': {**term, 'U': 5.0}}),
        tag(hubbard={'Ni': term}, hubbard_projectors='atomic'),
        tag(degauss=0.001),
    ]
    assert len(set(tags)) == len(tags)
    assert tags[3].split(':')[1] == 'pw.x-16-64Ry+U(Ni=6)'
    assert tag(hubbard={'Ni': {**term, 'source': 'another'}}) == tags[3]
    assert tag(scf={'mixing_beta': 0.2, 'max_cycle': 50}) == tags[0]
    # HSE06 has no U, and PBE no exact exchange.
    assert tag('HSE06', hubbard={'Ni': term}) == tag('HSE06')
    assert tag(exchange={'every': 1}) == tag() and tag('HSE06', exchange={'every': 1}) != tag('HSE06')


@needs_espresso
def test_an_error_of_pw_is_told_in_its_words(build, family, silicon):
    """Debian's pw.x has no libxc, which SCAN needs: nothing but pw.x knows that."""
    family('Si.pbe-rrkj.UPF')
    outputs, node = run_get_node(build(silicon, 'SCAN'))
    assert node.exit_status == EnergyWorkChain.exit_codes.ERROR_CALCULATION_FAILED.status
    assert 'libxc needed for this functional; this pw.x was built without libxc' in node.exit_message
    assert 'energy' not in outputs


@pytest.mark.slow
@needs_espresso
def test_exact_exchange_opens_the_gap(build, family, silicon):
    """By 0.6 eV on dense meshes and 0.9 eV on this one; the level says whose pseudopotentials these are."""
    family('Si.pbe-rrkj.UPF')
    mesh = {'fixed': [2, 2, 2], 'spacing': None}
    found = {}
    for fidelity in ('PBE', 'HSE06'):
        outputs, node = run_get_node(build(silicon, fidelity, overrides={**CHEAP, 'meshes': {fidelity: mesh}}))
        assert node.is_finished_ok, node.exit_message
        found[fidelity] = outputs['energy'].content
    assert 0.7 < found['HSE06'].band_gap - found['PBE'].band_gap < 1.1
    assert any('pseudopotentials of PBE' in text for text in found['HSE06'].warnings)
    assert not any('pseudopotentials of PBE' in text for text in found['PBE'].warnings)


@pytest.mark.slow
@needs_espresso
def test_antiferromagnetic_nickel_oxide_keeps_its_order(build, family, nickel_oxide):
    """Sites of one element with other moments are other kinds; U opens the gap."""
    family(NICKEL, OXYGEN)
    found = {}
    for name, hubbard in (('PBE', {}), ('U', {'Ni': {'U': 6.0, 'source': 'a test'}})):
        overrides = {**SOFT, 'hubbard': hubbard}
        outputs, node = run_get_node(build(nickel_oxide, overrides=overrides, moments=[2.0, -2.0, 0.0, 0.0]))
        assert node.is_finished_ok, node.exit_message
        content = outputs['energy'].content
        assert (content.spin_polarized, content.magnetic_ordering) == (True, 'antiferromagnetic')
        assert content.total_moment == pytest.approx(0.0, abs=0.01)
        up, down, *oxygen = content.site_moments
        assert up == pytest.approx(-down, abs=0.01) and up > 1.0
        assert max(map(abs, oxygen)) < 0.05
        assert content.absolute_moment > 2 * up
        assert content.initial_moments == [2.0, -2.0, 0.0, 0.0]
        assert content.band_gap <= min(content.band_gap_up, content.band_gap_down)
        found[name] = content.band_gap
    assert found['U'] > found['PBE'] + 1.0


@pytest.mark.slow
@needs_espresso
def test_lost_moments_are_tried_again_and_never_returned_as_a_magnetic_solution(build, family, silicon):
    """Silicon has no moments, whatever it begins with."""
    family('Si.pbe-rrkj.UPF')
    outputs, node = run_get_node(build(silicon, moments=[1.0, -1.0]))
    assert node.exit_status == EnergyWorkChain.exit_codes.ERROR_CALCULATION_FAILED.status
    assert 'the moments that the density began with are lost: the sites have' in node.exit_message
    children = [child for child in node.called if child.process_label == 'PwBaseWorkChain']
    given = [child.inputs.pw.parameters['SYSTEM']['starting_magnetization']['Si1'] for child in children]
    assert given == pytest.approx([0.25, 0.375, 0.5])
    assert 'energy' not in outputs


@pytest.mark.slow
@needs_espresso
def test_silicon_carbide_has_a_formation_energy_against_its_elements(pw_code, family, make_structure):
    """The cutoffs of all elements are those of every energy; PBE: −0.27 eV/atom or so, minus 0.1 by few k-points."""
    family('Si.pbe-rrkj.UPF', 'C.pbe-rrkjus.UPF')
    half = 4.36 / 2
    cell = [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]
    carbide = make_structure(['Si', 'C'], [(0, 0, 0), (half / 2, half / 2, half / 2)], cell)
    builder = LadderWorkChain.get_builder_from_protocol(
        pw_code,
        {'c': carbide},
        {'c': ['PBE']},
        'pipeline',
        engine='espresso',
        pseudos='local',
        overrides={'ecutwfc': 25, 'ecutrho': 200, 'meshes': {'PBE': {'spacing': 0.6}}},
        reference_elements=['C', 'Si'],
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    content = outputs['energies']['cpbe'].content
    assert content.formation_scheme == 'self_consistent'
    assert -0.5 < content.formation_energy_per_atom < -0.1
    elements = outputs['elemental_references']['pbe']
    assert elements['Si'].content.level_tag == content.level_tag == elements['C'].content.level_tag
    assert 'atomic_references' not in outputs


@needs_espresso
def test_oxygen_is_a_triplet_in_a_box(build, family, make_structure):
    """The molecule of an element has the spin of its ground state; its tag is that of crystals but for the mesh."""
    family(OXYGEN)
    oxygen = make_structure(['O', 'O'], [(0, 0, 0), (0, 0, 1.21)])
    outputs, node = run_get_node(build(oxygen, overrides={**SOFT, 'box': 5.0}))
    assert node.is_finished_ok, node.exit_message
    results = next(child for child in node.called if child.process_label == 'collect_results').outputs.result
    assert results['total_moment'] == pytest.approx(2.0, abs=1e-3)
    assert results['site_moments'] == pytest.approx([results['site_moments'][0]] * 2, abs=1e-3)
    assert outputs['energy'].content.level_tag.split(':')[3] == 'box5'


@needs_espresso
def test_an_isolated_atom_is_refused(build, family, make_structure):
    family(OXYGEN)
    with pytest.raises(InvalidInputError, match=r'not an isolated atom \(O\): formation energies of the engine'):
        build(make_structure(['O'], [(0, 0, 0)]), overrides=SOFT)


@pytest.mark.slow
@needs_espresso
def test_both_engines_agree_with_the_same_pseudopotential(pw_code, pyscf_code, make_structure):
    """The stretching of H2 in a cube at PBE: what is left is the error of the Gaussian basis and of its fitting."""
    install_gth_family('gth/pbe', ['H'])
    meshes = {'meshes': {'PBE': {'fixed': [1, 1, 1], 'spacing': None, 'shift': [0, 0, 0]}}}
    engines = {
        'pyscf': (pyscf_code, None, {'basis': 'gth-dzvp', 'grid_spacing': 0.1, 'smearing': None, **meshes}),
        'espresso': (pw_code, 'gth/pbe', {'ecutwfc': 120, 'ecutrho': 480, 'degauss': 0.001, **meshes}),
    }
    stretched, tags = {}, {}
    for engine, (code, pseudos_label, overrides) in engines.items():
        energies = []
        for bond in (0.75, 0.95):
            structure = make_structure(['H', 'H'], [(0, 0, 0), (0, 0, bond)], np.diag([4.0, 4.0, 4.0]).tolist())
            chosen = {'engine': engine, 'pseudos': pseudos_label, 'overrides': overrides}
            builder = EnergyWorkChain.get_builder_from_protocol(code, structure, 'PBE', 'pipeline', **chosen)
            outputs, node = run_get_node(builder)
            assert node.is_finished_ok, node.exit_message
            energies.append(outputs['energy'].content.total_energy)
        stretched[engine], tags[engine] = energies[1] - energies[0], outputs['energy'].content.level_tag
    # Plane waves up to 260 Ry: 0.273 eV.
    assert stretched['espresso'] == pytest.approx(0.273, abs=0.005)
    assert stretched['pyscf'] == pytest.approx(stretched['espresso'], abs=0.05)
    # Protocol and mesh may be the same.
    for first, second in list(zip(*(tags[engine].split(':') for engine in tags), strict=True))[1:]:
        assert first != second or first.startswith('k')

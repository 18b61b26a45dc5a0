"""Relaxations at PBE by pw.x and by PySCF behind one interface, with the real programs."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida_pseudo.data.pseudo import UpfData
from magnetic_crystals import rock_salt_cell
from pw_runs import PSEUDOS, needs_espresso

from aiida_qagenai.calculations.espresso import pseudos
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.queries.costs import core_hours, costs
from aiida_qagenai.queries.relaxations import relaxed_to
from aiida_qagenai.workchains.energy.ladder import LadderWorkChain
from aiida_qagenai.workchains.protocols.energy import energy_settings
from aiida_qagenai.workchains.protocols.relaxation import relaxation_settings
from aiida_qagenai.workchains.relaxation.pbe_relax import PbeRelaxWorkChain
from aiida_qagenai.workchains.relaxation.relax_first import complete_relaxation


@pytest.fixture
def silicon(make_structure):
    """Return silicon, compressed, with one atom off its site."""
    half = 2.65
    cell = [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]
    return make_structure(['Si', 'Si'], [(0, 0, 0), (0.5 * half + 0.05, 0.5 * half, 0.5 * half)], cell)


def espresso(**changes):
    """Return overrides for silicon at a low cutoff."""
    values = {'pseudo_family': 'local', 'ecutwfc': 16, 'ecutrho': 64, 'kpoints_distance': 0.5}
    return {'espresso': values, 'max_pressure': 0.5, **changes}


@pytest.mark.slow
@needs_espresso
def test_silicon_by_pw_reaches_its_lattice_and_has_no_imaginary_phonon(pw_code, family, silicon):
    """Atoms and cell relax; forces, stress and phonons at Γ come with it, each linked to what it was made from.

    Every job costs its wall time on the two cores that it was given.
    PBE: 5.47 Å, optical mode 15.1–15.3 THz; low cutoff and few k-points are allowed 1 % and 10 %.
    """
    family('Si.pbe-rrkj.UPF')
    builder = PbeRelaxWorkChain.get_builder_from_protocol(
        pw_code,
        silicon,
        'pipeline',
        engine='espresso',
        overrides=espresso(),
        check_phonons=True,
        options={'resources': {'num_machines': 1, 'num_mpiprocs_per_machine': 1, 'num_cores_per_mpiproc': 2}},
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    results = outputs['results']
    lattice = (4 * outputs['relaxed'].get_cell_volume()) ** (1 / 3)
    assert lattice == pytest.approx(5.47, rel=0.01)
    assert results['volume_change'] == pytest.approx(lattice**3 / 4 / silicon.get_cell_volume() - 1)
    assert results['max_force'] < 0.05
    assert abs(results['pressure']) < 1.0
    assert 700 in results['warning_codes']
    assert outputs['forces'].get_array('forces').shape == (2, 3)
    phonons = outputs['phonons']
    assert phonons['min_frequency_gamma'] == pytest.approx(15.2, rel=0.1)
    assert len(phonons['frequencies_gamma']) == 3
    assert phonons['warning_codes'] == []
    table = costs(node.pk)
    assert set(table['process']) == {'PwCalculation'} and set(table['what']) == {'vc-relax', 'scf'}
    assert (table['wall_seconds'] > 0).all()
    assert table['core_hours'].tolist() == pytest.approx((2 * table['wall_seconds'] / 3600).tolist())
    hours = {'pyscf': 0.0, 'espresso': pytest.approx(table['core_hours'].sum()), 'ml': 0.0, 'potential': 0.0}
    assert core_hours(node.pk) == hours
    creator = outputs['relaxed'].creator
    assert creator.inputs.pseudos.Si.filename == 'Si.pbe-rrkj.UPF'


@needs_espresso
@pytest.mark.parametrize(
    ('files', 'overrides', 'message'),
    [
        ([], {}, r'local is not installed: run `aiida-pseudo install family'),
        (['C.pbe-rrkjus.UPF'], {}, 'no pseudopotential for Si; it has C'),
        (['Si.pz-vbc.UPF'], {}, r'Si\.pz-vbc\.UPF of Si is of SLA PZ NOGX NOGC, not of PBE'),
        (['Si.pbe-rrkj.UPF'], {'ecutwfc': None, 'ecutrho': None}, 'recommends no cutoffs'),
        (['Si.pbe-rrkj.UPF'], {'ecutrho': None}, '`ecutwfc` and `ecutrho` go together'),
        (['Si.pbe-rrkj.UPF'], {'ecut': 3}, 'espresso.ecut'),
    ],
)
def test_what_is_missing_is_said_before_anything_runs(  # noqa: PLR0917
    pw_code, family, silicon, files, overrides, message
):
    """No family, no element, another functional, no cutoffs, a misspelt key."""
    if files:
        family(*files)
    changes = espresso()
    changes['espresso'] |= overrides
    with pytest.raises(InvalidInputError, match=message):
        PbeRelaxWorkChain.get_builder_from_protocol(pw_code, silicon, 'fast', engine='espresso', overrides=changes)


@needs_espresso
def test_a_pseudopotential_of_another_functional_is_refused(pw_code, family, silicon):
    """pw.x would silently compute another functional: it takes that of the file."""
    family('Si.pbe-rrkj.UPF')
    builder = PbeRelaxWorkChain.get_builder_from_protocol(
        pw_code, silicon, 'fast', engine='espresso', overrides=espresso()
    )
    builder.pseudos = {'Si': UpfData(PSEUDOS / 'Si.pz-vbc.UPF')}
    with pytest.raises(ValueError, match=r'Si\.pz-vbc\.UPF of Si is of SLA PZ NOGX NOGC, not of PBE'):
        run_get_node(builder)


def test_without_the_extra_the_error_says_what_to_install(pyscf_code, silicon, monkeypatch):
    """The package works without aiida-quantumespresso until pw.x is asked for."""
    monkeypatch.setattr(pseudos, 'is_installed', lambda: False)
    with pytest.raises(InvalidInputError, match=r'aiida-qagenai\[espresso\]'):
        PbeRelaxWorkChain.get_builder_from_protocol(pyscf_code, silicon, engine='espresso')


def test_a_code_of_the_other_engine_is_refused(pyscf_code, silicon):
    """The Python of PySCF is not pw.x."""
    builder = PbeRelaxWorkChain.get_builder_from_protocol(pyscf_code, silicon, 'pipeline')
    builder.settings = orm.Dict(relaxation_settings('pipeline', 'espresso').dump())
    with pytest.raises(ValueError, match=r'needs a code of quantumespresso\.pw, pyscf is of qagenai\.pyscf_cell'):
        run_get_node(builder)


@pytest.fixture
def hydrogen(make_structure):
    """Return a crystal of H2 molecules that are stretched by 0.1 Å: cheap, with a bond to relax."""
    return make_structure(['H', 'H'], [(0, 0, 0), (0.05, 0, 0.95)], np.diag([3.5, 3.5, 3.5]).tolist())


GAMMA = {'meshes': {'PBE': {'fixed': [1, 1, 1], 'shift': [0, 0, 0]}}, 'grid_spacing': 0.11}


def test_hydrogen_by_pyscf_relaxes_its_bond(pyscf_code, hydrogen):
    """The atoms move, the cell stays; the structure that was given is untouched."""
    builder = PbeRelaxWorkChain.get_builder_from_protocol(
        pyscf_code, hydrogen, 'pipeline', overrides={'pyscf': {'energy': GAMMA}}
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    relaxed = outputs['relaxed']
    assert relaxed.cell == hydrogen.cell
    first, second = (np.array(site.position) for site in relaxed.sites)
    assert 0.7 < np.linalg.norm(second - first) < np.linalg.norm(hydrogen.sites[1].position)
    assert outputs['results']['max_force'] <= 0.05
    assert outputs['results']['initial_uuid'] == hydrogen.uuid
    assert 'last_geometry' not in node.called[0].outputs


@pytest.mark.slow
@needs_espresso
def test_a_candidate_is_relaxed_by_pw_and_computed_by_pyscf(pw_code, pyscf_code, family, hydrogen):
    """Each program has its code; the energy is of what pw.x returned, and each is paid for on its own."""
    family('H.pbe-kjpaw.UPF')
    candidate = CandidateData(hydrogen.get_pymatgen(), index=0)
    changes = {'freedom': 'atoms', **espresso()}
    changes['espresso'] |= {'ecutwfc': 35, 'ecutrho': 210, 'kpoints_distance': 0.6}
    relax, given = complete_relaxation(relaxation_settings('pipeline', 'espresso', changes), ['H'])
    outputs, node = run_get_node(
        LadderWorkChain,
        code=pyscf_code,
        structures={'c00000': candidate},
        plan=orm.Dict({'c00000': ['PBE']}),
        settings=orm.Dict(energy_settings('pipeline').dump()),
        descriptors=orm.Bool(False),
        relax=orm.Dict(relax.dump()),
        relax_code=pw_code,
        **given,
    )
    assert node.is_finished_ok, node.exit_message
    relaxed = outputs['relaxed']['c00000']
    assert relaxed.get_pymatgen().get_distance(0, 1) == pytest.approx(0.75, abs=0.03)
    assert outputs['energies']['c00000pbe'].content.structure_uuid == relaxed.uuid
    assert relaxed_to([relaxed.uuid]) == {relaxed.uuid: candidate.uuid}
    hours = core_hours(node.pk)
    assert hours['pyscf'] > 0 and hours['espresso'] > 0 and hours['ml'] == 0


@needs_espresso
def test_a_magnetic_crystal_begins_with_parallel_moments(pw_code, family):
    """In units of the ten valence electrons of nickel; a light oxide has none, and no second density."""
    family('Ni.pbe-nd-rrkjus.UPF', 'O.pbe-rrkjus.UPF', 'Si.pbe-rrkj.UPF')
    oxide = orm.StructureData(pymatgen=rock_salt_cell('Ni', a=4.17))
    builder = PbeRelaxWorkChain.get_builder_from_protocol(
        pw_code, oxide, 'pipeline', engine='espresso', overrides=espresso()
    )
    system = builder.numerics['SYSTEM']
    assert (system['nspin'], system['starting_magnetization']) == (2, {'Ni': pytest.approx(0.2)})
    light = orm.StructureData(pymatgen=rock_salt_cell('Si', a=4.17))
    builder = PbeRelaxWorkChain.get_builder_from_protocol(
        pw_code, light, 'pipeline', engine='espresso', overrides=espresso()
    )
    assert 'nspin' not in builder.numerics['SYSTEM']


@pytest.mark.slow
@needs_espresso
def test_nickel_oxide_keeps_its_moments(pw_code, family):
    """Few k-points: the moments are there at the end, and there is no warning of their loss."""
    family('Ni.pbe-nd-rrkjus.UPF', 'O.pbe-rrkjus.UPF')
    numerics = {'pseudo_family': 'local', 'ecutwfc': 20, 'ecutrho': 120, 'kpoints_distance': 1.0}
    overrides = {'espresso': numerics, 'freedom': 'atoms'}
    oxide = orm.StructureData(pymatgen=rock_salt_cell('Ni', a=4.2))
    builder = PbeRelaxWorkChain.get_builder_from_protocol(
        pw_code, oxide, 'pipeline', engine='espresso', overrides=overrides
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert outputs['results']['absolute_moment'] > 1.0
    assert 723 not in outputs['results']['warning_codes']

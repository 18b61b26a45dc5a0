"""What pw.x is given, and what is kept of what it leaves."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm

from aiida_qagenai.calculations.functions.espresso import collect_results, prepare_structure, site_moments_of

PARAMETERS = {'fidelity': 'PBE', 'ecutwfc': 40, 'ecutrho': 320, 'conv_thr': 1e-8, 'degauss': 0.01}
MAGNETIC = {**PARAMETERS, 'spin_polarized': True, 'moments': [2.0, -2.0, 0.0, 0.0]}


@pytest.fixture
def nickel_oxide(make_structure):
    """Return NiO with four atoms."""
    cell = [[4.17, 2.085, 2.085], [2.085, 4.17, 2.085], [2.085, 2.085, 4.17]]
    fractions = [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]
    return make_structure(['Ni', 'Ni', 'O', 'O'], (np.array(fractions) @ np.array(cell)).tolist(), cell)


def test_sites_keep_their_order_and_places(aiida_profile, nickel_oxide):
    prepared = prepare_structure(nickel_oxide, orm.Dict(MAGNETIC))
    assert [site.kind_name for site in prepared.sites] == ['Ni1', 'Ni2', 'O', 'O']
    assert [site.position for site in prepared.sites] == [site.position for site in nickel_oxide.sites]
    assert prepared.cell == nickel_oxide.cell


def test_a_molecule_is_put_into_its_box(aiida_profile, make_structure):
    """In the middle of the cell that the level has, whatever box the structure came in."""
    nitrogen = make_structure(['N', 'N'], [(10, 10, 10), (10, 10, 11.1)])
    prepared = prepare_structure(nitrogen, orm.Dict({**PARAMETERS, 'degauss': None, 'box': 8.0}))
    assert prepared.pbc == (True, True, True)
    assert prepared.cell == np.diag([8.0] * 3).tolist()
    positions = np.array([site.position for site in prepared.sites])
    assert positions.mean(axis=0) == pytest.approx([4.0] * 3)
    assert np.linalg.norm(positions[1] - positions[0]) == pytest.approx(1.1)


def test_later_versions_read_u_from_a_card(aiida_profile, nickel_oxide):
    """It is part of the structure, for each kind of the element."""
    utils = pytest.importorskip('aiida_quantumespresso.utils.hubbard')
    hubbard = {'hubbard': {'Ni': {'U': 5.0, 'source': 'a test'}}, 'hubbard_card': True}
    prepared = prepare_structure(nickel_oxide, orm.Dict({**MAGNETIC, **hubbard}))
    card = utils.HubbardUtils(prepared).get_hubbard_card()
    assert card.splitlines()[0].split() == ['HUBBARD', 'ortho-atomic']
    assert [line.split() for line in card.splitlines()[1:] if line.strip()] == [
        ['U', 'Ni1-3d', '5.0'],
        ['U', 'Ni2-3d', '5.0'],
    ]
    plain = prepare_structure(nickel_oxide, orm.Dict({**MAGNETIC, **hubbard, 'hubbard_card': False}))
    assert type(plain) is orm.StructureData


def test_results_are_those_of_the_last_step(aiida_profile):
    """Moments come from the trajectory, gaps from the bands; the start is the one of the last attempt."""
    trajectory = orm.ArrayData()
    trajectory.set_array('atomic_magnetic_moments', np.array([[0.0, 0.0], [1.4, -1.4]]))
    trajectory.set_array('total_magnetization', np.array([0.5, 0.0]))
    trajectory.set_array('absolute_magnetization', np.array([0.5, 3.0]))
    assert site_moments_of(trajectory) == [1.4, -1.4]
    bands = orm.BandsData()
    bands.set_kpoints([[0.0, 0.0, 0.0]])
    levels, occupations = np.array([[[0.0, 2.0]], [[0.0, 3.0]]]), np.array([[[1.0, 0.0]], [[1.0, 0.0]]])
    bands.set_bands(levels, units='eV', occupations=occupations)
    results = collect_results(
        orm.Dict({**PARAMETERS, 'spin_polarized': True, 'moments': [1.0, -1.0]}),
        orm.Dict({'core_hours': 0.1, 'wall_seconds': 360.0, 'factor': 1.5}),
        orm.Dict({'energy': -10.0, 'number_of_electrons': 2.0}),
        trajectory,
        bands,
    )
    assert results['site_moments'] == [1.4, -1.4] and results['initial_moments'] == [1.5, -1.5]
    assert (results['total_moment'], results['absolute_moment']) == (0.0, 3.0)
    assert (results['band_gap'], results['band_gap_up'], results['band_gap_down']) == (2.0, 2.0, 3.0)
    assert 'factor' not in results.get_dict()
    assert site_moments_of(orm.ArrayData()) is None

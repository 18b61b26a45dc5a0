"""Tests for :mod:`aiida_qagenai.thermodynamics.hull.reference`: the hull that comes with the package."""

import hashlib
import json

import numpy as np
import pytest

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.thermodynamics.hull.convex_hull import Phase, distances_to_hull
from aiida_qagenai.thermodynamics.hull.reference import DEFAULT_HULL, SCALE, ReferenceHull

PHASES = [
    Phase('Fe', 0.0, 'mp-13', SCALE),
    Phase('Li2O', -2.0, 'mp-1960', SCALE),
    Phase('LiFeO2', -1.9, 'mp-18782', SCALE),
]


def test_phases_of_a_system_come_back():
    hull = ReferenceHull.from_phases(reversed(PHASES))
    assert len(hull) == 3 and hull.elements == {'Li', 'O', 'Fe'}
    (oxide,) = hull.phases(['Li', 'O', 'H'])
    assert (oxide.amounts, oxide.identifier, oxide.level) == ({'Li': 2, 'O': 1}, 'mp-1960', SCALE)
    assert [phase.identifier for phase in hull.phases(['Li', 'O', 'Fe'])] == ['mp-13', 'mp-1960', 'mp-18782']
    assert hull.phases(['Na', 'Cl']) == []


def test_several_systems_share_their_phases_and_imply_the_elements():
    competing = ReferenceHull.from_phases(PHASES).competing([('Li', 'O'), ('Fe', 'O'), ('O', 'Li')])
    assert [phase.reduced_formula for phase in competing.phases] == ['Fe', 'Li2O']
    (result,) = distances_to_hull([Phase('FeO', -0.5, level=SCALE)], competing)
    assert result.decomposition_energy == pytest.approx(-0.5) and result.num_references == 2


def test_another_scale_is_refused():
    competing = ReferenceHull.from_phases(PHASES).competing([('Li', 'O')])
    with pytest.raises(InvalidInputError, match='one level'):
        distances_to_hull([Phase('LiO', -1.0, level='r2SCAN')], competing)


@pytest.mark.parametrize('phase', [Phase('Li0.5O', 0.0, 'mp-1'), Phase('Li300O', 0.0, 'mp-1'), Phase('LiO', 0.0, 'x')])
def test_what_cannot_be_packed_is_refused(phase):
    with pytest.raises(InvalidInputError):
        ReferenceHull.from_phases([phase])


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / 'hull.npz'
    path.write_bytes(b'PK not a zip')
    with pytest.raises(CorruptFileError, match=r'hull\.npz'):
        ReferenceHull.load(path)
    arrays = ReferenceHull.from_phases(PHASES).arrays
    with pytest.raises(CorruptFileError, match='different lengths'):
        ReferenceHull({**arrays, 'energies': arrays['energies'][:-1]})
    with pytest.raises(CorruptFileError, match='lacks energies'):
        ReferenceHull({name: array for name, array in arrays.items() if name != 'energies'})


def test_the_shipped_file_is_that_of_its_card():
    card = json.loads(DEFAULT_HULL.with_name('card.json').read_text(encoding='utf8'))
    hull = ReferenceHull.default()
    assert hashlib.sha256(DEFAULT_HULL.read_bytes()).hexdigest() == card['sha256'][DEFAULT_HULL.name]
    assert (len(hull), len(hull.elements)) == (card['num_phases'], card['num_elements'])
    assert card['largest_rounding'] < 1e-6 and DEFAULT_HULL.stat().st_size < 600_000
    assert np.isfinite(hull.arrays['energies']).all()


def test_known_compounds_are_on_the_shipped_hull():
    """Every phase of the file is stable against all others, so that 32 bits have not reordered any."""
    competing = ReferenceHull.default().competing([('Li', 'Mn', 'O'), ('Sr', 'Ti', 'O')])
    results = distances_to_hull(competing.phases, competing, min_references=12)
    assert {'SrTiO3', 'TiO2', 'LiMnO2', 'Li2O'} <= {result.formula for result in results}
    assert all(result.stability == 'stable' for result in results if not result.reason)
    assert sum(not result.reason for result in results) > 20

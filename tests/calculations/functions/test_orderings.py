"""Tests for :mod:`aiida_qagenai.calculations.functions.orderings`."""

from __future__ import annotations

import pytest
from aiida.orm import Dict, StructureData
from magnetic_crystals import rock_salt_cell

from aiida_qagenai.calculations.functions.orderings import (
    ORDERING_PREFIX,
    OrderingOptions,
    list_orderings,
    near_lowest,
    orderings_of,
    take_lowest,
)
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData

TAG = 'fast:gth-dzvp-molopt-sr:gth-pbe:k0.6:abc'


@pytest.fixture
def oxide(aiida_profile_clean):
    """Return the primitive cell of MnO."""
    return StructureData(pymatgen=rock_salt_cell()).store()


def energy(per_atom: float, num_atoms: int, moments: list[float] | None, **changes) -> EnergyData:
    """Return a stored energy of an ordering of MnO."""
    magnetic = {
        'spin_polarized': True,
        'magnetic_ordering': 'antiferromagnetic' if moments and min(moments) < -1 else 'ferromagnetic',
        'site_moments': moments,
        'initial_moments': moments,
        'total_moment': sum(moments or []),
        'absolute_moment': sum(map(abs, moments or [])),
        'spin_squared': 5.0,
    }
    values = {
        'fidelity': 'PBE',
        'total_energy': per_atom * num_atoms,
        'num_atoms': num_atoms,
        'formula': 'MnO',
        'chemical_system': 'Mn-O',
        'converged': True,
        'protocol': 'fast',
        'level_tag': TAG,
        'scientific': True,
        'structure_uuid': '0',
        'band_gap': 1.0,
        'core_hours': 2.0,
        'wall_seconds': 60.0,
        'components': {'nuclear': num_atoms * -1.0},
        **(magnetic if moments else {}),
        **changes,
    }
    return EnergyData(**values).store()


def choose(structure, energies, failed=None, **references):
    options = OrderingOptions(max_atoms=4, max_orderings=4, nonmagnetic=True)
    listing = list_orderings(structure, Dict(options.dump()))['listing']
    named = {f'{ORDERING_PREFIX}{name}': node for name, node in energies.items()}
    inputs = {'structure': structure, 'level': Dict({'level_tag': TAG}), 'listing': listing}
    return take_lowest(**inputs, failed=Dict(failed or {}), **named, **references)


def test_the_cells_are_listed_with_their_moments(oxide):
    """Both orders of rock salt, the text of the moments, and one cell for each name."""
    outputs = list_orderings(oxide, Dict(OrderingOptions(max_atoms=4, max_orderings=2).dump()))
    listing = outputs['listing'].get_dict()
    assert listing['names'] == ['ferromagnetic', 'antiferromagnetic_1']
    assert listing['orderings']['antiferromagnetic_1']['moments'] == [5.0, -5.0, 0.0, 0.0]
    assert listing['sources'] == ['Mn2+ in high spin']
    assert listing['left_out'] == ['1 orderings beyond the 2 that are asked for']
    assert len(outputs['cell_ferromagnetic'].sites) == 2
    assert len(outputs['cell_antiferromagnetic_1'].sites) == 4


@pytest.mark.parametrize(('cation', 'names'), [('Fe', ['ferromagnetic', 'nonmagnetic']), ('Ni', ['ferromagnetic'])])
def test_low_spin_without_moments_is_tried(aiida_profile_clean, cation, names):
    """Fe2+ may have no unpaired electron, Ni2+ in an octahedron always has two."""
    structure = StructureData(pymatgen=rock_salt_cell(cation))
    found, _ = orderings_of(structure, OrderingOptions(max_atoms=2, max_orderings=4))
    assert [each.name for each in found.orderings] == names


def test_some_of_the_orderings(oxide):
    """Those that are named keep their names; an unknown name is refused with the known ones."""
    options = OrderingOptions(max_atoms=4, max_orderings=4, only=['antiferromagnetic_2'])
    found, _ = orderings_of(oxide, options)
    assert [each.name for each in found.orderings] == ['antiferromagnetic_2']
    text = 'no ordering `other` of Mn1 O1 in cells of up to 4 atoms: there are ferromagnetic, anti'
    with pytest.raises(InvalidInputError, match=text):
        orderings_of(oxide, options.model_copy(update={'only': ['other']}))


def test_the_lowest_ordering_must_fit_into_the_cells_of_a_level(oxide):
    """HSE06 may admit fewer atoms than PBE: without the lowest one there is no energy, others are left out."""
    small = OrderingOptions(max_atoms=2, max_orderings=4)
    names = ['ferromagnetic', 'antiferromagnetic_1']
    found, _ = orderings_of(oxide, small.model_copy(update={'only': names}))
    assert [each.name for each in found.orderings] == ['ferromagnetic']
    assert found.left_out == ('antiferromagnetic_1: not among those of Mn1 O1 in cells of up to 2 atoms',)
    with pytest.raises(
        InvalidInputError, match='no ordering `antiferromagnetic_1` of Mn1 O1 in cells of up to 2 atoms'
    ):
        orderings_of(oxide, small.model_copy(update={'only': names[::-1]}))


def test_the_lowest_ordering_in_the_cell_of_the_crystal(oxide):
    """Energies and moments of the cell are halved; the moment of each site is that of the site at its place."""
    lowest = energy(-100.1, 4, [4.5, -4.5, 0.02, -0.02])
    content = choose(oxide, {'antiferromagnetic_1': lowest, 'ferromagnetic': energy(-100.0, 2, [4.6, 0.1])}).content
    assert content.total_energy == pytest.approx(-200.2)
    assert (content.num_atoms, content.structure_uuid) == (2, oxide.uuid)
    assert (content.ordering, content.ordering_uuid) == ('antiferromagnetic_1', lowest.uuid)
    assert content.magnetic_ordering == 'antiferromagnetic'
    assert content.site_moments == [4.5, 0.02]
    assert content.initial_moments == [4.5, 0.02]
    assert content.absolute_moment == pytest.approx(4.52)
    assert content.components == {'nuclear': -2.0}
    # Contamination alone, half of 5.0 of twice the cell.
    assert content.spin_squared == pytest.approx(2.5)
    assert content.core_hours == 4.0
    assert (content.level_tag, content.band_gap) == (TAG, 1.0)
    assert content.warning_codes == []


def test_the_crystal_without_moments_may_be_lowest(aiida_profile_clean):
    """Then the energy says so. FeO has an even number of electrons per formula unit."""
    oxide = StructureData(pymatgen=rock_salt_cell('Fe')).store()
    energies = {'nonmagnetic': energy(-101.0, 2, None), 'ferromagnetic': energy(-100.0, 2, [4, 0.0])}
    content = choose(oxide, energies).content
    assert (content.ordering, content.magnetic_ordering) == ('nonmagnetic', 'nonmagnetic')
    assert not content.spin_polarized


def test_close_orderings_are_a_warning(oxide):
    """10 meV/atom: a sign of multireference character, unless both calculations found the same state."""
    lowest = energy(-100.0, 4, [4.5, -4.5, 0.0, 0.0])
    close = choose(oxide, {'antiferromagnetic_1': lowest, 'ferromagnetic': energy(-99.993, 2, [4.6, 0.0])}).content
    assert close.warning_codes == [712]
    assert close.warnings == ['ferromagnetic is 7.0 meV/atom above antiferromagnetic_1: multireference character']
    same = energy(-100.0, 4, [4.5, -4.5, 0.0, 0.0], core_hours=1.0)
    assert choose(oxide, {'antiferromagnetic_1': lowest, 'antiferromagnetic_2': same}).content.warning_codes == []


def test_what_failed_is_said(oxide):
    """The lowest of the others is taken."""
    content = choose(oxide, {'ferromagnetic': energy(-100.0, 2, [4, 0.0])}, {'antiferromagnetic_1': 'walltime'}).content
    assert content.warning_codes == [713]
    assert 'no energy of antiferromagnetic_1' in content.warnings[0]


def test_formation_energies_are_those_of_the_crystal(oxide):
    """Against elements at the same level, from the scaled energy; one of another level is refused."""
    elements = {
        'elementMn': energy(-150.0, 1, None, formula='Mn', chemical_system='Mn', components={}),
        'elementO': energy(-48.0, 2, None, formula='O2', chemical_system='O', components={}),
    }
    energies = {'ferromagnetic': energy(-100.0, 2, [4, 0.0])}
    assert choose(oxide, energies, **elements).content.self_consistent == pytest.approx((-200.0 + 198.0) / 2)
    elements['elementO'] = energy(
        -48.0, 2, None, formula='O2', chemical_system='O', components={}, level_tag=TAG.replace('abc', 'def')
    )
    with pytest.raises(InvalidInputError, match='level tag'):
        choose(oxide, energies, **elements)


def test_spin_of_a_ferromagnet_in_another_cell(oxide):
    """Two moments of 4 are S = 4, one is S = 2; the contamination of 0.1 per formula unit is kept."""
    double = energy(-100.0, 4, [4.0, 4.0, 0.0, 0.0], spin_squared=4 * 5 + 0.2)
    content = choose(oxide, {'ferromagnetic': double}).content
    assert content.total_moment == pytest.approx(4.0)
    assert content.spin_squared == pytest.approx(2 * 3 + 0.1)


def test_near_the_lowest(oxide):
    """What the higher levels compute: up to a window, the same state once."""
    energies = {
        'ferromagnetic': energy(-99.9, 2, [4.6, 0.0]),
        'antiferromagnetic_1': energy(-100.0, 4, [4.5, -4.5, 0.0, 0.0]),
        'antiferromagnetic_2': energy(-99.98, 4, [4.4, -4.4, 0.0, 0.0]),
        'given': energy(-100.0, 4, [4.5, -4.5, 0.0, 0.0]),
    }
    assert near_lowest(energies, 0.03) == ['antiferromagnetic_1', 'antiferromagnetic_2']
    assert near_lowest(energies, 0.2) == ['antiferromagnetic_1', 'antiferromagnetic_2', 'ferromagnetic']

"""Known phases of a chemical system, and what is missing among them."""

from __future__ import annotations

from aiida_qagenai.motifs.known import known_phases
from aiida_qagenai.motifs.library import MotifLibrary
from aiida_qagenai.thermodynamics.hull.phases import Phase
from aiida_qagenai.thermodynamics.hull.reference import SCALE, ReferenceHull


def test_crystals_of_the_system_and_its_subsystems(library):
    stable = [('ZnO', 1), ('ZnS', 2), ('ZnSO4', 3), ('TiO2', 4), ('S', 5), ('SO3', 6)]
    hull = ReferenceHull.from_phases([Phase(formula, -1.0, f'mp-{number}', SCALE) for formula, number in stable])
    found = known_phases(['S', 'Zn', 'O'], library, hull)
    assert sorted(found.crystals.identifiers.tolist()) == ['ZnO', 'ZnS']
    assert sorted(found.crystals.num_atoms.tolist()) == [2, 4]
    # the elements are no gaps: they lie at zero
    assert found.gaps == {'mp-3': 'ZnSO4', 'mp-6': 'SO3'}
    assert len(known_phases(['Xe'], library, hull).crystals) == 0


def test_the_library_of_the_package_lacks_lithium_hydride():
    found = known_phases(['Li', 'H'])
    assert found.gaps == {'mp-23703': 'LiH'} and len(found.crystals) == 5
    assert MotifLibrary.default().within(['Li', 'H']) == MotifLibrary.default().within(['H', 'Li'])

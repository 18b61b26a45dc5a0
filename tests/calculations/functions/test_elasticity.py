"""Strained cells of a crystal, and the elastic tensor from their stresses."""

from __future__ import annotations

import numpy as np
import pytest
from aiida.orm import ArrayData, Dict, StructureData
from magnetic_crystals import rock_salt_cell

from aiida_qagenai.calculations.functions.elasticity import fit_elastic_tensor, strain_cell
from aiida_qagenai.common.units import EV_PER_A3_TO_GPA

C11, C12, C44 = 300.0, 95.0, 155.0


def stress_of(cell: np.ndarray, strained: np.ndarray) -> ArrayData:
    """Return the stress of a cubic crystal with these constants, eV/Å3."""
    strain = np.linalg.inv(cell) @ strained - np.eye(3)
    stress = 2 * C44 * strain
    np.fill_diagonal(stress, (C11 - C12) * strain.diagonal() + C12 * np.trace(strain))
    arrays = ArrayData()
    arrays.set_array('stress', stress / EV_PER_A3_TO_GPA)
    return arrays.store()


def test_a_cubic_tensor_comes_back_from_the_stresses(aiida_profile_clean):
    """Three strained cells are enough: the others are their images."""
    crystal, settings = StructureData(pymatgen=rock_salt_cell('Mg')).store(), Dict({'strains': [0.01]})
    strained = strain_cell(crystal, settings)
    assert len(strained) == 3
    cell = np.array(crystal.cell)
    found = fit_elastic_tensor(
        initial=crystal,
        relaxed=crystal,
        settings=settings,
        relaxation=Dict({'program': 'PWSCF 6.7', 'total_energy': -20.0, 'max_force': 0.0}),
        unstrained=stress_of(cell, cell),
        **{name: stress_of(cell, np.array(each.cell)) for name, each in strained.items()},
    )
    about = found.base.attributes
    tensor = np.array(about.get('tensor_ieee'))
    assert [tensor[0, 0], tensor[0, 1], tensor[3, 3]] == pytest.approx([C11, C12, C44])
    assert about.get('bulk_modulus_vrh') == pytest.approx((C11 + 2 * C12) / 3)
    assert (about.get('formula'), about.get('potential'), about.get('num_strains')) == ('MgO', 'PBE, PWSCF 6.7', 3)
    assert about.get('energy_per_atom') == -10.0 and about.get('mechanically_stable')

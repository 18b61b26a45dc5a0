"""Elastic tensors from stresses: which strains are needed, what comes back, and what makes a crystal unstable."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.analysis.elasticity import ElasticTensor
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.units import EV_PER_A3_TO_GPA
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.thermodynamics.elasticity import StrainedCells, elasticity

TRICLINIC = Structure(Lattice.from_parameters(4, 5, 6, 75, 83, 98), ['Cu', 'Ag'], [[0, 0, 0], [0.4, 0.3, 0.6]])
GENERAL = np.diag([160.0, 150, 140, 70, 60, 50]) + 5 * (np.ones((6, 6)) - np.eye(6))


def arrays(structure):
    batch = StructureBatch.from_structures([structure])
    return next(iter(batch))


def cubic(c11, c12, c44):
    tensor = np.diag([c11 - c12] * 3 + [c44] * 3)
    tensor[:3, :3] += c12
    return ElasticTensor.from_voigt(tensor)


SILICON = Structure.from_spacegroup('Fd-3m', Lattice.cubic(5.43), ['Si'], [[0, 0, 0]])


@pytest.mark.parametrize(
    ('structure', 'count'),
    [
        (SILICON.get_primitive_structure(), 3),
        (Structure(Lattice.hexagonal(3.21, 5.21), ['Mg', 'Mg'], [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]), 9),
        (TRICLINIC, 12),
    ],
    ids=['cubic', 'hexagonal', 'triclinic'],
)
def test_equivalent_strains_are_computed_once(structure, count):
    """A shear of a cubic crystal and its negative are alike; a triclinic crystal needs all twelve."""
    cells = StrainedCells(*arrays(structure), (0.01,))
    assert len(cells.strains) == len(cells.cells) == count
    assert len(StrainedCells(*arrays(structure), (0.005, 0.01)).strains) == 2 * count


@pytest.mark.parametrize(('structure', 'voigt'), [(TRICLINIC, GENERAL), (SILICON, cubic(166, 64, 80).voigt)])
def test_the_tensor_comes_back(structure, voigt):
    """Also where the relaxed crystal is under stress."""
    cells = StrainedCells(*arrays(structure), (0.01,))
    full = np.asarray(ElasticTensor.from_voigt(voigt)) / EV_PER_A3_TO_GPA
    before = 0.001 * np.eye(3)
    stresses = before + np.einsum('ijkl,mkl->mij', full, cells.strains)
    tensor, asymmetry = cells.tensor(stresses, before)
    np.testing.assert_allclose(tensor.voigt, voigt, atol=1e-6)
    assert asymmetry < 1e-9


def test_moduli_of_silicon():
    """From the measured C11, C12 and C44 (166, 64, 80 GPa, recalled), in closed form for a cubic crystal."""
    found = elasticity(cubic(166, 64, 80), SILICON)
    assert found.bulk_modulus_vrh == pytest.approx((166 + 2 * 64) / 3)
    voigt, reuss = (102 + 3 * 80) / 5, 5 * 102 * 80 / (4 * 80 + 3 * 102)
    assert found.shear_modulus_voigt == pytest.approx(voigt) and found.shear_modulus_reuss == pytest.approx(reuss)
    shear = (voigt + reuss) / 2
    assert found.young_modulus == pytest.approx(9 * 98 * shear / (3 * 98 + shear), rel=1e-6)
    assert found.mechanically_stable and found.smallest_eigenvalue == pytest.approx(80)


def test_an_unstable_crystal_has_no_compliance():
    """C11 < C12: the Voigt averages are there, those of Reuss and Hill are not."""
    found = elasticity(cubic(100, 120, 50), SILICON)
    assert not found.mechanically_stable and found.smallest_eigenvalue == pytest.approx(-20)
    assert found.bulk_modulus_voigt == pytest.approx(340 / 3) and found.bulk_modulus_vrh is None


def test_the_standard_orientation_does_not_depend_on_the_cell():
    """The primitive cell of copper, however it is turned, has the tensor of the cubic axes."""
    copper = cubic(172, 116, 90)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    cell = bulk('Cu').cell.array @ turn.T
    found = elasticity(copper.rotate(turn, tol=1e-6), Structure(Lattice(cell), ['Cu'], [[0, 0, 0]]))
    assert np.abs(found.tensor - copper.voigt).max() > 1
    np.testing.assert_allclose(found.tensor_ieee, copper.voigt, atol=1e-3)

"""The descent that others evaluate: the minimum that ASE finds, symmetry, and crystals that cannot be relaxed."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.vibrations.descent import Descent, Symmetry
from aiida_qagenai.thermodynamics.vibrations.relaxation import relax_within
from aiida_qagenai.thermodynamics.vibrations.settings import RelaxSettings

TIGHT = RelaxSettings(max_force=1e-3, max_stress=1e-5, max_steps=200, keep_symmetry=False)


def descend(atoms: Atoms, settings: RelaxSettings) -> tuple[Descent, Atoms]:
    """Return the descent after its end on EMT, and the crystal there."""
    descent = Descent(atoms.cell.array, atoms.numbers, atoms.get_scaled_positions(wrap=False), settings)
    while True:
        now = Atoms(atoms.numbers, scaled_positions=descent.fractional, cell=descent.cell, pbc=True, calculator=EMT())
        if not descent.advance(now.get_potential_energy(), now.get_forces(), now.get_stress(voigt=False)):
            return descent, now


def group(atoms: Atoms, precision: float = 1e-3) -> int:
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    return spglib.get_symmetry_dataset(cell, symprec=precision).number


def distorted(seed: int) -> Atoms:
    """Return an alloy in a skewed cell with its atoms off their sites."""
    random = np.random.default_rng(seed)
    atoms = bulk('Cu', cubic=True) * (1, 1, 1 + seed % 2)
    atoms.symbols[1] = 'Au'
    atoms.set_cell(atoms.cell.array @ (1.04 * np.eye(3) + random.uniform(-0.05, 0.05, (3, 3))), scale_atoms=True)
    atoms.positions += random.uniform(-0.15, 0.15, atoms.positions.shape)
    return atoms


@pytest.mark.parametrize('seed', range(4))
def test_the_minimum_is_that_of_ase_in_fewer_evaluations(seed):
    atoms = distorted(seed)
    descent, found = descend(atoms, TIGHT)
    expected = relax_within(atoms, EMT(), TIGHT)
    assert descent.converged and expected.is_within(TIGHT)
    assert descent.energy == pytest.approx(expected.energy, abs=1e-4)
    assert found.get_volume() == pytest.approx(expected.atoms.get_volume(), rel=1e-3)
    assert descent.steps < expected.steps
    # what it says of the end is what the potential says of the crystal it gives
    assert descent.force == pytest.approx(np.linalg.norm(found.get_forces(), axis=1).max(), abs=1e-9)
    assert descent.stress == pytest.approx(np.abs(found.get_stress()).max(), abs=1e-9)


def test_an_unstable_crystal_keeps_its_symmetry_only_if_that_is_asked_for():
    """Copper in the body-centred structure goes down to the close-packed one along the Bain path."""
    strained = bulk('Cu', 'bcc', a=2.87, cubic=True)
    strained.set_cell(strained.cell.array * [[1.0], [1.0], [1.03]], scale_atoms=True)
    cubic = bulk('Cu', 'bcc', a=2.95, cubic=True)
    kept, still_cubic = descend(cubic, TIGHT.model_copy(update={'keep_symmetry': True}))
    assert kept.converged and group(still_cubic) == 229
    free, close_packed = descend(strained, TIGHT)
    assert free.converged and group(close_packed, 1e-2) == 225 and free.energy < kept.energy - 1e-3
    constrained, tetragonal = descend(strained, TIGHT.model_copy(update={'keep_symmetry': True}))
    assert constrained.converged and group(tetragonal, 1e-5) in (139, 225, 229)


def test_symmetry_projects_forces_and_stress_as_ase_does():
    from ase.constraints import FixSymmetry

    random = np.random.default_rng(2)
    for atoms in (bulk('Ti', 'hcp', a=2.95, c=4.68), bulk('NaCl', 'rocksalt', a=5.6, cubic=True), bulk('Si')):
        symmetry = Symmetry(atoms.cell.array, atoms.numbers, atoms.get_scaled_positions())
        forces, stress = random.normal(size=(len(atoms), 3)), random.normal(size=(3, 3))
        stress = stress + stress.T
        expected, voigt = forces.copy(), stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]].copy()
        constraint = FixSymmetry(atoms)
        constraint.adjust_forces(atoms, expected)
        constraint.adjust_stress(atoms, voigt)
        np.testing.assert_allclose(symmetry.forces(forces), expected, atol=1e-9)
        np.testing.assert_allclose(symmetry.stress(stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], voigt, atol=1e-9)
        # projecting again changes nothing
        np.testing.assert_allclose(symmetry.forces(symmetry.forces(forces)), symmetry.forces(forces), atol=1e-12)


def test_an_exploding_crystal_ends_with_a_reason():
    """Under a pressure that never ends the volume grows until that is called a problem."""
    atoms = bulk('Cu', cubic=True)
    settings = TIGHT.model_copy(update={'max_steps': 10_000})
    descent = Descent(atoms.cell.array, atoms.numbers, atoms.get_scaled_positions(), settings)
    while descent.advance(0.0, np.zeros((4, 3)), -0.1 * np.eye(3)):
        pass
    assert 'times that of the start' in descent.problem and np.linalg.det(descent.cell) > 10 * atoms.get_volume()


def test_the_last_step_is_evaluated_and_reported():
    descent, _ = descend(distorted(1), TIGHT.model_copy(update={'max_steps': 3}))
    assert descent.steps == 3 and not descent.converged and not descent.problem and np.isfinite(descent.energy)
    relaxed, _ = descend(bulk('Cu', a=3.59), TIGHT.model_copy(update={'max_force': 1.0, 'max_stress': 1.0}))
    assert relaxed.steps == 0 and relaxed.converged


def test_atoms_on_top_of_each_other_have_no_symmetry():
    with pytest.raises(InvalidInputError, match='symmetry'):
        Symmetry(np.eye(3) * 3, np.array([29, 29]), np.zeros((2, 3)))

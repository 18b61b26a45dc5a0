"""What every potential promises, whatever computes it: shapes, units, symmetries, derivatives, batches."""

from __future__ import annotations

import typing as t

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.lj import LennardJones
from scipy.spatial.transform import Rotation

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.ml.potentials import Potential, chunks, make_potential
from aiida_qagenai.ml.potentials.ase_calculator import AseCalculator


class Member(t.NamedTuple):
    """A potential under test.

    :param elements: two that it knows.
    :param edge: edge of a rocksalt cell of these, Å.
    :param tolerance: of energies per atom (eV) and forces (eV/Å); ten times that for finite differences.
    """

    potential: Potential
    elements: tuple[str, str]
    edge: float
    tolerance: float


FOUNDATION = {
    'chgnet': {'name': 'chgnet'},
    'chgnet-r2scan': {'name': 'chgnet', 'model': 'r2scan'},
    'sevennet-0': {'name': 'sevennet'},
    'sevennet-l3i5': {'name': 'sevennet', 'model': 'l3i5'},
    'sevennet-mf-0-pbe': {'name': 'sevennet', 'model': 'mf-0', 'modality': 'PBE'},
    'sevennet-mf-0-r2scan': {'name': 'sevennet', 'model': 'mf-0', 'modality': 'R2SCAN'},
}
QUICK = ('emt', 'lennard-jones', 'validator-pbe', 'validator-ccsdt')


@pytest.fixture(scope='module', params=[*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in FOUNDATION)])
def member(request, models, runtime) -> Member:
    """Return each potential in turn."""
    name = request.param
    if name == 'lennard-jones':
        calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=6.0, smooth=True)
        return Member(AseCalculator(calculator, tag='lj', cutoff=6.0), ('Ar', 'Ne'), 5.4, 1e-9)
    if name in FOUNDATION:
        settings = FOUNDATION[name]
        pytest.importorskip({'chgnet': 'chgnet', 'sevennet': 'sevenn'}[settings['name']])
        return Member(make(runtime, settings), ('Mg', 'O'), 4.3, 2e-4)
    if name == 'emt':
        return Member(make(runtime, {'name': 'emt'}), ('Cu', 'Al'), 5.2, 1e-9)
    fidelity = {'validator-pbe': 'PBE', 'validator-ccsdt': 'CCSD(T)'}[name]
    settings = {'name': 'validator', 'fidelity': fidelity}
    return Member(make(runtime, settings, checkpoint=models / 'validator'), ('Li', 'H'), 4.1, 1e-9)


def make(runtime, settings, **options):
    return make_potential(parse('relax', {'potential': settings, 'structure': 'x', **options}), runtime)


@pytest.fixture(scope='module')
def crystals(member) -> list[Atoms]:
    """Return three crystals off their symmetric positions, in skewed cells, the last with one atom."""
    first, second = member.elements
    random = np.random.default_rng(0)
    found = [
        bulk(first + second, 'rocksalt', a=member.edge),
        bulk(first + second, 'cesiumchloride', a=0.58 * member.edge) * (1, 1, 2),
        bulk(first, 'fcc', a=0.95 * member.edge),
    ]
    for crystal in found:
        crystal.set_cell(crystal.cell.array @ (np.eye(3) + random.uniform(-0.04, 0.04, (3, 3))), scale_atoms=True)
        crystal.positions += random.uniform(-0.08, 0.08, crystal.positions.shape)
    return found


@pytest.fixture(scope='module')
def reference(member, crystals):
    """Return what the potential says of the crystals."""
    return member.potential.evaluate(StructureBatch.from_atoms(crystals))


def check(member, found, energies, forces, stresses):
    """Compare an evaluation with what it should be; the stress times a typical volume per atom is an energy."""
    np.testing.assert_allclose(found.energies, energies, atol=10 * member.tolerance, rtol=0)
    np.testing.assert_allclose(found.forces, forces, atol=member.tolerance, rtol=0)
    np.testing.assert_allclose(found.stresses, stresses, atol=member.tolerance / 5, rtol=0)


def test_shapes_and_identity(member, crystals, reference):
    atoms = sum(len(crystal) for crystal in crystals)
    assert [array.shape for array in reference[:3]] == [(3,), (atoms, 3), (3, 3, 3)]
    assert all(array.dtype == np.float64 and np.isfinite(array).all() for array in reference[:3])
    assert np.abs(reference.forces).max() > 1e-3 and np.abs(reference.stresses).max() > 1e-4
    np.testing.assert_allclose(reference.stresses, reference.stresses.transpose(0, 2, 1), atol=member.tolerance / 5)
    potential = member.potential
    assert potential.tag and potential.level and potential.cutoff > 3
    assert (potential.sha256 is None) == (potential.tag in ('emt', 'lj'))


@pytest.mark.parametrize('mirror', [False, True], ids=['rotations', 'reflections'])
def test_rotations_and_reflections(member, crystals, reference, mirror):
    if mirror and member.potential.tag.startswith('sevennet'):
        pytest.skip('SevenNet has no parity')
    turn = Rotation.random(random_state=3).as_matrix() * [[-1 if mirror else 1], [1], [1]]
    turned = [
        Atoms(crystal.numbers, crystal.positions @ turn, cell=crystal.cell.array @ turn, pbc=True)
        for crystal in crystals
    ]
    found = member.potential.evaluate(StructureBatch.from_atoms(turned))
    check(member, found, reference.energies, reference.forces @ turn, turn.T @ reference.stresses @ turn)


def test_left_handed_cells(member, crystals, reference):
    """The same crystals with two lattice vectors swapped."""
    swapped = [
        Atoms(crystal.numbers, crystal.positions, cell=crystal.cell.array[[1, 0, 2]], pbc=True) for crystal in crystals
    ]
    assert all(
        np.linalg.det(new.cell.array) * np.linalg.det(old.cell.array) < 0
        for new, old in zip(swapped, crystals, strict=True)
    )
    found = member.potential.evaluate(StructureBatch.from_atoms(swapped))
    check(member, found, reference.energies, reference.forces, reference.stresses)


def test_translations_and_permutations(member, crystals, reference):
    moved, order = [], []
    for crystal in crystals:
        copy = crystal[::-1]
        copy.positions += [1.3, -0.4, 7.7]
        copy.wrap()
        moved.append(copy)
        order += [sum(len(other) for other in moved[:-1]) + index for index in reversed(range(len(crystal)))]
    found = member.potential.evaluate(StructureBatch.from_atoms(moved))
    check(member, found, reference.energies, reference.forces[order], reference.stresses)


def test_supercells(member, crystals, reference):
    """Eight times the energy, the same forces on every copy, the same stress."""
    large = [make_supercell(crystal, 2 * np.eye(3), order='atom-major') for crystal in crystals]
    found = member.potential.evaluate(StructureBatch.from_atoms(large))
    check(member, found, 8 * reference.energies, np.repeat(reference.forces, 8, axis=0), reference.stresses)


def test_forces_and_stresses_are_derivatives_of_the_energy(member, crystals, reference):
    """Along random directions; in one batch of displaced and strained copies."""
    random, step = np.random.default_rng(1), 5e-3 if member.tolerance > 1e-6 else 1e-4
    crystal, count = crystals[1], len(crystals[0])
    directions = random.normal(size=(3, len(crystal), 3))
    strains = [(matrix + matrix.T) / 4 for matrix in random.normal(size=(3, 3, 3))]
    copies, expected = [], []
    forces = reference.forces[count : count + len(crystal)]
    for direction in directions:
        for sign in (1, -1):
            copies.append(crystal.copy())
            copies[-1].positions += sign * step * direction
        expected.append(-(forces * direction).sum())
    for strain in strains:
        for sign in (1, -1):
            copies.append(crystal.copy())
            copies[-1].set_cell(crystal.cell.array @ (np.eye(3) + sign * step * strain), scale_atoms=True)
        expected.append(crystal.get_volume() * (reference.stresses[1] * strain).sum())
    energies = member.potential.evaluate(StructureBatch.from_atoms(copies)).energies
    slopes = (energies[::2] - energies[1::2]) / (2 * step)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(slopes, expected, atol=5e-2 if member.tolerance > 1e-6 else 1e-5, rtol=5e-3)


def test_a_batch_equals_its_members_alone(member, crystals, reference):
    alone = [member.potential.evaluate(StructureBatch.from_atoms([crystal])) for crystal in crystals]
    energies, forces, stresses = (np.concatenate([each[column] for each in alone]) for column in range(3))
    check(member, reference, energies, forces, stresses)
    if reference.sigmas is not None:
        np.testing.assert_allclose(reference.sigmas, np.concatenate([each.sigmas for each in alone]), atol=1e-9)


def test_the_view_of_ase_gives_the_same_numbers(member, crystals, reference):
    calculator = member.potential.calculator()
    found = []
    for crystal in crystals:
        atoms = crystal.copy()
        atoms.calc = calculator
        found.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)))
    energies, forces, stresses = zip(*found, strict=True)
    check(member, reference, energies, np.concatenate(forces), np.stack(stresses))


def test_a_structure_that_cannot_be_described_costs_only_itself(member, crystals, reference):
    """One with an atom far from all others, one with an unknown element: reasons, and the others as before."""
    loose = Atoms(member.elements[0], cell=[20, 21, 22], pbc=True)
    batch = [crystals[0], loose, *crystals[1:]]
    if member.potential.elements is not None:
        batch.append(bulk('Po', 'sc', a=3.3))
    structures = StructureBatch.from_atoms(batch)
    found, problems = member.potential.evaluate_each(structures)
    assert [bool(problem) for problem in problems] == [False, True, False, False, True][: len(batch)]
    assert 'no neighbour within' in problems[1] and np.isnan(found.energies[1]) and np.isnan(found.stresses[1]).all()
    kept = [0, 2, 3]
    atoms = np.isin(structures.owner, kept)
    check(member, reference, found.energies[kept], found.forces[atoms], found.stresses[kept])
    with pytest.raises(InvalidInputError, match='no neighbour within'):
        member.potential.evaluate(structures)
    if len(batch) > 4:
        assert 'Po' in problems[4]


class Breaking(LennardJones):
    """It raises for crystals of neon and gives NaN for those of krypton."""

    def calculate(self, atoms=None, *arguments, **options):
        if 'Ne' in atoms.symbols:
            raise ZeroDivisionError('neon')
        super().calculate(atoms, *arguments, **options)
        if 'Kr' in atoms.symbols:
            self.results['forces'][0, 0] = np.nan


def test_a_crash_or_a_nan_costs_only_the_crystal_that_causes_it():
    potential = AseCalculator(Breaking(sigma=3.4, rc=7.0, smooth=True), tag='breaking', cutoff=7.0)
    batch = StructureBatch.from_atoms([bulk(symbol, 'fcc', a=5.3) for symbol in ('Ar', 'Ne', 'Kr', 'Xe')])
    found, problems = potential.evaluate_each(batch)
    assert problems == ['', 'neon', 'the potential gives numbers that are not finite', '']
    assert np.isfinite(found.energies).tolist() == [True, False, False, True]
    with pytest.raises(ZeroDivisionError):
        potential.evaluate(batch)


def test_chunks_hold_all_structures_and_few_atoms():
    batch = StructureBatch.from_atoms([bulk('Cu') * (1, 1, count) for count in (3, 3, 9, 1, 1, 2)])
    assert [chunk.tolist() for chunk in chunks(batch, 6)] == [[0, 1], [2], [3, 4, 5]]
    assert not list(chunks(StructureBatch.empty(), 6))

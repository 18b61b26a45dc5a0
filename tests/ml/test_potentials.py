"""Potentials as ASE calculators."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.ml.potentials import calculator, make_potential
from aiida_qagenai.ml.potentials.weights import Weights, read_weights


@pytest.fixture
def crystal() -> Atoms:
    """Return LiH off its symmetric positions, in a skewed cell."""
    cell = [[0.1, 2.0, 2.1], [2.0, 0.0, 2.0], [2.1, 1.9, 0.0]]
    return Atoms('LiH', scaled_positions=[(0.02, 0, 0), (0.48, 0.5, 0.53)], cell=cell, pbc=True)


@pytest.fixture
def validator(models, runtime):
    """Return a factory of calculators on a briefly trained validator."""

    def create(fidelity: str = 'PBE'):
        potential = {'name': 'validator', 'fidelity': fidelity}
        config = parse('free_energy', {'potential': potential, 'structure': 'x', 'checkpoint': models / 'validator'})
        potential = make_potential(config, runtime)
        return potential.calculator(), potential.tag

    return create


@pytest.mark.parametrize('fidelity', ['PBE', 'CCSD(T)'])
def test_forces_and_stress_of_the_validator_are_derivatives_of_its_energy(validator, crystal, fidelity):
    crystal.calc, tag = validator(fidelity)
    assert tag.startswith(f'validator:{fidelity}:')
    forces = crystal.get_forces()
    assert np.abs(forces).max() > 1e-3
    np.testing.assert_allclose(forces, calculate_numerical_forces(crystal, eps=1e-4), atol=1e-6)
    numerical = calculate_numerical_stress(crystal, eps=1e-4, voigt=False)
    np.testing.assert_allclose(crystal.get_stress(voigt=False), numerical, atol=1e-7)


def test_energy_of_the_validator_is_its_prediction(validator, crystal, models, command, tmp_path):
    """The same number as the command `predict` gives for that level, times the atoms."""
    shutil.copytree(models / 'validator', tmp_path / 'validator')
    batch = StructureBatch(
        np.array([2]), crystal.cell.array[None], crystal.numbers, crystal.get_scaled_positions(), np.array(['a'])
    )
    batch.save(tmp_path / 'structures.npz')
    config = {'validator': 'validator', 'structures': 'structures.npz', 'dtype': 'float64'}
    assert command(tmp_path, 'predict', config)[0] == 0
    predicted = load_arrays(tmp_path / 'predictions.npz')['energies'][0]
    for level in LADDER:
        crystal.calc = validator(level.value)[0]
        assert crystal.get_potential_energy() == pytest.approx(2 * predicted[level.rank], abs=1e-9)


def test_validator_refuses_what_it_never_saw(validator):
    atoms = bulk('NaCl', 'rocksalt', a=5.6)
    atoms.calc = validator()[0]
    with pytest.raises(InvalidInputError, match='was not trained on Na, Cl'):
        atoms.get_potential_energy()


def test_chgnet_with_the_weights_of_its_wheel(runtime):
    """The edge of MgO is within 2 % of the experiment's 4.211 Å, and forces are derivatives within single precision."""
    pytest.importorskip('chgnet')
    from aiida_qagenai.thermodynamics.vibrations.relaxation import relax

    potential = make_potential(parse('free_energy', {'potential': {'name': 'chgnet'}, 'structure': 'x'}), runtime)
    assert potential.tag.startswith('chgnet:0.3.0:')
    found = relax(bulk('MgO', 'rocksalt', a=4.1), potential.calculator())
    assert (4 * found.atoms.get_volume()) ** (1 / 3) == pytest.approx(4.211, rel=0.02)
    moved = found.atoms.copy()
    moved.positions[1] += [0.05, 0.02, 0.0]
    moved.calc = potential.calculator()
    np.testing.assert_allclose(moved.get_forces(), calculate_numerical_forces(moved, eps=5e-3), atol=5e-3)


def test_chgnet_in_groups_is_chgnet_at_once(runtime, monkeypatch):
    """Crystals with many bonds are evaluated apart, for the sake of memory."""
    pytest.importorskip('chgnet')
    from aiida_qagenai.ml.potentials import chgnet

    potential = make_potential(parse('relax', {'potential': {'name': 'chgnet'}, 'structure': 'x'}), runtime)
    batch = StructureBatch.from_atoms([bulk('MgO', 'rocksalt', a=4.25), bulk('Si', 'diamond', a=5.3), bulk('Al')])
    together = potential.evaluate(batch)
    monkeypatch.setattr(chgnet, 'MOST_EDGES', 1)
    apart = potential.evaluate(batch)
    for one, other in zip(together, apart, strict=True):
        if one is not None:
            np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'potential': {'name': 'emt'}, 'checkpoint': 'validator'}, 'do not go together'),
        ({'potential': {'name': 'validator'}}, 'do not go together'),
        ({'potential': {'name': 'lennard-jones'}}, 'potential'),
        ({'potential': {'name': 'emt', 'cutoff': 3}}, 'cutoff'),
        ({'potential': {'name': 'sevennet', 'model': 'mf-0'}}, 'needs the modality PBE or R2SCAN'),
        ({'potential': {'name': 'sevennet', 'modality': 'PBE'}}, 'has no modalities'),
        ({'potential': {'name': 'emt'}, 'temperatures': {'maximum': 100, 'step': 50}}, 'fewer than five'),
    ],
)
def test_wrong_configurations_are_refused(config, message):
    with pytest.raises(InvalidInputError, match=message):
        parse('free_energy', {'structure': 'x', **config})


def test_a_relaxation_on_the_validator_ends_with_results(command, models, tmp_path):
    """The command runs on the validator; whether a model of 80 steps has a minimum there is its own affair."""
    shutil.copytree(models / 'validator', tmp_path / 'validator')
    cell = np.array([[0, 2.0, 2.0], [2.0, 0, 2.0], [2.0, 2.0, 0]])
    batch = StructureBatch(
        np.array([2]), cell[None], np.array([3, 1]), np.array([[0, 0, 0], [0.5] * 3]), np.array(['a'])
    )
    batch.save(tmp_path / 'structures.npz')
    config = {
        'potential': {'name': 'validator', 'fidelity': Fidelity.PBE.value},
        'checkpoint': 'validator',
        'structure': 'structures.npz',
        'relaxation': {'max_steps': 3, 'max_stress': 1e-9},
    }
    status, results = command(tmp_path, 'relax', config)
    assert status == 1
    assert results['error']['kind'] == 'relaxation_not_converged'
    assert 'stress of' in results['error']['message']
    assert len(results['history']['relaxation_stress']) > 1


LOOSE = Atoms('Cu2', scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[12, 13, 14], pbc=True)


def emt(runtime):
    return make_potential(parse('relax', {'potential': {'name': 'emt'}, 'structure': 'x'}), runtime).calculator()


def test_atoms_without_a_neighbour_within_the_cutoff_are_refused(runtime):
    atoms = LOOSE.copy()
    atoms.calc = emt(runtime)
    with pytest.raises(InvalidInputError, match=r'atom 0 \(Cu\) of Cu2 has no neighbour within 5\.\d+ Å.*2 atoms of 2'):
        atoms.get_forces()


def test_one_isolated_atom_among_others_is_named(runtime):
    atoms = bulk('Cu', cubic=True) * (1, 1, 5)
    del atoms[[atom.index for atom in atoms if atom.z > 4]]
    atoms.append('Al')
    atoms.positions[-1] = [0, 0, 11]
    atoms.set_cell([9, 9, 18.5])
    atoms.calc = emt(runtime)
    with pytest.raises(InvalidInputError, match=r'\(Al\)'):
        atoms.get_potential_energy()


def test_slabs_and_images_of_an_atom_are_neighbours(runtime):
    slab = bulk('Cu', cubic=True)
    slab.center(vacuum=15, axis=2)
    for atoms in (slab, bulk('Cu')):
        atoms.calc = emt(runtime)
        assert np.isfinite(atoms.get_potential_energy())


def test_the_validator_and_chgnet_refuse_isolated_atoms(validator, runtime):
    atoms = Atoms('LiH', scaled_positions=LOOSE.get_scaled_positions(), cell=LOOSE.cell, pbc=True)
    atoms.calc = validator()[0]
    with pytest.raises(InvalidInputError, match='no neighbour within'):
        atoms.get_potential_energy()
    pytest.importorskip('chgnet')
    config = parse('relax', {'potential': {'name': 'chgnet'}, 'structure': 'x'})
    atoms.calc = make_potential(config, runtime).calculator()
    with pytest.raises(InvalidInputError, match='no neighbour within 6 Å'):
        atoms.get_stress()


def isolated_tasks():
    final = LOOSE.copy()
    final.positions[0, 0] += 1
    return [
        ('relax', {'structure': 's.npz'}, [LOOSE]),
        ('free_energy', {'structure': 's.npz'}, [LOOSE]),
        ('barrier', {'structures': 's.npz'}, [LOOSE, final]),
    ]


@pytest.mark.parametrize(('task', 'extra', 'crystals'), isolated_tasks(), ids=['relax', 'free_energy', 'barrier'])
def test_tasks_end_with_invalid_input_for_isolated_atoms(command, tmp_path, task, extra, crystals):
    StructureBatch(
        np.array([2] * len(crystals)),
        np.array([crystal.cell.array for crystal in crystals]),
        np.concatenate([crystal.numbers for crystal in crystals]),
        np.concatenate([crystal.get_scaled_positions() for crystal in crystals]),
        np.array([str(i) for i in range(len(crystals))]),
    ).save(tmp_path / 's.npz')
    status, results = command(tmp_path, task, {'potential': {'name': 'emt'}, **extra})[:2]
    assert status == 1
    assert results['error']['kind'] == 'invalid_input'
    assert 'no neighbour within' in results['error']['message']


def test_other_weights_than_the_known_ones_are_refused():
    with pytest.raises(InvalidInputError, match=r'does not hold the weights with the checksum 0000.*constraints\.txt'):
        read_weights(Weights('aiida_qagenai', 'motifs/motifs.npz', '0' * 64), 'chgnet')
    with pytest.raises(InvalidInputError, match=r'needs the package no_such_package.*aiida-qagenai\[chgnet\]'):
        read_weights(Weights('no_such_package', 'x', '0' * 64), 'chgnet')


def test_weights_are_never_unpickled(tmp_path, monkeypatch):
    """A file with the right checksum that would run code when it is unpickled is refused."""
    path = tmp_path / 'weights.pth'
    torch.save({'x': Malicious(tmp_path / 'ran')}, path)
    (tmp_path / 'wheel').mkdir()
    (tmp_path / 'wheel' / '__init__.py').touch()
    path.rename(tmp_path / 'wheel' / 'weights.pth')
    monkeypatch.syspath_prepend(tmp_path)
    checksum = hashlib.sha256((tmp_path / 'wheel' / 'weights.pth').read_bytes()).hexdigest()
    for arrays in (False, True):
        with pytest.raises(pickle.UnpicklingError):
            read_weights(Weights('wheel', 'weights.pth', checksum), 'chgnet', arrays=arrays)
    assert not (tmp_path / 'ran').exists()


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_structure_that_is_not_periodic_is_refused(runtime):
    atoms = Atoms('Cu2', [(0, 0, 0), (0, 0, 2.5)], cell=[9, 9, 9])
    atoms.calc = emt(runtime)
    with pytest.raises(InvalidInputError, match='Cu2 is not periodic in all directions'):
        atoms.get_potential_energy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('potential', 'level', 'mgo', 'silicon'),
    [
        ({'name': 'sevennet', 'model': 'mf-0', 'modality': 'PBE'}, 'SevenNet-MF-0 PBE', -5.969, -5.377),
        ({'name': 'sevennet', 'model': 'mf-0', 'modality': 'R2SCAN'}, 'SevenNet-MF-0 r2SCAN', -8.041, -8.717),
        ({'name': 'sevennet'}, 'SevenNet-0', -5.977, -5.403),
        ({'name': 'sevennet', 'model': 'l3i5'}, 'SevenNet-l3i5', -5.980, -5.424),
        ({'name': 'chgnet'}, 'CHGNet-0.3.0', -6.314, -5.314),
        ({'name': 'chgnet', 'model': 'r2scan'}, 'CHGNet-r2SCAN', -8.036, -8.732),
    ],
)
def test_foundation_potentials_give_their_own_energies(runtime, potential, level, mgo, silicon):
    """A wrongly built network gives other numbers without a word; the first two are from the package's own loader."""
    pytest.importorskip({'chgnet': 'chgnet', 'sevennet': 'sevenn'}[potential['name']])
    teacher = make_potential(parse('relax', {'potential': potential, 'structure': 'x'}), runtime)
    assert teacher.level == level and len(teacher.sha256) == 64
    batch = StructureBatch.from_atoms([bulk('MgO', 'rocksalt', a=4.25), bulk('Si', 'diamond', a=5.47)])
    np.testing.assert_allclose(teacher.evaluate(batch).energies / 2, [mgo, silicon], atol=6e-4)


def test_a_calculator_in_one_line(crystal):
    """The shipped validator by default, on either of its rungs; what it cannot be is said."""
    crystal.calc = calculator()
    energy = crystal.get_potential_energy()
    crystal.calc = calculator(fidelity='SCAN')
    assert -4 < crystal.get_potential_energy() != energy
    assert crystal.calc.results['energy_sigma'] > 0
    with pytest.raises(InvalidInputError, match='HSE06'):
        calculator(fidelity='HSE06')
    with pytest.raises(InvalidInputError, match='colour'):
        calculator('emt', colour='red')
    with pytest.raises(InvalidInputError, match='invalid potential'):
        calculator('lennard-jones')

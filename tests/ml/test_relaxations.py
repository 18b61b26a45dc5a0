"""The command ``relax_many``: crystals that relax, that do not, and a run that was cut."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays, load_sound, save_arrays
from aiida_qagenai.ml import relaxations
from aiida_qagenai.ml.potentials.ase_calculator import AseCalculator
from aiida_qagenai.thermodynamics.vibrations.descent import Descent
from aiida_qagenai.thermodynamics.vibrations.settings import RelaxSettings

LOOSE = Atoms('Cu2', scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[12, 13, 14], pbc=True)
CONFIG = {'potential': {'name': 'emt'}, 'structures': 'structures.npz'}


def write(folder, crystals):
    """Pack ASE crystals for the command."""
    StructureBatch(
        num_atoms=np.array([len(crystal) for crystal in crystals]),
        cells=np.array([crystal.cell.array for crystal in crystals]),
        species=np.concatenate([crystal.numbers for crystal in crystals]).astype(np.int64),
        fractional=np.concatenate([crystal.get_scaled_positions() for crystal in crystals]),
        identifiers=np.array([f'c{index}' for index in range(len(crystals))]),
    ).save(folder / 'structures.npz')


def test_a_bad_crystal_never_loses_the_others(command, tmp_path):
    """Copper relaxes, atoms far apart and elements EMT lacks have no energy, three steps are too few for silver."""
    crystals = [bulk('Cu', 'fcc', a=3.63), LOOSE, bulk('NaCl', 'rocksalt', a=5.6), bulk('Ag', 'fcc', a=4.9)]
    write(tmp_path, crystals)
    status, results = command(tmp_path, 'relax_many', {**CONFIG, 'relaxation': {'max_steps': 3}})
    assert status == 0 and results['potential'] == 'emt'
    copper, loose, salt, silver = results['relaxations']
    assert copper['converged'] and copper['reason'] == '' and copper['identifier'] == 'c0'
    assert copper['force'] < 0.05 and abs(copper['energy_per_atom']) < 0.02 and copper['steps'] > 1
    assert loose['energy_per_atom'] is None and 'neighbour' in loose['reason'] and not loose['converged']
    assert salt['energy_per_atom'] is None and salt['reason']
    assert not silver['converged'] and silver['reason'] == 'not converged in 3 steps'
    assert silver['energy_per_atom'] is not None and results['num_converged'] == 1
    relaxed = StructureBatch.load(tmp_path / 'relaxed.npz')
    edges = np.abs(np.linalg.det(relaxed.cells)) ** (1 / 3)
    assert 4 ** (1 / 3) * edges[0] == pytest.approx(3.59, abs=0.03)
    np.testing.assert_array_equal(relaxed.cells[1], LOOSE.cell.array)
    assert relaxed.identifiers.tolist() == ['c0', 'c1', 'c2', 'c3']


def test_a_run_that_was_cut_goes_on(command, tmp_path, monkeypatch):
    write(tmp_path, [bulk('Cu', 'fcc', a=3.7), bulk('Ag', 'fcc', a=4.2)])
    _, whole = command(tmp_path, 'relax_many', CONFIG)
    journal = tmp_path / 'relaxed.jsonl'
    (copper,) = (line for line in journal.read_text().splitlines() if json.loads(line)['cell'][0][1] < 1.9)
    journal.write_text(copper + '\n{"key": "cut')
    relaxed = []

    class Counting(Descent):
        def __init__(self, cell, species, *arguments, **options):
            relaxed.append(int(species[0]))
            super().__init__(cell, species, *arguments, **options)

    monkeypatch.setattr(relaxations, 'Descent', Counting)
    _, again = command(tmp_path, 'relax_many', CONFIG)
    assert relaxed == [47] and again['relaxations'] == whole['relaxations'] and again['num_converged'] == 2
    command(tmp_path, 'relax_many', CONFIG)
    assert relaxed == [47]
    # other settings are another relaxation
    command(tmp_path, 'relax_many', {**CONFIG, 'relaxation': {'max_force': 0.5}})
    assert relaxed == [47, 29, 47]


class Poisoned(EMT):
    """Its energies of nickel are not a number, its stress tears aluminium apart, and it crashes for silver."""

    def calculate(self, atoms=None, *arguments):
        super().calculate(atoms, *arguments)
        if 'Ni' in atoms.symbols:
            self.results['energy'] = np.nan
        if 'Al' in atoms.symbols:
            self.results['stress'] = np.array([-1.0, -1.0, -1.0, 0, 0, 0])
        if 'Ag' in atoms.symbols:
            raise ZeroDivisionError('silver')


def test_poisoned_crystals_are_reported_and_the_others_unchanged():
    """Three that fail in different ways, in one batch with three sound ones, which end as they do alone."""
    potential = AseCalculator(Poisoned(), tag='poisoned', cutoff=5.6)
    sound = [bulk('Cu', 'fcc', a=3.7), bulk('Au', 'fcc', a=4.2, cubic=True), bulk('Pt', 'fcc', a=4.0)]
    bad = [bulk('Ni', 'fcc', a=3.6), bulk('Al', 'fcc', a=4.1), bulk('Ag', 'fcc', a=4.1)]
    together = dict(relax(potential, [crystal for pair in zip(bad, sound, strict=True) for crystal in pair]))
    assert len(together) == 6
    reasons = [together[index]['reason'] for index in (0, 2, 4)]
    assert 'not finite' in reasons[0] and reasons[2] == 'silver'
    assert 'neighbour' in reasons[1] or 'times that of the start' in reasons[1]
    for index, crystal in zip((0, 2, 4), bad, strict=True):
        assert together[index]['energy_per_atom'] is None and not together[index]['converged']
        np.testing.assert_array_equal(together[index]['cell'], crystal.cell.array)
    for index, crystal in zip((1, 3, 5), sound, strict=True):
        ((_, alone),) = relax(potential, [crystal])
        assert together[index]['converged'] and together[index] == alone


def relax(potential, crystals, batch_atoms=256):
    settings = RelaxSettings(max_force=0.01, max_stress=1e-4, max_steps=400)
    return relaxations.relax_together(StructureBatch.from_atoms(crystals), potential, settings, batch_atoms)


def test_places_in_a_batch_are_taken_over(monkeypatch):
    """No evaluation holds more atoms than allowed, and one that ends makes room before the others end."""
    potential = AseCalculator(EMT(), tag='emt', cutoff=5.6)
    sizes, ends = [], []
    original = potential.evaluate_each

    def counting(structures):
        sizes.append((len(structures), int(structures.num_atoms.sum())))
        return original(structures)

    monkeypatch.setattr(potential, 'evaluate_each', counting)
    crystals = [bulk('Cu', 'fcc', a=3.59), *(bulk('Cu', 'fcc', a=3.9, cubic=True) for _ in range(3)), bulk('Ag') * 3]
    for index, outcome in relax(potential, crystals, batch_atoms=9):
        ends.append(index)
        assert outcome['converged']
    assert sorted(ends) == [0, 1, 2, 3, 4] and ends[0] == 0
    # 1 + 4 + 4 atoms at first, then two cells of four; the crystal of 27 atoms comes alone
    assert sizes[0] == (3, 9) and max(atoms for count, atoms in sizes if count > 1) == 9 and (1, 27) in sizes
    assert len(sizes) < sum(outcome['steps'] + 1 for _, outcome in relax(potential, crystals))


def test_a_crystal_without_symmetry_operations_costs_only_itself():
    """Two atoms at one place: spglib finds nothing there."""
    potential = AseCalculator(EMT(), tag='emt', cutoff=5.6)
    double = Atoms('Cu2', positions=np.zeros((2, 3)), cell=np.eye(3) * 3, pbc=True)
    found = dict(relax(potential, [double, bulk('Cu', 'fcc', a=3.7)]))
    assert 'symmetry' in found[0]['reason'] and found[1]['converged']


def test_no_structures_are_an_error(command, tmp_path):
    StructureBatch.empty().save(tmp_path / 'structures.npz')
    status, results = command(tmp_path, 'relax_many', CONFIG)
    assert status == 1 and 'no structures' in results['error']['message']


def test_chgnet_relaxes_many(command, tmp_path):
    pytest.importorskip('chgnet')
    write(tmp_path, [bulk('MgO', 'rocksalt', a=4.1), bulk('LiH', 'rocksalt', a=4.2)])
    _, results = command(tmp_path, 'relax_many', {**CONFIG, 'potential': {'name': 'chgnet'}})
    assert results['potential'].startswith('chgnet:0.3.0') and results['num_converged'] == 2
    assert results['relaxations'][0]['energy_per_atom'] == pytest.approx(-6.3, abs=0.3)


def test_three_poisoned_members_leave_the_others_as_they_are_alone(command, tmp_path):
    """A cell that is not a number, overlapping atoms, an element without parameters: reported; the rest bit by bit."""
    sound = [bulk('Cu', 'fcc', a=3.7), bulk('Ag', 'fcc', a=4.2, cubic=True)]
    overlapping = Atoms('Cu2', positions=[(0, 0, 0), (0.001, 0, 0)], cell=np.eye(3) * 3, pbc=True)
    crystals = [bulk('Cu'), sound[0], overlapping, bulk('Na', 'fcc', a=4.0), sound[1]]
    write(tmp_path, crystals)
    arrays = load_arrays(tmp_path / 'structures.npz')
    arrays['cells'][0] = np.nan
    save_arrays(tmp_path / 'structures.npz', arrays)
    status, results = command(tmp_path, 'relax_many', CONFIG)
    assert status == 0 and results['num_converged'] == 2
    found = results['relaxations']
    assert [outcome['converged'] for outcome in found] == [False, True, False, False, True]
    assert found[0]['reason'] == 'the structure has a lattice that is not finite'
    assert 'Na' in found[3]['reason'] and found[2]['reason']
    relaxed, problems, kept = load_sound(tmp_path / 'relaxed.npz')
    assert [bool(problem) for problem in problems] == [True, False, False, False, False]
    assert np.isnan(kept['cells'][0]).all() and kept['identifiers'].tolist() == [f'c{index}' for index in range(5)]
    np.testing.assert_array_equal(kept['cells'][2], overlapping.cell.array)
    (tmp_path / 'alone').mkdir()
    write(tmp_path / 'alone', sound)
    _, alone = command(tmp_path / 'alone', 'relax_many', CONFIG)
    assert [found[1] | {'identifier': 'c0'}, found[4] | {'identifier': 'c1'}] == alone['relaxations']
    batch = StructureBatch.load(tmp_path / 'alone' / 'relaxed.npz')
    np.testing.assert_array_equal(batch.cells, kept['cells'][[1, 4]])
    np.testing.assert_array_equal(batch.fractional, relaxed.select([0, 3]).fractional)


def test_a_network_relaxes_beside_poisoned_members_as_without_them(command, tmp_path):
    """The shipped validator in single precision: sums over a batch round in another order, by less than 1e-3 Å."""
    config = {**CONFIG, 'potential': {'name': 'validator'}, 'checkpoint': str(VALIDATOR_FOUNDATION)}
    config |= {'relaxation': {'max_steps': 8}}
    sound = [bulk('MgO', 'rocksalt', a=4.4), bulk('Si', 'diamond', a=5.3)]
    overlapping = Atoms('Mg2', positions=[(0, 0, 0), (0.001, 0, 0)], cell=np.eye(3) * 3, pbc=True)
    write(tmp_path, [sound[0], overlapping, bulk('Po', 'sc', a=3.4), sound[1]])
    _, results = command(tmp_path, 'relax_many', config)
    outcomes = results['relaxations']
    assert not outcomes[1]['converged'] and not outcomes[2]['converged'] and 'Po' in outcomes[2]['reason']
    (tmp_path / 'alone').mkdir()
    write(tmp_path / 'alone', sound)
    _, alone = command(tmp_path / 'alone', 'relax_many', config)
    cells = StructureBatch.load(tmp_path / 'relaxed.npz').cells[[0, 3]]
    np.testing.assert_allclose(cells, StructureBatch.load(tmp_path / 'alone' / 'relaxed.npz').cells, atol=1e-3)
    for one, other in zip(alone['relaxations'], (outcomes[0], outcomes[3]), strict=True):
        assert one['energy_per_atom'] == pytest.approx(other['energy_per_atom'], abs=1e-4)


def test_constraints_are_applied_before_and_after(command, tmp_path):
    """Stretched copper shrinks into the window; without the element, or a relaxation, there are verdicts too."""
    write(tmp_path, [bulk('Cu', 'fcc', a=3.8), bulk('Ag', 'fcc', a=4.1), bulk('NaCl', 'rocksalt', a=5.6)])
    constraints = ['volume_per_atom<=12', 'coordination(Cu,Cu)=12']
    status, results = command(tmp_path, 'relax_many', {**CONFIG, 'constraints': constraints})
    assert status == 0
    copper, silver, salt = (each['ordered'] for each in results['relaxations'])
    assert copper['satisfied_before'] == [False, True] and copper['satisfied'] == [True, True]
    assert copper['values'][0] < 12 < copper['values_before'][0] and copper['losses'][0] < copper['losses_before'][0]
    assert silver['values'][1] is None and silver['satisfied'][1] is False
    assert salt['values'] == salt['values_before']

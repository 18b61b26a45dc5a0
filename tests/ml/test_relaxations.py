"""The command ``relax_many``: crystals that relax, that do not, and a run that was cut."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml import relaxations

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
    """Copper relaxes, atoms far apart and elements that EMT lacks have no energy, six steps are too few for silver."""
    crystals = [bulk('Cu', 'fcc', a=3.63), LOOSE, bulk('NaCl', 'rocksalt', a=5.6), bulk('Ag', 'fcc', a=4.9)]
    write(tmp_path, crystals)
    status, results = command(tmp_path, 'relax_many', {**CONFIG, 'relaxation': {'max_steps': 6}})
    assert status == 0 and results['potential'] == 'emt'
    copper, loose, salt, silver = results['relaxations']
    assert copper['converged'] and copper['reason'] == '' and copper['identifier'] == 'c0'
    assert copper['force'] < 0.05 and abs(copper['energy_per_atom']) < 0.02 and copper['steps'] > 1
    assert loose['energy_per_atom'] is None and 'neighbour' in loose['reason'] and not loose['converged']
    assert salt['energy_per_atom'] is None and salt['reason']
    assert not silver['converged'] and silver['reason'] == 'not converged in 6 steps'
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
    first = journal.read_text().splitlines()[0]
    journal.write_text(first + '\n{"key": "cut')
    relaxed = []
    original = relaxations.relax_within

    def counting(atoms, *arguments):
        relaxed.append(atoms.get_chemical_formula())
        return original(atoms, *arguments)

    monkeypatch.setattr(relaxations, 'relax_within', counting)
    _, again = command(tmp_path, 'relax_many', CONFIG)
    assert relaxed == ['Ag'] and again['relaxations'] == whole['relaxations']
    command(tmp_path, 'relax_many', CONFIG)
    assert relaxed == ['Ag']
    # other settings are another relaxation
    command(tmp_path, 'relax_many', {**CONFIG, 'relaxation': {'max_force': 0.5}})
    assert relaxed == ['Ag', 'Cu', 'Ag']


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

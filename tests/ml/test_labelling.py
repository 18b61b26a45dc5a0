"""The command ``label``: labels of one level of theory, failing structures, and a run that was cut."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.ml import labelling

CONFIG = {'potential': {'name': 'emt'}, 'structures': 'structures.npz', 'shard_size': 2, 'dtype': 'float64'}
LOOSE = Atoms('Cu2', scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[12, 13, 14], pbc=True)


@pytest.fixture
def crystals(tmp_path):
    """Return five crystals, of which two cannot be described, written for the command."""
    copper = bulk('Cu', cubic=True)
    copper.positions[0, 0] += 0.1
    found = [bulk('Cu', a=3.7), LOOSE, copper, bulk('NaCl', 'rocksalt', a=5.6), bulk('Ag', a=4.2)]
    StructureBatch.from_atoms(found, ['a', 'loose', 'c', 'salt', 'e']).save(tmp_path / 'structures.npz')
    return found


def test_labels_are_those_of_the_potential(command, tmp_path, crystals):
    """Compared with ASE's own calculator; what fails is NaN and named, the others are untouched."""
    from ase.calculators.emt import EMT

    status, results = command(tmp_path, 'label', CONFIG)
    assert status == 0 and results['level'] == 'EMT' and results['sha256'] == '' and results['num_labelled'] == 3
    assert [failure['identifier'] for failure in results['failures']] == ['loose', 'salt']
    assert 'no neighbour' in results['failures'][0]['reason'] and 'Na' in results['failures'][1]['reason']
    labels = load_arrays(tmp_path / 'labels.npz')
    assert labels['identifiers'].tolist() == ['a', 'loose', 'c', 'salt', 'e'] and str(labels['level']) == 'EMT'
    assert [bool(reason) for reason in labels['reasons']] == [False, True, False, True, False]
    starts = np.cumsum([0, *labels['num_atoms']])
    for index, crystal in enumerate(crystals):
        forces = labels['forces'][starts[index] : starts[index + 1]]
        if index in (1, 3):
            assert np.isnan(forces).all() and np.isnan(labels['energies'][index])
            continue
        crystal.calc = EMT()
        assert labels['energies'][index] == pytest.approx(crystal.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(forces, crystal.get_forces(), atol=1e-9)
        np.testing.assert_allclose(labels['stresses'][index], crystal.get_stress(voigt=False), atol=1e-9)


def test_a_run_that_was_cut_goes_on(command, tmp_path, crystals, monkeypatch):
    """Finished shards are read, a damaged one and those of other structures or settings are computed."""
    evaluated = []
    original = labelling._evaluate

    def counting(part, *arguments):
        evaluated.append(part.identifiers.tolist())
        return original(part, *arguments)

    monkeypatch.setattr(labelling, '_evaluate', counting)
    command(tmp_path, 'label', CONFIG)
    whole = (tmp_path / 'labels.npz').read_bytes()
    assert evaluated == [['a', 'loose'], ['c', 'salt'], ['e']]
    evaluated.clear()
    shards = sorted((tmp_path / 'shards').iterdir(), key=lambda path: path.stat().st_mtime_ns)
    shards[1].unlink()
    shards[2].write_bytes(shards[2].read_bytes()[:100])
    command(tmp_path, 'label', CONFIG)
    assert evaluated == [['c', 'salt'], ['e']] and (tmp_path / 'labels.npz').read_bytes() == whole
    evaluated.clear()
    moved = [crystal.copy() for crystal in crystals]
    moved[4].positions += 0.1
    StructureBatch.from_atoms(moved, list('abcde')).save(tmp_path / 'structures.npz')
    command(tmp_path, 'label', CONFIG)
    assert evaluated == [['e']]
    command(tmp_path, 'label', {**CONFIG, 'dtype': 'float32'})
    assert len(evaluated) == 4


def test_no_structures_are_an_error(command, tmp_path):
    StructureBatch.empty().save(tmp_path / 'structures.npz')
    status, results = command(tmp_path, 'label', CONFIG)
    assert status == 1 and 'no structures to label' in results['error']['message']


@pytest.mark.slow
def test_levels_of_two_modalities_never_mix(command, tmp_path):
    """The same crystals in the same folder on PBE and on r2SCAN: other shards, other tags, the same weights."""
    pytest.importorskip('sevenn')
    crystals = [bulk('MgO', 'rocksalt', a=4.25), bulk('Si', 'diamond', a=5.47)]
    StructureBatch.from_atoms(crystals).save(tmp_path / 'structures.npz')
    found = {}
    for modality in ('PBE', 'R2SCAN'):
        potential = {'name': 'sevennet', 'model': 'mf-0', 'modality': modality}
        _, results = command(
            tmp_path, 'label', {**CONFIG, 'dtype': 'float32', 'potential': potential, 'output': f'{modality}.npz'}
        )
        assert results['num_labelled'] == 2 and results['library_versions']['sevenn'] != 'not installed'
        found[modality] = load_arrays(tmp_path / f'{modality}.npz')
    assert [str(labels['level']) for labels in found.values()] == ['SevenNet-MF-0 PBE', 'SevenNet-MF-0 r2SCAN']
    assert len({str(labels['sha256']) for labels in found.values()}) == 1
    np.testing.assert_allclose(found['PBE']['energies'] / 2, [-5.969, -5.377], atol=1e-3)
    np.testing.assert_allclose(found['R2SCAN']['energies'] / 2, [-8.041, -8.717], atol=1e-3)

"""The recipe of the shipped validator on alloys that effective-medium theory labels."""

import csv
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from emt_crystals import emt_dataset

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.held_out import place_of
from aiida_qagenai.exchange.dataset import SPLITS
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays, save_arrays
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.elements import composition_fractions
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

import teacher_labels
import teacher_structures
import validator
import validator_data
import validator_ensemble

NUMBERS = (13, 28, 29)
LEVELS = {'PBE': 'EMT PBE', 'R2SCAN': 'EMT r2SCAN'}
FIELDS = {
    'mp/mp20_bi_ternary.csv.gz': ('material_id', 'formation_energy_per_atom'),
    'mpts/mpts52.csv.gz': ('material_id', 'formation_energy_per_atom'),
    'mp_extra/structures.csv.gz': ('material_id', 'source', 'e_form_source', 'e_form_mp2018', 'e_form_mp2020_onhull'),
    'mp_extra/labels_of_mp_and_mpts.csv.gz': ('material_id', 'e_form_mp2018'),
}


def write_labels(path, level, names, numbers, arrays):
    """Write labels as the task `label` does."""
    identity = {'level': np.array(level), 'sha256': np.array(''), 'format_version': np.array(1)}
    save_arrays(path, {'identifiers': np.array(names), 'num_atoms': np.array(numbers), **arrays, **identity})


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a folder with structures, labels and published energies of alloys."""
    folder = tmp_path_factory.mktemp('recipe')
    labels = emt_dataset(60)
    labels.structures.save(folder / 'structures.npz')
    names = labels.structures.identifiers.tolist()
    for mode, level in LEVELS.items():
        shift = 0.0 if mode == 'PBE' else -1.0
        arrays = {'energies': 4 * (labels.energies[:, 0] + shift)}
        arrays |= {'forces': labels.forces[:, 0], 'stresses': labels.stresses[:, 0]}
        write_labels(folder / f'labels_{mode}.npz', level, names, [4] * 60, arrays)
        elements = {'energies': np.array([0.1, 0.2, 0.3]) + shift, 'forces': np.zeros((3, 3))}
        elements['stresses'] = np.zeros((3, 3, 3))
        write_labels(folder / f'elements_{mode}.npz', level, [f'{z}/a' for z in NUMBERS], [1] * 3, elements)
    for file, fields in FIELDS.items():
        (folder / file).parent.mkdir(exist_ok=True)
        with gzip.open(folder / file, 'wt') as handle:
            writer = csv.DictWriter(handle, fields)
            writer.writeheader()
            for name, energy in zip(names, labels.energies[:, 0].tolist(), strict=True):
                values = {'formation_energy_per_atom': energy, 'e_form_mp2018': energy + 0.05, 'source': 'other'}
                writer.writerow({'material_id': name, **{key: values[key] for key in fields if key in values}})
    return folder


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
    """Return a function that runs the recipe for some seconds and returns the folder of its results."""
    for module in (validator, validator_data):
        monkeypatch.setattr(module, 'SIZE', 'tiny')
    monkeypatch.setattr(validator, 'NUM_MEMBERS', 2)
    parts = {place: SPLITS[place % 5] if place % 5 < 3 else 'train' for place in range(100)}
    monkeypatch.setattr(validator_data, 'split_of', lambda formula: SPLITS.index(parts[place_of(formula)]))

    def call(seconds, *options):
        files = {kind: [str(folder / f'{kind}_{mode}.npz') for mode in LEVELS] for kind in ('labels', 'elements')}
        arguments = [
            '--data',
            str(folder),
            '--structures',
            str(folder / 'structures.npz'),
            '--labels',
            *files['labels'],
        ]
        arguments += ['--elements', *files['elements'], '--output', str(tmp_path / 'run')]
        monkeypatch.setattr(sys, 'argv', ['validator.py', *arguments, '--hours', str(seconds / 3600), *options])
        validator.main()
        return tmp_path / 'run'

    return call


def test_a_training_goes_on_and_its_checkpoint_is_an_ensemble(run, folder, capsys):
    """The published level speaks for PBE; energies of the teachers are those of formation."""
    output = run(2)
    steps = json.loads((output / 'card.json').read_text())['steps']
    assert all(step > 0 for step in steps)
    run(4, '--resume')
    card = json.loads((output / 'card.json').read_text())
    assert all(new > old for new, old in zip(card['steps'], steps, strict=True))
    assert card['num_labels']['MP2020 PBE']['train'] > 0
    tensors, info = load_checkpoint(output / 'foundation', 'validator')
    ensemble = Ensemble.from_checkpoint(tensors, info, torch.float32)
    tags = [level.tag for level in ensemble.tree.levels]
    assert tags == ['EMT PBE', 'MP2020 PBE', 'EMT r2SCAN']
    assert [ensemble.tree.on_rung(rung) for rung in ensemble.tree.rungs] == [1, 2]
    assert ensemble.elements == NUMBERS
    structures = StructureBatch.load(folder / 'structures.npz')
    energies, _ = ensemble.evaluate(
        model_graphs(structures, NUMBERS, ensemble.cutoff, torch.float32)[0], torch.device('cpu'), 64
    )
    shift = (
        np.array([{13: 0.1, 28: 0.2, 29: 0.3}[number] for number in structures.species.tolist()]).reshape(60, 4).mean(1)
    )
    labels = load_arrays(folder / 'labels_PBE.npz')['energies'] / 4
    assert np.abs(energies.mean(axis=0)[:, 0] - (labels - shift)).mean() < 0.3
    assert np.abs(energies.mean(axis=0)[:, 2] - (labels - shift)).mean() < 0.3


def test_a_second_training_is_not_begun_over_a_first(run, capsys):
    run(1)
    with pytest.raises(SystemExit):
        run(1)
    assert 'give --resume' in capsys.readouterr().err


def test_a_training_starts_from_a_checkpoint(run, folder, tmp_path):
    """A new member then says what the checkpoint says, on all of its levels."""
    output = run(3)
    files = {kind: [folder / f'{kind}_{mode}.npz' for mode in LEVELS] for kind in ('labels', 'elements')}
    structures = StructureBatch.load(folder / 'structures.npz')
    data = validator.Data(validator_data.labelled_batch(structures, files['labels'], folder))
    energies = validator_data.element_energies(files['elements'])
    member = validator.Member.begin(1, data)
    validator_ensemble.start_from(member, output / 'foundation', energies)
    ensemble = Ensemble.from_checkpoint(*load_checkpoint(output / 'foundation', 'validator'), torch.float32)
    graphs, _ = model_graphs(structures, NUMBERS, ensemble.cutoff, torch.float32)
    expected = ensemble.evaluate(graphs, torch.device('cpu'), 64)[0][1]
    rows = np.arange(60)
    fractions = composition_fractions(structures, validator_data.ELEMENTS)
    for index, level in enumerate(ensemble.tree.levels):
        k = data.tree.levels.index(level)
        graph, *_ = data.batch([row for row in rows if row in data.graphs], k)
        with torch.no_grad():
            found = (member.model(graph, k) / graph.num_atoms).numpy()
        zeros = fractions @ validator_ensemble.zeros_of(member, k, energies)
        np.testing.assert_allclose(found - zeros[list(data.graphs)], expected[list(data.graphs), index], atol=1e-4)
    with pytest.raises(InvalidInputError, match='size'):
        validator_data.SIZE = 'base'
        validator_ensemble.start_from(member, output / 'foundation', energies)


def test_labels_of_other_structures_are_refused(folder):
    structures = StructureBatch.load(folder / 'structures.npz').select([0, 1])
    with pytest.raises(InvalidInputError, match='alloy-2'):
        validator_data.labelled_batch(structures, [folder / 'labels_PBE.npz'], folder)


def test_labels_of_one_teacher_come_from_several_files(folder, tmp_path):
    """They are one level, and those of no file are missing."""
    structures = StructureBatch.load(folder / 'structures.npz')
    arrays = load_arrays(folder / 'labels_PBE.npz')
    names, numbers = arrays['identifiers'].tolist(), arrays['num_atoms'].tolist()
    for part, (start, stop) in enumerate(((0, 20), (20, 50))):
        values = {name: arrays[name][start:stop] for name in ('energies', 'stresses')}
        values['forces'] = arrays['forces'][4 * start : 4 * stop]
        write_labels(tmp_path / f'{part}.npz', LEVELS['PBE'], names[start:stop], numbers[start:stop], values)
    labels = validator_data.labelled_batch(structures, [tmp_path / '0.npz', tmp_path / '1.npz'], folder)
    whole = validator_data.labelled_batch(structures, [folder / 'labels_PBE.npz'], folder)
    assert labels.levels == whole.levels
    np.testing.assert_array_equal(labels.energies[:50], whole.energies[:50])
    assert np.isnan(labels.energies[50:, 0]).all()


def test_formulas_are_split_once_and_for_all():
    """Calibration takes formulas from those that train, never from those that validate or test."""
    from aiida_qagenai.evaluation.held_out import part_of

    formulas = [f'Li{a}O{b}' for a in range(1, 30) for b in range(1, 30)]
    found = {formula: SPLITS[validator_data.split_of(formula)] for formula in formulas}
    assert set(found.values()) == set(SPLITS)
    for formula, split in found.items():
        assert split == part_of(formula) or (split, part_of(formula)) == ('calibration', 'train')


def test_structures_for_teachers(folder):
    """Every crystal as it is and distorted, some with another element; all with the atoms where they nearly were."""
    crystals = StructureBatch.load(folder / 'structures.npz')
    found, further = teacher_structures.make(crystals)
    names = crystals.identifiers.tolist()
    assert {name for name in found if '/' not in name} == set(names) <= set(further)
    assert {f'{name}/distorted' for name in names} <= set(found)
    substituted = [name for name in found if '/substituted-' in name]
    assert 5 <= len(substituted) <= 35
    for name in substituted:
        before, after = found[name.split('/')[0]][1], found[name][1]
        assert len(set(before.tolist()) ^ set(after.tolist())) == 2
    batch = teacher_structures.pack(found)
    volumes = {
        name: abs(np.linalg.det(cell)) for name, cell in zip(batch.identifiers.tolist(), batch.cells, strict=True)
    }
    ratios = [volumes[f'{name}/distorted'] / volumes[name] for name in names]
    assert 0.02 < np.std(np.log(ratios)) < 0.12


def test_packed_labels_are_those_of_the_teacher(folder, tmp_path, monkeypatch):
    """They are rounded, and structures without labels are left out."""
    arrays = load_arrays(folder / 'labels_PBE.npz')
    arrays['energies'][3] = np.nan
    packed = teacher_labels.packed(arrays)
    save_arrays(tmp_path / 'labels_PBE.npz', packed, compressed=True)
    structures = StructureBatch.load(folder / 'structures.npz')
    labels = validator_data.labelled_batch(structures, [tmp_path / 'labels_PBE.npz'], folder)
    assert np.isnan(labels.energies[3, 0]) and np.isfinite(np.delete(labels.energies[:, 0], 3)).all()
    expected = load_arrays(folder / 'labels_PBE.npz')
    np.testing.assert_allclose(labels.forces[20:, 0], expected['forces'][20:], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(labels.energies[4:, 0], expected['energies'][4:] / 4, rtol=1e-6)

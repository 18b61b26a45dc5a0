"""Fine-tuning that does not forget: the memory of a checkpoint, its probe set, and what keeps to the bar."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from toy_crystals import toy_dataset

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION, read_checkpoint
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.ml.checkpoints import load_memory
from aiida_qagenai.ml.training.memory import MAX_STRUCTURES, replayed, updated_memory
from aiida_qagenai.ml.training.stages import MemberData, replay_sources

PBE, SCAN = Level('teacher PBE', Fidelity.PBE), Level('teacher r2SCAN', Fidelity.SCAN)
CAMPAIGN = Level('campaign PBE', Fidelity.PBE)
BAR = 0.05


def crystals(count, levels, *, seed=0, shift=0.0, prefix='t'):
    """Return made-up crystals with energies on ``levels``, half of them held out, under names of their own."""
    batch = toy_dataset(count, high=count, seed=seed)
    structures = dataclasses.replace(
        batch.structures, identifiers=np.array([f'{prefix}{name}' for name in batch.structures.identifiers])
    )
    energies = batch.energies[:, [level.rung.rank for level in levels]] + shift
    split = (np.arange(count) % 2).astype(np.int8)
    return dataclasses.replace(
        batch,
        structures=structures,
        levels=levels,
        energies=energies,
        split=split,
        forces=np.zeros(0),
        stresses=np.zeros(0),
    )


def everything_trains(batch):
    return dataclasses.replace(batch, split=np.zeros(len(batch), dtype=np.int8))


@pytest.fixture(scope='module')
def tuned(tmp_path_factory, command):
    """Return a folder with a parent, fine-tunings of it on labels that are 1 eV off, and their results."""
    folder = tmp_path_factory.mktemp('memory')
    crystals(56, (PBE, SCAN)).save(folder / 'teacher.npz')
    everything_trains(crystals(7, (PBE,), seed=9, shift=1.0, prefix='a')).save(folder / 'wrong.npz')
    everything_trains(crystals(14, (CAMPAIGN,), seed=5, shift=-2.0, prefix='c')).save(folder / 'campaign.npz')
    trainings = {
        'parent': {'dataset': 'teacher.npz'},
        'unguarded': {'dataset': 'wrong.npz', 'options': {'max_degradation': None}},
        'guarded': {'dataset': 'wrong.npz'},
        'campaign': {'dataset': 'campaign.npz'},
    }
    for name, more in trainings.items():
        config = {'role': 'validator', 'steps': 60, 'batch_size': 4, 'output': name}
        if name != 'parent':
            config['initial_checkpoint'] = 'parent'
        options = {'num_members': 2, **more.get('options', {})}
        status, results = command(folder, 'train', {**config, 'dataset': more['dataset'], 'options': options})
        assert status == 0, results['error']
        (folder / f'{name}.json').write_text(json.dumps(results))
    return folder


def results_of(folder, name):
    return json.loads((folder / f'{name}.json').read_text())


def degradations(folder, name):
    metrics = results_of(folder, name)['metrics']
    return [value for key, value in metrics.items() if key.startswith('probe_degradation_')]


def test_labels_that_are_wrong_spoil_a_fine_tuning_without_the_guard(tuned):
    """The errors are in the metrics, and nothing is said: that was asked for."""
    assert max(degradations(tuned, 'unguarded')) > BAR
    results = results_of(tuned, 'unguarded')
    assert results['metrics']['probe_kept'] == 1 and not any('probe' in line for line in results['warnings'])


def test_with_the_guard_no_level_degrades_by_more_than_allowed(tuned):
    """A part of the change is kept, and a warning says which; the checkpoint holds the figures."""
    found = degradations(tuned, 'guarded')
    assert len(found) == 2 and max(found) <= BAR
    results = results_of(tuned, 'guarded')
    assert 0 <= results['metrics']['probe_kept'] < 1
    assert any('probe set grow by more than 5%' in line for line in results['warnings'])
    metrics = read_checkpoint(tuned / 'guarded')[1].metrics
    assert metrics['probe_mae_scan'] == pytest.approx(results['metrics']['probe_mae_scan'])


def test_new_levels_leave_those_of_the_parent_where_they_were(tuned):
    """With the gradient stop nothing is forgotten, so that nothing is moved back."""
    np.testing.assert_allclose(degradations(tuned, 'campaign'), 0, atol=1e-12)
    assert results_of(tuned, 'campaign')['metrics']['probe_kept'] == 1


def test_a_child_carries_the_memory_of_its_parent(tuned):
    """The same structures with the same labels and splits, and behind them its own."""
    parent, child = load_memory(tuned / 'parent'), load_memory(tuned / 'campaign')
    assert len(parent) == 56 and len(child) == 56 + 14
    found = child.on_levels(parent.levels).select(np.arange(56))
    np.testing.assert_array_equal(found.structures.identifiers, parent.structures.identifiers)
    np.testing.assert_allclose(found.energies, parent.energies)
    np.testing.assert_array_equal(found.split, parent.split)


def test_what_is_replayed():
    """What a parent trained on, unless the training set holds it anyway; nothing without a memory."""
    memory, dataset = crystals(20, (PBE,)), crystals(10, (PBE,))
    found = replayed(memory, dataset)
    assert found.structures.identifiers.tolist() == memory.structures.identifiers[10::2].tolist()
    assert replayed(memory, memory) is None and replayed(None, dataset) is None


def test_a_memory_grows_to_its_size_and_keeps_what_it_has():
    memory = updated_memory(None, crystals(20, (PBE,)))
    many = crystals(MAX_STRUCTURES + 5, (PBE,), prefix='m')
    grown = updated_memory(memory, many)
    assert len(grown) == MAX_STRUCTURES
    assert set(memory.structures.identifiers) <= set(grown.structures.identifiers)
    assert len(updated_memory(grown, many)) == MAX_STRUCTURES


@pytest.mark.parametrize(('stands_still', 'expected'), [(True, [2]), (False, [0, 0, 1, 2])])
def test_a_stage_replays_the_levels_whose_surface_it_moves(stands_still, expected):
    """The trunk moves all of them, what is a level's own only what inherits from it."""
    energies = np.zeros((4, 3))
    rungs = (Fidelity.PBE, Fidelity.PBE, Fidelity.SCAN)
    data = MemberData([], energies, np.array([0, 1]), rungs=rungs, replayed=np.array([2, 3]))
    sources = replay_sources(data, 2 if stands_still else 1, (-1, 0, 0), stands_still=stands_still)
    assert [level for level, _ in sources] == expected


def test_the_shipped_memory_fits_the_shipped_checkpoint():
    """It has labels on all levels, formulas for the probe that were not trained on, and nearly all elements."""
    memory, info = LabelledBatch.load(VALIDATOR_FOUNDATION / 'memory.npz'), read_checkpoint(VALIDATOR_FOUNDATION)[1]
    assert {level.tag for level in memory.levels} == {entry['tag'] for entry in info.configuration['levels']}
    assert np.isfinite(memory.energies).all()
    probe, trained = (set(memory.groups[memory.split == SPLITS.index(name)]) for name in ('validation', 'train'))
    assert len(probe) > 100 and len(trained) > 200 and not probe & trained
    assert len(np.unique(memory.structures.species)) > 80

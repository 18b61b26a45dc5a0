"""Levels of theory as data: several on one rung, a tree of them, and fine-tuning that adds new ones."""

import dataclasses

import numpy as np
import pytest
import torch
from toy_crystals import toy_dataset

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import Level, LevelTree
from aiida_qagenai.exchange.checkpoint import read_checkpoint
from aiida_qagenai.exchange.structures import load_arrays
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.training.members import fit_references
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs
from aiida_qagenai.ml.validator.network import hyperparameters

TEACHER = (Level('teacher PBE', Fidelity.PBE), Level('teacher r2SCAN', Fidelity.SCAN))
CAMPAIGN = (Level('fast:pbe', Fidelity.PBE), Level('fast:hse', Fidelity.HSE06))


def on_levels(count, seed, levels, columns, shift=0.0):
    """Return made-up crystals with the energies of some columns of the ladder under the names of ``levels``."""
    batch = toy_dataset(count, high=count, seed=seed)
    energies = batch.energies[:, columns] + shift
    return dataclasses.replace(batch, levels=levels, energies=energies, forces=np.zeros(0), stresses=np.zeros(0))


@pytest.fixture(scope='module')
def shipped(tmp_path_factory, command):
    """Return a folder with a validator of two levels of a teacher, and one that was fine-tuned on two of a campaign."""
    folder = tmp_path_factory.mktemp('levels')
    on_levels(28, 0, TEACHER, [0, 1]).save(folder / 'teacher.npz')
    # A level of theory on the same rung, whose energies lie 2 eV/atom lower.
    on_levels(14, 5, CAMPAIGN, [0, 2], shift=-2.0).save(folder / 'campaign.npz')
    config = {'role': 'validator', 'steps': 60, 'batch_size': 4, 'options': {'num_members': 2}}
    for name, more in {'shipped': {'dataset': 'teacher.npz'}, 'tuned': {'initial_checkpoint': 'shipped'}}.items():
        status, results = command(folder, 'train', {'dataset': 'campaign.npz', **config, **more, 'output': name})
        assert status == 0, results['error']
    return folder


def predictions(folder, command, validator, structures):
    """Return what a validator predicts for the structures of a data set."""
    assert command(folder, 'predict', {'validator': validator, 'structures': structures, 'dtype': 'float64'})[0] == 0
    return load_arrays(folder / 'predictions.npz')


def test_the_checkpoint_names_its_levels_and_their_parents(shipped):
    assert read_checkpoint(shipped / 'tuned')[1].configuration['levels'] == [
        {'tag': 'teacher PBE', 'rung': 'PBE', 'parent': -1},
        {'tag': 'teacher r2SCAN', 'rung': 'SCAN', 'parent': 0},
        {'tag': 'fast:pbe', 'rung': 'PBE', 'parent': 0},
        {'tag': 'fast:hse', 'rung': 'HSE06', 'parent': 2},
    ]
    assert read_checkpoint(shipped / 'shipped')[1].fidelities == ('PBE', 'SCAN')
    assert read_checkpoint(shipped / 'tuned')[1].fidelities == ('PBE', 'SCAN', 'HSE06')


def test_the_latest_level_speaks_for_its_rung(shipped, command):
    before = predictions(shipped, command, 'shipped', 'campaign.npz')['energies']
    after = predictions(shipped, command, 'tuned', 'campaign.npz')['energies']
    true = on_levels(14, 5, CAMPAIGN, [0, 2], shift=-2.0).energies
    assert np.abs(before[:, 0] - true[:, 0]).mean() > 1.5
    assert np.abs(after[:, 0] - true[:, 0]).mean() < 0.2
    assert np.abs(after[:, 2] - true[:, 1]).mean() < 0.2
    assert np.isnan(before[:, 2:]).all()
    assert np.isnan(after[:, 3]).all()


def test_levels_of_one_rung_are_not_mixed(shipped):
    """The levels of the teacher stay exactly where they were, that of PBE 2 eV/atom above that of the campaign."""
    data = on_levels(14, 5, CAMPAIGN, [0, 2])
    found = {}
    for name in ('shipped', 'tuned'):
        ensemble = Ensemble.from_checkpoint(*load_checkpoint(shipped / name, 'validator'), torch.float64)
        graphs, _ = model_graphs(data.structures, ensemble.elements, ensemble.cutoff, torch.float64)
        found[name] = ensemble.evaluate(graphs, torch.device('cpu'), 64)[0].mean(axis=0)
    np.testing.assert_array_equal(found['tuned'][:, :2], found['shipped'])
    assert np.mean(found['tuned'][:, 2] - found['tuned'][:, 0]) == pytest.approx(-2, abs=0.2)


def test_a_new_level_starts_from_the_surface_of_its_parent():
    tree = LevelTree((), ()).grown(TEACHER)
    ensemble = Ensemble.create(hyperparameters('tiny'), (1, 3), 2, torch.float64, tree)
    with torch.no_grad():
        for member in ensemble.members:
            for parameter in member.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    grown = ensemble.grown(tree.grown(CAMPAIGN))
    data = toy_dataset(7, high=0)
    graphs, _ = model_graphs(data.structures, (1, 3), ensemble.cutoff, torch.float64)
    before, _ = ensemble.evaluate(graphs, torch.device('cpu'), 64)
    after, _ = grown.evaluate(graphs, torch.device('cpu'), 64)
    np.testing.assert_allclose(after[..., :2], before, atol=1e-12)
    np.testing.assert_allclose(after[..., 2], before[..., 0], atol=1e-12)
    np.testing.assert_allclose(after[..., 3], before[..., 0], atol=1e-12)


def test_references_follow_the_tree():
    """Two levels stand on the root: neither takes up what only the other has."""
    fractions = np.random.default_rng(0).dirichlet(np.ones(3), 30)
    true = np.array([[-1.0, 0.5, 2.0], [-1.3, 0.6, 2.2], [4.0, 5.0, 6.0]])
    fitted = fit_references(fractions, fractions @ true.T, ridge=1e-9, parents=(-1, 0, 0))
    np.testing.assert_allclose(fitted, true, atol=1e-5)
    lonely = fractions @ true.T
    lonely[:, 2] = np.nan
    fitted = fit_references(fractions, lonely, ridge=1e-9, parents=(-1, 0, 0))
    np.testing.assert_allclose(fitted[2], fitted[0])


def test_the_lowest_new_level_inherits_raw_energies():
    """On its rung stand a raw and a corrected level: it takes the one nearer to the root; higher ones stand on it."""
    corrected = Level('corrected PBE', Fidelity.PBE)
    tree = LevelTree((), ()).grown([TEACHER[0]]).grown([corrected, TEACHER[1]], {TEACHER[1].tag: TEACHER[0].tag})
    assert tree.levels[tree.on_rung(Fidelity.PBE)] == corrected
    assert tree.grown(CAMPAIGN).parents == (-1, 0, 0, 0, 3)


def test_a_chosen_parent_is_named_by_the_tag_or_the_rung_of_its_child():
    """Levels on several rungs may have one tag."""
    tree = LevelTree((), ()).grown(TEACHER)
    new = [Level('fast', Fidelity.PBE), Level('fast', Fidelity.SCAN)]
    assert tree.grown(new).parents == (-1, 0, 0, 2)
    assert tree.grown(new, {'SCAN': 'teacher r2SCAN'}).parents == (-1, 0, 0, 1)


def test_a_level_whose_rung_is_new_stands_on_the_next_lower_one():
    tree = LevelTree((), ()).grown(TEACHER).grown([Level('mine', Fidelity.HSE06)])
    assert tree.parents == (-1, 0, 1)

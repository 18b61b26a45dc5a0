"""The recipe of the heads of quantum descriptors, on made-up fields of alloys."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from emt_crystals import emt_dataset

from aiida_qagenai.common.descriptors import FIELDS, HEAD_FIELDS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.properties.described import load_descriptor_heads
from aiida_qagenai.ml.properties.model import Scale
from aiida_qagenai.ml.runtime import setup

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

import descriptor_heads
import heads

NUMBER = 120


@pytest.fixture(scope='module')
def labels():
    """Return alloys whose mean of the density of states and whose χ0 follow their share of aluminium; others are 0."""
    structures = emt_dataset(NUMBER).structures
    share = np.bincount(structures.owner, structures.species == 13, len(structures)) / structures.num_atoms
    descriptors = np.tile(np.linspace(0.0, 0.1, len(FIELDS)), (NUMBER, 1)) + 0.01 * share[:, None]
    descriptors[:, FIELDS.index('dos_mean')] = -10 * share
    descriptors[:, FIELDS.index('chi0_q_min')] = np.exp(3 * share)
    descriptors[:5, FIELDS.index('dos_mean')] = np.nan
    split = np.full(NUMBER, SPLITS.index('train'), dtype=np.int8)
    split[::5], split[1::5] = SPLITS.index('validation'), SPLITS.index('calibration')
    groups = np.array([f'group{index}' for index in range(NUMBER)])
    energies = np.full((NUMBER, 4), np.nan)
    return LabelledBatch(structures=structures, energies=energies, descriptors=descriptors, groups=groups, split=split)


@pytest.fixture(scope='module')
def trained(labels, tmp_path_factory):
    """Return the model and what its networks see."""
    values, model = descriptor_heads.columns(labels), descriptor_heads.untrained(labels, setup(RuntimeConfig()))
    cache = tmp_path_factory.mktemp('heads') / 'features.npz'
    seen = heads.seen_of(labels.structures, model.validator, model.runtime, cache)
    inputs = model.inputs(labels.structures, seen)
    model.networks, model.scales = heads.ensemble(model, inputs, labels, values, epochs=200, delta=1.0)
    return model, inputs


def test_fields_of_any_sign_and_scale_are_learned(labels, trained):
    model, inputs = trained
    metrics = descriptor_heads.metrics_of(model, inputs, labels, ('validation',))
    assert metrics['validation_r2_dos_mean'] > 0.8 and metrics['validation_r2_chi0_q_min'] > 0.8
    assert metrics['validation_mae_dos_mean'] < 1.5
    assert (model.scales > 0).all() and len(model.networks) == heads.NUM_MEMBERS


def test_what_is_written_predicts_the_same(labels, trained, tmp_path):
    model, inputs = trained
    labels.save(tmp_path / 'set.npz')
    about = {'source': 'made up', 'license': 'none', 'sha256': '0' * 64}
    (tmp_path / 'set.card.json').write_text(json.dumps(about))
    arguments = argparse.Namespace(labels=tmp_path / 'set.npz', output=tmp_path)
    descriptor_heads.write(model, labels, arguments, {'validation_r2_dos_mean': 0.9}, 0.0)
    found = load_descriptor_heads(model.runtime, folder=tmp_path / 'descriptors', gaps=model.gaps)
    np.testing.assert_allclose(found.raw(inputs)[0], model.raw(inputs)[0], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found.electrons, model.electrons)
    card = json.loads((tmp_path / 'descriptors' / 'card.json').read_text())
    info = load_checkpoint(tmp_path / 'descriptors', 'property')[1]
    assert card['checkpoint_sha256'] == info.sha256 and card['num_labels']['validation'] == NUMBER // 5


def test_heads_on_another_gap_model_are_refused(labels, trained, tmp_path, monkeypatch):
    model, _ = trained
    labels.save(tmp_path / 'set.npz')
    (tmp_path / 'set.card.json').write_text(json.dumps({'source': 'made up', 'license': 'none', 'sha256': '0' * 64}))
    monkeypatch.setattr(descriptor_heads, 'gap_checkpoint', lambda: 'another')
    descriptor_heads.write(
        model, labels, argparse.Namespace(labels=tmp_path / 'set.npz', output=tmp_path), {}, begun=0.0
    )
    with pytest.raises(InvalidInputError, match='another gap model'):
        load_descriptor_heads(model.runtime, folder=tmp_path / 'descriptors', gaps=model.gaps)


@pytest.mark.parametrize(
    ('symbol', 'electrons'),
    [
        ('H', [1, 0, 0, 1, 1]),
        # 2s and 2p are in the pseudopotential, and in the frozen core.
        ('Na', [1, 0, 0, 1, 9]),
        ('Fe', [4, 6, 6, 16, 16]),
        ('Ga', [2, 1, 10, 13, 13]),
        ('Hf', [4, 6, 2, 12, 12]),
        ('Pb', [2, 2, 0, 4, 4]),
    ],
)
def test_electrons_that_an_element_brings(symbol, electrons):
    assert descriptor_heads.electrons_of(symbol) == electrons


def test_computed_labels_change_what_is_predicted(labels, trained):
    """Of the fields that have labels alone, where they were computed."""
    model, inputs = trained
    before = model.raw(inputs)[0]
    new = np.full((2, len(HEAD_FIELDS)), np.nan)
    new[:, 0] = before[:2, 0] - 5.0
    saved = [network.coefficients.detach().clone() for network in model.networks]
    assert model.learn(labels.structures.select(np.array([0, 1])), new, weight=50.0) == 2
    after = model.raw(inputs)[0]
    for network, coefficients in zip(model.networks, saved, strict=True):
        network.coefficients.data = coefficients
    assert (after[:2, 0] < before[:2, 0] - 2).all()
    np.testing.assert_allclose(after[:, 1:], before[:, 1:], rtol=1e-6)


def test_scales_go_both_ways():
    labels = np.array([[1.0, -3.0], [np.e, 1.0], [np.nan, 2.0]])
    scale = Scale.of_labels(labels, np.array([True, False]))
    numbers = scale.inward(labels)
    np.testing.assert_allclose(np.nanmean(numbers, axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.nanstd(numbers, axis=0), 1)
    np.testing.assert_allclose(scale.outward(numbers), labels)
    ones = np.ones((1, 2))
    np.testing.assert_allclose(scale.deviations(np.array([[2.0, 2.0]]), ones), [[2 * scale.slope[0], scale.slope[1]]])

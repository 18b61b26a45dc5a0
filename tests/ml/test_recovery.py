"""What the recoveries do to the labels before a training."""

import dataclasses

import numpy as np
import pytest
import torch
from toy_crystals import toy_dataset

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.exchange.recovery import RecoveryOptions
from aiida_qagenai.ml.elements import composition_fractions
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.training.losses import Scale, Scales
from aiida_qagenai.ml.training.members import fit_references
from aiida_qagenai.ml.training.recovery import COMPOSITION, MIN_LABELS, Descriptors, repair

PBE, SCAN = Level('PBE', Fidelity.PBE), Level('SCAN', Fidelity.SCAN)
SMALL = Level('SCAN, small basis', Fidelity.SCAN)
OFF = {'outliers': 'keep'}


@pytest.fixture
def labels():
    """Return 60 crystals with labels at PBE and SCAN, whose difference is linear in the elements but for 2 meV/atom."""
    batch = toy_dataset(60, high=0).on_levels((PBE, SCAN))
    fractions = composition_fractions(batch.structures, (1, 3))
    noise = np.random.default_rng(0).normal(0, 0.002, 60)
    batch.energies[:, 1] = batch.energies[:, 0] + fractions @ np.array([0.1, -0.3]) + noise
    return batch


def repaired(labels, parents=(-1, 0), **options):
    """Return the repaired labels and the record."""
    record = Record()
    fractions = composition_fractions(labels.structures, (1, 3))
    known = Descriptors(COMPOSITION * fractions, np.zeros(labels.energies.shape))
    return repair(labels, lambda: known, parents, RecoveryOptions(**options), record), record


def damaged(labels, rows, error=0.5):
    """Return the labels with a wrong SCAN energy of some crystals."""
    energies = labels.energies.copy()
    energies[rows, 1] += error
    return dataclasses.replace(labels, energies=energies)


def names(labels, rows):
    """Return the names of some crystals."""
    return set(labels.structures.identifiers[rows].tolist())


def test_injected_outliers_are_named_with_their_level_and_distance(labels):
    found, record = repaired(damaged(labels, [5, 33]))
    named = record.counts['outlying_labels']
    wrong = [each for each in named if each['level'] == 'SCAN']
    assert {each['identifier'] for each in wrong} == names(labels, [5, 33])
    assert all(each['compared_with'] == 'PBE' and each['cooks_distance'] > 4 / 60 for each in wrong)
    assert all(each['residual'] == pytest.approx(0.5, abs=0.05) for each in wrong)
    assert any('they count in full' in warning for warning in record.warnings)
    assert (found.weights == 1).all()
    assert np.isfinite(found.labels.energies).all()


def test_outliers_are_left_out_if_the_switch_says_so(labels):
    found, record = repaired(damaged(labels, [5, 33]), outliers='leave_out')
    assert np.isnan(found.labels.energies[[5, 33], 1]).all()
    assert not found.measured[[5, 33], 1].any()
    assert np.isnan(found.labels.energies).sum() == record.metrics['outlying_labels']


def test_outliers_count_the_less_the_larger_their_distance(labels):
    wrong = damaged(damaged(labels, [5], 0.2), [33], 1.0)
    found, _ = repaired(wrong, outliers='down_weight')
    assert 0 < found.weights[33, 1] < found.weights[5, 1] < 1
    assert (found.weights[:, 1] == 1).sum() == 58


def test_what_the_initial_checkpoint_predicts_is_taken_off(labels):
    wrong = damaged(labels, [])
    wrong.energies[:, 0] += 3 * np.sin(np.arange(60))
    wrong.energies[:, 1] = np.nan
    predictions = np.column_stack([wrong.energies[:, 0], np.zeros(60)])
    predictions += np.random.default_rng(1).normal(0, 0.01, predictions.shape)
    wrong.energies[20, 0] += 0.3
    record = Record()
    known = Descriptors(composition_fractions(labels.structures, (1, 3)), predictions)
    repair(wrong, lambda: known, (-1, 0), RecoveryOptions(), record)
    assert [each['identifier'] for each in record.counts['outlying_labels']] == [labels.structures.identifiers[20]]


def test_few_labels_are_not_judged(labels):
    few = labels.select(np.arange(MIN_LABELS - 1))
    found, record = repaired(damaged(few, [5]), outliers='leave_out')
    assert np.isfinite(found.labels.energies).all()
    assert record.metrics['outlying_labels'] == 0


@pytest.mark.parametrize(('option', 'weight'), [('leave_out', None), ('down_weight', 0.1), ('keep', 1.0)])
def test_doubtful_labels(labels, option, weight):
    doubtful = np.zeros((60, 2), dtype=bool)
    doubtful[[4, 9], 1] = True
    found, record = repaired(dataclasses.replace(labels, doubtful=doubtful), unconverged=option, **OFF)
    if weight is None:
        assert np.isnan(found.labels.energies[[4, 9], 1]).all()
    else:
        np.testing.assert_allclose(found.weights[[4, 9], 1], weight)
    assert (np.delete(found.weights, [4, 9], axis=0) == 1).all()
    assert {each['identifier'] for each in record.counts['doubtful_labels']} == names(labels, [4, 9])
    assert '2 labels are of calculations that cannot be trusted' in record.warnings[0]


def test_nothing_left_to_train_on_is_refused(labels):
    nothing = dataclasses.replace(labels, doubtful=np.ones((60, 2), dtype=bool))
    with pytest.raises(InvalidInputError, match='no label is left'):
        repaired(nothing, **OFF)


def test_missing_labels_are_filled_in_with_a_weight_that_follows_their_error(labels):
    true = labels.energies.copy()
    gaps = labels.energies.copy()
    gaps[40:, 1] = np.nan
    found, record = repaired(dataclasses.replace(labels, energies=gaps), impute=True, **OFF)
    assert np.abs(found.labels.energies - true).max() < 0.02
    error = record.metrics['carried_error PBE → SCAN']
    assert 0.001 < error < 0.004
    np.testing.assert_allclose(found.weights[40:, 1], 0.02**2 / (0.02**2 + error**2))
    assert not found.measured[40:, 1].any()
    assert found.measured[:40].all()


def test_a_missing_low_label_is_filled_in_from_the_level_above(labels):
    true = labels.energies.copy()
    gaps = labels.energies.copy()
    gaps[50:, 0] = np.nan
    found, _ = repaired(dataclasses.replace(labels, energies=gaps), impute=True, **OFF)
    assert np.abs(found.labels.energies[50:, 0] - true[50:, 0]).max() < 0.02


def test_labels_of_another_basis_are_carried_over_to_the_level_that_speaks_for_the_rung(labels):
    true = labels.energies[:, 1].copy()
    three = labels.on_levels((PBE, SMALL, SCAN))
    fractions = composition_fractions(labels.structures, (1, 3))
    three.energies[:, 1] = true + fractions @ np.array([0.4, 0.2])
    three.energies[30:, 2] = np.nan
    found, record = repaired(three, (-1, 0, 1), one_basis=True, **OFF)
    assert np.isnan(found.labels.energies[:, 1]).all()
    np.testing.assert_allclose(found.labels.energies[:, 2], true, atol=0.01)
    assert found.measured[:30, 2].all()
    assert not found.measured[30:, 2].any()
    assert record.metrics['carried_labels SCAN, small basis → SCAN'] == 30


def test_too_small_an_overlap_of_two_bases_leaves_two_levels(labels):
    three = labels.on_levels((PBE, SMALL, SCAN))
    three.energies[:, 1] = labels.energies[:, 1] + 0.3
    three.energies[5:, 2] = np.nan
    found, record = repaired(three, (-1, 0, 1), one_basis=True, **OFF)
    np.testing.assert_array_equal(found.labels.energies, three.energies)
    assert 'only 5 structures have labels on both' in record.warnings[0]


def test_a_plain_square_has_no_threshold():
    residuals = torch.tensor([0.1, -3.0, float('nan')])
    scale = Scale(deviation=0.5, threshold=0.2)
    square = Scales(energies=scale).squares().energies
    assert square.loss(residuals).item() == pytest.approx((0.01 + 9.0) / 2 / 2 / 0.25)
    assert scale.loss(residuals).item() < 0.2 * square.loss(residuals).item()


def test_a_label_enters_the_loss_with_its_weight():
    residuals = torch.tensor([0.1, -0.2], requires_grad=True)
    Scale().loss(residuals, torch.tensor([1.0, 0.0])).backward()
    np.testing.assert_allclose(residuals.grad, [0.05, 0.0])


def test_the_weights_of_atoms_are_those_of_their_structures():
    forces = torch.ones(3, 3)
    weighted = Scale(threshold=10).loss(forces, torch.tensor([1.0, 0.0, 0.0]))
    assert weighted.item() == pytest.approx(0.5 / 3)


def test_references_follow_the_weights():
    fractions = np.eye(2).repeat(20, axis=0)
    energies = np.where(np.arange(40) % 20 < 10, 1.0, 5.0)[:, None]
    weights = np.where(energies == 1.0, 1.0, 1e-9)
    fitted = fit_references(fractions, energies, 1e-6, weights=weights)
    np.testing.assert_allclose(fitted, [[1.0, 1.0]], atol=1e-4)


def test_a_training_names_its_outliers_and_leaves_them_out(tmp_path, command):
    clean = toy_dataset(48, high=40)
    energies = clean.energies.copy()
    rows = np.flatnonzero(np.isfinite(energies[:, 1]) & (clean.split == 0))[[3, 20]]
    energies[rows, 1] += 1.0
    dataclasses.replace(clean, energies=energies).save(tmp_path / 'dataset.npz')
    options = {'num_members': 2, 'recovery': {'outliers': 'leave_out'}}
    config = {'role': 'validator', 'dataset': 'dataset.npz', 'output': 'v', 'steps': 8, 'options': options}
    status, results = command(tmp_path, 'train', config)
    assert status == 0
    found = {each['identifier'] for each in results['outlying_labels'] if each['level'] == 'SCAN'}
    assert names(clean, rows) <= found
    assert results['num_labels']['SCAN'] == np.isfinite(energies[clean.split == 0, 1]).sum() - len(found)

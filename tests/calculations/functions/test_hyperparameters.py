"""What a search for hyperparameters sees of a dataset, and the records of its trials."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from aiida.orm import Dict, Str
from fake_campaign import make_checkpoint

from aiida_qagenai.calculations.functions.hyperparameters import (
    hold_out,
    record_trial,
    score_samples,
    summarise_trials,
)
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.queries.hyperparameters import trained_generator

TAGS = dict.fromkeys(('PBE', 'SCAN', 'HSE06', 'CCSD(T)'), 'pipeline:toy')
TEST, VALIDATION = [3, 19, 22, 23], [5, 13, 18]
SETTINGS = {'num_trials': 3, 'objective': 'loss', 'training': {}, 'space': {'training': {'num_layers': [1, 2, 3]}}}


@pytest.fixture
def make_dataset(aiida_profile_clean, toy_labels):
    """Return a factory of a training set with a test split; the crystals of some rows are stretched."""

    def create(stretched=()) -> DatasetData:
        split = np.zeros(len(toy_labels), dtype=np.int8)
        split[VALIDATION], split[TEST] = 1, 3
        cells, energies = toy_labels.structures.cells.copy(), toy_labels.energies.copy()
        cells[list(stretched)] *= 1.3
        energies[list(stretched)] += 1.0
        structures = dataclasses.replace(toy_labels.structures, cells=cells)
        labels = dataclasses.replace(toy_labels, structures=structures, energies=energies, split=split)
        return DatasetData(labels, level_tags=TAGS, formation_scheme='anchored', scientific=False)

    return create


def identities(dataset: DatasetData, **options) -> list:
    """Return the content of all that a search sees of a dataset."""
    found = hold_out(dataset, Dict({'num_formulas': 5, **options}))
    return [*(found[name].base.attributes.all for name in ('development', 'known')), found['formulas'].get_dict()]


def test_nothing_of_the_test_split_reaches_a_trial(make_dataset):
    """What every job of a trial reads is the same, bit by bit, whatever stands in the test split."""
    development, known, formulas = seen = identities(make_dataset())
    assert identities(make_dataset(stretched=TEST)) == seen
    assert identities(make_dataset(stretched=VALIDATION))[0] != development
    assert development['splits'] == {'train': 17, 'validation': 3, 'calibration': 0, 'test': 0}
    assert (development['num_structures'], known['num_structures']) == (20, 17)
    assert set(formulas) == {'LiH', 'LiH2'}


def test_only_formulas_that_the_generator_can_make_are_sampled(make_dataset):
    assert identities(make_dataset(), elements=['H', 'Li', 'Na'], num_formulas=1)[2].keys() < {'LiH', 'LiH2'}
    with pytest.raises(InvalidInputError, match='no formula of the validation split consists of H, Na alone'):
        hold_out(make_dataset(), Dict({'num_formulas': 5, 'elements': ['H', 'Na']}))


def test_samples_are_compared_with_the_split_that_the_objective_is_about(make_dataset):
    """A training crystal is not novel, a validation crystal is a match; those of the test split are neither."""
    dataset = make_dataset()
    found = hold_out(dataset, Dict({'num_formulas': 5}))
    crystals = dataset.structures().structures()
    samples = DatasetData(StructureBatch.from_structures([crystals[0], crystals[18], crystals[22]], ['a', 'b', 'c']))
    shared = {'development': found['development'], 'formulas': found['formulas'], 'candidate_set': samples}
    novel = score_samples(**shared, parameters=Dict({'objective': 'valid_novel', 'num_samples': 2})).get_dict()
    # LiH2 and Li2H are not neutral; LiH is in the training split.
    assert novel == {'value': 0, 'requested': 4, 'generated': 3, 'valid': 1, 'novel': 0, 'unique': 0}
    rate = score_samples(**shared, parameters=Dict({'objective': 'match_rate', 'num_samples': 2})).get_dict()
    assert rate['references'] == 3 and rate['matched'] >= 1 and rate['value'] == pytest.approx(rate['matched'] / 3)


def record(number: int, **inputs):
    """Return the record of a trial of `SETTINGS`."""
    study = Dict({'study': 'a' * 64, 'number': number, 'objective': 'loss'})
    return record_trial(Dict({'training': {'num_layers': number + 1}}), study, **inputs)


def test_a_trial_has_a_value_or_a_reason(aiida_profile_clean):
    """Its generator can be found from it."""
    results = Dict({'metrics': {'validation_loss': 0.4, 'validation_loss_types': 0.1, 'train_loss_types': 0.0}})
    checkpoint = make_checkpoint('generator', elements=('H', 'Li')).store()
    trial = record(0, results=results, checkpoint=checkpoint)
    assert (trial.value, trial.content.direction, trial.point) == (0.4, 'minimize', {'training.num_layers': 1})
    assert trial.content.figures == {'validation_loss': 0.4, 'validation_loss_types': 0.1}
    assert trained_generator(trial).uuid == checkpoint.uuid
    failed = record(1, failure=Str('no room'))
    assert (failed.value, failed.content.state, failed.content.reason) == (None, 'failed', 'no room')
    assert trained_generator(failed) is None
    undefined = record(2, results=Dict({'metrics': {}}))
    assert undefined.content.reason == 'the training has no held-out loss that is finite'


def test_the_best_trial_has_the_best_value_in_the_direction_of_the_objective(aiida_profile_clean):
    """Failed trials are counted."""
    values = (0.4, 0.2, None)
    trials = {
        f'trial{number:03d}': record(number, failure=Str('lost'))
        if value is None
        else record(number, results=Dict({'metrics': {'validation_loss': value}}))
        for number, value in enumerate(values)
    }
    found = summarise_trials(Dict(SETTINGS), **trials)
    summary = found['summary'].get_dict()
    assert (summary['best'], summary['value'], summary['complete'], summary['failed']) == ('trial001', 0.2, 2, 1)
    assert summary['hyperparameters'] == {'training': {'num_layers': 2}} and summary['importances'] == {}
    assert found['best']['training']['num_layers'] == 2

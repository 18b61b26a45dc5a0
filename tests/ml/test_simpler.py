"""When a training says that a linear correction would do."""

import numpy as np
import pytest

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import Level, LevelTree
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.training.simpler import compare_with_linear

NUM = 120
TREE = LevelTree((Level('low', Fidelity.PBE), Level('high', Fidelity.SCAN)), (-1, 0))


def compared(noise, curved=0.0, known=NUM, num_groups=60):
    """Return the record of a comparison in which the level above has learned the truth up to some noise."""
    rng = np.random.default_rng(0)
    fractions = rng.dirichlet(np.ones(3), NUM)
    low = rng.normal(size=NUM)
    high = 0.2 + 1.1 * low + fractions @ [0.3, 0.0, -0.2] + curved * np.sin(3 * low)
    labels = np.stack([low, high], axis=1)
    labels[known:, 1] = np.nan
    predicted = np.stack([low, high + rng.normal(0, noise, NUM)], axis=1)
    record = Record()
    groups = np.array([f'formula {k % num_groups}' for k in range(NUM)])
    compare_with_linear(
        record, TREE, ['pbe', 'scan'], predicted=predicted, labels=labels, fractions=fractions, groups=groups
    )
    return record


def test_a_correction_that_is_better_is_named_with_its_error():
    record = compared(noise=0.1)
    (warning,) = record.warnings
    assert warning.startswith('on `high` a linear correction of `low` is better than what was learned from 120 labels')
    assert record.metrics == {'out_of_bag_linear_mae_scan': pytest.approx(0.0, abs=0.01)}


def test_a_level_that_learned_more_is_left_in_peace():
    record = compared(noise=0.02, curved=0.3)
    assert not record.warnings and record.metrics['out_of_bag_linear_mae_scan'] > 0.1


@pytest.mark.parametrize('few', [{'known': 9}, {'num_groups': 9}])
def test_few_labels_or_formulas_say_nothing(few):
    record = compared(noise=0.1, **few)
    assert not record.warnings and not record.metrics

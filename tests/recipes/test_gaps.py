"""The recipe of the model of band gaps, on made-up gaps of alloys."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
from emt_crystals import emt_dataset

from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.gaps.model import GapModel
from aiida_qagenai.ml.runtime import setup
from aiida_qagenai.ml.validator.ensemble import Ensemble

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

import gap_data
import gaps


def test_gaps_of_the_first_file_count(tmp_path):
    header = 'material_id,gap_pbe,gap_hse,gap_gllbsc,gap_scan'
    contents = ('material_id,band_gap\na,1.5\n', f'{header}\na,2.5,3.5,,\n', f'{header}\nb,,,4.5,0.0\n')
    for name, content in zip(gap_data.FILES, contents, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    found = gap_data.published_gaps(tmp_path)
    np.testing.assert_array_equal(found['a'], [1.5, 3.5, np.nan, np.nan])
    np.testing.assert_array_equal(found['b'], [np.nan, np.nan, 4.5, 0.0])


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Return data, and a model that was trained to tell alloys that are rich in aluminium."""
    runtime = setup(RuntimeConfig())
    structures = emt_dataset(60).structures
    share = np.bincount(structures.owner, structures.species == 13, len(structures)) / structures.num_atoms
    labels = np.full((len(structures), 4), np.nan)
    labels[:, 0] = np.where(share > 0.4, 2 * share, 0.0)
    groups = np.array([f'group{index}' for index in range(len(structures))])
    data = gaps.Data(structures, groups, labels)
    ensemble = Ensemble.from_checkpoint(*load_checkpoint(VALIDATOR_FOUNDATION, 'validator'), runtime.dtype)
    cache = tmp_path_factory.mktemp('gaps') / 'features.npz'
    data.see(gaps.latent_of(data, ensemble, runtime, cache))
    model = GapModel(data.elements, {}, {}, ensemble, runtime)
    patch = pytest.MonkeyPatch()
    patch.setattr(gaps, 'BATCH_SIZE', 8)
    for kind in gaps.KINDS:
        model.networks[kind] = [gaps.train(data, kind, member, runtime) for member in range(gaps.NUM_MEMBERS)]
        model.scales[kind] = gaps.calibrate(data, model, kind)
    patch.undo()
    return data, model


def test_it_learns_metals_and_gaps(trained):
    data, model = trained
    for kind in gaps.KINDS:
        metrics = gaps.errors_of(data, model, kind, 'train')
        assert metrics[f'train_metal_accuracy_{kind}'] > 0.85
        assert metrics[f'train_mae_pbe_{kind}'] < 0.3 and np.isnan(metrics[f'train_mae_scan_{kind}'])


def test_levels_without_labels_share_the_scale_of_the_others(trained):
    _, model = trained
    for scale in model.scales.values():
        assert scale.shape == (4,) and (scale > 0).all()


def test_a_crystal_is_predicted_as_it_was_trained(trained):
    data, model = trained
    expected = gaps.evaluate(data, model, 'structure', 'train')[0]
    rows = np.flatnonzero(data.of('train'))
    np.testing.assert_allclose(model.of_structures(data.structures.select(rows)).gaps, expected, atol=1e-3)

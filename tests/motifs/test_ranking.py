"""Tests for :mod:`aiida_qagenai.motifs.ranking` and :mod:`aiida_qagenai.motifs.volumes`."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS as Z
from aiida_qagenai.common.errors import CorruptFileError
from aiida_qagenai.exchange.structures import save_arrays
from aiida_qagenai.motifs.ranking import Ranking
from aiida_qagenai.motifs.retrieval import FEATURES
from aiida_qagenai.motifs.volumes import VolumeModel

SETTINGS = {'n_estimators': 12, 'max_depth': 3}


@pytest.fixture(scope='module')
def examples():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(400, len(FEATURES)))
    return features, features[:, 0] + 0.3 * rng.normal(size=400) > 0.5


def test_probabilities_are_those_of_scikit_learn(examples):
    features, fits = examples
    model = GradientBoostingClassifier(random_state=3, **SETTINGS).fit(features, fits)
    found = Ranking.fit(features, fits, seed=3, **SETTINGS).of_features(features)
    assert np.allclose(found, model.predict_proba(features)[:, 1], atol=1e-9)


def test_a_ranking_is_stored_without_loss(examples, tmp_path):
    features, fits = examples
    ranking = Ranking.fit(features, fits, **SETTINGS)
    ranking.save(tmp_path / 'ranking.npz')
    again = Ranking.load(tmp_path / 'ranking.npz')
    assert np.allclose(again.of_features(features), ranking.of_features(features), atol=1e-6)
    again.save(tmp_path / 'again.npz')
    assert (tmp_path / 'again.npz').read_bytes() == (tmp_path / 'ranking.npz').read_bytes()


def test_a_ranking_for_other_features_is_refused(examples, tmp_path, monkeypatch):
    Ranking.fit(*examples, **SETTINGS).save(tmp_path / 'ranking.npz')
    monkeypatch.setattr('aiida_qagenai.motifs.ranking.FEATURES', ('other',))
    with pytest.raises(CorruptFileError, match='other features'):
        Ranking.load(tmp_path / 'ranking.npz')
    save_arrays(tmp_path / 'no.npz', {'format_version': np.array(1)})
    with pytest.raises(CorruptFileError, match='not a ranking'):
        Ranking.load(tmp_path / 'no.npz')
    with pytest.raises(CorruptFileError, match='not a model of volumes'):
        VolumeModel.load(tmp_path / 'no.npz')


def test_volumes_follow_the_elements(library, tmp_path):
    model = VolumeModel.fit(library.compositions, library.volumes_per_atom, regularisation=0.01)
    rock_salt, bromide = ({Z['Na']: 1, Z['Cl']: 1}, {Z['K']: 1, Z['Br']: 1})
    assert model.volumes([rock_salt])[0] == pytest.approx(5.64**3 / 8, rel=0.1)
    assert model.scale(rock_salt, bromide) == pytest.approx((6.60 / 5.64) ** 3, rel=0.1)
    assert model.scale(rock_salt, {Z['Na']: 3, Z['Cl']: 3}) == pytest.approx(1.0)
    model.save(tmp_path / 'volumes.npz')
    assert VolumeModel.load(tmp_path / 'volumes.npz').volumes([bromide]) == pytest.approx(model.volumes([bromide]))

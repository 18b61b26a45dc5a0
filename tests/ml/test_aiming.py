"""Motifs that are chosen by what is asked for, before samples start from them."""

from collections import Counter

import numpy as np
import pytest

from aiida_qagenai.common.descriptors import FIELDS, NUM_DESCRIPTORS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.requests import MotifsRequest
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.gaps.model import load_gap_model
from aiida_qagenai.ml.generator.aiming import Predictor, aimed_proposals
from aiida_qagenai.ml.runtime import setup
from aiida_qagenai.motifs.propose import kinds_of
from aiida_qagenai.motifs.requested import models_of, proposals_of


@pytest.fixture(scope='module')
def runtime():
    return setup(RuntimeConfig())


def aimed(runtime, count=12, **wanted):
    request = MotifsRequest(mode='motifs', max_atoms=8, count=count, **wanted)
    return aimed_proposals(request, request.wish, count, Predictor(runtime))


def test_motifs_near_the_gap_start_the_samples(runtime):
    request = MotifsRequest(mode='motifs', elements=('Mg', 'O'), max_atoms=8, count=12)
    arms = {'free': proposals_of(request, models_of(request))}
    for target in ('metallic', 'band_gap=4'):
        arms[target] = aimed(runtime, elements=('Mg', 'O'), target=target)
    model = load_gap_model(runtime)
    gaps = {
        arm: model.of_structures(StructureBatch.from_structures([each.structure for each in found])).gaps[:, 0]
        for arm, found in arms.items()
    }
    distances = {arm: np.abs(found - 4).mean() for arm, found in gaps.items()}
    assert distances['band_gap=4'] < distances['free'] and np.median(gaps['metallic']) == 0 < np.median(
        gaps['band_gap=4']
    )
    for found in arms.values():
        kinds = [kind for each in found for kind in kinds_of(each.structure, each.space_group)]
        formulas = Counter(kind for kind in kinds if isinstance(kind, str))
        assert max(formulas.values()) <= 2


def test_motifs_are_chosen_by_what_was_computed(runtime, tmp_path):
    """Computed gaps that are two thirds of the predicted ones lead to motifs with a wider predicted gap."""
    request = MotifsRequest(mode='motifs', elements=('Mg', 'O'), max_atoms=8, count=12, target='band_gap=2')
    model, structures = load_gap_model(runtime), [each.structure for each in proposals_of(request, models_of(request))]
    known = StructureBatch.from_structures(structures)
    descriptors = np.full((len(known), NUM_DESCRIPTORS), np.nan)
    descriptors[:, FIELDS.index('band_gap')] = model.of_structures(known).gaps[:, 0] / 1.5
    groups, split = np.array([each.composition.reduced_formula for each in structures]), np.zeros(len(known), np.int8)
    LabelledBatch(known, np.full((len(known), 4), np.nan), descriptors, groups, split).save(tmp_path / 'labels.npz')
    found = {}
    for labels in (None, tmp_path / 'labels.npz'):
        chosen = aimed_proposals(request, request.wish, 12, Predictor(runtime, labels))
        found[labels] = model.of_structures(StructureBatch.from_structures([each.structure for each in chosen]))
    assert np.mean(found[tmp_path / 'labels.npz'].gaps[:, 0]) > np.mean(found[None].gaps[:, 0])


def test_motifs_of_a_formula_are_the_nearest(runtime):
    found = aimed(runtime, count=4, formula='BN', target='bulk_modulus=100')
    assert len(found) == 4 and {each.structure.composition.reduced_formula for each in found} == {'BN'}


def test_levels_of_noise_share_what_there_is_to_choose_among(runtime):
    first, second = (
        aimed(runtime, elements=('Mg', 'O'), target='band_gap=4', novelty=level, symmetry='keep')
        for level in (0.1, 0.5)
    )
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_what_is_no_target_is_refused():
    with pytest.raises(InvalidInputError, match='is not a target'):
        MotifsRequest.parse({'mode': 'motifs', 'formula': 'BN', 'count': 1, 'target': 'band_gap'})

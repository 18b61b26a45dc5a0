"""Motifs that are chosen by what is asked for, before samples start from them."""

from collections import Counter

import numpy as np
import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.requests import MotifsRequest
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.gaps.model import load_gap_model
from aiida_qagenai.ml.generator.aiming import aimed_proposals
from aiida_qagenai.ml.runtime import setup
from aiida_qagenai.motifs.propose import kinds_of
from aiida_qagenai.motifs.requested import models_of, proposals_of


@pytest.fixture(scope='module')
def runtime():
    return setup(RuntimeConfig())


def aimed(runtime, count=12, **wanted):
    request = MotifsRequest(mode='motifs', max_atoms=8, count=count, **wanted)
    return aimed_proposals(request, request.wish, count, runtime)


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

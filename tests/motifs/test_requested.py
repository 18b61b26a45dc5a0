"""Requests for crystals of a formula, as proposals and as starts of the diffusion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.exchange.requests import MotifsRequest
from aiida_qagenai.motifs.propose import Proposal, known_as
from aiida_qagenai.motifs.requested import draw, models_of, proposals_of


def with_probability(probability):
    return Proposal(None, 'mp-1', 'NaCl', 225, {}, probability)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(1, 30), st.integers(0, 5))
def test_every_motif_is_drawn_as_often_as_its_probability_says(probabilities, count, seed):
    drawn = draw([with_probability(each) for each in probabilities], count, np.random.default_rng(seed))
    assert len(drawn) == count and (np.diff(drawn) >= 0).all()
    weights = np.array(probabilities)
    shares = weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))
    counts = np.bincount(drawn, minlength=len(shares))
    assert (counts >= np.floor(count * shares - 1e-9)).all()


def test_excluded_formulas_and_the_space_group_are_kept():
    request = MotifsRequest(mode='motifs', formula='NaCl', exclude=('ClNa',), space_group=225, count=3)
    found = proposals_of(request, models_of(request))
    assert {each.space_group for each in found} == {225}
    assert 'NaCl' not in {each.motif_formula for each in found}


@pytest.mark.parametrize('wanted', [{'elements': ('B', 'N')}, {'formula': 'BN'}])
def test_known_compounds_of_a_system_are_rediscovered(wanted):
    """None is a motif, yet zinc-blende BN comes out of another crystal and is recognised."""
    request = MotifsRequest(mode='motifs', exclude_system=True, max_atoms=4, count=40, **wanted)
    models = models_of(request)
    found = proposals_of(request, models)
    known = set(models.library.formulas[models.library.within(['B', 'N'])].tolist()) - {'B', 'N2'}
    assert 'BN' in known and not known & {each.motif_formula for each in found}
    structures = [each.structure for each in found if each.structure.composition.reduced_formula == 'BN']
    assert any(known_as(models.library, structure) is not None for structure in structures)


def test_a_chemical_system_reports_its_progress():
    seen = []
    request = MotifsRequest(mode='motifs', elements=('Li', 'Mg', 'N'), stoichiometry='ABC', count=2)
    found = proposals_of(request, models_of(request), report=lambda done, total: seen.append((done, total)))
    assert len(found) == 2 and seen and seen[-1][0] == seen[-1][1]


def test_probabilities_of_zero_are_drawn_evenly():
    drawn = draw([with_probability(0.0)] * 4, 8, np.random.default_rng(0))
    assert np.bincount(drawn).tolist() == pytest.approx([2, 2, 2, 2])


def test_a_pool_gives_crystals_of_some_of_its_elements():
    seen = []
    request = MotifsRequest(mode='motifs', elements=('Li', 'Mg', 'N'), pool=True, max_atoms=8, count=30)
    found = proposals_of(request, models_of(request), report=lambda done, total: seen.append((done, total)))
    systems = {each.structure.chemical_system for each in found}
    assert systems <= {'Li-Mg', 'Li-N', 'Mg-N', 'Li-Mg-N'} and len(systems) > 1 and len(found) == 30
    probabilities = [each.probability for each in found]
    assert probabilities == sorted(probabilities, reverse=True) and seen[-1] == (4, 4)

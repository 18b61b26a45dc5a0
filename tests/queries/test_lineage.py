"""A candidate leads back to its first inputs."""

from __future__ import annotations

import pytest
from aiida.orm import load_node
from fake_campaign import make_campaign

from aiida_qagenai.queries import searches
from aiida_qagenai.queries.lineage import candidate_lineages


@pytest.fixture(scope='module')
def relaxed(aiida_profile):
    aiida_profile.reset_storage()
    return make_campaign('toy', relaxes=True)


def test_a_relaxed_candidate_leads_to_the_first_energies(relaxed):
    """Relaxed ← generated ← generator ← training set ← energies, each step with its process."""
    row = searches.candidates('toy', cycle=2, sort_by='name').iloc[0]
    (steps,) = candidate_lineages([row['candidate_uuid']]).values()
    assert [step.kind for step in steps] == ['candidate', 'candidate', 'checkpoint', 'dataset', 'energy']
    assert steps[0].what == 'LiH, relaxed' and steps[0].uuid == row['candidate_uuid']
    assert steps[1].uuid == row['relaxed_from'] and steps[2].what.startswith('generator')
    assert steps[4].what == '8 energies of the training sets'
    for step in steps:
        assert load_node(step.uuid).creator.uuid == step.process_uuid
        assert load_node(step.process_uuid).process_label == step.made_by


def test_a_candidate_of_the_initial_set_leads_to_its_inputs(relaxed):
    row = searches.candidates('toy', cycle=0, sort_by='name').iloc[0]
    (steps,) = candidate_lineages([row['candidate_uuid']]).values()
    assert [(step.kind, step.what) for step in steps][1:] == [('input', 'elements')]
    assert steps[1].made_by == '' and load_node(steps[1].uuid).get_list() == ['Li', 'H']

"""Requests to the generator."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.workchains.campaign.requests import generation_requests
from aiida_qagenai.workchains.protocols.campaign import campaign_settings


def requests_of(elements, count, **settings):
    """Return the requests of a cycle, which the task accepts."""
    changes = {'num_candidates': count, 'motif_fraction': 0.0, **settings}
    requests = generation_requests(elements, campaign_settings('machinery', {'generate': changes}).generate)
    parse('generate', {'requests': requests, 'mask': settings.get('mask')})
    return requests


@given(st.integers(1, 500), st.integers(2, 8), st.floats(0, 1), st.floats(0, 1), st.integers(1, 4))
def test_no_candidate_is_lost_to_rounding(count, max_atoms, fraction, motifs, levels):
    """The requests add up to the number of candidates asked for."""
    novelty = [0.1 * level for level in range(levels)]
    settings = {'neutral_fraction': fraction, 'motif_fraction': motifs, 'novelty': novelty}
    requests = requests_of(['Li', 'Mn', 'O'], count, max_atoms=max_atoms, **settings)
    assert sum(request['count'] for request in requests) == count
    assert all(request['count'] > 0 for request in requests)


def test_fixed_compositions_are_neutral():
    """Li and H balance one to one."""
    requests = requests_of(['Li', 'H'], 10, max_atoms=4, neutral_fraction=1)
    assert [request['composition'] for request in requests] == [{'Li': 1, 'H': 1}, {'Li': 2, 'H': 2}]


def test_without_a_neutral_composition_everything_is_free():
    """A system of metals only has no neutral composition; nothing is dropped."""
    (request,) = requests_of(['Li', 'Na'], 10, max_atoms=2, neutral_fraction=1)
    assert request['mode'] == 'chemical_system'
    assert request['count'] == 10


def test_known_crystals_of_the_system_and_its_binaries():
    """Half of them are of the whole system; every level of noise has its share; no element alone is asked for."""
    requests = requests_of(['Li', 'Mn', 'O'], 40, motif_fraction=0.6, novelty=[0.2, 0.6], max_atoms=6, symmetry='free')
    motifs = [request for request in requests if request['mode'] == 'motifs']
    counts = {('-'.join(request['elements']), request['novelty']): request['count'] for request in motifs}
    binaries = {(system, novelty): 2 for system in ('Li-Mn', 'Li-O', 'Mn-O') for novelty in (0.2, 0.6)}
    assert counts == {('Li-Mn-O', 0.2): 6, ('Li-Mn-O', 0.6): 6, **binaries}
    assert {request['symmetry'] for request in motifs} == {'free'} and {r['max_atoms'] for r in motifs} == {6}


def test_known_compounds_of_the_system_can_be_left_out():
    """By every request that starts from known crystals, and only if that is asked for."""
    for wanted in (True, False):
        requests = requests_of(['B', 'N'], 12, max_atoms=4, motif_fraction=0.5, exclude_system=wanted)
        motifs = [request for request in requests if request['mode'] == 'motifs']
        assert motifs and all(request.get('exclude_system', False) is wanted for request in motifs)


@pytest.mark.parametrize(('elements', 'max_atoms', 'systems'), [(['C'], 4, [['C']]), (['Li', 'H'], 1, [])])
def test_elements_alone_and_cells_that_are_too_small(elements, max_atoms, systems):
    """A single element is a system of its own; no compound fits into a cell of one atom."""
    requests = requests_of(elements, 10, motif_fraction=1.0, max_atoms=max_atoms)
    assert [request['elements'] for request in requests if request['mode'] == 'motifs'] == systems
    assert sum(request['count'] for request in requests) == 10


def test_ordered_structures_have_the_elements_of_their_constraints():
    """No subsystem or composition is asked for in which a constraint means nothing; no candidate is lost."""
    geometry = {'constraints': ['coordination(Mn,O)=6']}
    requests = requests_of(['Li', 'Mn', 'O'], 40, motif_fraction=0.6, max_atoms=6, geometry=geometry)
    parse('generate', {'requests': requests, 'geometry': geometry})
    systems = {tuple(request['elements']) for request in requests if request['mode'] == 'motifs'}
    assert systems == {('Li', 'Mn', 'O'), ('Mn', 'O')}
    assert sum(request['count'] for request in requests) == 40


def test_a_band_gap_chooses_the_known_crystals():
    """The target of the descriptors is that of the requests for motifs; without one they have none."""
    both = {'band_gap': 1.5, 'elf_0': 0.4}
    for target, text in ((both, 'band_gap=1.5, elf_0=0.4'), ({'elf_0': 0.4}, 'elf_0=0.4'), (None, None)):
        requests = requests_of(['B', 'N'], 12, max_atoms=4, motif_fraction=0.5, target=target)
        assert {r.get('target') for r in requests if r['mode'] == 'motifs'} == {text}


def test_every_candidate_has_room_for_a_mask():
    """Neutral compositions without three lithium atoms are left out, and free ones begin with as many atoms."""
    requests = requests_of(['Li', 'H'], 12, max_atoms=6, neutral_fraction=0.5, mask='kagome(Li)')
    neutral, free = requests
    assert neutral == {'mode': 'composition', 'composition': {'Li': 3, 'H': 3}, 'count': 6}
    assert (free['min_atoms'], free['count']) == (3, 6)

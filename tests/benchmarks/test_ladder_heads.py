"""Upper rungs learned from the ladder: what is learned from, and what is left out."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import ladder_heads as heads

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.exchange.contests import ContestConfig
from aiida_qagenai.thermodynamics.ladder.records import load_ladder


@pytest.fixture
def config():
    """Return settings of arms that need no network."""
    return ContestConfig(dataset=Path('none'), given=True)


def test_errors_of_pbe_as_it_is_are_those_of_the_ladder(config):
    crystals = {name: one for name, one in load_ladder().crystals.items() if one.is_complete}
    batch = heads.labels_of(load_ladder().crystals)
    assert batch.structures.identifiers.tolist() == list(crystals)
    found = heads.measured(batch, np.ones(len(batch), dtype=bool), config, ['lower'])
    wanted = [
        abs(one.energies[Fidelity.PBE]['anchored'] - one.energies[Fidelity.CCSD_T]['anchored'])
        for one in crystals.values()
    ]
    assert found['CCSD(T)']['lower'].value == pytest.approx(np.mean(wanted))


def test_nothing_is_learned_from_other_structures_of_a_compound(config, monkeypatch):
    """An arm that looks for labels of the compound that it is asked about finds none."""
    batch = heads.labels_of(load_ladder().crystals)
    seen = []

    def watch(problem):
        seen.append({batch.groups[row] for row in problem.known.tolist()})
        return heads.METHODS['lower'](problem)

    monkeypatch.setitem(heads.METHODS, 'watch', watch)
    heads.measured(batch, np.ones(len(batch), dtype=bool), config, ['watch'])
    compounds = set(batch.groups.tolist())
    assert all(len(compounds - one) == 1 for one in seen) and len(seen) == 2 * len(compounds)

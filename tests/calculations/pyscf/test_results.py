"""The typed results of PySCF: what they refuse, and that searches ask for results that exist."""

from __future__ import annotations

import pytest

from aiida_qagenai.calculations.pyscf.results import EnergyResults, PyscfResults
from aiida_qagenai.common.errors import CorruptFileError
from aiida_qagenai.queries.costs import RESULTS

ENERGY = {'fidelity': 'PBE', 'scf_converged': True, 'total_energy': -1.0, 'components': {}}


def test_results_of_another_version_are_read():
    """A key that is not known is left out; one that is missing has its default."""
    results = EnergyResults.parse({**ENERGY, 'of_a_later_version': 1})
    assert results.converged and results.earlier.core_hours == 0.0 and results.band_gap is None


def test_coupled_cluster_must_have_converged():
    assert not EnergyResults.parse({**ENERGY, 'cc_converged': False}).converged


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'status': 'killed'}, '`status`'),
        ({'total_energy': float('nan')}, '`total_energy`'),
        ({'core_hours': '2'}, '`core_hours`'),
        ({'components': {'ewald': None}}, '`components.ewald`'),
    ],
)
def test_wrong_results_are_refused_by_name(changes, message):
    """Results of a calculation that did not finish are not an energy, and no text is taken for a number."""
    with pytest.raises(CorruptFileError, match=message):
        EnergyResults.parse({**ENERGY, **changes})


def test_searches_for_costs_ask_for_results_that_exist():
    assert set(RESULTS) <= set(PyscfResults.model_fields)

"""What pw.x says at its end, in the words of the results of a PySCF job."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_qagenai.calculations.espresso.parameters import PwParameters
from aiida_qagenai.calculations.espresso.results import band_edges, error_text, filled_levels, normalise_results
from aiida_qagenai.calculations.pyscf.results import EnergyResults

PARAMETERS = {'fidelity': 'PBE', 'ecutwfc': 40, 'ecutrho': 320, 'conv_thr': 1e-8, 'degauss': 0.01}
OUTPUT = {
    'energy': -100.0,
    'number_of_electrons': 8.0,
    'energy_ewald': -100.5,
    'energy_hubbard': 0.5,
    'creator_version': '6.7MaX',
    'number_of_k_points': 2,
    'total_magnetization': 0.0,
    'absolute_magnetization': 3.1,
}
COST = {'core_hours': 0.5, 'wall_seconds': 900.0}
CRASH = """
 %%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%
     Error in routine {name} ({number}):
     {text}
 %%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%

     stopping ...
"""


def results(output=OUTPUT, sites=None, **parameters):
    values = {'bands': None, 'occupations': None, 'site_moments': sites, 'cost': COST}
    return EnergyResults.parse(normalise_results(PwParameters.parse({**PARAMETERS, **parameters}), output, **values))


def test_energies_and_costs_have_the_fields_of_the_other_engine():
    found = results()
    assert (found.total_energy, found.components) == (-100.0, {'ewald': -100.5, 'hubbard': 0.5})
    assert (found.core_hours, found.wall_seconds, found.num_electrons) == (0.5, 900.0, 8)
    assert found.versions == {'Quantum ESPRESSO': '6.7MaX'}
    assert not found.spin_polarized and found.total_moment is None
    assert found.warning_codes == []


def test_parts_that_are_not_of_this_energy_are_left_out():
    """Of hybrids, the parser of aiida-quantumespresso has those of a step before."""
    assert results({**OUTPUT, 'energy': -101.0}).components == {}


def test_an_odd_number_of_electrons_without_spin_is_a_warning():
    assert results({**OUTPUT, 'number_of_electrons': 9.0}).warning_codes == [707]


def test_moments_and_their_ordering_are_recorded():
    moments = {'spin_polarized': True, 'moments': [2.0, -2.0]}
    found = results(sites=[1.4, -1.4], **moments)
    assert (found.magnetic_ordering, found.absolute_moment) == ('antiferromagnetic', 3.1)
    assert (found.initial_moments, found.site_moments) == ([2.0, -2.0], [1.4, -1.4])
    assert results(sites=[1.4, 1.4], **moments).warning_codes == [710]
    assert results(sites=[1.4, 0.0], **moments).warning_codes == [711]


def test_the_gap_lies_between_occupied_and_empty_levels():
    bands = np.array([[-5.0, 0.0, 2.0], [-4.0, -1.0, 1.5]])
    occupations = np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0]])
    edges = band_edges(bands, occupations)
    assert (edges['band_gap'], edges['valence_band_maximum']) == (1.5, 0.0)
    assert edges['num_occupied_per_k'] == [2, 2]
    assert 'band_gap_up' not in edges
    # A band that crosses the Fermi level, and levels that overlap without one.
    assert band_edges(bands, np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 1.5]]))['band_gap'] == 0.0
    assert band_edges(bands - [[0, 0, 3], [0, 0, 0]], occupations)['band_gap'] == 0.0
    # Nothing is empty.
    assert band_edges(bands[:, :2], occupations[:, :2])['band_gap'] is None


def test_a_fermi_level_at_the_edge_of_a_band_hides_no_gap():
    bands, occupations = np.array([[-3.0, 8.0, 11.9], [-3.0, 7.3, 13.1]]), np.array([[2.0, 0.9, 0.0], [2.0, 2.0, 0.0]])
    assert band_edges(bands, occupations)['band_gap'] == 0.0
    filled = filled_levels({'number_of_electrons': 4.0}, spin_polarized=False)
    assert filled == [2.0]
    found = band_edges(bands, occupations, filled)
    assert found['band_gap'] == pytest.approx(3.9)
    assert found['num_occupied_per_k'] == [2, 2]
    assert filled_levels({'number_of_electrons': 4.0, 'total_magnetization': 2.0}, spin_polarized=True) == [3.0, 1.0]
    assert band_edges(bands, occupations, [1.5])['band_gap'] == 0.0
    crossing = np.array([[-3.0, 8.0, 11.9], [-3.0, 12.3, 13.1]])
    assert band_edges(crossing, occupations, [2.0])['band_gap'] == 0.0


def test_each_spin_has_a_gap_of_its_own():
    bands = np.array([[[-5.0, 0.0, 4.0]], [[-5.0, 1.0, 3.0]]])
    occupations = np.array([[[1.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]]])
    edges = band_edges(bands, occupations)
    assert (edges['band_gap'], edges['band_gap_up'], edges['band_gap_down']) == (1.0, 4.0, 6.0)
    assert (edges['num_occupied_per_k'], edges['num_occupied_per_k_down']) == ([2], [1])


@pytest.mark.parametrize(
    ('name', 'number', 'text', 'expected'),
    [
        ('set_dft_from_name', 2, 'libxc needed for this functional', 'built without libxc'),
        ('system_checkin', 1, 'DFT+Hubbard input syntax has changed since v7.1', 'set `hubbard_card: true`'),
        ('setup', 1, 'some error', 'pw.x stopped in setup: some error'),
    ],
)
def test_errors_are_told_with_what_helps(name, number, text, expected):
    assert expected in error_text(CRASH.format(name=name, number=number, text=text))
    assert error_text('     JOB DONE.') is None

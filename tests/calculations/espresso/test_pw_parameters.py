"""Parameters of one job of pw.x, and the namelists that they become."""

from __future__ import annotations

import pytest

from aiida_qagenai.calculations.espresso.parameters import PwParameters, manifold_of, split_by_moment
from aiida_qagenai.common.errors import InvalidInputError

PBE = {'fidelity': 'PBE', 'ecutwfc': 40, 'ecutrho': 320, 'conv_thr': 1e-8, 'degauss': 0.01, 'kmesh': (4, 4, 4)}
HYBRID = {**PBE, 'fidelity': 'HSE06', 'exchange': {'nq': (2, 2, 2)}}
MOMENTS = {'spin_polarized': True, 'moments': [2.0, -2.0, 0.0, 0.0]}
NIO = ['Ni', 'Ni', 'O', 'O']
VALENCE = {'Ni': 10.0, 'O': 6.0}


def test_sites_are_split_by_element_and_moment():
    """The largest moment comes first, so that names do not depend on the order of the sites."""
    assert split_by_moment(NIO, MOMENTS['moments']) == ['Ni1', 'Ni2', 'O', 'O']
    assert split_by_moment(['Ni', 'Ni'], [-1.0, 1.0]) == ['Ni2', 'Ni1']
    assert split_by_moment(['Fe', 'Fe'], [3.0, 3.0]) == ['Fe', 'Fe']
    assert split_by_moment(NIO, None) == NIO


def test_moments_become_fractions_of_the_valence():
    system = PwParameters.parse({**PBE, **MOMENTS}).namelists(NIO, VALENCE)['SYSTEM']
    assert system['nspin'] == 2
    assert system['starting_magnetization'] == pytest.approx({'Ni1': 0.2, 'Ni2': -0.2, 'O': 0.0})
    assert 'tot_magnetization' not in system
    larger = PwParameters.parse({**PBE, **MOMENTS, 'spin': 0}).with_larger_moments(10.0)
    system = larger.namelists(NIO, VALENCE)['SYSTEM']
    assert (system['starting_magnetization']['Ni1'], system['tot_magnetization']) == (1.0, 0)


def test_every_kind_of_an_element_has_its_u():
    """As pw.x before 7.1 reads it; the card of later versions belongs to the structure."""
    term = {'hubbard': {'Ni': {'U': 5.3, 'source': 'a test'}}}
    system = PwParameters.parse({**PBE, **MOMENTS, **term}).namelists(NIO, VALENCE)['SYSTEM']
    assert system['lda_plus_u'] is True
    assert system['hubbard_u'] == {'Ni1': 5.3, 'Ni2': 5.3}
    for changes in ({'hubbard_card': True}, {'hubbard': {'Mn': term['hubbard']['Ni']}}):
        assert 'hubbard_u' not in PwParameters.parse({**PBE, **term, **changes}).namelists(NIO, VALENCE)['SYSTEM']


def test_hse06_has_exact_exchange():
    """The extrapolation to the divergence needs a mesh with every other point."""
    system = PwParameters.parse(HYBRID).namelists(['Si'], {'Si': 4.0})['SYSTEM']
    assert (system['input_dft'], system['nqx1'], system['x_gamma_extrapolation']) == ('HSE', 2, True)
    assert 'ecutfock' not in system
    odd = PwParameters.parse({**HYBRID, 'kmesh': (3, 3, 3), 'exchange': {'nq': (3, 3, 1), 'ecutfock': 100}})
    system = odd.namelists(['Si'], {'Si': 4.0})['SYSTEM']
    assert (system['ecutfock'], system['x_gamma_extrapolation']) == (100, False)


@pytest.mark.parametrize(
    ('values', 'text'),
    [
        ({**PBE, 'fidelity': 'CCSD(T)'}, 'use the engine pyscf'),
        ({**PBE, 'exchange': {'nq': (2, 2, 2)}}, '`exchange` goes with HSE06'),
        ({**HYBRID, 'exchange': None}, '`exchange` goes with HSE06'),
        ({**HYBRID, 'exchange': {'nq': (3, 3, 3)}}, '`exchange.nq` must divide `kmesh`'),
        ({**HYBRID, 'hubbard': {'Ni': {'U': 5.0, 'source': 'x'}}}, 'HSE06 has exact exchange'),
        ({**PBE, 'ecutrho': 100}, '`ecutrho` must be at least four times `ecutwfc`'),
        ({**PBE, 'moments': [1.0]}, '`moments` need `spin_polarized`'),
        ({**PBE, 'spin': 2}, '`spin` needs `spin_polarized`'),
        ({**PBE, 'spin_polarized': True}, 'stay at the nonmagnetic solution'),
        ({**PBE, **MOMENTS, 'degauss': None}, 'fixed occupations of two spins need `spin`'),
        ({**PBE, 'kmesh_shift': (0.25, 0, 0)}, 'by half a step or not at all'),
        ({**PBE, 'hubbard': {'Na': {'U': 5.0, 'source': 'x'}}}, r'`hubbard\.Na`: U is for elements of the d and f'),
        ({**PBE, 'hubbard': {'Ni': {'U': -1.0, 'source': 'x'}}}, 'greater than 0'),
    ],
)
def test_contradictions_are_refused(values, text):
    with pytest.raises(InvalidInputError, match=text):
        PwParameters.parse(values)


def test_u_acts_on_the_open_shell():
    assert [manifold_of(symbol) for symbol in ('Mn', 'Ru', 'Ce', 'O')] == ['3d', '4d', '4f', '2p']
    with pytest.raises(InvalidInputError, match='U is for elements'):
        manifold_of('Xx')

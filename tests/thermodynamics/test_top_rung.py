"""Which rung tops a chemical system."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.thermodynamics.top_rung import top_rung

CCSD_T, HSE06 = Fidelity.CCSD_T, Fidelity.HSE06


@pytest.mark.parametrize(
    ('elements', 'expected', 'reason'),
    [
        (['Li', 'H'], CCSD_T, ''),
        (['Mg', 'O'], CCSD_T, ''),
        (['Ga', 'As'], CCSD_T, ''),
        (['Na', 'Mg'], HSE06, 'metals only'),
        (['Li', 'Mn', 'O'], HSE06, 'Mn can have open d or f shells'),
        (['Co', 'Li', 'Ni', 'O'], HSE06, 'Co, Ni can have'),
        (['Ce', 'O'], HSE06, 'Ce can have open d or f shells'),
    ],
)
def test_the_best_rung_that_is_valid(elements, expected, reason):
    """CCSD(T) of closed-shell insulators, HSE06 of metals and of systems that are partly open-shell."""
    found = top_rung(elements)
    assert found.fidelity is expected
    assert reason in found.reason
    assert bool(found.reason) == bool(reason)


def test_bases_and_sizes_count():
    """A level without bases for an element, or for cells too small for all of them, has no CCSD(T) of the system."""
    found = top_rung(['K', 'F'], covered={'F'})
    assert found == (HSE06, 'CCSD(T) has no basis or pseudopotential for K')
    assert top_rung(['K', 'F'], covered={'F', 'K'}, max_atoms=2).fidelity is CCSD_T
    assert top_rung(['Li', 'Al', 'O'], max_atoms=2).reason == 'CCSD(T) admits 2 atoms, fewer than the 3 elements'


def test_a_wish_is_granted_or_refused_with_the_reason():
    """A lower rung can be wished for anywhere, CCSD(T) only where it is valid, PBE nowhere."""
    assert top_rung(['Li', 'H'], wanted=HSE06) == (HSE06, '')
    assert top_rung(['Mn', 'O'], wanted=Fidelity.SCAN).fidelity is Fidelity.SCAN
    with pytest.raises(InvalidInputError, match=r'top rung of Mn-O: ions of Mn .* best that is valid is HSE06'):
        top_rung(['Mn', 'O'], wanted=CCSD_T)
    with pytest.raises(InvalidInputError, match='above PBE'):
        top_rung(['Li', 'H'], wanted=Fidelity.PBE)

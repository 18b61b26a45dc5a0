"""GTH pseudopotentials as UPF files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from aiida_pseudo.data.pseudo import UpfData

from aiida_qagenai.calculations.espresso.gth import gth_to_upf, local_potential, projector, recommend_cutoff
from aiida_qagenai.calculations.espresso.pseudos import functional_of, is_norm_conserving, orbitals_of

SILICON = [
    [2, 2],
    0.44,
    1,
    [-6.26928833],
    2,
    [0.43563383, 2, [[8.9517415, -2.70627082], [-2.70627082, 3.4937806]]],
    [0.49794218, 1, [[2.43127673]]],
]
"""gth-pbe of PySCF."""


@pytest.mark.parametrize(('momentum', 'number'), [(0, 1), (0, 2), (1, 1), (2, 1)])
def test_projectors_are_normalised(momentum, number):
    r = np.linspace(1e-6, 12, 20001)
    values = projector(r, momentum, number, 0.5)
    assert np.trapezoid(values**2 * r**2, r) == pytest.approx(1, abs=1e-6)


def test_the_local_part_is_that_of_the_ion_far_away():
    r = np.array([1e-4, 5.0, 10.0])
    values = local_potential(r, 4, 0.44, [-6.27])
    assert values[1:] == pytest.approx(-4 / r[1:])
    # −Z √(2/π)/r_loc + C1 at the nucleus.
    assert values[0] == pytest.approx(-4 * np.sqrt(2 / np.pi) / 0.44 - 6.27, rel=1e-4)


def test_the_file_says_what_it_is(aiida_profile):
    pseudo = UpfData(io.BytesIO(gth_to_upf('Si', SILICON).encode()), filename='Si.upf')
    assert (pseudo.element, pseudo.z_valence) == ('Si', 4)
    assert functional_of(pseudo) == 'PBE' and is_norm_conserving(pseudo)
    # Without atomic orbitals there is no shell for U.
    assert orbitals_of(pseudo) == set()


def test_cutoffs_are_measured_or_follow_from_the_smallest_radius():
    assert recommend_cutoff('Si', SILICON) == 80
    assert recommend_cutoff('Ge', SILICON) == 110

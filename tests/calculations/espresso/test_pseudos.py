"""What UPF files say of themselves, in the formats of two decades."""

from __future__ import annotations

import io

import pytest
from aiida_pseudo.data.pseudo import UpfData
from pw_runs import PSEUDOS, needs_espresso

from aiida_qagenai.calculations.espresso.pseudos import functional_of, is_norm_conserving, orbitals_of

pytestmark = needs_espresso


@pytest.mark.parametrize(
    ('name', 'functional', 'conserves', 'orbitals'),
    [
        ('Ni.pbe-nd-rrkjus.UPF', 'SLA PW PBE PBE', False, {'4s', '3d'}),
        ('Ni.pbe-spn-kjpaw_psl.1.0.0.UPF', 'SLA PW PBX PBC', False, {'3s', '4s', '3p', '3d'}),
        ('Si.pbe-rrkj.UPF', 'SLA PW PBE PBE', True, {'3s', '3p'}),
        ('Fe.pbe-mt_fhi.UPF', 'PBE', True, {'4s', '4p', '3d', '4f'}),
        # The headers of version 1 of the format.
        ('Rh.pbe-rrkjus_lb.UPF', 'SLA PW PBE PBE', False, {'4d', '5s'}),
        ('C.UPF', 'SLA PZ NOGX NOGC', True, {'2s', '2p', '3d'}),
    ],
)
def test_headers_of_both_versions_are_read(aiida_profile, name, functional, conserves, orbitals):
    text = (PSEUDOS / name).read_bytes()
    pseudo = UpfData(io.BytesIO(text), filename=name)
    assert functional_of(pseudo) == functional
    assert is_norm_conserving(pseudo) is conserves
    assert orbitals_of(pseudo) == orbitals

"""How PySCF is installed on machines of each kind."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.installing import install_extras, install_pyscf


@pytest.mark.parametrize(
    ('system', 'machine', 'python', 'command'),
    [
        ('linux', 'x86_64', (3, 11), "pip install 'aiida-qagenai[pyscf]'"),
        ('linux', 'x86_64', (3, 13), 'pip install --no-deps aiida-pyscf'),
        ('linux', 'aarch64', (3, 11), 'pip install --no-deps aiida-pyscf'),
        ('darwin', 'arm64', (3, 11), 'pip install --no-deps aiida-pyscf'),
        ('win32', 'AMD64', (3, 11), 'Windows Subsystem for Linux'),
    ],
)
def test_way_to_pyscf(system, machine, python, command):
    advice = install_pyscf(system, machine, python)
    assert command in advice and '\n' not in advice


def test_several_extras():
    assert install_extras('ml', 'chgnet') == "pip install 'aiida-qagenai[ml,chgnet]'"

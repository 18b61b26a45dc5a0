"""What is missing here and how it is installed, in one line for each case."""

from __future__ import annotations

import platform
import sys

from aiida_qagenai.common.errors import QagenaiError

__all__ = ('MissingPackageError', 'install_extras', 'install_pyscf')

NEWER_PYSCF = "pip install 'pyscf>=2.8' h5py dill pint aiida-shell && pip install --no-deps aiida-pyscf"
"""PySCF from wheels of the processors and Pythons that the versions of the extra `pyscf` have no wheels for."""


class MissingPackageError(QagenaiError, ImportError):
    """An optional package is not installed; the message says what needs it and how to install it."""


def install_extras(*extras: str) -> str:
    """Return the command that installs extras of this package."""
    return f"pip install 'aiida-qagenai[{','.join(extras)}]'"


def install_pyscf(
    system: str = sys.platform, machine: str | None = None, python: tuple[int, ...] = sys.version_info[:2]
) -> str:
    """Return how PySCF and aiida-pyscf are installed on a machine.

    aiida-pyscf asks for PySCF < 2.4 and for PyCifRW, whose wheels are for few machines; other PySCFs work as well.

    :param system: as `sys.platform`.
    :param machine: as `platform.machine`, by default of this one.
    :param python: major and minor version.
    """
    if system == 'win32':
        return 'PySCF does not exist for Windows: install this package in the Windows Subsystem for Linux'
    machine = machine or platform.machine()
    if system == 'linux' and machine in {'x86_64', 'AMD64'} and python < (3, 12):
        return install_extras('pyscf')
    return NEWER_PYSCF

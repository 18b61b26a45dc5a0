"""The installed packages, against what the metadata of this package asks for."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
import typing as t

from aiida_qagenai.cli.setup.rows import Row, State
from aiida_qagenai.common.installing import install_extras, install_pyscf

if t.TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ('EXTRAS', 'check_extras', 'check_packages', 'check_python')

NAMED = ('aiida-core', 'numpy', 'pymatgen', 'spglib', 'ase')
"""Packages with a row of their own; the others share one while nothing is wrong with them."""

EXTRAS = {
    'ml': 'training, generation, prediction and relaxation by models',
    'pyscf': 'energies at PBE, SCAN, HSE06 and CCSD(T)',
    'phonons': 'free energies',
    'chgnet': 'the potential `chgnet`',
    'sevennet': 'the potential `sevennet`',
    'espresso': 'relaxations with pw.x',
    'hyperparameters': 'searches for hyperparameters',
    'kriging': 'the arm `co-kriging` of contests',
    'optimade': 'searching other databases and being searched',
    'mp': 'downloads from the Materials Project',
}
"""Extra for users → what it enables."""


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Row:
    """Return the row of the Python that runs this command."""
    from packaging.specifiers import SpecifierSet

    text = '.'.join(map(str, version))
    asked = str(metadata()['Requires-Python'])
    found = f'{text} at {sys.executable} ({platform.system()} {platform.machine()})'
    if SpecifierSet(asked).contains(text):
        return Row('packages', 'Python', State.OK, found)
    advice = f'use a Python {asked} and install again in a new environment'
    return Row('packages', 'Python', State.PROBLEM, f'{found}; needed {asked}', advice)


def check_packages() -> list[Row]:
    """Return the rows of the packages without which nothing works."""
    rows, others, python = [], 0, sys.executable
    own = importlib.metadata.version('aiida-qagenai')
    rows.append(Row('packages', 'aiida-qagenai', State.OK, own))
    for requirement in requirements():
        version = installed(requirement.name)
        if not fits(requirement, version):
            advice = f"{python} -m pip install '{requirement.name}{requirement.specifier}'"
            found = f'{version or "not installed"}; needed {requirement.specifier}'
            rows.append(Row('packages', requirement.name, State.PROBLEM, found, advice))
        elif requirement.name in NAMED:
            rows.append(Row('packages', requirement.name, State.OK, f'{version} ({requirement.specifier})'))
        else:
            others += 1
    return [*rows, Row('packages', 'others', State.OK, f'{others} more packages, all as required')]


def check_extras() -> list[Row]:
    """Return one row for each extra of this package: its packages, or what it would enable and how to get it."""
    return [check_extra(extra, purpose) for extra, purpose in EXTRAS.items()]


def check_extra(extra: str, purpose: str) -> Row:
    """Return the row of one extra; one that is not installed, or in other versions, is a note."""
    asked = requirements(extra)
    versions = {requirement.name: installed(requirement.name) for requirement in asked}
    if extra == 'pyscf':
        # Not asked for on Windows, and needed all the same.
        versions.setdefault('pyscf', installed('pyscf'))
    section = 'packages' if extra in {'ml', 'pyscf'} else 'optional'
    command = install_pyscf() if extra == 'pyscf' else install_extras(extra)
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        found = f'{" and ".join(missing)} not installed; needed for {purpose}'
        return Row(section, f'extra {extra}', State.NOTE, found, command)
    found = ', '.join(f'{name} {version}' for name, version in versions.items())
    other = [requirement for requirement in asked if not fits(requirement, versions[requirement.name])]
    if other:
        wanted = ', '.join(f'{requirement.name}{requirement.specifier}' for requirement in other)
        return Row(section, f'extra {extra}', State.NOTE, f'{found}; tested with {wanted}', command)
    return Row(section, f'extra {extra}', State.OK, found)


def metadata() -> importlib.metadata.PackageMetadata:
    """Return the metadata of this package."""
    return importlib.metadata.metadata('aiida-qagenai')


def requirements(extra: str = '') -> list[Requirement]:
    """Return what this package, or only an extra of it, needs on this machine and Python."""
    from packaging.requirements import Requirement

    every = [Requirement(text) for text in importlib.metadata.requires('aiida-qagenai') or ()]
    return [
        requirement
        for requirement in every
        if (requirement.marker is None and not extra)
        or (
            requirement.marker is not None
            and requirement.marker.evaluate({'extra': extra})
            and bool(extra) == ('extra' in str(requirement.marker))
        )
    ]


def fits(requirement: Requirement, version: str | None) -> bool:
    """Return whether a version is one that is asked for; a build such as `2.13.0+cpu` counts as its version."""
    return version is not None and requirement.specifier.contains(version.partition('+')[0], prereleases=True)


def installed(name: str) -> str | None:
    """Return the version of an installed package.

    Metadata that names none, which a disk that was full leaves behind, is that of no package.
    """
    try:
        version: str | None = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return version if version and re.match(r'\d', version) else None
